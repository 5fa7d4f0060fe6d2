/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/range.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

#define NUMBER_MAX 24

/* The digits before `end` of text, which may be none: *ret is then left alone. */
static int number(const char *text, size_t len, uint64_t *ret)
{
	char copy[NUMBER_MAX];

	if (len == 0)
		return 0;
	if (len >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return parse_u64(copy, 0, UINT64_MAX, ret) < 0 ? -EINVAL : 1;
}

int range_parse(const char *field, uint64_t size, struct range *ret)
{
	const char *spec = field + 6, *dash;
	uint64_t first = 0, last = size - 1;
	int has_first, has_last;

	if (strncasecmp(field, "bytes=", 6) != 0 || strchr(spec, ',') != NULL)
		return 0;
	dash = strchr(spec, '-');
	if (dash == NULL)
		return 0;
	has_first = number(spec, (size_t)(dash - spec), &first);
	has_last = number(dash + 1, strlen(dash + 1), &last);
	if (has_first < 0 || has_last < 0 || (has_first == 0 && has_last == 0))
		return 0;
	if (has_first == 0) { /* the last so many */
		if (last == 0)
			return -ERANGE;
		first = size - MIN(last, size);
		last = size - 1;
	}
	if (has_first > 0 && has_last > 0 && last < first)
		return 0;
	if (first >= size)
		return -ERANGE;
	last = MIN(last, size - 1);
	*ret = (struct range){ .first = first, .length = last - first + 1 };
	return 1;
}
