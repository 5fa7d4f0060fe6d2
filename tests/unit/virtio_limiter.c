/* SPDX-License-Identifier: Apache-2.0 */
/* The token buckets: averages, bursts, debts, changes, and numbers at both ends. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/num.h"
#include "vmm/virtio/limiter.h"

#define S UINT64_C(1000000000)
#define T 12345678901234567ULL /* some time, not a round one */

static struct limiter with(struct limits limits)
{
	struct limiter l = { 0 };

	limiter_set(&l, &limits, T);
	return l;
}

Test(limiter, no_limit)
{
	struct limiter l = { 0 };
	uint64_t wait = 0;

	for (int i = 0; i < 1000; i++)
		cr_assert(limiter_take(&l, UINT64_MAX, T, &wait));
	l = with((struct limits){ 0 });
	for (int i = 0; i < 1000; i++)
		cr_assert(limiter_take(&l, UINT64_MAX, T, &wait));
}

Test(limiter, burst_then_average)
{
	struct limiter l = with((struct limits){ .bytes = { .rate = 1000, .burst = 5000 } });
	uint64_t wait = 0;

	for (int i = 0; i < 5; i++)
		cr_assert(limiter_take(&l, 1000, T, &wait));
	cr_assert(!limiter_take(&l, 1000, T, &wait));
	cr_assert_eq(wait, S);
	cr_assert(!limiter_take(&l, 1000, T + S - 1, &wait));
	cr_assert_eq(wait, 1);
	cr_assert(limiter_take(&l, 1000, T + S, &wait));
	cr_assert(!limiter_take(&l, 1, T + S, &wait));
	cr_assert_eq(wait, S / 1000);
	/* However long it was idle, the burst is the most. */
	for (int i = 0; i < 5; i++)
		cr_assert(limiter_take(&l, 1000, T + 100 * S, &wait));
	cr_assert(!limiter_take(&l, 1, T + 100 * S, &wait));
}

/* burst 0 is a second's worth. */
Test(limiter, default_burst)
{
	struct limiter l = with((struct limits){ .operations = { .rate = 3 } });
	uint64_t wait = 0;

	for (int i = 0; i < 3; i++)
		cr_assert(limiter_take(&l, 1 << 20, T, &wait));
	cr_assert(!limiter_take(&l, 0, T, &wait));
	cr_assert_eq(wait, S / 3 + 1, "rounded up");
	cr_assert(limiter_take(&l, 0, T + wait, &wait));
}

/* Larger than the burst: passes when the bucket is full, and is paid off. */
Test(limiter, debt)
{
	struct limiter l = with((struct limits){ .bytes = { .rate = 100, .burst = 10 } });
	uint64_t wait = 0;

	cr_assert(limiter_take(&l, 1010, T, &wait));
	cr_assert(!limiter_take(&l, 1, T, &wait));
	cr_assert_eq(wait, 10 * S + S / 100);
	cr_assert(!limiter_take(&l, 1010, T + 10 * S, &wait), "not full yet");
	cr_assert_eq(wait, S / 10);
	cr_assert(limiter_take(&l, 1010, T + 10 * S + S / 10, &wait));
	cr_assert(limiter_take(&l, 0, T + 11 * S, &wait), "no bytes, no debt");
}

/* Neither bucket is charged when the other one says no. */
Test(limiter, both_or_neither)
{
	struct limiter l = with((struct limits){ .bytes = { .rate = 10 },
						 .operations = { .rate = 1, .burst = 2 } });
	uint64_t wait = 0;

	cr_assert(limiter_take(&l, 4, T, &wait));
	cr_assert(!limiter_take(&l, 7, T, &wait));
	cr_assert_eq(wait, S / 10);
	cr_assert(limiter_take(&l, 6, T, &wait), "an operation was left");
	cr_assert(!limiter_take(&l, 1, T, &wait));
	cr_assert_eq(wait, S, "the longer wait of the two");
}

Test(limiter, give_back)
{
	struct limiter l =
		with((struct limits){ .bytes = { .rate = 10 }, .operations = { .rate = 1 } });
	uint64_t wait = 0;

	cr_assert(limiter_take(&l, 10, T, &wait));
	cr_assert(!limiter_take(&l, 10, T, &wait));
	limiter_return(&l, 10);
	cr_assert(limiter_take(&l, 10, T, &wait));
	limiter_return(&l, 10);
	limiter_return(&l, UINT64_MAX);
	cr_assert(limiter_take(&l, 10, T, &wait));
	cr_assert(!limiter_take(&l, 1, T, &wait), "never more than the burst");
}

