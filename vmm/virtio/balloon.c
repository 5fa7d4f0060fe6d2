/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory balloon (virtio 1.2, section 5.5). Three ways by which guest memory goes back to the
 * host: the guest inflates the balloon as far as the host asks for (num_pages), it reports pages
 * that it has free, and, in the other direction, it takes pages out of the balloon again. What is
 * given back reads as zeros; the guest has it again by writing to it, so deflating needs no work.
 *
 * Theory of operation: a chain of any of these queues is turned into runs of guest memory, copied
 * and checked as a whole before the first byte is given up. All of them lie in RAM, and that is all
 * that has to be checked: a guest that gives up its own rings or kernel harms itself only, as every
 * access of ours is checked on its own.
 *
 * What it costs the host is bounded by a token bucket. A run is charged as at least RUN_COST bytes,
 * since each one is a system call and, for pages in use, an interruption of every vCPU. A
 * chain that must wait is put back and looked at afresh. FREE_PAGE_HINT, PAGE_POISON and
 * MUST_TELL_HOST are not offered: the first is for migration, the second has the guest forbid us to
 * give it zeros, and for the third there is nothing to be told.
 *
 * Statistics: the guest posts one buffer of numbers and posts it again each time that it gets it
 * back. It is kept for a while, so that there is one interruption of the guest in that time.
 */
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/le.h"
#include "base/num.h"
#include "vmm/virtio/devices.h"

#define QUEUE_INFLATE	   0U
#define QUEUE_DEFLATE	   1U
#define QUEUE_STATS	   2U
#define BALLOON_QUEUES	   5U
#define BALLOON_QUEUE_SIZE 64U
#define BALLOON_PAGE	   (UINT64_C(1) << VIRTIO_BALLOON_PFN_SHIFT)
#define BALLOON_PFNS_MAX   1024U /* in one chain; Linux sends 256, others a page of them */

#define RUN_COST	 (64 * KIB)
#define BALLOON_RATE	 (2 * GIB) /* a second */
#define BALLOON_BURST	 (256 * MIB)
#define REPORT_BYTES_MAX BALLOON_BURST /* of one chain: the rest of it stays; it is a hint */

#define STAT_BYTES 10U /* le16 tag, le64 value, packed (section 5.5.6.4) */
#define STATS_MAX  32U /* entries looked at */
/* Tags of version 1.2; headers newer than that have more. */
#define STATS_KNOWN (VIRTIO_BALLOON_S_HTLB_PGFAIL + 1)

#define NS_PER_MS UINT64_C(1000000)

enum counter {
	INFLATED_BYTES,
	DEFLATED_BYTES,
	REPORTED_BYTES,
	DISCARD_FAILURES,
	THROTTLED,
	TARGET_BYTES,
	ACTUAL_BYTES,
	GUEST_STAT0, /* in the order of their tags */
	COUNTERS = GUEST_STAT0 + STATS_KNOWN,
};

static const char *const counter_names[] = {
	[INFLATED_BYTES] = "inflated_bytes",
	[DEFLATED_BYTES] = "deflated_bytes",
	[REPORTED_BYTES] = "reported_bytes",
	[DISCARD_FAILURES] = "discard_failures",
	[THROTTLED] = "throttled",
	[TARGET_BYTES] = "target_bytes", /* a level, as are all from here on */
	[ACTUAL_BYTES] = "actual_bytes", /* the guest says */
	/* The guest says: its own totals and levels. */
	[GUEST_STAT0 + VIRTIO_BALLOON_S_SWAP_IN] = "guest_swap_in_bytes",
	[GUEST_STAT0 + VIRTIO_BALLOON_S_SWAP_OUT] = "guest_swap_out_bytes",
	[GUEST_STAT0 + VIRTIO_BALLOON_S_MAJFLT] = "guest_major_faults",
	[GUEST_STAT0 + VIRTIO_BALLOON_S_MINFLT] = "guest_minor_faults",
	[GUEST_STAT0 + VIRTIO_BALLOON_S_MEMFREE] = "guest_free_bytes",
	[GUEST_STAT0 + VIRTIO_BALLOON_S_MEMTOT] = "guest_total_bytes",
	[GUEST_STAT0 + VIRTIO_BALLOON_S_AVAIL] = "guest_available_bytes",
	[GUEST_STAT0 + VIRTIO_BALLOON_S_CACHES] = "guest_cache_bytes",
	[GUEST_STAT0 + VIRTIO_BALLOON_S_HTLB_PGALLOC] = "guest_huge_allocations",
	[GUEST_STAT0 + VIRTIO_BALLOON_S_HTLB_PGFAIL] = "guest_huge_failures",
};
_Static_assert(ARRAY_SIZE(counter_names) == COUNTERS, "a name for each");
_Static_assert(COUNTERS <= VIRTIO_COUNTERS_MAX, "what a device may count");

