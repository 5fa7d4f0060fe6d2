/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_pool.h - the few threads on which all drives of the process do what may take long: reads
 * that miss the page cache, flushes, discards, and large copies side by side.
 *
 * Each drive has a lane in the pool: its requests that wait, those that a thread works on, and
 * those that are done. Lanes are served in turn, and one lane never holds all threads, so that a
 * drive whose storage hangs doesn't stop the others.
 *
 * Locks: the pool has its own; the drive's dev->lock may be held around every call, and is never
 * taken by the pool while it holds its own.
 */
#ifndef VMM_VIRTIO_BLK_POOL_H
#define VMM_VIRTIO_BLK_POOL_H

#include <pthread.h>
#include <stdbool.h>

#include "base/compiler.h"

/* Measured, in docs/ARCHITECTURE.md. A drive that is only read is an image: all sandboxes have it,
 * so it is in the page cache, and it has neither flushes nor discards. */
#define BLK_POOL_THREADS	8U
#define BLK_POOL_LANE_MAX	6U
#define BLK_POOL_LANE_READ_ONLY 2U

struct blk_request;

struct blk_list {
	struct blk_request *first, *last;
};
void blk_list_append(struct blk_list *l, struct blk_request *rq);
/* The first one, removed; NULL when there is none. */
struct blk_request *blk_list_take(struct blk_list *l);

struct blk_lane {
	/* set by the drive before blk_pool_join */
	void (*run)(struct blk_request *rq, void *arg); /* does it; no lock held */
	/* Something is done: blk_pool_take_done. No lock held; must not wait. */
	void (*reap)(void *arg);
	void *arg;
	unsigned threads_max; /* it has no more at a time; 1 to BLK_POOL_LANE_MAX */
	/* the pool's */
	struct blk_list pending, done;
	unsigned running;  /* requests that a thread works on, touching guest memory */
	unsigned visitors; /* threads between taking a request and the end of reap */
	bool cancelling;   /* atomic: what runs may stop early */
	pthread_cond_t idle;
	struct blk_lane *next;
};

/* Adds a lane, and starts as many threads as it may have, up to BLK_POOL_THREADS for all lanes;
 * virtio_set_thread_hook's function locks them down. Before the VM runs. 0 or -errno, and then no
 * lane has a thread any more. */
MUST_USE int blk_pool_join(struct blk_lane *lane);
/* Removes it, without its requests; the last one ends the threads. dev->lock not held. A lane that
 * never joined is fine. */
void blk_pool_leave(struct blk_lane *lane);

void blk_pool_submit(struct blk_lane *lane, struct blk_request *rq);
/* What is done; the caller has it now. */
struct blk_list blk_pool_take_done(struct blk_lane *lane);
/* Takes everything back, done or not, and waits (dev->lock may be held) for what runs, whose result
 * nobody learns. After it no thread touches guest memory for this lane. */
struct blk_list blk_pool_cancel(struct blk_lane *lane);
static inline bool blk_pool_cancelling(const struct blk_lane *lane)
{
	return __atomic_load_n(&lane->cancelling, __ATOMIC_RELAXED);
}

#endif
