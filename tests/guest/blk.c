/* SPDX-License-Identifier: Apache-2.0 */
/* blk.c - tests of the block device; dev=N picks which. */
#include "guest.h"

#define T_IN	  0U
#define T_OUT	  1U
#define T_FLUSH	  4U
#define T_DISCARD 11U
#define T_ZEROES  13U
#define F_FLUSH	  (1ULL << 9)
#define F_MQ	  (1ULL << 12)
#define F_DISCARD (1ULL << 13)
#define F_ZEROES  (1ULL << 14)
#define SECTOR	  512U

static struct vdev blk;
static uint8_t data[8 * SECTOR];

struct request {
	uint32_t type, reserved;
	uint64_t sector;
};

static void open_with(uint64_t features, unsigned queues)
{
	if (!vdev_open(&blk, VIRTIO_BLK, (unsigned)arg_u64("dev", 0), F_FLUSH | features, queues))
		test_fail("no such block device", features);
}

static void open_blk(void)
{
	open_with(0, 1);
}

static uint64_t capacity(void)
{
	return mmio_read32(blk.base + 0x100) | (uint64_t)mmio_read32(blk.base + 0x104) << 32;
}

/* Does one request on queue q and returns its status byte. */
static uint8_t request_on(unsigned q, uint32_t type, uint64_t sector, uint32_t len)
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
		vq_add(&blk.q[q], 0, bufs, 2);
	} else {
		vq_add(&blk.q[q], 0, bufs, 3);
	}
	vq_kick(&blk, &blk.q[q]);
	vq_wait(&blk, &blk.q[q], &head, &used);
	return *(volatile uint8_t *)&status;
}

static uint8_t request(uint32_t type, uint64_t sector, uint32_t len)
{
	return request_on(0, type, sector, len);
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

/* Each queue reads and writes the same disk. */
void test_blk_queues(void)
{
	open_with(F_MQ, 4);
	if (mmio_read32(blk.base + 0x120) >> 16 != 4)
		test_fail("queues", mmio_read32(blk.base + 0x120) >> 16);
	for (unsigned i = 0; i < 400; i++) {
		memset(data, (int)i, SECTOR);
		if (request_on(i % 4, T_OUT, i % 64, SECTOR) != 0)
			test_fail("write on queue", i % 4);
		memset(data, 0xff, SECTOR);
		if (request_on((i + 1) % 4, T_IN, i % 64, SECTOR) != 0 || data[7] != (uint8_t)i)
			test_fail("read on queue", (i + 1) % 4);
	}
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t count, uint32_t flags)
{
	const struct {
		uint64_t sector;
		uint32_t count, flags;
	} s = { sector, count, flags };

	memcpy(data, &s, sizeof(s));
	return request(type, 0, sizeof(s));
}

static bool reads_as(uint64_t sector, uint8_t v)
{
	if (request(T_IN, sector, SECTOR) != 0)
		test_fail("read at", sector);
	return data[0] == v && data[SECTOR - 1] == v;
}

void test_blk_discard(void)
{
	open_with(F_DISCARD | F_ZEROES, 1);
	for (uint64_t s = 0; s < 32; s += 8) {
		memset(data, 0x55, sizeof(data));
		if (request(T_OUT, s, sizeof(data)) != 0)
			test_fail("write at", s);
	}
	if (range(T_DISCARD, 8, 8, 0) != 0 || range(T_ZEROES, 16, 8, 0) != 0 ||
	    range(T_ZEROES, 24, 4, 1) != 0)
		test_fail("discard or write-zeroes", 0);
	if (range(T_DISCARD, capacity() - 1, 2, 0) == 0 || range(T_ZEROES, 0, 8, 2) != 2)
		test_fail("a range that no disk has, or a flag", 0);
	if (!reads_as(7, 0x55) || !reads_as(8, 0) || !reads_as(15, 0) || !reads_as(16, 0) ||
	    !reads_as(27, 0) || !reads_as(28, 0x55))
		test_fail("contents", data[0]);
}

/* The host changes the size: there is an interrupt, and the new end can be used. */
void test_blk_resize(void)
{
	uint64_t before, after;
	uint32_t seen;

	open_blk();
	seen = irq_count[blk.irq];
	before = capacity();
	print("waiting\n");
	while ((after = capacity()) == before) {
		cpu_wait_irq(blk.irq, seen);
		seen = irq_count[blk.irq];
	}
	if (request(T_OUT, after - 1, SECTOR) != 0 || request(T_OUT, after, SECTOR) == 0)
		test_fail("the end of the disk is not at", after);
	print("sectors ");
	print_u64(after);
	print("\n");
}

/* n=N reads of 4 KiB; how long they take is the host's to measure. */
void test_blk_reads(void)
{
	uint64_t n = arg_u64("n", 100);

	open_blk();
	print("reading\n");
	for (uint64_t i = 0; i < n; i++)
		if (request(T_IN, 0, sizeof(data)) != 0)
			test_fail("read", i);
}
