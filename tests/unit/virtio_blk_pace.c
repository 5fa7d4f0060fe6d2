/* SPDX-License-Identifier: Apache-2.0 */
/* When a drive's own thread may do a transfer that can't be told not to wait. */
#include <criterion/criterion.h>

#include "vmm/virtio/blk_pace.h"

#define MS	UINT64_C(1000000)
#define FAST_NS (BLK_PACE_SLOW_NS)
#define SLOW_NS (BLK_PACE_SLOW_NS + 1)

/* A thread that lost its processor now and then is no slow storage. */
Test(virtio_blk_pace, slow_now_and_then)
{
	struct blk_pace p = { 0 };
	uint64_t now = MS;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t ns = i % BLK_PACE_SLOW_ROW == 0 ? FAST_NS : SLOW_NS;
		cr_assert(blk_pace_may(&p, now), "after %u", i);
		blk_pace_took(&p, now, now + ns);
		now += ns;
	}
	cr_expect(blk_pace_may(&p, now));
}

Test(virtio_blk_pace, slow_in_a_row)
{
	struct blk_pace p = { 0 };
	uint64_t now = MS;

	for (unsigned i = 0; i < BLK_PACE_SLOW_ROW; i++) {
		cr_assert(blk_pace_may(&p, now));
		blk_pace_took(&p, now, now + SLOW_NS);
		now += SLOW_NS;
	}
	cr_expect_not(blk_pace_may(&p, now));
	cr_expect_not(blk_pace_may(&p, now + BLK_PACE_REST_NS - 1));
	/* One try, and that is slow too: back to rest at once. */
	now += BLK_PACE_REST_NS;
	cr_assert(blk_pace_may(&p, now));
	blk_pace_took(&p, now, now + SLOW_NS);
	now += SLOW_NS;
	cr_expect_not(blk_pace_may(&p, now));
	/* The storage is fast again: all is forgotten. */
	now += BLK_PACE_REST_NS;
	blk_pace_took(&p, now, now + FAST_NS);
	blk_pace_took(&p, now, now + SLOW_NS);
	cr_expect(blk_pace_may(&p, now + SLOW_NS));
}
