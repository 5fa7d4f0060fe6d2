/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/cpuset.h"

#include <errno.h>

/* A number at the head of *s, which moves behind it; -1 = none, or too large. */
static int take_number(const char **s)
{
	int n = -1;

	for (; **s >= '0' && **s <= '9'; (*s)++) {
		n = (n < 0 ? 0 : n * 10) + (**s - '0');
		if (n >= CPUSET_NUMBERS)
			return -1;
	}
	return n;
}

int cpuset_parse(const char *list, struct cpuset *ret)
{
	struct cpuset set = { { 0 } };

	for (const char *s = list;; s++) {
		int first = take_number(&s), last = first;
		if (first >= 0 && *s == '-') {
			s++;
			last = take_number(&s);
		}
		if (first < 0 || last < first)
			return -EINVAL;
		for (int i = first; i <= last; i++)
			set.bits[i / 64] |= UINT64_C(1) << (i % 64);
		if (*s == '\0')
			break;
		if (*s != ',')
			return -EINVAL;
	}
	*ret = set;
	return 0;
}

bool cpuset_within(const struct cpuset *a, const struct cpuset *b)
{
	for (unsigned i = 0; i < CPUSET_NUMBERS / 64; i++)
		if ((a->bits[i] & ~b->bits[i]) != 0)
			return false;
	return true;
}