struct balloon_config {
	le32_t num_pages; /* wanted by the host */
	le32_t actual;	  /* written by the driver */
};

struct run {
	gpa_t addr;
	uint64_t len;
};

struct balloon {
	struct virtio_dev dev;
	uint64_t poll_ms;
	struct limiter limiter;
	struct loop_timer *retry; /* loop's thread only, both */
	struct loop_timer *poll;
	unsigned waiting; /* queues that the retry timer is to kick, a bit each */
	bool stats_held;
	uint16_t stats_head; /* of the buffer that is kept */
	struct virtq_chain chain;
	le32_t pfns[BALLOON_PFNS_MAX];
	unsigned runs_count;
	struct run runs[BALLOON_PFNS_MAX];
};
_Static_assert(BALLOON_PFNS_MAX >= VIRTQ_SIZE_MAX, "a run for each segment of a chain");

static struct balloon *to_balloon(struct virtio_dev *dev)
{
	return CONTAINER_OF(dev, struct balloon, dev);
}

/* ---- From chains to runs -------------------------------------------------------------------- */

/* Adds a page: next to the last run, on either side, it makes that one longer. */
static void add_page(struct balloon *b, uint64_t addr)
{
	struct run *last = b->runs_count > 0 ? &b->runs[b->runs_count - 1] : NULL;

	if (last != NULL && addr == last->addr.v + last->len) {
		last->len += BALLOON_PAGE;
	} else if (last != NULL && addr + BALLOON_PAGE == last->addr.v) {
		last->addr.v = addr;
		last->len += BALLOON_PAGE;
	} else {
		b->runs[b->runs_count++] = (struct run){ gpa(addr), BALLOON_PAGE };
	}
}

/* The array of page numbers that the guest sends to inflate or deflate: 0, -EBADMSG, -EFAULT. */
static int runs_of_pfns(struct balloon *b, const struct virtq *q)
{
	uint64_t bytes = b->chain.read_bytes;
	int r;

	b->runs_count = 0;
	if (b->chain.nwrite > 0 || bytes == 0 || bytes % sizeof(b->pfns[0]) != 0 ||
	    bytes > sizeof(b->pfns))
		return -EBADMSG;
	r = virtq_chain_read(q, &b->chain, 0, b->pfns, (size_t)bytes);
	for (size_t i = 0; r == 0 && i < bytes / sizeof(b->pfns[0]); i++) {
		uint64_t addr = (uint64_t)le32_get(b->pfns[i]) << VIRTIO_BALLOON_PFN_SHIFT;
		r = gmem_check(b->dev.gmem, gpa(addr), BALLOON_PAGE);
		if (r == 0)
			add_page(b, addr);
	}
	return r;
}

/* The free pages that the guest reports are the buffers themselves. */
static int runs_of_buffers(struct balloon *b)
{
	uint64_t left = REPORT_BYTES_MAX;

	b->runs_count = 0;
	if (b->chain.nread > 0 || b->chain.nwrite == 0)
		return -EBADMSG;
	for (unsigned i = 0; i < b->chain.nwrite && left > 0; i++) {
		uint64_t len = MIN(b->chain.segs[i].len, left);
		b->runs[b->runs_count++] = (struct run){ b->chain.segs[i].addr, len };
		left -= len;
	}
	return 0;
}

