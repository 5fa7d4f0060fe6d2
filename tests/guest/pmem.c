/* SPDX-License-Identifier: Apache-2.0 */
/* pmem.c - a file as memory: read by loads, never changed by stores, a source for other devices
 * and no target. Page n of the file begins with the number n; pages=N says how many there are. */
#include "guest.h"

#define FLUSH  0U
#define PAGE   4096U
#define SECTOR 512U

static struct vdev pmem;
static uint64_t start, size;

static void open_pmem(void)
{
	if (!vdev_open(&pmem, VIRTIO_PMEM, 0, 0, 1))
		test_fail("no pmem device", 0);
	start = mmio_read32(pmem.base + 0x100) | (uint64_t)mmio_read32(pmem.base + 0x104) << 32;
	size = mmio_read32(pmem.base + 0x108) | (uint64_t)mmio_read32(pmem.base + 0x10c) << 32;
	if (start % (2U << 20) != 0 || size % (2U << 20) != 0)
		test_fail("not aligned", start);
}

static uint32_t request(uint32_t type)
{
	static volatile uint32_t ask, answer;
	struct vq_buf bufs[2] = { { (const void *)&ask, 4, false },
				  { (const void *)&answer, 4, true } };
	uint16_t head;
	uint32_t len;

	ask = type;
	answer = 99;
	vq_add(&pmem.q[0], 0, bufs, 2);
	vq_kick(&pmem, &pmem.q[0]);
	vq_wait(&pmem, &pmem.q[0], &head, &len);
	return answer;
}

void test_pmem(void)
{
	uint64_t pages = arg_u64("pages", 0);

	open_pmem();
	for (uint64_t p = 0; p < size / PAGE; p++) {
		volatile uint32_t *at = (volatile uint32_t *)(start + p * PAGE);
		if (at[0] != (p < pages ? (uint32_t)p : 0))
			test_fail("another number in page", p);
	}
	if (request(FLUSH) != 0 || request(FLUSH + 1) != 1)
		test_fail("a request", 0);
	/* Stores go nowhere, in the file and in what is behind its end. */
	for (uint64_t p = 0; p < size / PAGE; p += 7) {
		volatile uint32_t *at = (volatile uint32_t *)(start + p * PAGE);
		at[0] = 0xdeadbeef;
		((volatile uint8_t *)at)[5] = 0x77;
		if (at[0] != (p < pages ? (uint32_t)p : 0) || ((volatile uint8_t *)at)[5] != 0)
			test_fail("a store was kept in page", p);
	}
}

/* A disk writes what lies in the file; it doesn't read into it. */
void test_pmem_dma(void)
{
	static struct vdev disk;
	static struct {
		uint32_t type, reserved;
		uint64_t sector;
	} hdr;
	static volatile uint8_t status;
	struct vq_buf bufs[3] = { { &hdr, sizeof(hdr), false },
				  { NULL, SECTOR, false },
				  { (const void *)&status, 1, true } };
	uint16_t head;
	uint32_t len;

	open_pmem();
	if (!vdev_open(&disk, VIRTIO_BLK, 0, 0, 1))
		test_fail("no disk", 0);
	hdr.type = 1;
	status = 0xee;
	bufs[1].data = (const void *)(start + 3 * PAGE);
	vq_add(&disk.q[0], 0, bufs, 3);
	vq_kick(&disk, &disk.q[0]);
	vq_wait(&disk, &disk.q[0], &head, &len);
	if (status != 0)
		test_fail("writing from the file", status);
	hdr.type = 0;
	bufs[1].device_writes = true;
	vq_add(&disk.q[0], 0, bufs, 3);
	vq_kick(&disk, &disk.q[0]);
	while ((mmio_read32(disk.base + 0x70) & 0x40U) == 0)
		if (vq_used(&disk.q[0], &head, &len))
			test_fail("reading into the file", status);
}
