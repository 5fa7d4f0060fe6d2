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
	return 0;
}
