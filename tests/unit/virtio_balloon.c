/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon: what is given up, what never is, and what it may cost the host. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/le.h"
#include "base/num.h"
#include "fake_driver.h"

#define PAGE	UINT64_C(4096)
#define INFLATE 0U
#define DEFLATE 1U
#define STATS	2U

#define F(bit) (UINT64_C(1) << VIRTIO_BALLOON_F_##bit)

static unsigned discards; /* calls of madvise(MADV_DONTNEED) */
static int discard_errno; /* what they shall fail with */

int __real_madvise(void *p, size_t len, int advice);
int __wrap_madvise(void *p, size_t len, int advice);
int __wrap_madvise(void *p, size_t len, int advice)
{
	if (advice == MADV_DONTNEED) {
		discards++;
		if (discard_errno != 0) {
			errno = discard_errno;
			return -1;
		}
	}
	return __real_madvise(p, len, advice);
}

static void make(struct drv *d, struct virtio_balloon_options options)
{
	struct virtio_dev *dev;

	drv_init(d);
	cr_assert_eq(virtio_balloon_new(&d->mem, &options, &dev), 0);
	drv_attach(d, dev);
	discards = 0;
	discard_errno = 0;
}

static void balloon(struct drv *d, uint64_t without)
{
	make(d, (struct virtio_balloon_options){ true, true, 20 });
	drv_start(d, without);
}

struct wanted {
	const char *name;
	uint64_t value;
};

static void find_counter(const char *name, uint64_t value, void *arg)
{
	struct wanted *w = arg;

	if (strcmp(name, w->name) == 0)
		w->value = value;
}

static uint64_t counter(struct drv *d, const char *name)
{
	struct wanted w = { name, UINT64_MAX };

	virtio_dev_metrics(d->dev, find_counter, &w);
	cr_assert_neq(w.value, UINT64_MAX, "no counter %s", name);
	return w.value;
}

static void fill(struct drv *d, uint64_t from, uint64_t to)
{
	uint8_t bytes[4096];

	memset(bytes, 0xa5, sizeof(bytes));
	for (uint64_t at = from; at < to; at += PAGE)
		drv_write(d, at, bytes, PAGE);
}

/* Is every byte of [from, to) the same as at the beginning of the test, or zero? */
static bool all(struct drv *d, uint64_t from, uint64_t to, uint8_t v)
{
	uint8_t bytes[4096];

	for (uint64_t at = from; at < to; at += sizeof(bytes)) {
		size_t n = (size_t)MIN(to - at, sizeof(bytes));
		drv_read(d, at, bytes, n);
		for (size_t i = 0; i < n; i++)
			if (bytes[i] != v)
				return false;
	}
	return true;
}

#define KEPT(d, from, to) cr_expect(all(d, from, to, 0xa5), "%#x..%#x", (int)(from), (int)(to))
#define GONE(d, from, to) cr_expect(all(d, from, to, 0), "%#x..%#x", (int)(from), (int)(to))

/* Sends page numbers; true when the device has taken them. */
static bool send(struct drv *d, unsigned q, const uint32_t *pfns, unsigned n)
{
	uint64_t at = drv_alloc(d, 4 * (uint64_t)n, 4);
	struct drv_seg s = { at, 4 * n, false };
	uint32_t head, len = 1;

	for (unsigned i = 0; i < n; i++) {
		le32_t v = le32_put(pfns[i]);
		drv_write(d, at + 4 * (uint64_t)i, &v, sizeof(v));
	}
	cr_assert_geq(drv_post(d, q, &s, 1, false), 0);
	drv_run(d);
	if (drv_broken(d) || !drv_wait_used(d, q, &head, &len, 1000))
		return false;
	cr_expect_eq(len, 0);
	return true;
}

