/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_balloon.c - pages that are not there, not ours to give, or too many. */
#include "hostile.h"

#define INFLATE 0U
#define DEFLATE 1U

static void give(struct hx *h, unsigned queue, uint64_t pages, uint32_t bytes)
{
	hx_post(h, queue, 0, pages, bytes, false);
	if (hx_wait(h, queue) || hx_broken(h))
		hx_hit(h);
}

void g35_balloon_outside(struct hx *h)
{
	volatile uint32_t *pfn = (volatile uint32_t *)hx_mem(h, 4096);
	uint32_t end = (uint32_t)(hx_ram_end() >> 12);

	hx_up_any(h);
	for (unsigned i = 0; i < 64; i++)
		pfn[i] = (uint32_t)HX_PICK(h, end, end + 1, 0xc0000, 0xfee00, 0x100000, 0x7fffffff,
					   0xffffffff, end + hx_below(h, 1U << 30));
	give(h, (unsigned)hx_below(h, 2), (uint64_t)pfn, (uint32_t)(4 * HX_PICK(h, 1, 2, 64)));
}

/* The page with the rings that are being served; one page very often. */
void g35_balloon_rings(struct hx *h)
{
	volatile uint32_t *pfn = (volatile uint32_t *)hx_mem(h, 4096);
	uint32_t spare = (uint32_t)(hx_mem(h, 4096) >> 12);

	hx_up_any(h);
	for (unsigned i = 0; i < 64; i++)
		pfn[i] = spare;
	pfn[hx_below(h, 64)] =
		(uint32_t)(HX_PICK(h, h->dev->q[INFLATE].used, h->dev->q[INFLATE].avail,
				   h->dev->q[INFLATE].desc, (uint64_t)pfn) >>
			   12);
	give(h, INFLATE, (uint64_t)pfn, 256);
	/* However often, and without ever having been given. */
	give(h, DEFLATE, (uint64_t)pfn, 256);
}

void g35_balloon_lengths(struct hx *h)
{
	uint64_t m = hx_mem(h, 0x4000);
	uint32_t spare = (uint32_t)(hx_mem(h, 4096) >> 12);

	hx_up_any(h);
	for (unsigned i = 0; i < 0x4000 / 4; i++)
		((volatile uint32_t *)m)[i] = spare;
	give(h, (unsigned)hx_below(h, h->dev->queues), m,
	     (uint32_t)HX_PICK(h, 1, 2, 3, 5, 4095, 4096, 4100, 0x4000));
}
