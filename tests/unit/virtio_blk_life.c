/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk while it lives: discards, several queues, limits, resizes, pauses, and resets with the
 * pool at work. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/le.h"
#include "base/num.h"
#include "blk_rig.h"

#define DISCARDS ((struct virtio_blk_spec){ .discard = true })

struct segment {
	le64_t sector;
	le32_t sectors;
	le32_t flags;
};

/* A discard or write-zeroes request of one or more segments, which lie at r->data. */
static uint8_t ranges(struct rig *r, uint32_t type, const struct segment *s, unsigned n)
{
	uint32_t used;

	drv_write(&r->d, r->data, s, n * sizeof(*s));
	return rig_request(r, type, 0, (uint32_t)(n * sizeof(*s)), 1, false, &used);
}

static uint8_t range(struct rig *r, uint32_t type, uint64_t sector, uint32_t sectors,
		     uint32_t flags)
{
	struct segment s = { le64_put(sector), le32_put(sectors), le32_put(flags) };

	return ranges(r, type, &s, 1);
}

static bool is_zero(struct rig *r, uint64_t sector)
{
	uint8_t got[512], zero[512] = { 0 };

	cr_assert_eq(pread(r->fd, got, 512, (off_t)sector * 512), 512);
	return memcmp(got, zero, 512) == 0;
}

static bool is_untouched(struct rig *r, uint64_t sector)
{
	uint8_t got[512];
	uint32_t n;

	cr_assert_eq(pread(r->fd, got, 512, (off_t)sector * 512), 512);
	memcpy(&n, got, sizeof(n));
	return n == sector && got[511] == (sector & 0xff);
}

static uint64_t blocks(struct rig *r)
{
	struct stat st;

	cr_assert_eq(fstat(r->fd, &st), 0);
	return (uint64_t)st.st_blocks;
}

/* ---- Discard and write-zeroes -------------------------------------------------------------- */

