/* SPDX-License-Identifier: Apache-2.0 */
#include "base/num.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"

#define NO_DIGIT 16U

static unsigned digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10U;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10U;
	return NO_DIGIT;
}

int parse_u64_at(const char **at, unsigned base, uint64_t max, uint64_t *ret)
{
	const char *p = *at;
	uint64_t v = 0;

	BUG_ON(base != 8 && base != 10 && base != 16);
	if (digit_of(*p) >= base)
		return -EINVAL;
	for (; digit_of(*p) < base; p++)
		if (MUL_OVERFLOW(v, (uint64_t)base, &v) ||
		    ADD_OVERFLOW(v, (uint64_t)digit_of(*p), &v))
			return -ERANGE;
	if (v > max)
		return -ERANGE;
	*at = p;
	*ret = v;
	return 0;
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v;
	int r = parse_u64_at(&s, 10, UINT64_MAX, &v);

	if (r < 0)
		return r;
	if (*s != '\0')
		return -EINVAL;
	if (v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_size(const char *s, uint64_t min, uint64_t max, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	uint64_t v;
	unsigned shift = 0;
	int r = parse_u64_at(&s, 10, UINT64_MAX, &v);

	if (r < 0)
		return r;
	if (*s != '\0') {
		const char up = (char)(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
		const char *u = strchr(units, up);
		if (u == NULL)
			return -EINVAL;
		shift = 10U * ((unsigned)(u - units) + 1U);
		s++;
		if (strcmp(s, "") != 0 && strcmp(s, "iB") != 0 && strcmp(s, "B") != 0)
			return -EINVAL;
	}
	if (MUL_OVERFLOW(v, UINT64_C(1) << shift, &v) || v < min || v > max)
		return -ERANGE;
	*ret_bytes = v;
	return 0;
}

int parse_duration_ms(const char *s, uint64_t max_ms, uint64_t *ret_ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 }, { "h", 3600000 } };
	uint64_t whole, milli = 0;
	int r = parse_u64_at(&s, 10, UINT64_MAX, &whole);

	if (r < 0)
		return r;
	if (*s == '.') {
		s++;
		if (*s < '0' || *s > '9')
			return -EINVAL;
		/* A fourth digit stops here and is then no unit. */
		for (uint64_t scale = 100; *s >= '0' && *s <= '9' && scale > 0; s++, scale /= 10)
			milli += scale * (uint64_t)(*s - '0');
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t ms;
		if (strcmp(s, units[i].name) != 0)
			continue;
		if (MUL_OVERFLOW(whole, units[i].ms, &ms) ||
		    ADD_OVERFLOW(ms, milli * units[i].ms / 1000, &ms) || ms > max_ms)
			return -ERANGE;
		*ret_ms = ms;
		return 0;
	}
	return -EINVAL;
}