static uint64_t cost_of_runs(const struct balloon *b)
{
	uint64_t cost = 0;

	for (unsigned i = 0; i < b->runs_count; i++)
		cost += MAX(b->runs[i].len, RUN_COST);
	return cost;
}

static void discard_runs(struct balloon *b, enum counter counter)
{
	for (unsigned i = 0; i < b->runs_count; i++) {
		/* In RAM, as has been checked; so what fails is the host's, which then keeps
		 * memory that it could have had. */
		if (gmem_discard(b->dev.gmem, b->runs[i].addr, b->runs[i].len) < 0)
			virtio_dev_count(&b->dev, DISCARD_FAILURES, 1);
		else
			virtio_dev_count(&b->dev, counter, b->runs[i].len);
	}
}

/* ---- The limit ------------------------------------------------------------------------------ */

static void on_retry(void *arg)
{
	struct balloon *b = arg;
	unsigned waiting;

	pthread_mutex_lock(&b->dev.lock);
	b->retry = NULL;
	waiting = b->waiting;
	b->waiting = 0;
	pthread_mutex_unlock(&b->dev.lock);
	for (unsigned i = 0; i < BALLOON_QUEUES; i++) {
		if ((waiting >> i & 1U) != 0)
			virtio_dev_kick(&b->dev, i);
	}
}

/* May the runs be given back now? If not, queue qi is kicked when they may. */
static bool may_discard(struct balloon *b, unsigned qi)
{
	uint64_t wait_ns = 0;

	if (limiter_take(&b->limiter, cost_of_runs(b), now_ns(), &wait_ns))
		return true;
	virtio_dev_count(&b->dev, THROTTLED, 1);
	b->waiting |= 1U << qi;
	/* Without memory for a timer: look again at once. */
	if (b->retry == NULL &&
	    loop_timer_add(b->dev.loop, wait_ns / NS_PER_MS + 1, on_retry, b, &b->retry) < 0)
		virtio_dev_kick(&b->dev, qi);
	return false;
}

/* ---- Statistics ----------------------------------------------------------------------------- */

/* What the guest says of itself, for people to look at; nothing here decides anything by it. */
static int take_stats(struct balloon *b, const struct virtq *q)
{
	uint8_t bytes[STATS_MAX * STAT_BYTES];
	size_t len = (size_t)MIN(b->chain.read_bytes, sizeof(bytes));
	int r;

	if (b->chain.nwrite > 0)
		return -EBADMSG;
	r = virtq_chain_read(q, &b->chain, 0, bytes, len);
	for (size_t off = 0; r == 0 && off + STAT_BYTES <= len; off += STAT_BYTES) {
		le16_t tag;
		le64_t value;
		memcpy(&tag, bytes + off, sizeof(tag));
		memcpy(&value, bytes + off + sizeof(tag), sizeof(value));
		if (le16_get(tag) < STATS_KNOWN)
			virtio_dev_gauge(&b->dev, (unsigned)GUEST_STAT0 + le16_get(tag),
					 le64_get(value));
	}
	return r;
}

static void on_poll(void *arg);

/* Takes the buffer if the guest has posted it, and sees to it that it goes back in time. Others
 * that may be there wait in the queue: there is one at a time. */
static int look_at_stats(struct balloon *b, struct virtq *q)
{
	int r = 0;

	if (!b->stats_held) {
		r = virtq_pop(q, &b->chain);
		if (r > 0) {
			r = take_stats(b, q);
			if (r < 0)
				return r;
			b->stats_held = true;
			b->stats_head = b->chain.head;
		}
		if (r == 0)
			r = virtq_enable_notify(q);
		/* It came between the two, or another one is there. */
		if (r > 0 && !b->stats_held)
			virtio_dev_kick(&b->dev, QUEUE_STATS);
	}
	/* Without memory for a timer the statistics stay as they are until the next kick. */
	if (r >= 0 && b->stats_held && b->poll == NULL)
		(void)!loop_timer_add(b->dev.loop, b->poll_ms, on_poll, b, &b->poll);
	return r < 0 ? r : 0;
}

