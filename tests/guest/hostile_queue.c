/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_queue.c - rings and descriptors that lie, change, and never end. */
#include "hostile.h"

static struct hx_queue *work(struct hx *h)
{
	return &h->dev->q[hx_work_queue(h)];
}

static void publish(struct hx *h, uint16_t head)
{
	hx_avail(work(h), head);
	hx_kick(h, hx_work_queue(h));
}

/* A second for the device to see it. */
static void await_break(struct hx *h)
{
	for (unsigned i = 0; i < 1000 && !hx_broken(h); i++)
		cpu_delay(1000000);
}

/* Gives the device a moment. */
static void settle(struct hx *h)
{
	(void)hx_wait(h, hx_work_queue(h));
	cpu_delay(500000);
}

/* Comes up with the queues at the addresses that are in dev->q[] already; was `changed` taken? */
static bool up_with(struct hx *h, unsigned changed)
{
	bool taken = true;

	if (!hx_negotiate(h, 1ULL << F_VERSION_1))
		hx_fail(h, "VERSION_1 is refused", 0);
	for (unsigned q = 0; q < h->dev->queues; q++) {
		bool enabled = hx_queue_enable(h, q);
		if (q == changed)
			taken = enabled;
		else if (!enabled)
			hx_fail(h, "a good queue is refused", q);
	}
	hx_driver_ok(h);
	return taken;
}

void g05_overlap(struct hx *h)
{
	struct hx_queue *q = work(h);
	uint64_t page = q->desc, before;

	q->avail = page + HX_PICK(h, 0, 2, 16, 256);
	q->used = page + HX_PICK(h, 0, 4, 16, 512);
	for (unsigned i = 0; i < 32; i++)
		((volatile uint64_t *)page)[i * 2] = hx_edge(h);
	for (unsigned i = 0; i < 4; i++)
		hx_desc(q, i, hx_mem(h, 4096), 64, hx_device_writes(h) ? DESC_WRITE : 0, 0);
	hx_avail_idx(q, 1);
	before = *(volatile uint64_t *)q->used;
	if (!up_with(h, q->index))
		hx_fail(h, "overlapping areas are legal, but refused", q->used);
	for (unsigned i = 0; i < 8; i++) {
		hx_avail_idx(q, (uint16_t)(i + 2));
		hx_kick(h, q->index);
		cpu_delay(100000);
	}
	if (hx_broken(h) || *(volatile uint64_t *)q->used != before)
		hx_hit(h);
}

/* ---- Races ---- */

static unsigned chain_length; /* of the good chain from descriptor 0 on */

/* Makes one field of a ring or a descriptor wrong, leaves it so for a moment, and puts it back. */
static void flip(struct hx *racer)
{
	struct hx_queue *q = &racer->dev->q[hx_work_queue(racer)];
	volatile struct vq_desc *d =
		(volatile struct vq_desc *)q->desc + hx_below(racer, chain_length);
	volatile uint16_t *avail = (volatile uint16_t *)q->avail + 2 + hx_below(racer, q->size);
	const struct vq_desc old = *d;

	switch (hx_below(racer, 5)) {
	case 0:
		d->addr = hx_edge(racer);
		break;
	case 1:
		d->len = (uint32_t)hx_edge(racer);
		break;
	case 2:
		d->flags = (uint16_t)hx_below(racer, 8);
		break;
	case 3:
		d->next = (uint16_t)hx_below(racer, 10);
		break;
	default:
		*avail = (uint16_t)hx_below(racer, q->size + 2);
		break;
	}
	cpu_delay(hx_below(racer, 4) * 2000);
	*d = old;
	*avail = 0;
}

void g06_racing_rings(struct hx *h)
{
	struct hx_queue *q = work(h);
	uint64_t start = rdtsc();

	hx_up_any(h);
	chain_length = hx_good_chain(h, 0);
	if (chain_length == 0)
		hx_fail(h, "of this device no good request is known", h->dev->id);
	hx_race(h, flip);
	while (!hx_broken(h) && rdtsc() - start < 300000000) {
		for (unsigned i = 0; i < 8 && (uint16_t)(q->idx - q->seen) < q->size; i++)
			hx_avail(q, 0);
		hx_kick(h, q->index);
		if (hx_wait(h, q->index))
			hx_hit(h);
		q->seen = hx_used_idx(q);
	}
	hx_race_end(h);
}

/* ---- Chains ---- */

void g07_chain_loop(struct hx *h)
{
	struct hx_queue *q = work(h);
	unsigned flags = DESC_NEXT | (hx_device_writes(h) ? DESC_WRITE : 0);
	uint64_t m = hx_mem(h, 4096), table;
	unsigned n;

	hx_up(h, 1ULL << F_INDIRECT);
	n = (unsigned)HX_PICK(h, 1, 2, 3, q->size);
	if (hx_below(h, 2) == 0) {
		for (unsigned i = 0; i < n; i++)
			hx_desc(q, i, m, 16, flags, (i + 1) % n);
	} else {
		table = hx_mem(h, 4096);
		for (unsigned i = 0; i < n; i++)
			hx_table_desc(table, i, m, (uint32_t)HX_PICK(h, 0, 16), flags, (i + 1) % n);
		hx_desc(q, 0, table, n * 16, DESC_INDIRECT, 0);
	}
	publish(h, 0);
	await_break(h);
}

