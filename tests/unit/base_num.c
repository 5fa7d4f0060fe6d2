/* SPDX-License-Identifier: Apache-2.0 */
#include "base/num.h"

#include <criterion/criterion.h>
#include <errno.h>

#define UNSET UINT64_C(0x5a5a)

struct num_case {
	const char *text;
	uint64_t min, max;
	int result;
	uint64_t value;
};

typedef int parse_fn(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

static void run(parse_fn *fn, const struct num_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct num_case *c = &cases[i];
		uint64_t v = UNSET;
		cr_expect_eq(fn(c->text, c->min, c->max, &v), c->result, "\"%s\"", c->text);
		/* Outputs are touched on success only. */
		cr_expect_eq(v, c->result == 0 ? c->value : UNSET, "\"%s\": %lu", c->text,
			     (unsigned long)v);
	}
}

Test(base_num, u64)
{
	static const struct num_case cases[] = {
		{ "0", 0, UINT64_MAX, 0, 0 },
		{ "007", 0, UINT64_MAX, 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999", 0, UINT64_MAX, -ERANGE, 0 },
		{ "5", 5, 5, 0, 5 },
		{ "4", 5, 9, -ERANGE, 0 },
		{ "10", 5, 9, -ERANGE, 0 },
		{ "", 0, 9, -EINVAL, 0 },
		{ " 1", 0, 9, -EINVAL, 0 },
		{ "1 ", 0, 9, -EINVAL, 0 },
		{ "+1", 0, 9, -EINVAL, 0 },
		{ "-1", 0, UINT64_MAX, -EINVAL, 0 },
		{ "0x10", 0, 99, -EINVAL, 0 },
		{ "1e3", 0, 9999, -EINVAL, 0 },
		{ "\xd9\xa1", 0, 9, -EINVAL, 0 }, /* a digit, but not ours */
	};

	run(parse_u64, cases, ARRAY_SIZE(cases));
}

Test(base_num, u64_at)
{
	static const struct {
		const char *text;
		unsigned base;
		uint64_t max;
		int result;
		uint64_t value;
		const char *rest;
	} cases[] = {
		{ "8:16", 10, UINT64_MAX, 0, 8, ":16" },
		{ "12 34", 10, UINT64_MAX, 0, 12, " 34" },
		{ "7", 10, 7, 0, 7, "" },
		{ "8", 10, 7, -ERANGE, 0, "8" },
		{ "18446744073709551615\n", 10, UINT64_MAX, 0, UINT64_MAX, "\n" },
		{ "18446744073709551616\n", 10, UINT64_MAX, -ERANGE, 0, "18446744073709551616\n" },
		{ "", 10, UINT64_MAX, -EINVAL, 0, "" },
		{ " 1", 10, UINT64_MAX, -EINVAL, 0, " 1" },
		{ "-1", 10, UINT64_MAX, -EINVAL, 0, "-1" },
		{ "+1", 10, UINT64_MAX, -EINVAL, 0, "+1" },
		{ "12a", 10, UINT64_MAX, 0, 12, "a" },
		{ "02000002", 8, UINT64_MAX, 0, 02000002, "" },
		{ "178", 8, UINT64_MAX, 0, 017, "8" },
		{ "8", 8, UINT64_MAX, -EINVAL, 0, "8" },
		{ "1777777777777777777777", 8, UINT64_MAX, 0, UINT64_MAX, "" },
		{ "2000000000000000000000", 8, UINT64_MAX, -ERANGE, 0, "2000000000000000000000" },
		{ "fFfFffffffffffff", 16, UINT64_MAX, 0, UINT64_MAX, "" },
		{ "10000000000000000", 16, UINT64_MAX, -ERANGE, 0, "10000000000000000" },
		{ "0x10", 16, UINT64_MAX, 0, 0, "x10" },
		{ "g", 16, UINT64_MAX, -EINVAL, 0, "g" },
		{ "@", 16, UINT64_MAX, -EINVAL, 0, "@" },
		{ "`", 16, UINT64_MAX, -EINVAL, 0, "`" },
		{ "/", 16, UINT64_MAX, -EINVAL, 0, "/" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *at = cases[i].text;
		uint64_t v = UNSET;
		cr_expect_eq(parse_u64_at(&at, cases[i].base, cases[i].max, &v), cases[i].result,
			     "\"%s\"", cases[i].text);
		cr_expect_eq(v, cases[i].result == 0 ? cases[i].value : UNSET, "\"%s\": %lu",
			     cases[i].text, (unsigned long)v);
		cr_expect_str_eq(at, cases[i].rest, "\"%s\"", cases[i].text);
	}
}

Test(base_num, size)
{
	static const struct num_case cases[] = {
		{ "0", 0, UINT64_MAX, 0, 0 },
		{ "512", 0, UINT64_MAX, 0, 512 },
		{ "1k", 0, UINT64_MAX, 0, KIB },
		{ "1K", 0, UINT64_MAX, 0, KIB },
		{ "3KB", 0, UINT64_MAX, 0, 3 * KIB },
		{ "128MiB", 0, UINT64_MAX, 0, 128 * MIB },
		{ "2G", 0, UINT64_MAX, 0, 2 * GIB },
		{ "16777215T", 0, UINT64_MAX, 0, UINT64_C(16777215) << 40 },
		{ "16777216T", 0, UINT64_MAX, -ERANGE, 0 },
		{ "1M", 0, MIB - 1, -ERANGE, 0 },
		{ "1M", MIB + 1, GIB, -ERANGE, 0 },
		{ "M", 0, GIB, -EINVAL, 0 },
		{ "1P", 0, UINT64_MAX, -EINVAL, 0 },
		{ "1Mi", 0, GIB, -EINVAL, 0 },
		{ "1MBx", 0, GIB, -EINVAL, 0 },
		{ "1 M", 0, GIB, -EINVAL, 0 },
		{ "1B", 0, GIB, -EINVAL, 0 },
		{ "1.5G", 0, UINT64_MAX, -EINVAL, 0 },
		{ "-1K", 0, UINT64_MAX, -EINVAL, 0 },
	};

	run(parse_size, cases, ARRAY_SIZE(cases));
}

static int duration(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	(void)min;
	return parse_duration_ms(s, max, ret);
}

Test(base_num, duration)
{
	static const struct num_case cases[] = {
		{ "0", 0, UINT64_MAX, 0, 0 },
		{ "2", 0, UINT64_MAX, 0, 2000 },
		{ "2s", 0, UINT64_MAX, 0, 2000 },
		{ "250ms", 0, UINT64_MAX, 0, 250 },
		{ "1.5", 0, UINT64_MAX, 0, 1500 },
		{ "1.5s", 0, UINT64_MAX, 0, 1500 },
		{ "1.005s", 0, UINT64_MAX, 0, 1005 },
		{ "1.9ms", 0, UINT64_MAX, 0, 1 },
		{ "0.5m", 0, UINT64_MAX, 0, 30000 },
		{ "0.25h", 0, UINT64_MAX, 0, 900000 },
		{ "1h", 0, 3600000, 0, 3600000 },
		{ "1h", 0, 3599999, -ERANGE, 0 },
		{ "18446744073709551615h", 0, UINT64_MAX, -ERANGE, 0 },
		{ "18446744073709551.999s", 0, UINT64_MAX, -ERANGE, 0 },
		{ "1.", 0, UINT64_MAX, -EINVAL, 0 },
		{ ".5", 0, UINT64_MAX, -EINVAL, 0 },
		{ "1.0001s", 0, UINT64_MAX, -EINVAL, 0 },
		{ "1.5.5", 0, UINT64_MAX, -EINVAL, 0 },
		{ "1d", 0, UINT64_MAX, -EINVAL, 0 },
		{ "1 s", 0, UINT64_MAX, -EINVAL, 0 },
		{ "s", 0, UINT64_MAX, -EINVAL, 0 },
		{ "", 0, UINT64_MAX, -EINVAL, 0 },
	};

	run(duration, cases, ARRAY_SIZE(cases));
}

Test(base_num, ranges)
{
	cr_assert(range_fits(0, 0, 0));
	cr_assert(range_fits(10, 0, 10));
	cr_assert(range_fits(3, 7, 10));
	cr_assert(!range_fits(3, 8, 10));
	cr_assert(!range_fits(11, 0, 10));
	cr_assert(!range_fits(UINT64_MAX, 2, 10));
	cr_assert(!range_fits(5, UINT64_MAX, 10));
	cr_assert(range_fits(0, UINT64_MAX, UINT64_MAX));
	cr_assert(!range_fits(1, UINT64_MAX, UINT64_MAX));
	cr_assert(!is_pow2(0));
	cr_assert(is_pow2(1));
	cr_assert(is_pow2(UINT64_C(1) << 63));
	cr_assert(!is_pow2(3));
	cr_assert_eq(align_up(0, 4096), 0);
	cr_assert_eq(align_up(1, 4096), 4096);
	cr_assert_eq(align_up(4096, 4096), 4096);
}