/* Time for fresh numbers: the guest gets its buffer back. */
static void on_poll(void *arg)
{
	struct balloon *b = arg;
	struct virtq *q = &b->dev.queues[QUEUE_STATS];
	int r = 0;

	pthread_mutex_lock(&b->dev.lock);
	b->poll = NULL;
	/* A resume looks at the queue anew. */
	if (b->dev.active && !b->dev.paused && b->stats_held) {
		b->stats_held = false;
		r = virtq_push(q, b->stats_head, 0);
		if (r == 0)
			r = virtio_dev_notify_used(&b->dev, q);
		if (r == 0)
			r = look_at_stats(b, q);
	}
	if (r < 0)
		virtio_dev_fail(&b->dev, strerrordesc_np(-r));
	pthread_mutex_unlock(&b->dev.lock);
}

/* ---- The device ----------------------------------------------------------------------------- */

enum role { ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORTING, ROLE_NONE };

/*
 * Which queue is which depends on the driver. By the specification reporting is number 4; Linux
 * numbers only the queues that it uses, so there it is 2 or 3. As no hint queue is offered, each
 * number still has one meaning.
 */
static enum role role_of(const struct virtio_dev *dev, unsigned qi)
{
	if (qi == QUEUE_INFLATE)
		return ROLE_INFLATE;
	if (qi == QUEUE_DEFLATE)
		return ROLE_DEFLATE;
	if (qi == QUEUE_STATS && virtio_dev_has(dev, VIRTIO_BALLOON_F_STATS_VQ))
		return ROLE_STATS;
	return virtio_dev_has(dev, VIRTIO_BALLOON_F_REPORTING) ? ROLE_REPORTING : ROLE_NONE;
}

/* Serves the chain in b->chain: 1 = done, 0 = it was put back and waits, or negative. */
static int serve(struct virtio_dev *dev, unsigned qi)
{
	struct virtq *q = &dev->queues[qi];
	struct balloon *b = to_balloon(dev);
	enum role role = role_of(dev, qi);
	int r = role == ROLE_REPORTING ? runs_of_buffers(b) : runs_of_pfns(b, q);

	if (r < 0)
		return r;
	if (role == ROLE_DEFLATE) {
		virtio_dev_count(&b->dev, DEFLATED_BYTES,
				 b->chain.read_bytes / sizeof(b->pfns[0]) * BALLOON_PAGE);
	} else if (!may_discard(b, qi)) {
		virtq_unpop(q);
		return 0;
	} else {
		discard_runs(b, role == ROLE_INFLATE ? INFLATED_BYTES : REPORTED_BYTES);
	}
	r = virtq_push(q, b->chain.head, 0);
	return r < 0 ? r : 1;
}

static int balloon_notify(struct virtio_dev *dev, unsigned qi)
{
	struct balloon *b = to_balloon(dev);

	switch (role_of(dev, qi)) {
	case ROLE_NONE:
		return 0;
	case ROLE_STATS:
		return look_at_stats(b, &dev->queues[qi]);
	case ROLE_INFLATE:
	case ROLE_DEFLATE:
	case ROLE_REPORTING:
		break;
	}
	return virtio_dev_serve(dev, qi, &b->chain, serve);
}

/* `actual` is the one thing that the driver may write. */
static int balloon_write_config(struct virtio_dev *dev, uint64_t off, const void *data, size_t len)
{
	le32_t actual;

	if (off != offsetof(struct balloon_config, actual) || len != sizeof(actual))
		return -EINVAL;
	memcpy(&actual, data, sizeof(actual));
	memcpy(dev->config + off, data, len);
	virtio_dev_gauge(dev, ACTUAL_BYTES, le32_get(actual) * BALLOON_PAGE);
	return 0;
}

/* The statistics buffer may be kept for seconds: it goes back into the queue, and the resume looks
 * there. It was the last one to be taken from it. */
