/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_devices.c - block, entropy, console: requests that no good driver makes. */
#include "hostile.h"

#define BLK_IN	    0U
#define BLK_OUT	    1U
#define BLK_FLUSH   4U
#define BLK_DISCARD 11U
#define BLK_ZEROES  13U
#define BLK_ERASE   14U
#define F_DISCARD   (1ULL << 13)
#define F_ZEROES    (1ULL << 14)
#define S_OK	    0U
#define S_IOERR	    1U
#define S_UNSUPP    2U
#define UNWRITTEN   0xee
#define SECTOR	    512U

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

static uint64_t blk_capacity(struct hx *h)
{
	return hx_peek(h, REG_CONFIG, 4) | hx_peek(h, REG_CONFIG + 4, 4) << 32;
}

/* One request in three descriptors from 0 on: its status byte, or UNWRITTEN. */
static uint8_t blk_request(struct hx *h, uint32_t type, uint64_t sector, uint64_t data,
			   uint32_t len)
{
	struct hx_queue *q = &h->dev->q[0];
	uint64_t m = hx_mem(h, 4096);
	uint32_t head, used;

	*(volatile struct blk_header *)m = (struct blk_header){ .type = type, .sector = sector };
	*(volatile uint8_t *)(m + 64) = UNWRITTEN;
	hx_desc(q, 0, m, sizeof(struct blk_header), DESC_NEXT, 1);
	hx_desc(q, 1, data, len,
		DESC_NEXT | (type == BLK_OUT || type >= BLK_DISCARD ? 0 : DESC_WRITE), 2);
	hx_desc(q, 2, m + 64, 1, DESC_WRITE, 0);
	hx_avail(q, 0);
	hx_kick(h, 0);
	if (hx_wait(h, 0))
		(void)hx_used(q, &head, &used);
	return *(volatile uint8_t *)(m + 64);
}

void g21_blk_range(struct hx *h)
{
	uint64_t capacity = blk_capacity(h), data = hx_mem(h, 0x20000), sector;
	uint32_t len;
	uint8_t status;

	hx_up_any(h);
	for (unsigned i = 0; i < 8; i++) {
		sector = HX_PICK(h, capacity, capacity - 1, capacity + 1, 1ULL << 55,
				 (1ULL << 55) - 1, 1ULL << 63, ~0ULL, ~0ULL / SECTOR,
				 ~0ULL / SECTOR + 1, 0);
		len = sector == 0 ? (uint32_t)HX_PICK(h, 1, 511, 513, 0x1ffff)
				  : (uint32_t)HX_PICK(h, 1024, 4096, 0x10000, 0x20000);
		status = blk_request(h, (uint32_t)HX_PICK(h, BLK_IN, BLK_OUT), sector, data, len);
		if (status == S_OK)
			hx_fail(h, "a request beyond the disk succeeded at", sector);
		if (status == S_IOERR)
			hx_hit(h);
	}
}

void g22_blk_ranges(struct hx *h)
{
	uint64_t capacity = blk_capacity(h), m = hx_mem(h, 4096), sector;
	uint64_t offered = hx_offered(h) & (F_DISCARD | F_ZEROES);
	uint32_t sectors, flags;
	uint8_t status;

	hx_up(h, hx_below(h, 8) == 0 ? 0 : offered);
	for (unsigned i = 0; i < 8; i++) {
		sector = HX_PICK(h, capacity, capacity - 1, 1ULL << 55, ~0ULL, ~0ULL - 1,
				 1ULL << 63);
		sectors = (uint32_t)HX_PICK(h, 2, 0xffffffff, 0x80000000, 0x7fffffff);
		flags = (uint32_t)HX_PICK(h, 0, 0, 1, 2, 0xfffffffe);
		*(volatile uint64_t *)m = sector;
		*(volatile uint32_t *)(m + 8) = sectors;
		*(volatile uint32_t *)(m + 12) = flags;
		status = blk_request(h, (uint32_t)HX_PICK(h, BLK_DISCARD, BLK_ZEROES, BLK_ERASE), 0,
				     m, (uint32_t)HX_PICK(h, 16, 16, 16, 15, 17, 32, 4096));
		if (status == S_OK)
			hx_fail(h, "a range beyond the disk succeeded at", sector);
		if (status == S_IOERR || status == S_UNSUPP)
			hx_hit(h);
	}
}

void g21_blk_shape(struct hx *h)
{
	struct hx_queue *q = &h->dev->q[0];
	uint64_t m = hx_mem(h, 4096);
	unsigned n = 0;
	uint8_t status;

	hx_up_any(h);
	switch (hx_below(h, 6)) {
	case 0: /* no status */
		hx_desc(q, n, m, 16, 0, 0);
		break;
	case 1: /* no header, or a part of one */
		if (hx_below(h, 2) == 0) {
			hx_desc(q, n, m, (uint32_t)hx_below(h, 16), DESC_NEXT, n + 1);
			n++;
		}
		hx_desc(q, n, m + 64, 513, DESC_WRITE, 0);
		break;
	case 2: /* readable behind writable */
		hx_desc(q, n, m + 64, 512, DESC_NEXT | DESC_WRITE, n + 1);
		hx_desc(q, n + 1, m, 16, 0, 0);
		break;
	case 3: /* a header in sixteen pieces, some of them empty: legal, so it is answered */
		for (; n < 32; n++)
			hx_desc(q, n, m + n / 2, n % 2, DESC_NEXT, n + 1);
		hx_desc(q, n, m + 64, 513, DESC_WRITE, 0);
		break;
	case 4: /* empty all over */
		hx_desc(q, 0, m, 0, DESC_NEXT, 1);
		hx_desc(q, 1, m, 0, DESC_WRITE, 0);
		break;
	default: /* types that are none */
		status = blk_request(
			h, (uint32_t)HX_PICK(h, 2, 3, 5, 7, 9, 11, 13, 14, 15, 0x80000000), 0,
			m + 1024, 512);
		if (status == S_OK)
			hx_fail(h, "an unknown request succeeded", status);
		if (status == S_UNSUPP || status == S_IOERR)
			hx_hit(h);
		return;
	}
	hx_avail(q, 0);
	hx_kick(h, 0);
	if (hx_wait(h, 0) || hx_broken(h))
		hx_hit(h);
}