Test(virtio_blk_ranges, offered_when_asked_for)
{
	struct rig r;

	rig_open(&r, false, 0);
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_DISCARD & 1, 0);
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_WRITE_ZEROES & 1, 0);
	cr_assert_eq(range(&r, VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	cr_assert(is_untouched(&r, 0));
	rig_close(&r);
	rig_open_with(&r, DISCARDS, 0);
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_DISCARD & 1, 1);
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_WRITE_ZEROES & 1, 1);
	cr_assert_eq(drv_offered(&r.d) >> 16 & 1, 0, "no secure erase");
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_CONFIG_WCE & 1, 0);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 36), 2097152, "sectors in a discard");
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 40), 16);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 44), 8);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 48), 131072);
	rig_close(&r);
	/* Offered and not taken. */
	rig_open_with(&r, DISCARDS,
		      UINT64_C(1) << VIRTIO_BLK_F_DISCARD | UINT64_C(1)
								    << VIRTIO_BLK_F_WRITE_ZEROES);
	cr_assert_eq(range(&r, VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	cr_assert_eq(range(&r, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	cr_assert(is_untouched(&r, 0));
	rig_close(&r);
}

Test(virtio_blk_ranges, discard_frees_the_blocks)
{
	struct rig r;
	uint64_t before;

	rig_open_with(&r, DISCARDS, 0);
	before = blocks(&r);
	cr_assert_eq(range(&r, VIRTIO_BLK_T_DISCARD, 8, 64, 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(before - blocks(&r), 64);
	for (unsigned i = 8; i < 72; i++)
		cr_assert(is_zero(&r, i));
	cr_assert(is_untouched(&r, 7));
	cr_assert(is_untouched(&r, 72));
	cr_assert_eq(lseek(r.fd, 0, SEEK_END), RIG_SECTORS * 512);
	cr_assert_eq(rig_counter(&r, "discards"), 1);
	rig_close(&r);
}

/* With unmap and without; anonymous files can't zero a range by themselves. */
Test(virtio_blk_ranges, write_zeroes)
{
	struct rig r;
	uint64_t before;

	rig_open_with(&r, DISCARDS, 0);
	before = blocks(&r);
	cr_assert_eq(range(&r, VIRTIO_BLK_T_WRITE_ZEROES, 3, 1000, 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(before, blocks(&r), "the blocks stay");
	for (unsigned i = 3; i < 1003; i++)
		cr_assert(is_zero(&r, i));
	cr_assert(is_untouched(&r, 2));
	cr_assert(is_untouched(&r, 1003));
	cr_assert_eq(range(&r, VIRTIO_BLK_T_WRITE_ZEROES, RIG_SECTORS - 16, 16,
			   VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP),
		     VIRTIO_BLK_S_OK);
	cr_assert_eq(before - blocks(&r), 16, "the blocks are given back");
	cr_assert(is_zero(&r, RIG_SECTORS - 1));
	cr_assert(is_untouched(&r, RIG_SECTORS - 17));
	cr_assert_eq(lseek(r.fd, 0, SEEK_END), RIG_SECTORS * 512);
	rig_close(&r);
}

Test(virtio_blk_ranges, several_in_one_request)
{
	struct segment s[17];
	struct rig r;

	for (unsigned i = 0; i < 17; i++)
		s[i] = (struct segment){ le64_put(i * 16), le32_put(8), le32_put(0) };
	rig_open_with(&r, DISCARDS, 0);
	cr_assert_eq(ranges(&r, VIRTIO_BLK_T_DISCARD, s, 17), VIRTIO_BLK_S_IOERR, "too many");
	cr_assert(is_untouched(&r, 0));
	cr_assert_eq(ranges(&r, VIRTIO_BLK_T_DISCARD, s, 16), VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < 16; i++) {
		cr_assert(is_zero(&r, i * 16));
		cr_assert(is_untouched(&r, i * 16 + 8));
	}
	/* One bad one, and nothing is done. */
	for (unsigned i = 0; i < 16; i++)
		s[i].sector = le64_put(512 + i * 16);
	s[15].sector = le64_put(RIG_SECTORS);
	cr_assert_eq(ranges(&r, VIRTIO_BLK_T_DISCARD, s, 16), VIRTIO_BLK_S_IOERR);
	cr_assert(is_untouched(&r, 512));
	rig_close(&r);
}

Test(virtio_blk_ranges, refused)
{
	static const struct {
		uint64_t sector;
		uint32_t sectors, flags;
		uint8_t discard, zeroes;
	} cases[] = {
		{ 0, 0, 0, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ RIG_SECTORS, 1, 0, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ RIG_SECTORS - 1, 2, 0, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ 0, UINT32_MAX, 0, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ UINT64_MAX, 1, 0, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ UINT64_MAX / 512 + 1, 8, 0, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ 0, 8, 2, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_S_UNSUPP },
		{ 0, 8, 0x80000000, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_S_UNSUPP },
		{ 0, 8, 1, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_S_OK },
	};
	uint32_t used;
	struct rig r;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		rig_open_with(&r, DISCARDS, 0);
		cr_expect_eq(range(&r, VIRTIO_BLK_T_DISCARD, cases[i].sector, cases[i].sectors,
				   cases[i].flags),
			     cases[i].discard, "discard %zu", i);
		cr_expect(is_untouched(&r, 0) && is_untouched(&r, RIG_SECTORS - 1));
		cr_expect_eq(range(&r, VIRTIO_BLK_T_WRITE_ZEROES, cases[i].sector, cases[i].sectors,
				   cases[i].flags),
			     cases[i].zeroes, "write-zeroes %zu", i);
		cr_expect_eq(lseek(r.fd, 0, SEEK_END), RIG_SECTORS * 512);
		rig_close(&r);
	}
	rig_open_with(&r, DISCARDS, 0);
	for (uint32_t len = 0; len < 33; len += len == 0 ? 1 : 14)
		cr_expect_eq(rig_request(&r, VIRTIO_BLK_T_DISCARD, 0, len, 1, false, &used),
			     VIRTIO_BLK_S_IOERR, "%u bytes of segments", len);
	cr_expect(!drv_broken(&r.d));
	rig_close(&r);
}

/* ---- Flush --------------------------------------------------------------------------------- */

/* A driver that has not taken flush relies on each write: they go through the pool with DSYNC. */
Test(virtio_blk_flush, write_through_without_it)
{
	uint32_t used;
	struct rig r;

	rig_open(&r, false, UINT64_C(1) << VIRTIO_BLK_F_FLUSH);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_OUT, 0, 512, 1, false, &used), VIRTIO_BLK_S_OK);
	cr_assert_eq(rig_counter(&r, "pooled"), 1);
	rig_close(&r);
	rig_open(&r, false, 0);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_OUT, 0, 512, 1, false, &used), VIRTIO_BLK_S_OK);
	cr_assert_eq(rig_counter(&r, "pooled"), 0);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_FLUSH, 0, 0, 0, false, &used), VIRTIO_BLK_S_OK);
	cr_assert_eq(rig_counter(&r, "pooled"), 1);
	cr_assert_eq(rig_counter(&r, "flushes"), 1);
	cr_assert_eq(rig_counter(&r, "writes"), 1);
	cr_assert_eq(rig_counter(&r, "write_bytes"), 512);
	rig_close(&r);
}