static void balloon_pause(struct virtio_dev *dev)
{
	struct balloon *b = to_balloon(dev);

	if (b->stats_held)
		virtq_unpop(&dev->queues[QUEUE_STATS]);
	b->stats_held = false;
}

static size_t balloon_save(struct virtio_dev *dev, void *dst)
{
	memcpy(dst, dev->config, sizeof(struct balloon_config));
	return sizeof(struct balloon_config);
}

static int balloon_load(struct virtio_dev *dev, const void *src, size_t len)
{
	struct balloon_config s;

	if (src == NULL || len != sizeof(s))
		return -EINVAL;
	memcpy(&s, src, sizeof(s));
	if (le32_get(s.num_pages) > dev->gmem->bytes / BALLOON_PAGE)
		return -EINVAL;
	memcpy(dev->config, &s, sizeof(s));
	virtio_dev_gauge(dev, TARGET_BYTES, le32_get(s.num_pages) * BALLOON_PAGE);
	virtio_dev_gauge(dev, ACTUAL_BYTES, le32_get(s.actual) * BALLOON_PAGE);
	return 0;
}

/* Timers belong to the loop's thread: they run out and find nothing to do. */
static void balloon_reset(struct virtio_dev *dev)
{
	struct balloon *b = to_balloon(dev);

	b->stats_held = false;
	b->waiting = 0;
	memset(dev->config + offsetof(struct balloon_config, actual), 0, sizeof(le32_t));
	virtio_dev_gauge(dev, ACTUAL_BYTES, 0);
}

static void balloon_free(struct virtio_dev *dev)
{
	struct balloon *b = to_balloon(dev);

	loop_timer_del(b->retry);
	loop_timer_del(b->poll);
	virtio_dev_done(dev);
	free(b);
}

const struct virtio_dev_ops virtio_balloon_ops = {
	.name = "balloon",
	.id = VIRTIO_DEV_BALLOON,
	.queues = BALLOON_QUEUES,
	.queue_size_max = BALLOON_QUEUE_SIZE,
	.kicked_seldom = true,
	.notify = balloon_notify,
	.write_config = balloon_write_config,
	.reset = balloon_reset,
	.pause = balloon_pause,
	.save = balloon_save,
	.load = balloon_load,
	.counter_names = counter_names,
	.counters_count = COUNTERS,
	.free = balloon_free,
};

int virtio_balloon_set(struct virtio_dev *dev, uint64_t bytes)
{
	le32_t pages = le32_put((uint32_t)(bytes / BALLOON_PAGE));

	if (bytes % BALLOON_PAGE != 0)
		return -EINVAL;
	if (bytes > dev->gmem->bytes || bytes / BALLOON_PAGE > UINT32_MAX)
		return -ERANGE;
	pthread_mutex_lock(&dev->lock);
	memcpy(dev->config + offsetof(struct balloon_config, num_pages), &pages, sizeof(pages));
	virtio_dev_gauge(dev, TARGET_BYTES, bytes);
	virtio_dev_config_changed(dev);
	pthread_mutex_unlock(&dev->lock);
	return 0;
}

int virtio_balloon_new(struct gmem *gmem, const struct virtio_balloon_options *options,
		       struct virtio_dev **ret)
{
	const struct limits limits = { .bytes = { .rate = BALLOON_RATE, .burst = BALLOON_BURST } };
	struct balloon *b = calloc(1, sizeof(*b));
	int r;

	if (b == NULL)
		return -ENOMEM;
	r = virtio_dev_init(&b->dev, &virtio_balloon_ops, gmem, virtio_balloon_ops.queues);
	if (r < 0) {
		free(b);
		return r;
	}
	if (options->deflate_on_oom)
		b->dev.features |= UINT64_C(1) << VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
	if (options->free_page_reporting)
		b->dev.features |= UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING;
	if (options->statistics_ms != 0)
		b->dev.features |= UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ;
	b->poll_ms = options->statistics_ms;
	b->dev.config_size = sizeof(struct balloon_config);
	limiter_set(&b->limiter, &limits, now_ns());
	*ret = &b->dev;
	return 0;
}
