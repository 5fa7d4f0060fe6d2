/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_pmem.c - the file that is memory: stores, what lies in it, what a flush is not. */
#include "hostile.h"

#define FILES 0x100000000ULL /* where the machine's first one is */

static uint64_t config64(struct hx *h, uint64_t off)
{
	return hx_get(h, REG_CONFIG + off) | (uint64_t)hx_get(h, REG_CONFIG + off + 4) << 32;
}

/* By every kind of instruction; nothing of it is there afterwards. */
void p01_stores(struct hx *h)
{
	uint64_t start = config64(h, 0), size = config64(h, 8);
	uint64_t off = HX_PICK(h, 0, 8, 4088, 4096, hx_below(h, size / 8) * 8, size - 8);
	volatile uint64_t *at = (volatile uint64_t *)(start + off);
	uint64_t before = *at, v = hx_rand(h) | 1;

	switch (hx_below(h, 6)) {
	case 0:
		*at = v;
		break;
	case 1:
		*(volatile uint8_t *)at = (uint8_t)(before + 1);
		break;
	case 2:
		(void)CPU_TRY("lock xaddq %0, (%1)", ::"r"(v), "r"(at) : "memory");
		break;
	case 3:
		(void)CPU_TRY("lock btsq $0, (%0)", ::"r"(at) : "memory", "cc");
		break;
	case 4:
		(void)CPU_TRY("xchgq %0, (%1)", ::"r"(v), "r"(at) : "memory");
		break;
	default:
		(void)CPU_TRY("movnti %0, (%1)", ::"r"(v), "r"(at) : "memory");
		break;
	}
	if (*at != before)
		hx_fail(h, "a store is kept at", (uint64_t)at);
	hx_hit(h);
}

/* Unknown requests are refused, misshapen ones break the device. */
void p02_requests(struct hx *h)
{
	uint64_t m = hx_mem(h, 4096);
	uint32_t in = (uint32_t)HX_PICK(h, 0, 1, 3, 4, 5, 2048);
	uint32_t out = (uint32_t)HX_PICK(h, 0, 1, 3, 4, 5, 2048);
	bool good = in >= 4 && out >= 4;

	hx_up_any(h);
	*(volatile uint32_t *)m = (uint32_t)(hx_rand(h) | 1);
	*(volatile uint32_t *)(m + 2048) = 99;
	hx_desc(&h->dev->q[0], 0, m, in, DESC_NEXT, 1);
	hx_desc(&h->dev->q[0], 1, m + 2048, out, DESC_WRITE, 0);
	hx_avail(&h->dev->q[0], 0);
	hx_kick(h, 0);
	if (hx_wait(h, 0) != good)
		hx_fail(h, "answered", good);
	if (good ? *(volatile uint32_t *)(m + 2048) == 1 : hx_broken(h))
		hx_hit(h);
}

/* No ring lies in the file. */
void p03_rings(struct hx *h)
{
	struct hx_queue *q;

	hx_reset(h);
	(void)hx_negotiate(h, 1ULL << F_VERSION_1);
	for (unsigned i = 0; i < h->dev->queues; i++) {
		q = &h->dev->q[i];
		*(uint64_t *)HX_PICK(h, (uint64_t)&q->desc, (uint64_t)&q->avail,
				     (uint64_t)&q->used) = FILES + hx_below(h, 16) * 4096;
		if (hx_queue_enable(h, i))
			hx_fail(h, "a ring lies in the file", i);
	}
	hx_driver_ok(h);
}

/* No device writes to it: the first one that may be written to by the device is in the file. */
void p04_target(struct hx *h)
{
	unsigned q = hx_work_queue(h);
	uint64_t m = hx_mem(h, 4096);

	hx_up_any(h);
	hx_desc(&h->dev->q[q], 0, m, 16, DESC_NEXT, 1);
	hx_desc(&h->dev->q[q], 1, FILES + hx_below(h, 8192), (uint32_t)HX_PICK(h, 1, 4, 512, 4096),
		DESC_WRITE, 0);
	hx_avail(&h->dev->q[q], 0);
	hx_kick(h, q);
	(void)hx_wait(h, q);
}

/* Nor reads beyond it: what is readable begins in the file and ends outside. */
void p05_source(struct hx *h)
{
	unsigned q = hx_work_queue(h);
	uint64_t end = FILES + (2ULL << 20);
	uint64_t at = HX_PICK(h, FILES - 1, FILES - 16, end - 1, end, end - 4095,
			      FILES + (1ULL << 30), hx_ram_end() - 1);

	hx_up_any(h);
	hx_post(h, q, 0, at, 4096, false);
	(void)hx_wait(h, q);
}
