/* SPDX-License-Identifier: Apache-2.0 */
/* blk.c - tests of the block device; dev=N picks which. */
#include "guest.h"

#define T_IN	0U
#define T_OUT	1U
#define T_FLUSH 4U
#define SECTOR	512U

static struct vdev blk;
static uint8_t data[8 * SECTOR];

struct request {
	uint32_t type, reserved;
	uint64_t sector;
};

static void open_blk(void)
{
	if (!vdev_open(&blk, VIRTIO_BLK, (unsigned)arg_u64("dev", 0), 1ULL << 9, 1))
		test_fail("no block device", 0);
}

static uint64_t capacity(void)
{
	return mmio_read32(blk.base + 0x100) | (uint64_t)mmio_read32(blk.base + 0x104) << 32;
}

/* Does one request and returns its status byte. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t len)
{
	static struct request hdr;
	static uint8_t status;
	struct vq_buf bufs[3] = { { &hdr, sizeof(hdr), false },
				  { data, len, type == T_IN },
				  { &status, 1, true } };
	uint16_t head;
	uint32_t used;

	hdr = (struct request){ .type = type, .sector = sector };
	status = 0xee;
	if (len == 0) {
		bufs[1] = bufs[2];
		vq_add(&blk.q[0], 0, bufs, 2);
	} else {
		vq_add(&blk.q[0], 0, bufs, 3);
	}
	vq_kick(&blk, &blk.q[0]);
	vq_wait(&blk, &blk.q[0], &head, &used);
	return *(volatile uint8_t *)&status;
}

/* Reads the whole device; prints its capacity and the sum of its bytes. */
void test_blk_read(void)
{
	uint64_t sum = 0, sectors;

	open_blk();
	sectors = capacity();
	for (uint64_t s = 0; s + 8 <= sectors; s += 8) {
		uint8_t st = request(T_IN, s, sizeof(data));
		if (st != 0)
			test_fail("read status", st);
		for (size_t i = 0; i < sizeof(data); i++)
			sum += data[i];
	}
	if (request(T_IN, sectors, SECTOR) == 0)
		test_fail("read beyond the end at", sectors);
	if (request(T_IN, UINT64_MAX / SECTOR, SECTOR) == 0)
		test_fail("read at a wrapping offset", 0);
	print("sectors ");
	print_u64(sectors);
	print(" sum ");
	print_u64(sum);
	print("\n");
}

/* Writes a pattern to every eighth sector, flushes, reads it back. */
void test_blk_write(void)
{
	uint64_t sectors;

	open_blk();
	sectors = capacity();
	for (uint64_t s = 0; s < sectors; s += 8) {
		memset(data, (int)(s / 8 + 1), SECTOR);
		if (request(T_OUT, s, SECTOR) != 0)
			test_fail("write status at", s);
	}
	if (request(T_FLUSH, 0, 0) != 0)
		test_fail("flush", 0);
	for (uint64_t s = 0; s < sectors; s += 8) {
		if (request(T_IN, s, SECTOR) != 0 || data[0] != (uint8_t)(s / 8 + 1) ||
		    data[SECTOR - 1] != (uint8_t)(s / 8 + 1))
			test_fail("read back at", s);
	}
	if (request(T_OUT, sectors, SECTOR) == 0)
		test_fail("write beyond the end at", sectors);
}

/* A read-only device must refuse to write. */
void test_blk_refused(void)
{
	open_blk();
	memset(data, 0xff, sizeof(data));
	uint8_t st = request(T_OUT, 0, SECTOR);
	if (st == 0)
		test_fail("write to a read-only device succeeded", st);
}

/* Writes, reads back and compares, until the host writes "stop" into the last sector. */
void test_blk_loop(void)
{
	uint64_t sectors, i = 0;

	open_blk();
	sectors = capacity();
	print("looping\n");
	for (;;) {
		uint64_t s = i++ * 8 % (sectors - 8);
		memset(data, (int)(i & 0xff), sizeof(data));
		if (request(T_OUT, s, sizeof(data)) != 0)
			test_fail("write status at", s);
		memset(data, 0, sizeof(data));
		if (request(T_IN, s, sizeof(data)) != 0)
			test_fail("read status at", s);
		for (size_t k = 0; k < sizeof(data); k += 64)
			if (data[k] != (uint8_t)i)
				test_fail("read back at", s);
		if (request(T_IN, sectors - 1, SECTOR) != 0)
			test_fail("read status at", sectors - 1);
		if (memcmp(data, "stop", 4) == 0)
			return;
	}
}