/* ---- Queues -------------------------------------------------------------------------------- */

Test(virtio_blk_queues, all_are_served)
{
	struct virtio_blk_spec p = { .queues = 4, .discard = true };
	uint32_t used, head;
	uint8_t s[512];
	struct rig r;

	rig_open_with(&r, p, 0);
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_MQ & 1, 1);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG + 32) >> 16, 4);
	for (unsigned round = 0; round < 100; round++) {
		unsigned q = round % 4;
		cr_assert_eq(rig_request_on(&r, q, VIRTIO_BLK_T_IN, round, 512, 1, round % 3 == 0,
					    &used),
			     VIRTIO_BLK_S_OK);
		drv_read(&r.d, r.data, s, sizeof(s));
		cr_assert_eq(s[0], round);
	}
	/* Requests for the pool and others, on all queues at once. */
	rig_header(&r, r.hdr, VIRTIO_BLK_T_FLUSH, 0);
	uint64_t read = drv_alloc(&r.d, 16, 16);
	rig_header(&r, read, VIRTIO_BLK_T_IN, 1);
	for (unsigned i = 0; i < 60; i++)
		for (unsigned q = 0; q < 4; q++) {
			struct drv_seg flush[2] = { { r.hdr, 16, false }, { r.status, 1, true } };
			struct drv_seg in[3] = { { read, 16, false },
						 { r.data, 4096, true },
						 { r.status, 1, true } };
			if ((i + q) % 2 == 0)
				cr_assert_geq(drv_post(&r.d, q, flush, 2, false), 0);
			else
				cr_assert_geq(drv_post(&r.d, q, in, 3, false), 0);
		}
	for (unsigned i = 0; i < 60; i++)
		for (unsigned q = 0; q < 4; q++)
			cr_assert(drv_wait_used(&r.d, q, &head, &used, RIG_WAIT_MS), "%u of %u", i,
				  q);
	cr_assert_eq(rig_counter(&r, "flushes"), 120);
	rig_close(&r);
}

Test(virtio_blk_queues, one_has_no_feature_bit)
{
	struct rig r;

	rig_open(&r, false, 0);
	cr_assert_eq(drv_offered(&r.d) >> VIRTIO_BLK_F_MQ & 1, 0);
	drv_set(&r.d, VIRTIO_MMIO_QUEUE_SEL, 1);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	rig_close(&r);
}

/* ---- Limits -------------------------------------------------------------------------------- */

static uint64_t time_of(struct rig *r, unsigned requests, uint32_t bytes)
{
	uint64_t start = now_ms();
	uint32_t used;

	for (unsigned i = 0; i < requests; i++)
		cr_assert_eq(rig_request(r, VIRTIO_BLK_T_IN, 0, bytes, 1, false, &used),
			     VIRTIO_BLK_S_OK);
	return now_ms() - start;
}

