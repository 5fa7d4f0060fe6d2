/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_regs.c - registers: wrong values, wrong order, wrong width, wrong place. */
#include "hostile.h"

static const uint16_t config_regs[] = { REG_QUEUE_NUM, REG_DESC, REG_DESC + 4, REG_AVAIL,
					REG_AVAIL + 4, REG_USED, REG_USED + 4, REG_DRIVER };

void g01_frozen_registers(struct hx *h)
{
	hx_up_any(h);
	hx_set(h, REG_QUEUE_SEL, (uint32_t)hx_below(h, h->dev->queues));
	if (hx_below(h, 8) == 0)
		hx_set(h, REG_QUEUE_READY, 0);
	else
		hx_set(h, config_regs[hx_below(h, 8)], (uint32_t)hx_edge(h));
	hx_kick(h, hx_work_queue(h));
}

void g01_status_order(struct hx *h)
{
	if (hx_below(h, 2) == 0) {
		/* Forward by leaps. */
		hx_set(h, REG_STATUS,
		       (uint32_t)HX_PICK(h, 2, 4, 8, 5, 6, 9, 13, 14, 0x11, 0x20, 0x101));
		return;
	}
	/* Backward: a bit is taken away. */
	hx_up_any(h);
	hx_set(h, REG_STATUS, (uint32_t)HX_PICK(h, 1, 3, 7, 11, 14, 13, 0x1f, 0x2f));
}

void g01_status_storm(struct hx *h)
{
	for (unsigned i = 0; i < 120; i++) {
		uint64_t reg = hx_below(h, REG_CONFIG / 4) * 4;
		if (hx_below(h, 3) == 0)
			hx_set(h, REG_STATUS, (uint32_t)HX_PICK(h, 0, 1, 3, 11, 15, 0x80, 0xff));
		else
			hx_set(h, reg, (uint32_t)hx_edge(h));
		(void)hx_get(h, reg);
		if (hx_broken(h) && hx_below(h, 4) == 0 && i < 100)
			hx_reset(h);
	}
	/* However it stands: broken at the end. */
	hx_reset(h);
	hx_set(h, REG_STATUS, STATUS_OK);
}

void g02_queue_select(struct hx *h)
{
	uint64_t q = HX_PICK(h, h->dev->queues, 16, 255, 256, 0xffff, 0x10000, 0x7fffffff,
			     0x80000000, 0xffffffff);

	if (!hx_negotiate(h, 1ULL << F_VERSION_1))
		hx_fail(h, "VERSION_1 is refused", 0);
	hx_set(h, REG_QUEUE_SEL, (uint32_t)q);
	if (hx_get(h, REG_QUEUE_MAX) != 0 || hx_get(h, REG_QUEUE_READY) != 0)
		hx_fail(h, "a queue that is not there has a size", q);
	if (hx_below(h, 2) == 0)
		hx_set(h, REG_QUEUE_READY, 1);
	else
		hx_set(h, config_regs[hx_below(h, 7)], (uint32_t)hx_edge(h));
}

void g03_queue_size(struct hx *h)
{
	uint32_t max;
	uint64_t size;

	if (!hx_negotiate(h, 1ULL << F_VERSION_1))
		hx_fail(h, "VERSION_1 is refused", 0);
	hx_set(h, REG_QUEUE_SEL, 0);
	max = hx_get(h, REG_QUEUE_MAX);
	size = HX_PICK(h, 0, 3, max + 1, max * 2, max - 1, 0xffff, 0x10000, 0x80000000, 0xffffffff);
	hx_queue_layout(h, 0, 1);
	h->dev->q[0].size = (uint32_t)size;
	if (hx_queue_enable(h, 0))
		hx_fail(h, "accepted: a queue of size", size);
}

