/* SPDX-License-Identifier: Apache-2.0 */
/* The CLI's reader of casemated's events: whole and cut anywhere it tells the same. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "api/cli/events.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(const json_t *o, const char *kind, void *arg)
{
	BUG_ON(!json_is_object(o) || strlen(kind) >= 16);
	++*(unsigned *)arg;
	return 0;
}

static int feed(const char *text, size_t len, size_t step, unsigned *ret_count)
{
	const struct events_ops ops = { .event = count, .arg = ret_count };
	struct events e = { .ops = &ops };
	int r = 0;

	*ret_count = 0;
	for (size_t at = 0; at < len && r == 0; at += step)
		r = events_feed(&e, text + at, step < len - at ? step : len - at);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned whole, cut;
	int r = feed((const char *)data, size, size + 1, &whole);

	BUG_ON(r != 0 && r != -EPROTO);
	BUG_ON(feed((const char *)data, size, 3, &cut) != r || cut != whole);
	return 0;
}