Test(virtio_blk_limits, operations_and_bytes)
{
	struct virtio_blk_spec ops = { .limits.operations = { .rate = 100, .burst = 10 } };
	struct virtio_blk_spec bytes = { .limits.bytes = { .rate = 1 << 20, .burst = 65536 } };
	uint64_t ms;
	struct rig r;

	rig_open_with(&r, ops, 0);
	ms = time_of(&r, 40, 512);
	cr_expect(ms >= 300 - 1 && ms < 5000, "30 beyond the burst in %lu ms", (unsigned long)ms);
	/* How often depends on how soon a request follows the one before. */
	cr_expect_gt(rig_counter(&r, "throttled"), 0);
	rig_close(&r);
	rig_open_with(&r, bytes, 0);
	ms = time_of(&r, 6, 65536);
	cr_expect(ms >= 312 - 1 && ms < 5000, "5 beyond the burst in %lu ms", (unsigned long)ms);
	rig_close(&r);
	rig_open(&r, false, 0);
	(void)time_of(&r, 40, 512);
	cr_expect_eq(rig_counter(&r, "throttled"), 0, "without limits");
	rig_close(&r);
}

/* No CPU time is used up while waiting. */
Test(virtio_blk_limits, waiting_is_idle)
{
	struct virtio_blk_spec p = { .queues = 2, .limits.operations = { .rate = 10, .burst = 1 } };
	uint32_t head, used;
	struct timespec t;
	struct rig r;

	rig_open_with(&r, p, 0);
	rig_header(&r, r.hdr, VIRTIO_BLK_T_IN, 0);
	struct drv_seg s[3] = { { r.hdr, 16, false },
				{ r.data, 512, true },
				{ r.status, 1, true } };
	for (unsigned i = 0; i < 10; i++)
		cr_assert_geq(drv_post(&r.d, i % 2, s, 3, false), 0);
	usleep(500000);
	cr_assert_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	cr_expect(t.tv_sec == 0 && t.tv_nsec < 200000000, "%ld ns of CPU", t.tv_nsec);
	unsigned done = 0;
	for (unsigned q = 0; q < 2; q++)
		while (drv_used(&r.d, q, &head, &used))
			done++;
	cr_expect(done >= 4 && done <= 7, "%u in half a second at 10 a second", done);
	rig_close(&r);
}

/* New limits reach a queue that waits for the old ones. */
Test(virtio_blk_limits, change_while_waiting)
{
	struct virtio_blk_spec p = { .limits.bytes = { .rate = 1, .burst = 512 } };
	const struct limits none = { 0 };
	uint32_t head, used;
	struct rig r;

	rig_open_with(&r, p, 0);
	time_of(&r, 1, 512);
	rig_header(&r, r.hdr, VIRTIO_BLK_T_IN, 0);
	struct drv_seg s[3] = { { r.hdr, 16, false },
				{ r.data, 512, true },
				{ r.status, 1, true } };
	cr_assert_geq(drv_post(&r.d, 0, s, 3, false), 0);
	cr_assert(!drv_wait_used(&r.d, 0, &head, &used, 50), "512 seconds are to be waited");
	virtio_blk_set_limits(r.d.dev, &none);
	cr_assert(drv_wait_used(&r.d, 0, &head, &used, RIG_WAIT_MS));
	/* And back again. */
	virtio_blk_set_limits(r.d.dev, &p.limits);
	usleep(50000);
	time_of(&r, 1, 512);
	cr_assert_geq(drv_post(&r.d, 0, s, 3, false), 0);
	cr_assert(!drv_wait_used(&r.d, 0, &head, &used, 50));
	/* A reset doesn't lift them. */
	drv_start(&r.d, 0);
	cr_assert_geq(drv_post(&r.d, 0, s, 3, false), 0);
	cr_assert(!drv_wait_used(&r.d, 0, &head, &used, 50));
	rig_close(&r);
}

/* ---- Resize -------------------------------------------------------------------------------- */

