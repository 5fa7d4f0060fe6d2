/* SPDX-License-Identifier: Apache-2.0 */
#include "api/proto/working_set.h"

/* False: it doesn't go in. */
static bool add_page(struct working_set *w, uint32_t page)
{
	uint32_t *last = w->count > 0 ? &w->pairs[w->count - 2] : NULL;

	if (w->pages >= WORKING_SET_PAGES_MAX)
		return false;
	if (last != NULL && last[0] + last[1] == page) {
		last[1]++;
	} else if (w->count < 2 * WORKING_SET_RUNS_MAX) {
		w->pairs[w->count++] = page;
		w->pairs[w->count++] = 1;
	} else {
		return false;
	}
	w->pages++;
	return true;
}

bool working_set_add_bits(struct working_set *w, uint32_t first, const uint8_t *bits, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		for (unsigned bit = 0; bits[i] >> bit != 0; bit++)
			if ((bits[i] >> bit & 1) != 0 &&
			    !add_page(w, first + (uint32_t)(8 * i) + bit))
				return true;
	return false;
}

bool working_set_valid(const uint32_t *pairs, size_t count, uint64_t memory_bytes)
{
	const uint64_t end = memory_bytes / WORKING_SET_PAGE_BYTES;
	uint64_t at = 0, pages = 0;

	if (count % 2 != 0 || count > (size_t)2 * WORKING_SET_RUNS_MAX)
		return false;
	for (size_t i = 0; i < count; i += 2) {
		if (pairs[i] < at || pairs[i + 1] == 0 || pairs[i] > end ||
		    pairs[i + 1] > end - pairs[i])
			return false;
		at = (uint64_t)pairs[i] + pairs[i + 1];
		pages += pairs[i + 1];
	}
	return pages <= WORKING_SET_PAGES_MAX;
}