Test(virtio_balloon, inflate_gives_pages_back)
{
	const uint32_t pfns[] = { 0x400, 0x402 };
	struct drv d;

	balloon(&d, 0);
	fill(&d, 0x3ff000, 0x404000);
	cr_assert(send(&d, INFLATE, pfns, 2));
	KEPT(&d, 0x3ff000, 0x400000);
	GONE(&d, 0x400000, 0x401000);
	KEPT(&d, 0x401000, 0x402000);
	GONE(&d, 0x402000, 0x403000);
	KEPT(&d, 0x403000, 0x404000);
	cr_expect_eq(counter(&d, "inflated_bytes"), 2 * PAGE);
	cr_expect_eq(discards, 2);
	/* The guest has them again by using them. */
	fill(&d, 0x400000, 0x401000);
	cr_assert(send(&d, DEFLATE, pfns, 2));
	KEPT(&d, 0x400000, 0x401000);
	cr_expect_eq(counter(&d, "deflated_bytes"), 2 * PAGE);
	cr_expect_eq(discards, 2);
	drv_done(&d);
}

/* Neighbours become one call, in whichever direction the guest lists them. */
Test(virtio_balloon, runs_are_merged)
{
	uint32_t pfns[1024];
	struct drv d;

	balloon(&d, 0);
	fill(&d, 0x400000, 0xa00000);
	for (unsigned i = 0; i < 512; i++) {
		pfns[i] = 0x400 + i;
		pfns[512 + i] = 0x9ff - i;
	}
	cr_assert(send(&d, INFLATE, pfns, 1024));
	cr_expect_eq(discards, 2);
	GONE(&d, 0x400000, 0x600000);
	KEPT(&d, 0x600000, 0x800000);
	GONE(&d, 0x800000, 0xa00000);
	drv_done(&d);
}

/* One bad page number and none of the chain is given up. */
Test(virtio_balloon, page_outside_memory)
{
	static const uint32_t bad[] = { DRV_MEM_BYTES / PAGE, 0xfffff, 0x100000, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (unsigned q = INFLATE; q <= DEFLATE; q++) {
			const uint32_t pfns[] = { 0x400, bad[i] };
			struct drv d;
			balloon(&d, 0);
			fill(&d, 0x400000, 0x401000);
			cr_expect_not(send(&d, q, pfns, 2));
			cr_expect(drv_broken(&d));
			KEPT(&d, 0x400000, 0x401000);
			cr_expect_eq(discards, 0);
			cr_expect_eq(counter(&d, "errors"), 1);
			drv_done(&d);
		}
	}
}