void g08_chain_too_long(struct hx *h)
{
	struct hx_queue *q = work(h);
	unsigned writes = hx_device_writes(h) ? DESC_WRITE : 0, n = 300;
	uint64_t m = hx_mem(h, 4096), table = hx_mem(h, 300 * 16), end = hx_ram_end();

	hx_up(h, 1ULL << F_INDIRECT);
	switch (hx_below(h, 4)) {
	case 0: /* more than any queue has */
		for (unsigned i = 0; i < n; i++)
			hx_table_desc(table, i, m, 16, writes | (i + 1 < n ? DESC_NEXT : 0), i + 1);
		hx_desc(q, 0, table, n * 16, DESC_INDIRECT, 0);
		break;
	case 1: /* its end lies outside */
		hx_desc(q, 0, end - 16, (uint32_t)HX_PICK(h, 17, 0x1000, 0xffffffff), writes, 0);
		break;
	case 2: /* its end wraps */
		hx_desc(q, 0, ~0ULL - HX_PICK(h, 0, 15, 0xfff),
			(uint32_t)HX_PICK(h, 16, 0xffffffff), writes, 0);
		break;
	default: /* device registers, the local APIC, nothing */
		hx_desc(q, 0, HX_PICK(h, h->dev->base, 0xfee00000, 0xfec00000, 1ULL << 40), 64,
			writes, 0);
		break;
	}
	publish(h, 0);
	await_break(h);
}

void g08_chain_4g(struct hx *h)
{
	struct hx_queue *q = work(h);
	unsigned writes = hx_device_writes(h) ? DESC_WRITE : 0, n = 160;
	uint64_t table = hx_mem(h, 160 * 16), m = hx_mem(h, 4096);
	uint32_t len = (uint32_t)(hx_ram_end() - m);

	hx_up(h, 1ULL << F_INDIRECT);
	for (unsigned i = 0; i < n; i++)
		hx_table_desc(table, i, m, len, writes | (i + 1 < n ? DESC_NEXT : 0), i + 1);
	hx_desc(q, 0, table, n * 16, DESC_INDIRECT, 0);
	publish(h, 0);
	if (hx_wait(h, q->index) || hx_broken(h))
		hx_hit(h);
}

void g09_indirect(struct hx *h)
{
	struct hx_queue *q = work(h);
	uint64_t table = hx_mem(h, 4096), m = hx_mem(h, 4096), end = hx_ram_end();
	unsigned writes = hx_device_writes(h) ? DESC_WRITE : 0;
	bool offered = hx_below(h, 6) != 0;

	hx_up(h, offered ? 1ULL << F_INDIRECT : 0);
	hx_table_desc(table, 0, m, 64, writes, 0);
	hx_desc(q, 0, table, 16, DESC_INDIRECT, 0);
	switch (offered ? hx_below(h, 5) : 5) {
	case 0: /* nested */
		hx_table_desc(table, 0, table, 16, DESC_INDIRECT, 0);
		break;
	case 1: /* an odd length, none, far too long */
		hx_desc(q, 0, table,
			(uint32_t)HX_PICK(h, 0, 1, 15, 17, 257 * 16, 0x10000 * 16, 0xfffffff0),
			DESC_INDIRECT, 0);
		break;
	case 2: /* outside RAM, wholly or in part */
		hx_desc(q, 0, HX_PICK(h, end, end - 8, ~0ULL - 7, 1ULL << 63, h->dev->base), 16,
			DESC_INDIRECT, 0);
		break;
	case 3: /* and a next one behind it */
		hx_desc(q, 0, table, 16, DESC_INDIRECT | DESC_NEXT, 1);
		hx_desc(q, 1, m, 64, writes, 0);
		break;
	case 4: /* its chain leaves it */
		hx_table_desc(table, 0, m, 64, writes | DESC_NEXT,
			      (unsigned)HX_PICK(h, 1, 2, 255, 0xffff));
		break;
	default: /* not negotiated */
		break;
	}
	publish(h, 0);
	await_break(h);
}

void g11_avail_jump(struct hx *h)
{
	struct hx_queue *q = work(h);

	hx_up_any(h);
	hx_avail_idx(q, (uint16_t)HX_PICK(h, q->size + 1, q->size * 2, 0x7fff, 0x8000, 0xffff,
					  0x10000 - q->size));
	hx_kick(h, q->index);
	await_break(h);
}

void g11_avail_head(struct hx *h)
{
	struct hx_queue *q = work(h);

	hx_up_any(h);
	publish(h, (uint16_t)HX_PICK(h, q->size, q->size + 1, 0x7fff, 0x8000, 0xffff));
	await_break(h);
}

