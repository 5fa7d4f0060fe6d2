/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, sizes and durations from text: within their bounds, and the same when written back. */
#include "base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"

#define UNSET UINT64_C(0x5a5a5a5a5a5a5a5a)

/* A result is in its bounds, and untouched on failure. */
static void check(int r, uint64_t v, uint64_t min, uint64_t max)
{
	BUG_ON(r != 0 && r != -EINVAL && r != -ERANGE);
	BUG_ON(r != 0 && v != UNSET);
	BUG_ON(r == 0 && (v < min || v > max));
}

static void one(const char *text, uint64_t min, uint64_t max)
{
	uint64_t v = UNSET, again;
	char back[64];
	int r = parse_u64(text, min, max, &v);

	check(r, v, min, max);
	if (r == 0) {
		(void)snprintf(back, sizeof(back), "%" PRIu64, v);
		BUG_ON(parse_u64(back, v, v, &again) != 0);
		BUG_ON(parse_size(back, v, v, &again) != 0);
		/* Equal but for leading zeros. */
		BUG_ON(strcmp(text + strspn(text, "0"), back + strspn(back, "0")) != 0);
	}
	v = UNSET;
	r = parse_size(text, min, max, &v);
	check(r, v, min, max);
	v = UNSET;
	r = parse_duration_ms(text, max, &v);
	check(r, v, 0, max);
	if (r == 0) {
		(void)snprintf(back, sizeof(back), "%" PRIu64 "ms", v);
		BUG_ON(parse_duration_ms(back, v, &again) != 0 || again != v);
	}
}

/* What was taken is digits of the base and nothing else, and all of them. */
static void prefix(const char *text, unsigned base, uint64_t max)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	char set[sizeof(digits)], back[64];
	const char *at = text, *to = back;
	uint64_t v = UNSET, again;
	int r;

	(void)snprintf(set, sizeof(set), "%.*s", base == 16 ? (int)sizeof(digits) : (int)base,
		       digits);
	r = parse_u64_at(&at, base, max, &v);
	check(r, v, 0, max);
	BUG_ON(at != (r == 0 ? text + strspn(text, set) : text));
	BUG_ON((r == -EINVAL) != (strspn(text, set) == 0));
	if (r != 0)
		return;
	(void)snprintf(back, sizeof(back),
		       base == 16  ? "%" PRIx64
		       : base == 8 ? "%" PRIo64
				   : "%" PRIu64,
		       v);
	BUG_ON(parse_u64_at(&to, base, v, &again) != 0 || again != v || *to != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[128];
	uint64_t max;

	if (size < sizeof(max) || size - sizeof(max) >= sizeof(text))
		return 0;
	memcpy(&max, data, sizeof(max));
	memcpy(text, data + sizeof(max), size - sizeof(max));
	text[size - sizeof(max)] = '\0';
	one(text, 0, UINT64_MAX);
	one(text, max / 2, max);
	prefix(text, 8, UINT64_MAX);
	prefix(text, 8, max);
	prefix(text, 10, max);
	prefix(text, 16, UINT64_MAX);
	prefix(text, 16, max);
	return 0;
}