Test(virtio_balloon, malformed_arrays)
{
	static const struct drv_seg bad[] = {
		{ 0x100000, 3, false }, { 0x100000, 4 * 1024 + 4, false }, { 0x100000, 4, true },
		{ 0x100000, 0, false }, { 0x100000, 1U << 20, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct drv d;
		balloon(&d, 0);
		cr_assert_geq(drv_post(&d, INFLATE, &bad[i], 1, false), 0);
		drv_run(&d);
		cr_expect(drv_broken(&d), "%zu", i);
		drv_done(&d);
	}
}

/* A guest may give up its own rings: only its own driver is confused by that. */
Test(virtio_balloon, pages_of_the_rings)
{
	struct drv d;

	balloon(&d, 0);
	const uint64_t end = d.brk;
	for (uint64_t at = 0x10000; at < end; at += PAGE) {
		const uint32_t pfn = (uint32_t)(at / PAGE);
		struct drv_seg s = { drv_alloc(&d, 4, 4), 4, false };
		drv_write(&d, s.addr, &pfn, sizeof(pfn));
		(void)drv_post(&d, INFLATE, &s, 1, false);
		drv_run(&d);
		for (unsigned q = 0; q < d.dev->queues_count; q++)
			cr_assert(virtq_valid(&d.dev->queues[q]));
		d.brk = 0x10000;
		drv_start(&d, 0);
	}
	const uint32_t pfn = 0x400;
	fill(&d, 0x400000, 0x401000);
	cr_assert(send(&d, INFLATE, &pfn, 1));
	GONE(&d, 0x400000, 0x401000);
	drv_done(&d);
}

/* The host's own failure is counted and is not the guest's fault. */
Test(virtio_balloon, host_that_refuses)
{
	const uint32_t pfn = 0x400;
	struct drv d;

	balloon(&d, 0);
	discard_errno = ENOMEM;
	cr_assert(send(&d, INFLATE, &pfn, 1));
	cr_expect_not(drv_broken(&d));
	cr_expect_eq(counter(&d, "discard_failures"), 1);
	cr_expect_eq(counter(&d, "inflated_bytes"), 0);
	drv_done(&d);
}

/* ---- Reporting ------------------------------------------------------------------------------ */

/* By the specification's number, and by those that Linux counts. */
Test(virtio_balloon, reported_pages_go_back)
{
	static const struct {
		uint64_t without;
		unsigned q;
	} numberings[] = { { 0, 4 }, { 0, 3 }, { F(STATS_VQ), 2 }, { F(STATS_VQ), 4 } };

	for (size_t i = 0; i < ARRAY_SIZE(numberings); i++) {
		/* The second one holds one whole page and two halves. */
		const struct drv_seg s[] = { { 0x400000, 0x200000, true },
					     { 0x800800, 0x2000, true },
					     { 0xa00800, 0x7ff, true } };
		uint32_t head, len;
		struct drv d;
		balloon(&d, numberings[i].without);
		fill(&d, 0x3ff000, 0xa02000);
		cr_assert_geq(drv_post(&d, numberings[i].q, s, 3, true), 0);
		cr_assert(drv_wait_used(&d, numberings[i].q, &head, &len, 1000), "%zu", i);
		KEPT(&d, 0x3ff000, 0x400000);
		GONE(&d, 0x400000, 0x600000);
		KEPT(&d, 0x600000, 0x801000);
		GONE(&d, 0x801000, 0x802000);
		KEPT(&d, 0x802000, 0xa02000);
		cr_expect_eq(discards, 2);
		drv_done(&d);
	}
}

Test(virtio_balloon, reporting_needs_writable_buffers)
{
	const struct drv_seg s = { 0x400000, 0x1000, false };
	struct drv d;

	balloon(&d, 0);
	fill(&d, 0x400000, 0x401000);
	cr_assert_geq(drv_post(&d, 4, &s, 1, false), 0);
	drv_run(&d);
	cr_expect(drv_broken(&d));
	KEPT(&d, 0x400000, 0x401000);
	drv_done(&d);
}

/* What was not negotiated is not served. */
Test(virtio_balloon, reporting_without_the_feature)
{
	const struct drv_seg s = { 0x400000, 0x1000, true };
	uint32_t head, len;
	struct drv d;

	balloon(&d, F(REPORTING));
	fill(&d, 0x400000, 0x401000);
	for (unsigned q = 3; q < 5; q++) {
		cr_assert_geq(drv_post(&d, q, &s, 1, false), 0);
		drv_run(&d);
		cr_expect_not(drv_used(&d, q, &head, &len));
	}
	KEPT(&d, 0x400000, 0x401000);
	drv_done(&d);
}

/* ---- The limit ------------------------------------------------------------------------------ */

/* Single pages cost most: after the burst, what is served follows the rate, and nothing is lost. */
Test(virtio_balloon, single_pages_are_limited)
{
	uint32_t pfns[1024], head, len;
	uint64_t begin, ms, pages = 0;
	struct drv_seg s = { 0x10000, 0, false };
	unsigned steps = 0;
	struct drv d;

	balloon(&d, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = 0x800 + 2 * i;
	s = (struct drv_seg){ drv_alloc(&d, sizeof(pfns), 4), sizeof(pfns), false };
	drv_write(&d, s.addr, pfns, sizeof(pfns));
	begin = now_ms();
	while (now_ms() < begin + 300) {
		while (drv_post(&d, INFLATE, &s, 1, false) >= 0)
			;
		cr_assert_eq(loop_step(d.loop, 20), 0);
		steps++;
		while (drv_used(&d, INFLATE, &head, &len))
			pages += ARRAY_SIZE(pfns);
	}
	ms = now_ms() - begin;
	/* 256 MiB at once, 2 GiB a second, 64 KiB each. */
	cr_expect_leq(pages, 4096 + 32768 * (ms + 1) / 1000 + 1024, "%d pages in %d ms", (int)pages,
		      (int)ms);
	cr_expect_gt(pages, 4096 + 1024, "%d pages", (int)pages);
	cr_expect_gt(counter(&d, "throttled"), 0);
	cr_expect_lt(steps, 1000, "no spinning");
	cr_expect_eq(discards, pages);
	drv_done(&d);
}

Test(virtio_balloon, reset_while_it_waits)
{
	uint32_t pfns[1024];
	struct drv d;

	balloon(&d, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = 0x800 + 2 * i;
	for (int round = 0; round < 3; round++) {
		struct drv_seg s = { drv_alloc(&d, sizeof(pfns), 4), sizeof(pfns), false };
		drv_write(&d, s.addr, pfns, sizeof(pfns));
		for (int i = 0; i < 20; i++)
			(void)drv_post(&d, INFLATE, &s, 1, false);
		drv_run(&d);
		drv_start(&d, 0);
	}
	cr_expect_gt(counter(&d, "throttled"), 0);
	cr_assert(send(&d, DEFLATE, pfns, 8));
	drv_done(&d);
}

Test(virtio_balloon, paused_while_it_waits)
{
	uint32_t pfns[1024], head, len;
	unsigned posted = 0, before;
	struct drv d;

	balloon(&d, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = 0x800 + 2 * i;
	struct drv_seg s = { drv_alloc(&d, sizeof(pfns), 4), sizeof(pfns), false };
	drv_write(&d, s.addr, pfns, sizeof(pfns));
	for (; posted < 8; posted++)
		cr_assert_geq(drv_post(&d, INFLATE, &s, 1, false), 0);
	drv_run(&d);
	cr_assert_gt(counter(&d, "throttled"), 0);
	virtio_dev_pause(d.dev);
	before = discards;
	for (int i = 0; i < 10; i++)
		cr_assert_eq(loop_step(d.loop, 20), 0);
	cr_expect_eq(discards, before);
	virtio_dev_resume(d.dev);
	for (; posted > 0; posted--)
		cr_assert(drv_wait_used(&d, INFLATE, &head, &len, 1000));
	cr_expect_eq(discards, 8 * 1024);
	drv_done(&d);
}

/* ---- Statistics ----------------------------------------------------------------------------- */

struct stat {
	le16_t tag;
	le64_t value;
} PACKED;

static int post_stats(struct drv *d, uint64_t at, const struct stat *stats, unsigned n)
{
	struct drv_seg s = { at, (uint32_t)(n * sizeof(*stats)), false };

	drv_write(d, at, stats, n * sizeof(*stats));
	return drv_post(d, STATS, &s, 1, false);
}

Test(virtio_balloon, statistics)
{
	struct stat stats[] = {
		{ le16_put(VIRTIO_BALLOON_S_MEMFREE), le64_put(12345) },
		{ le16_put(999), le64_put(1) }, /* of a later version */
		{ le16_put(VIRTIO_BALLOON_S_HTLB_PGFAIL), le64_put(UINT64_MAX - 1) },
	};
	uint32_t head, len;
	struct drv d;

	balloon(&d, 0);
	uint64_t at = drv_alloc(&d, 4096, 4096);
	for (uint64_t round = 0; round < 3; round++) {
		stats[0].value = le64_put(12345 + round);
		cr_assert_geq(post_stats(&d, at, stats, 3), 0);
		drv_run(&d);
		cr_expect_eq(counter(&d, "guest_free_bytes"), 12345 + round);
		cr_expect_eq(counter(&d, "guest_huge_failures"), UINT64_MAX - 1);
		cr_expect_eq(counter(&d, "guest_total_bytes"), 0);
		/* It comes back when it is time for new numbers, not before. */
		cr_expect_not(drv_used(&d, STATS, &head, &len));
		cr_assert(drv_wait_used(&d, STATS, &head, &len, 1000));
		cr_expect_gt(drv_irqs(&d), 0);
	}
	drv_done(&d);
}

/* A driver that posts many gets them back one by one. */
Test(virtio_balloon, statistics_are_not_a_treadmill)
{
	const struct stat stat = { le16_put(0), le64_put(7) };
	uint64_t begin = now_ms(), ms;
	unsigned posted = 0, back = 0;
	uint32_t head, len;
	struct drv d;

	balloon(&d, 0);
	uint64_t at = drv_alloc(&d, 4096, 4096);
	while (now_ms() < begin + 300) {
		while (post_stats(&d, at, &stat, 1) >= 0)
			posted++;
		cr_assert_eq(loop_step(d.loop, 5), 0);
		while (drv_used(&d, STATS, &head, &len))
			back++;
	}
	ms = now_ms() - begin;
	cr_expect_geq(back, 1);
	cr_expect_leq(back, ms / 20 + 1, "%u in %d ms", back, (int)ms);
	drv_done(&d);
}

Test(virtio_balloon, statistics_odd_shapes)
{
	static const uint32_t lens[] = { 1, 9, 11, 325, 4096, 1U << 20 };
	struct drv d;

	balloon(&d, 0);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct drv_seg s = { 0x100000, lens[i], false };
		uint32_t head, len;
		cr_assert_geq(drv_post(&d, STATS, &s, 1, false), 0);
		cr_assert(drv_wait_used(&d, STATS, &head, &len, 1000));
		cr_expect_not(drv_broken(&d));
	}
	struct drv_seg s = { 0x100000, 10, true };
	cr_assert_geq(drv_post(&d, STATS, &s, 1, false), 0);
	drv_run(&d);
	cr_expect(drv_broken(&d));
	drv_done(&d);
}

Test(virtio_balloon, statistics_across_reset_and_pause)
{
	const struct stat stat = { le16_put(0), le64_put(7) };
	uint32_t head, len;
	struct drv d;

	balloon(&d, 0);
	uint64_t at = drv_alloc(&d, 4096, 4096);
	cr_assert_geq(post_stats(&d, at, &stat, 1), 0);
	drv_run(&d);
	drv_start(&d, 0); /* it had the buffer, and has it no more */
	for (int i = 0; i < 10; i++)
		cr_assert_eq(loop_step(d.loop, 10), 0);
	cr_expect_not(drv_used(&d, STATS, &head, &len));
	cr_assert_geq(post_stats(&d, at, &stat, 1), 0);
	drv_run(&d);
	virtio_dev_pause(d.dev);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(loop_step(d.loop, 10), 0);
	cr_expect_not(drv_used(&d, STATS, &head, &len));
	virtio_dev_resume(d.dev);
	cr_assert(drv_wait_used(&d, STATS, &head, &len, 1000));
	drv_done(&d);
}

/* A pause leaves no chain taken, and the numbers are those of a snapshot. */
Test(virtio_balloon, snapshot)
{
	const struct stat stat = { le16_put(0), le64_put(7) };
	uint8_t state[4096], hostile[8];
	struct drv d, copy;
	size_t len;

	balloon(&d, 0);
	cr_assert_eq(virtio_balloon_set(d.dev, MIB), 0);
	drv_set(&d, VIRTIO_MMIO_CONFIG + 4, 99);
	cr_assert_geq(post_stats(&d, drv_alloc(&d, 4096, 4096), &stat, 1), 0);
	drv_run(&d);
	cr_expect_neq(d.dev->queues[STATS].avail_next, d.dev->queues[STATS].used_next);
	virtio_dev_pause(d.dev);
	for (unsigned q = 0; q < d.dev->queues_count; q++)
		cr_expect_eq(d.dev->queues[q].avail_next, d.dev->queues[q].used_next);
	len = d.dev->ops->save(d.dev, state);
	cr_assert_leq(len, sizeof(hostile));
	virtio_dev_resume(d.dev);

	make(&copy, (struct virtio_balloon_options){ true, true, 20 });
	cr_expect_eq(copy.dev->ops->load(copy.dev, state, len), 0);
	cr_expect_eq(drv_get(&copy, VIRTIO_MMIO_CONFIG), MIB / PAGE);
	cr_expect_eq(drv_get(&copy, VIRTIO_MMIO_CONFIG + 4), 99);
	cr_expect_eq(counter(&copy, "target_bytes"), MIB);
	memset(hostile, 0xff, sizeof(hostile));
	cr_expect_eq(copy.dev->ops->load(copy.dev, hostile, len), -EINVAL);
	cr_expect_eq(copy.dev->ops->load(copy.dev, state, len - 1), -EINVAL);
	cr_expect_eq(copy.dev->ops->load(copy.dev, NULL, 0), -EINVAL);
	cr_expect_eq(drv_get(&copy, VIRTIO_MMIO_CONFIG), MIB / PAGE);
	drv_done(&copy);
	drv_done(&d);
}

/* ---- Configuration -------------------------------------------------------------------------- */

static uint32_t config(struct drv *d, unsigned off)
{
	return drv_get(d, VIRTIO_MMIO_CONFIG + off);
}

Test(virtio_balloon, target)
{
	uint32_t generation;
	struct drv d;

	make(&d, (struct virtio_balloon_options){ 0 });
	cr_assert_eq(virtio_balloon_set(d.dev, 8 * PAGE), 0); /* before there is a driver */
	drv_start(&d, 0);
	cr_expect_eq(drv_irqs(&d), 0);
	cr_expect_eq(config(&d, 0), 8);
	generation = drv_get(&d, VIRTIO_MMIO_CONFIG_GENERATION);
	cr_assert_eq(virtio_balloon_set(d.dev, 2 * MIB), 0);
	cr_expect_neq(drv_get(&d, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	cr_expect_eq(drv_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	cr_expect_eq(drv_irqs(&d), 1);
	cr_expect_eq(config(&d, 0), 512);
	cr_expect_eq(counter(&d, "target_bytes"), 2 * MIB);
	cr_expect_eq(virtio_balloon_set(d.dev, DRV_MEM_BYTES), 0);
	cr_expect_eq(virtio_balloon_set(d.dev, DRV_MEM_BYTES + PAGE), -ERANGE);
	cr_expect_eq(virtio_balloon_set(d.dev, UINT64_MAX - PAGE + 1), -ERANGE);
	cr_expect_eq(virtio_balloon_set(d.dev, PAGE + 1), -EINVAL);
	cr_expect_eq(config(&d, 0), DRV_MEM_BYTES / PAGE);
	drv_done(&d);
}

Test(virtio_balloon, actual_is_the_drivers)
{
	struct drv d;

	balloon(&d, 0);
	drv_set(&d, VIRTIO_MMIO_CONFIG + 4, 17);
	cr_expect_eq(config(&d, 4), 17);
	cr_expect_eq(counter(&d, "actual_bytes"), 17 * PAGE);
	cr_expect_eq(config(&d, 0), 0);
	drv_set(&d, VIRTIO_MMIO_CONFIG + 4, UINT32_MAX); /* a lie that harms nobody */
	cr_expect_eq(counter(&d, "actual_bytes"), UINT32_MAX * PAGE);
	cr_expect_not(drv_broken(&d));
	drv_start(&d, 0);
	cr_expect_eq(config(&d, 4), 0);
	/* The host's wish is not the driver's to change. */
	drv_set(&d, VIRTIO_MMIO_CONFIG, 1);
	cr_expect(drv_broken(&d));
	cr_expect_eq(config(&d, 0), 0);
	drv_set(&d, VIRTIO_MMIO_CONFIG + 4, 3); /* broken: not taken */
	cr_expect_eq(config(&d, 4), 0);
	drv_done(&d);
}

Test(virtio_balloon, offers_what_it_was_given)
{
	const uint64_t own = F(MUST_TELL_HOST) | F(STATS_VQ) | F(DEFLATE_ON_OOM) |
			     F(FREE_PAGE_HINT) | F(PAGE_POISON) | F(REPORTING);
	struct drv d;

	make(&d, (struct virtio_balloon_options){ 0 });
	cr_expect_eq(drv_offered(&d) & own, 0);
	drv_done(&d);
	make(&d, (struct virtio_balloon_options){ true, true, 1000 });
	cr_expect_eq(drv_offered(&d) & own, F(STATS_VQ) | F(DEFLATE_ON_OOM) | F(REPORTING));
	drv_done(&d);
}