Test(limiter, change)
{
	struct limiter l = with((struct limits){ .bytes = { .rate = 100 } });
	uint64_t wait = 0;

	cr_assert(limiter_take(&l, 300, T, &wait));
	/* 200 in debt, at another pace. */
	limiter_set(&l, &(struct limits){ .bytes = { .rate = 1000 } }, T);
	cr_assert(!limiter_take(&l, 1, T, &wait));
	cr_assert_eq(wait, S / 5 + S / 1000);
	/* The debt shrinks at the old rate up to the change. */
	limiter_set(&l, &(struct limits){ .bytes = { .rate = 1 } }, T + S / 10);
	cr_assert(!limiter_take(&l, 1, T + S / 10, &wait));
	cr_assert_eq(wait, 101 * S);
	/* No new burst by a change, and no more than the new one. */
	l = with((struct limits){ .bytes = { .rate = 100 } });
	limiter_set(&l, &(struct limits){ .bytes = { .rate = 100, .burst = 1000 } }, T);
	cr_assert(limiter_take(&l, 100, T, &wait));
	cr_assert(!limiter_take(&l, 1, T, &wait));
	l = with((struct limits){ .bytes = { .rate = 100 } });
	limiter_set(&l, &(struct limits){ .bytes = { .rate = 10 } }, T);
	cr_assert(limiter_take(&l, 10, T, &wait));
	cr_assert(!limiter_take(&l, 1, T, &wait));
	/* Off and on again: full. */
	limiter_set(&l, &(struct limits){ 0 }, T);
	cr_assert(limiter_take(&l, 1 << 30, T, &wait));
	limiter_set(&l, &(struct limits){ .bytes = { .rate = 10 } }, T);
	cr_assert(limiter_take(&l, 10, T, &wait));
}

/* Asked at odd times, the average is the rate: no fraction is lost, and none is counted twice. */
Test(limiter, exact_average)
{
	static const uint64_t rates[] = { 1, 3, 7, 999, 1000003, 12345678901ULL };

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct limiter l = with(
			(struct limits){ .bytes = { .rate = rates[i], .burst = 10 * rates[i] } });
		uint64_t wait = 0, taken = 0, now = T;
		cr_assert(limiter_take(&l, 10 * rates[i], T, &wait)); /* empties it */
		for (unsigned n = 0; n < 100000; n++) {
			uint64_t unit = rates[i] / 1000 + 1;
			now += 90001 + n % 977;
			while (limiter_take(&l, unit, now, &wait))
				taken += unit;
		}
		double want = (double)rates[i] * ((double)(now - T) / 1e9);
		double unit = (double)rates[i] / 1000 + 2;
		cr_assert((double)taken <= want + 1, "rate %llu: %f of %f",
			  (unsigned long long)rates[i], (double)taken, want);
		cr_assert((double)taken >= want - unit - want * 1e-4, "rate %llu: %f of %f",
			  (unsigned long long)rates[i], (double)taken, want);
	}
}

/* What *ret_wait_ns says is true: not earlier, and then it passes. */
Test(limiter, wait_is_exact)
{
	uint64_t seed = 1;

	for (int i = 0; i < 20000; i++) {
		uint64_t r[3], wait = 0;
		for (int k = 0; k < 3; k++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			r[k] = seed >> 33 >> (seed & 31);
		}
		struct limiter l = with((struct limits){ .bytes = { r[0] + 1, r[1] } });
		cr_assert(limiter_take(&l, r[2] + 1, T, &wait));
		if (limiter_take(&l, r[2] + 1, T, &wait))
			continue;
		struct limiter copy = l;
		uint64_t again = 0;
		cr_assert_geq(wait, 1);
		if (wait > 1)
			cr_assert(!limiter_take(&copy, r[2] + 1, T + wait - 1, &again),
				  "case %d: too late", i);
		cr_assert(limiter_take(&l, r[2] + 1, T + wait, &again), "case %d: too early", i);
	}
}

/* Neither overflow (UBSan would say) nor a clock that stands still or goes back does harm. */
Test(limiter, extremes)
{
	static const uint64_t v[] = { 0, 1, S, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX };

	for (size_t a = 0; a < ARRAY_SIZE(v); a++)
		for (size_t b = 0; b < ARRAY_SIZE(v); b++)
			for (size_t c = 0; c < ARRAY_SIZE(v); c++) {
				struct limiter l = { 0 };
				struct limits limits = { { v[a], v[b] }, { v[b], v[a] } };
				uint64_t wait = 1;
				limiter_set(&l, &limits, v[c]);
				cr_assert(limiter_take(&l, v[b], v[c], &wait), "full at first");
				for (size_t d = 0; d < ARRAY_SIZE(v); d++) {
					if (!limiter_take(&l, v[c], v[d], &wait))
						cr_assert_geq(wait, 1);
					limiter_return(&l, v[d]);
				}
				limiter_set(&l, &limits, v[a]);
			}
}