static void wait_config_irq(struct rig *r)
{
	uint64_t end = now_ms() + RIG_WAIT_MS;

	while ((drv_get(&r->d, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG) == 0) {
		cr_assert(now_ms() < end, "no interrupt");
		usleep(1000);
	}
	drv_set(&r->d, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
}

Test(virtio_blk_resize, the_guest_is_told)
{
	uint32_t used, generation;
	uint64_t bytes = 0;
	struct rig r;

	rig_open(&r, false, 0);
	generation = drv_get(&r.d, VIRTIO_MMIO_CONFIG_GENERATION);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_IN, RIG_SECTORS, 512, 1, false, &used),
		     VIRTIO_BLK_S_IOERR);
	cr_assert_eq(ftruncate(r.fd, 2 * RIG_SECTORS * 512 + 511), 0);
	cr_assert_eq(virtio_blk_resize(r.d.dev, &bytes), 0);
	cr_assert_eq(bytes, 2 * RIG_SECTORS * 512);
	wait_config_irq(&r);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG), 2 * RIG_SECTORS);
	cr_assert_neq(drv_get(&r.d, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_OUT, 2 * RIG_SECTORS - 1, 512, 1, false, &used),
		     VIRTIO_BLK_S_OK);
	/* Smaller. */
	cr_assert_eq(ftruncate(r.fd, 4096), 0);
	cr_assert_eq(virtio_blk_resize(r.d.dev, &bytes), 0);
	wait_config_irq(&r);
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_OUT, 8, 512, 1, false, &used),
		     VIRTIO_BLK_S_IOERR);
	cr_assert_eq(lseek(r.fd, 0, SEEK_END), 4096, "not grown by a write");
	/* Too small: stays as it was. */
	bytes = 77;
	cr_assert_eq(ftruncate(r.fd, 511), 0);
	cr_assert_eq(virtio_blk_resize(r.d.dev, &bytes), -EINVAL);
	cr_assert_eq(bytes, 77);
	cr_assert_eq(drv_get(&r.d, VIRTIO_MMIO_CONFIG), 8);
	rig_close(&r);
}

/* ---- Waiting for more ----------------------------------------------------------------------- */

/* However fast requests came: after a rest the drive's thread sleeps, and asks for kicks. */
Test(virtio_blk_poll, ends)
{
	struct rig r;
	uint32_t used;

	rig_open(&r, false, 0);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t kicks;
		for (unsigned k = 0; k < 20; k++)
			cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_IN, 0, 512, 1, false, &used), 0);
		usleep(5000);
		kicks = rig_counter(&r, "kicks");
		cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_IN, 0, 512, 1, false, &used), 0);
		if (rig_counter(&r, "kicks") > kicks)
			break;
		cr_assert_lt(i, 19, "it never sleeps");
	}
	rig_close(&r);
}

/* ---- Pause and reset, with the pool at work ------------------------------------------------- */

/* Fills the queue with requests that take a while, all of them for the pool. */
static unsigned post_slow(struct rig *r)
{
	struct segment z = { le64_put(0), le32_put(RIG_SECTORS), le32_put(0) };
	struct drv_seg s[3] = { { r->hdr, 16, false },
				{ r->data, sizeof(z), false },
				{ r->status, 1, true } };
	unsigned n = 0;

	rig_header(r, r->hdr, VIRTIO_BLK_T_WRITE_ZEROES, 0);
	drv_write(&r->d, r->data, &z, sizeof(z));
	while (drv_post(&r->d, 0, s, 3, false) >= 0)
		n++;
	return n;
}

Test(virtio_blk_pause, nothing_is_under_way_afterwards)
{
	uint32_t head, used;
	struct rig r;

	rig_open_with(&r, DISCARDS, 0);
	for (unsigned round = 0; round < 20; round++) {
		unsigned posted = post_slow(&r), done = 0;
		usleep(200 * round);
		virtio_dev_pause(r.d.dev);
		cr_assert_eq(r.d.dev->queues[0].avail_next, r.d.dev->queues[0].used_next,
			     "what was taken has been given back");
		uint64_t before = rig_counter(&r, "write_zeroes");
		cr_assert_eq(gmem_zero(&r.d.mem, gpa(r.status), 1), 0);
		usleep(2000);
		cr_assert_eq(rig_counter(&r, "write_zeroes"), before);
		cr_assert_eq(rig_status(&r), 0);
		virtio_dev_resume(r.d.dev);
		while (done < posted) {
			cr_assert(drv_wait_used(&r.d, 0, &head, &used, RIG_WAIT_MS));
			done++;
		}
	}
	rig_close(&r);
}