void g03_queue_address(struct hx *h)
{
	uint64_t end = hx_ram_end(), area = hx_below(h, 3);
	const uint64_t align[] = { 16, 2, 4 };
	uint64_t outside = HX_PICK(h, end, end - align[area], end + 0x1000, 0xc0000000, 0xcffffff0,
				   h->dev->base, 0xfee00000, 1ULL << 32, 1ULL << 52, 1ULL << 63,
				   ~0ULL - 15, ~0ULL - 0xfff, 0xfffffffffffffff0);
	struct hx_queue *q;

	if (!hx_negotiate(h, 1ULL << F_VERSION_1))
		hx_fail(h, "VERSION_1 is refused", 0);
	q = &h->dev->q[0];
	if (hx_below(h, 4) == 0) /* misaligned, but for the available ring only by 1 */
		outside = 0x2000000 + (area == 1 ? 1 : 1 + hx_below(h, align[area] - 1));
	*(area == 0 ? &q->desc : area == 1 ? &q->avail : &q->used) = outside;
	if (hx_queue_enable(h, 0))
		hx_fail(h, "accepted: a queue at", outside);
}

void g03_features(struct hx *h)
{
	uint64_t offered = hx_offered(h), wrong = 1ULL << hx_below(h, 64);

	if ((offered & wrong) != 0) {
		if (hx_negotiate(h, offered & ~(1ULL << F_VERSION_1)))
			hx_fail(h, "accepted: a driver without VERSION_1", offered);
	} else if (hx_negotiate(h, 1ULL << F_VERSION_1 | wrong)) {
		hx_fail(h, "accepted: features", wrong);
	}
	hx_hit(h);
	/* Not agreed, so nothing may run. */
	hx_driver_ok(h);
	hx_kick(h, 0);
}

void g14_notify_unready(struct hx *h)
{
	unsigned left_out = (unsigned)hx_below(h, h->dev->queues);

	for (unsigned i = 0; i < 4; i++) /* before anything was agreed */
		hx_kick(h, (unsigned)hx_below(h, 4));
	if (!hx_negotiate(h, 1ULL << F_VERSION_1))
		hx_fail(h, "VERSION_1 is refused", 0);
	for (unsigned q = 0; q < h->dev->queues; q++) {
		hx_kick(h, q);
		if (q != left_out && !hx_queue_enable(h, q))
			hx_fail(h, "a good queue is refused", q);
	}
	hx_driver_ok(h);
	for (unsigned i = 0; i < 64; i++)
		hx_kick(h, (unsigned)HX_PICK(h, left_out, h->dev->queues, 16, 0xffff, 0xffffffff));
	hx_avail(&h->dev->q[left_out], 0);
	hx_kick(h, left_out);
	cpu_delay(2000000);
	if (hx_used_idx(&h->dev->q[left_out]) != 0)
		hx_fail(h, "a queue that is not enabled was served", left_out);
	hx_hit(h);
}

void g17_config_widths(struct hx *h)
{
	static const unsigned widths[] = { 1, 2, 4, 8 };
	uint64_t before = hx_peek(h, REG_CONFIG, 4);

	hx_up_any(h);
	for (unsigned w = 0; w < 4; w++) {
		for (uint64_t off = REG_CONFIG; off < REG_CONFIG + 0x60; off++) {
			(void)hx_peek(h, off, widths[w]);
			hx_poke(h, off, widths[w], hx_edge(h));
		}
		for (uint64_t off = REG_PAGE - 8; off + widths[w] <= REG_PAGE; off++) {
			(void)hx_peek(h, off, widths[w]);
			hx_poke(h, off, widths[w], hx_edge(h));
		}
	}
	for (unsigned i = 0; i < 64; i++) {
		uint64_t off = REG_CONFIG + hx_below(h, REG_PAGE - REG_CONFIG - 8);
		(void)hx_peek(h, off, widths[hx_below(h, 4)]);
		hx_poke(h, off, widths[hx_below(h, 4)], hx_edge(h));
	}
	if (hx_peek(h, REG_CONFIG, 4) != before)
		hx_fail(h, "the configuration was changed from", before);
	hx_hit(h);
}