void g23_blk_format(struct hx *h)
{
	static const char qcow2[] = "QFI\xfb\0\0\0\3\0\0\0\0\0\0\0\x68\0\0\0\x0b/etc/shadow";
	static const char vmdk[] = "# Disk DescriptorFile\nRW 1 FLAT \"/etc/shadow\" 0\n";
	uint64_t capacity = blk_capacity(h), m = hx_mem(h, 4096), back = hx_mem(h, 4096);

	hx_up_any(h);
	memcpy((void *)m, h->round % 2 == 0 ? qcow2 : vmdk, sizeof(qcow2));
	if (blk_request(h, BLK_OUT, 0, m, SECTOR) != S_OK)
		return; /* read-only: no target */
	hx_up_any(h);
	if (blk_capacity(h) != capacity || blk_request(h, BLK_IN, 0, back, SECTOR) != S_OK ||
	    memcmp((void *)m, (void *)back, SECTOR) != 0)
		hx_fail(h, "the disk is another since it begins with a format's header", capacity);
	hx_hit(h);
}

void g24_blk_tiny(struct hx *h)
{
	struct hx_queue *q = &h->dev->q[0];
	uint64_t m = hx_mem(h, 4096);
	unsigned n = q->size / 3, done = 0;

	hx_up_any(h);
	*(volatile uint64_t *)m = *(volatile uint64_t *)(m + 8) = 0;
	for (unsigned i = 0; i < n; i++) {
		hx_desc(q, i * 3, m, 16, DESC_NEXT, i * 3 + 1);
		hx_desc(q, i * 3 + 1, m + 1024, SECTOR, DESC_NEXT | DESC_WRITE, i * 3 + 2);
		hx_desc(q, i * 3 + 2, m + 64, 1, DESC_WRITE, 0);
	}
	while (done < 2000) {
		while ((uint16_t)(q->idx - q->seen) < n) {
			hx_avail(q, (uint16_t)(q->idx % n * 3));
			hx_kick(h, 0);
			/* The entry is free when its turn comes: all of a lap are answered. */
			if (q->idx % n == 0)
				break;
		}
		while (q->seen != q->idx) {
			if (!hx_wait(h, 0))
				hx_fail(h, "no answer after requests", done);
			done += (uint16_t)(hx_used_idx(q) - q->seen);
			q->seen = hx_used_idx(q);
		}
	}
	hx_hit(h);
}

void g36_rng_4g(struct hx *h)
{
	struct hx_queue *q = &h->dev->q[0];
	uint64_t table = hx_mem(h, 4096), m = hx_mem(h, 1 << 20);
	uint32_t head, len;

	hx_up(h, 1ULL << F_INDIRECT);
	for (unsigned i = 0; i < 160; i++)
		hx_table_desc(table, i, m, (uint32_t)(hx_ram_end() - m),
			      DESC_WRITE | (i < 159 ? DESC_NEXT : 0), i + 1);
	hx_desc(q, 0, table, 160 * 16, DESC_INDIRECT, 0);
	for (unsigned i = 0; i < 64; i++) {
		hx_avail(q, 0);
		hx_kick(h, 0);
		if (!hx_wait(h, 0) || !hx_used(q, &head, &len))
			hx_fail(h, "no entropy", i);
		if (len > 65536)
			hx_fail(h, "so much entropy for one request", len);
		hx_hit(h);
	}
}

void g37_console_flood(struct hx *h)
{
	struct hx_queue *q = &h->dev->q[1];
	uint64_t table = hx_mem(h, 4096), m = hx_mem(h, 1 << 20);
	uint32_t head, len;

	hx_up(h, 1ULL << F_INDIRECT);
	memset((void *)m, 0x1b, 64);
	for (unsigned i = 0; i < 250; i++)
		hx_table_desc(table, i, m, 1 << 20, i < 249 ? DESC_NEXT : 0, i + 1);
	for (unsigned i = 0; i < 32; i++) { /* 250 MiB and 64 KiB in turn */
		if (i % 2 == 0)
			hx_desc(q, 0, table, 250 * 16, DESC_INDIRECT, 0);
		else
			hx_desc(q, 0, m, 65536, 0, 0);
		hx_avail(q, 0);
		hx_kick(h, 1);
		if (!hx_wait(h, 1) || !hx_used(q, &head, &len) || len != 0)
			hx_fail(h, "the console does not take its output", i);
	}
	hx_hit(h);
}