/* After a reset no thread writes guest memory for the driver before it: not data, not a status,
 * not a used ring; and the driver after it gets its own answers only. */
Test(virtio_blk_reset, with_the_pool_at_work)
{
	const struct virtio_blk_spec params[] = { { .discard = true },
						  { .discard = true, .queues = 4 } };
	uint32_t head, used;
	struct rig r;

	for (unsigned p = 0; p < 2; p++) {
		rig_open_with(&r, params[p], 0);
		uint64_t brk = r.d.brk;
		for (unsigned round = 0; round < 60; round++) {
			uint64_t from = r.d.q[0].desc, len = r.d.brk - from;
			(void)post_slow(&r);
			usleep(round * 20);
			drv_set(&r.d, VIRTIO_MMIO_STATUS, 0);
			/* The old rings become something else. */
			cr_assert_eq(gmem_zero(&r.d.mem, gpa(from), len), 0);
			drv_write(&r.d, r.status, "\x77", 1);
			usleep(500);
			for (uint64_t i = 0; i < len; i += 8) {
				uint64_t v;
				drv_read(&r.d, from + i, &v, MIN(8, len - i));
				cr_assert_eq(len - i < 8 ? 0 : v, 0, "written after the reset");
			}
			cr_assert_eq(rig_status(&r), 0x77);
			r.d.brk = brk;
			drv_start(&r.d, 0);
			cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_GET_ID, 0, 20, 1, false, &used),
				     0);
			cr_assert(!drv_used(&r.d, 0, &head, &used), "one answer too many");
		}
		rig_close(&r);
	}
}

/* The control thread doesn't wait for a reset that waits for the storage. */
struct resetter {
	struct rig *r;
	bool stop; /* atomic */
};

static void *reset_again(void *arg)
{
	struct resetter *a = arg;
	le32_t zero = le32_put(0);

	while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED))
		virtio_mmio_write(a->r->d.dev, VIRTIO_MMIO_STATUS, &zero, sizeof(zero));
	return NULL;
}

/* One vCPU resets the device all the time, another one uses it: answers may be missing, nothing
 * else. */
Test(virtio_blk_reset, by_another_vcpu)
{
	struct resetter a = { 0 };
	pthread_t t;
	struct rig r;

	rig_open_with(&r, DISCARDS, 0);
	uint64_t brk = r.d.brk, bytes;
	a.r = &r;
	cr_assert_eq(pthread_create(&t, NULL, reset_again, &a), 0);
	for (uint64_t end = now_ms() + 1000; now_ms() < end;) {
		const struct limits l = { .bytes = { .rate = UINT64_C(1) << 40 } };
		r.d.brk = brk;
		drv_negotiate(&r.d, 0);
		drv_queue_setup(&r.d, 0, 256);
		drv_driver_ok(&r.d);
		(void)post_slow(&r);
		virtio_blk_set_limits(r.d.dev, &l);
		cr_assert_eq(virtio_blk_resize(r.d.dev, &bytes), 0);
	}
	__atomic_store_n(&a.stop, true, __ATOMIC_RELAXED);
	cr_assert_eq(pthread_join(t, NULL), 0);
	r.d.brk = brk;
	drv_start(&r.d, 0);
	uint32_t used;
	cr_assert_eq(rig_request(&r, VIRTIO_BLK_T_GET_ID, 0, 20, 1, false, &used), 0);
	rig_close(&r);
}

/* Several drives share the pool, and leave it one by one. */
Test(virtio_blk_pool, many_drives)
{
	uint32_t head, used;
	struct rig r[5];

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 5; i++)
			rig_open_with(&r[i], DISCARDS, 0);
		unsigned posted[5];
		for (unsigned i = 0; i < 5; i++)
			posted[i] = post_slow(&r[i]);
		for (unsigned i = 0; i < 5; i += 2)
			rig_close(&r[i]); /* with requests in the pool */
		for (unsigned i = 1; i < 5; i += 2)
			for (unsigned n = 0; n < posted[i]; n++)
				cr_assert(drv_wait_used(&r[i].d, 0, &head, &used, RIG_WAIT_MS));
		for (unsigned i = 1; i < 5; i += 2)
			rig_close(&r[i]);
	}
}
