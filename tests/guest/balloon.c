/* SPDX-License-Identifier: Apache-2.0 */
/* balloon.c - gives memory up when the host asks for it, and takes it back. */
#include "guest.h"

#define F_REPORTING	   (1ULL << 5)
#define QUEUE_INFLATE	   0U
#define QUEUE_DEFLATE	   1U
#define QUEUE_REPORTING	   2U /* without statistics */
#define REG_STATUS	   0x070
#define REG_CONFIG_TARGET  0x100
#define REG_CONFIG_ACTUAL  0x104
#define STATUS_NEEDS_RESET 64U
#define PAGE		   4096U
#define PAGES		   512U
#define PATTERN		   0x0123456789abcdefULL

static struct vdev balloon;
static uint8_t area[PAGES * PAGE] __attribute__((aligned(PAGE)));
static uint32_t pfns[PAGES];

/* The first and the last word of each page stand for it: some hosts are slow with more. */
static volatile uint64_t *word(uint32_t page, unsigned last)
{
	return (volatile uint64_t *)(area + page * PAGE + (last != 0 ? PAGE - 8 : 0));
}

static void fill(void)
{
	for (uint32_t i = 0; i < 2 * PAGES; i++)
		*word(i / 2, i % 2) = PATTERN + i;
}

/* The first n pages are zeros, the others as they were filled. */
static void check(uint32_t n)
{
	for (uint32_t i = 0; i < 2 * PAGES; i++)
		if (*word(i / 2, i % 2) != (i / 2 < n ? 0 : PATTERN + i))
			test_fail("wrong word of page", i / 2);
}

static void send(unsigned queue, const void *data, uint32_t len, bool device_writes)
{
	struct vq_buf b = { data, len, device_writes };
	uint16_t head;
	uint32_t used;

	vq_add(&balloon.q[queue], 0, &b, 1);
	vq_kick(&balloon, &balloon.q[queue]);
	vq_wait(&balloon, &balloon.q[queue], &head, &used);
}

static uint32_t wait_for_target(uint32_t not_this)
{
	for (;;) {
		uint32_t seen = irq_count[balloon.irq];
		uint32_t target = mmio_read32(balloon.base + REG_CONFIG_TARGET);
		if (target != not_this)
			return target;
		cpu_wait_irq(balloon.irq, seen);
	}
}

/* Follows the host's wish: up to PAGES pages, then none again. */
void test_balloon(void)
{
	uint32_t n;

	if (!vdev_open(&balloon, VIRTIO_BALLOON, 0, F_REPORTING, 3))
		test_fail("no balloon", 0);
	fill();
	print("ready\n");
	n = wait_for_target(0);
	if (n > PAGES)
		test_fail("more than I have", n);
	for (uint32_t i = 0; i < n; i++)
		pfns[i] = (uint32_t)((uint64_t)area / PAGE) + i;
	send(QUEUE_INFLATE, pfns, n * 4, false);
	check(n);
	mmio_write32(balloon.base + REG_CONFIG_ACTUAL, n);
	print("inflated\n");
	(void)wait_for_target(n);
	send(QUEUE_DEFLATE, pfns, n * 4, false);
	mmio_write32(balloon.base + REG_CONFIG_ACTUAL, 0);
	fill();
	check(0);
	send(QUEUE_REPORTING, area, PAGE * 3, true);
	check(3);
}

/* A page that isn't there: the device gives up, and nothing else happens. */
void test_balloon_bad(void)
{
	struct vq_buf b = { pfns, 8, false };

	if (!vdev_open(&balloon, VIRTIO_BALLOON, 0, 0, 2))
		test_fail("no balloon", 0);
	fill();
	pfns[0] = (uint32_t)((uint64_t)area / PAGE);
	pfns[1] = 0xfffff;
	vq_add(&balloon.q[QUEUE_INFLATE], 0, &b, 1);
	vq_kick(&balloon, &balloon.q[QUEUE_INFLATE]);
	while ((mmio_read32(balloon.base + REG_STATUS) & STATUS_NEEDS_RESET) == 0)
		__asm__ volatile("pause");
	check(0);
}
