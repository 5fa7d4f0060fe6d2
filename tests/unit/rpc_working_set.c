/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "api/proto/working_set.h"

#define MEMORY	(UINT64_C(64) << 20)
#define PAGES	((uint32_t)(MEMORY / WORKING_SET_PAGE_BYTES))
#define NUMBERS (sizeof(w.pairs) / sizeof(w.pairs[0]))

static struct working_set w;

static void expect_run(size_t n, uint32_t first, uint32_t pages)
{
	cr_assert_lt(2 * n + 1, w.count);
	cr_expect_eq(w.pairs[2 * n], first);
	cr_expect_eq(w.pairs[2 * n + 1], pages);
}

Test(rpc_working_set, runs_of_bits)
{
	const uint8_t one[] = { 0x81, 0x03 }, two[] = { 0x00, 0xff }, three[] = { 0x01 };

	cr_expect_not(working_set_add_bits(&w, 0, one, sizeof(one)));
	cr_expect_not(working_set_add_bits(&w, 16, two, sizeof(two)));
	cr_expect_not(working_set_add_bits(&w, 32, three, sizeof(three)));
	cr_expect_eq(w.count, 2 * 3);
	cr_expect_eq(w.pages, 1 + 3 + 9);
	expect_run(0, 0, 1);
	expect_run(1, 7, 3);  /* over the end of a byte */
	expect_run(2, 24, 9); /* and over that of a piece */
	cr_expect(working_set_valid(w.pairs, w.count, MEMORY));
}

Test(rpc_working_set, no_bits)
{
	const uint8_t none[64] = { 0 };

	cr_expect_not(working_set_add_bits(&w, 0, none, sizeof(none)));
	cr_expect_eq(w.count, 0);
	cr_expect(working_set_valid(w.pairs, 0, MEMORY));
	cr_expect(working_set_valid(NULL, 0, MEMORY));
}

Test(rpc_working_set, more_pages_than_go_in)
{
	uint8_t all[512];

	memset(all, 0xff, sizeof(all));
	cr_expect(working_set_add_bits(&w, 0, all, sizeof(all)));
	cr_expect_eq(w.pages, WORKING_SET_PAGES_MAX);
	cr_expect_eq(w.count, 2);
	cr_expect(working_set_valid(w.pairs, w.count, MEMORY));
}

Test(rpc_working_set, more_runs_than_go_in)
{
	uint8_t each_other[512];

	memset(each_other, 0x55, sizeof(each_other));
	cr_expect(working_set_add_bits(&w, 0, each_other, sizeof(each_other)));
	cr_expect_eq(w.count, NUMBERS);
	cr_expect_eq(w.pages, WORKING_SET_RUNS_MAX);
	cr_expect(working_set_valid(w.pairs, w.count, MEMORY));
}

Test(rpc_working_set, what_anybody_may_send)
{
	static const struct {
		const char *what;
		uint32_t pairs[4];
		size_t count;
		bool valid;
	} rows[] = {
		{ "one", { 0, 1 }, 2, true },
		{ "up to the end", { PAGES - 2, 2 }, 2, true },
		{ "two that touch", { 3, 2, 5, 1 }, 4, true },
		{ "half a pair", { 0, 1, 2 }, 3, false },
		{ "a run of nothing", { 0, 0 }, 2, false },
		{ "behind the end", { PAGES, 1 }, 2, false },
		{ "over the end", { PAGES - 2, 3 }, 2, false },
		{ "far behind it", { UINT32_MAX, UINT32_MAX }, 2, false },
		{ "a sum that wraps", { 1, UINT32_MAX }, 2, false },
		{ "twice the same", { 3, 2, 4, 1 }, 4, false },
		{ "descending", { 5, 1, 3, 1 }, 4, false },
		{ "too many pages", { 0, WORKING_SET_PAGES_MAX, 4000, 1 }, 4, false },
		{ "just as many as may be", { 0, WORKING_SET_PAGES_MAX }, 2, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(working_set_valid(rows[i].pairs, rows[i].count, MEMORY), rows[i].valid,
			     "%s", rows[i].what);
}

Test(rpc_working_set, too_many_runs)
{
	static uint32_t many[2 * WORKING_SET_RUNS_MAX + 2];

	for (uint32_t i = 0; i < sizeof(many) / sizeof(many[0]); i += 2) {
		many[i] = i;
		many[i + 1] = 1;
	}
	cr_expect(working_set_valid(many, 2 * WORKING_SET_RUNS_MAX, MEMORY));
	cr_expect_not(working_set_valid(many, 2 * WORKING_SET_RUNS_MAX + 2, MEMORY));
}