void g17_every_register(struct hx *h)
{
	static const unsigned widths[] = { 1, 2, 4, 8 };

	for (unsigned w = 0; w < 4; w++) {
		for (uint64_t off = 0; off + widths[w] <= REG_CONFIG + 0x40; off++) {
			/* Where an access is no register's, it reads as zero. */
			bool odd = widths[w] != 4 || off % 4 != 0;
			uint64_t v = hx_peek(h, off, widths[w]);
			if (odd && off + widths[w] <= REG_CONFIG && v != 0)
				hx_fail(h, "a value in half a register at", off);
			hx_poke(h, off, widths[w], hx_edge(h));
		}
	}
	hx_hit(h);
}

static void write_config(struct hx *racer)
{
	hx_poke(racer, REG_CONFIG + hx_below(racer, 16), 1U << hx_below(racer, 3), hx_rand(racer));
}

void g18_config_race(struct hx *h)
{
	uint64_t low = hx_peek(h, REG_CONFIG, 4), high = hx_peek(h, REG_CONFIG + 4, 4);

	bool ours = h->dev->id == VIRTIO_BALLOON; /* its second field is the driver's to write */

	hx_up_any(h);
	hx_race(h, write_config);
	for (unsigned i = 0; i < 400; i++)
		if (hx_peek(h, REG_CONFIG, 4) != low ||
		    (hx_peek(h, REG_CONFIG + 4, 4) != high && !ours))
			hx_fail(h, "the configuration was changed from", low);
	hx_race_end(h);
	hx_hit(h);
}

/* Ports whose writes end the VM, as documented. */
static bool ends_vm(unsigned port)
{
	return port == 0x64 || port == acpi.panic_port || port == acpi.sleep.addr ||
	       port == acpi.reset.addr;
}

void g19_unassigned(struct hx *h)
{
	static uint8_t block[2048];
	const uint64_t end = acpi.devices[acpi.device_count - 1].base + REG_PAGE;

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t a = HX_PICK(h, 0xc0000000 + hx_below(h, 0x10000000),
				     end + hx_below(h, 0xfec00000 - end),
				     0xfec01000 + hx_below(h, 0x1fe000));
		volatile uint32_t *p = (volatile uint32_t *)a;
		if (*p != 0xffffffff)
			hx_fail(h, "a value at", a);
		*p = (uint32_t)hx_edge(h);
	}
	for (unsigned port = (unsigned)hx_below(h, 8); port < 0x10000; port += 8)
		if (!ends_vm(port))
			outb((uint16_t)port, (uint8_t)hx_rand(h));
	for (unsigned i = 0; i < 16; i++) {
		uint16_t port = (uint16_t)hx_rand(h);
		uint64_t n = 1 + hx_below(h, sizeof(block) / 4);
		void *p = block;
		if (port >= 0x60 && port < 0x610)
			continue;
		__asm__ volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(port) : "memory");
		n = 1 + hx_below(h, sizeof(block) / 4), p = block;
		__asm__ volatile("rep insl" : "+D"(p), "+c"(n) : "d"(port) : "memory");
		if (*(volatile uint32_t *)block != 0xffffffff)
			hx_fail(h, "a value at port", port);
	}
	hx_hit(h);
}

void g20_device_borders(struct hx *h)
{
	static const unsigned widths[] = { 2, 4, 8 };

	hx_up_any(h);
	for (unsigned w = 0; w < 3; w++) {
		for (uint64_t off = REG_PAGE - widths[w] + 1; off < REG_PAGE; off++) {
			(void)hx_peek(h, off, widths[w]);
			hx_poke(h, off, widths[w], 0);
			(void)hx_peek(h, off - REG_PAGE, widths[w]);
			hx_poke(h, off - REG_PAGE, widths[w], 0);
		}
	}
	hx_hit(h);
}