void g12_used_over_memory(struct hx *h)
{
	struct hx_queue *q = work(h);
	uint64_t other = h->dev->q[h->dev->queues - 1].desc;

	(void)hx_good_chain(h, 0);
	q->used = HX_PICK(h, q->desc + 48, q->avail + 4, q->avail + 512, other, hx_mem(h, 8192));
	if (!up_with(h, q->index))
		hx_fail(h, "overlapping areas are legal, but refused", q->used);
	publish(h, 0);
	settle(h);
	if (hx_broken(h) || hx_used_idx(q) != 0)
		hx_hit(h);
}

/* ---- Storms and resets ---- */

static void kick_on(struct hx *racer)
{
	hx_kick(racer, (unsigned)hx_below(racer, racer->dev->queues));
}

void g13_kick_storm(struct hx *h)
{
	struct hx_queue *q = work(h);
	uint32_t head, len;

	hx_up_any(h);
	if (hx_good_chain(h, 0) == 0) {
		hx_hit(h);
		return;
	}
	hx_race(h, kick_on);
	for (unsigned i = 0; i < 10; i++) {
		for (unsigned k = 0; k < 500; k++)
			hx_kick(h, q->index);
		publish(h, 0);
		if (!hx_wait(h, q->index) || !hx_used(q, &head, &len))
			hx_fail(h, "no answer in a storm of kicks; status", hx_get(h, REG_STATUS));
	}
	hx_race_end(h);
	hx_hit(h);
}

#define PATTERN	     0xa5a5a5a5a5a5a5a5ULL
#define FLIGHT_BYTES 4096U

/* Fills every queue on which this device takes work; how many requests that is. */
static unsigned launch(struct hx *h, uint64_t *data)
{
	bool blk = h->dev->id == VIRTIO_BLK;
	uint64_t head = hx_mem(h, 4096);
	unsigned queues = blk ? h->dev->queues : 1, per = 0;

	*(volatile uint64_t *)head = *(volatile uint64_t *)(head + 8) = 0; /* read from the start */
	*data = head + 4096;
	for (unsigned k = 0; k < queues; k++) {
		struct hx_queue *q = &h->dev->q[blk ? k : hx_work_queue(h)];
		per = blk ? q->size / 3 : q->size;
		for (unsigned i = 0; i < per; i++) {
			uint64_t at = hx_mem(h, FLIGHT_BYTES);
			if (blk) {
				hx_desc(q, i * 3, head, 16, DESC_NEXT, i * 3 + 1);
				hx_desc(q, i * 3 + 1, at, FLIGHT_BYTES - 512,
					DESC_NEXT | DESC_WRITE, i * 3 + 2);
				hx_desc(q, i * 3 + 2, at + FLIGHT_BYTES - 1, 1, DESC_WRITE, 0);
			} else {
				hx_desc(q, i, at, FLIGHT_BYTES,
					hx_device_writes(h) ? DESC_WRITE : 0, 0);
			}
			hx_avail(q, (uint16_t)(blk ? i * 3 : i));
		}
	}
	for (unsigned k = 0; k < queues; k++)
		hx_kick(h, blk ? k : hx_work_queue(h));
	return queues * per;
}

/* Used elements of all queues together. */
static unsigned used_of_all(struct hx *h)
{
	unsigned n = 0;

	for (unsigned k = 0; k < h->dev->queues; k++)
		n += hx_used_idx(&h->dev->q[k]);
	return n;
}

void g15_reset_in_flight(struct hx *h)
{
	uint64_t data;
	unsigned posted, used;

	hx_up_any(h);
	posted = launch(h, &data);
	cpu_delay(hx_below(h, 300000));
	hx_reset(h);
	used = used_of_all(h);
	if (used < posted)
		hx_hit(h);
	/* From here on the memory is somebody else's. */
	for (unsigned i = 0; i < posted; i++)
		*(volatile uint64_t *)(data + i * (uint64_t)FLIGHT_BYTES) = PATTERN;
	cpu_delay(20000000);
	for (unsigned i = 0; i < posted; i++)
		if (*(volatile uint64_t *)(data + i * (uint64_t)FLIGHT_BYTES) != PATTERN)
			hx_fail(h, "the device wrote after its reset, request", i);
	if (used_of_all(h) != used)
		hx_fail(h, "the device used a buffer after its reset; before it", used);
}

static void reset_now_and_then(struct hx *racer)
{
	cpu_delay(hx_below(racer, 200000));
	hx_set(racer, REG_STATUS, 0);
	if (hx_get(racer, REG_STATUS) == 0)
		hx_hit(racer);
}

void g15_reset_race(struct hx *h)
{
	hx_race(h, reset_now_and_then);
	for (unsigned i = 0; i < 20; i++) {
		hx_mem_again(h);
		(void)hx_negotiate(h, 1ULL << F_VERSION_1);
		for (unsigned q = 0; q < h->dev->queues; q++) {
			hx_queue_layout(h, q, h->dev->q[q].size);
			(void)hx_queue_enable(h, q);
		}
		hx_driver_ok(h);
		(void)hx_good_chain(h, 0);
		for (unsigned k = 0; k < 8; k++) {
			publish(h, 0);
			cpu_delay(hx_below(h, 50000));
		}
	}
	hx_race_end(h);
}
