/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_internal.h - private to the drive's files:
 *
 *     blk.c          the device: configuration, life, what the control thread may change
 *     blk_queue.c    chains become requests, are served or given to the pool, and are given back
 *     blk_request.c  what a request asks for, and doing it
 *     blk_pool.c     the threads for what may take long
 */
#ifndef VMM_VIRTIO_BLK_INTERNAL_H
#define VMM_VIRTIO_BLK_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "vmm/virtio/blk_pace.h"
#include "vmm/virtio/blk_pool.h"
#include "vmm/virtio/limiter.h"
#include "vmm/virtio/queue.h"
#include "vmm/virtio/virtio.h"

#define BLK_QUEUE_SIZE 256U
#define BLK_SECTOR     512U
/* A request with all its segments, header and status fills a queue without indirect tables. */
#define BLK_SEG_MAX	  (BLK_QUEUE_SIZE - 2U)
#define BLK_SEG_BYTES_MAX (64U * 1024U)
#define BLK_REQUEST_MAX	  ((uint64_t)BLK_SEG_MAX * BLK_SEG_BYTES_MAX)
/* Of a discard or write-zeroes request. */
#define BLK_RANGES_MAX	    16U
#define BLK_DISCARD_SECTORS (1024U * 1024U * 1024U / BLK_SECTOR)
#define BLK_ZEROES_SECTORS  (64U * 1024U * 1024U / BLK_SECTOR)
#define BLK_ALIGN_SECTORS   (4096U / BLK_SECTOR) /* file systems' blocks */
#define BLK_SERIAL_BYTES    20U
/* Requests that are in the pool or on their way; what is beyond waits in its queue. */
#define BLK_REQUESTS_MAX 32U

enum blk_counter {
	BLK_READS,
	BLK_READ_BYTES,
	BLK_WRITES,
	BLK_WRITE_BYTES,
	BLK_FLUSHES,
	BLK_DISCARDS,
	BLK_WRITE_ZEROES,
	BLK_FAILED,    /* requests that were answered with an error */
	BLK_THROTTLED, /* times that a queue had to wait for the limits */
	BLK_POOLED,    /* requests that a thread of the pool has served */
	BLK_POLLED,    /* times that new requests were there before the drive's thread slept */
	BLK_COUNTER_COUNT
};

/* What is behind a drive. */
struct blk_file {
	int fd;
	bool read_only;
	bool write_through; /* the driver has no flush: each write is durable */
	uint64_t bytes;	    /* capacity, a multiple of BLK_SECTOR */
	/* Does the file system know RWF_NOWAIT? Found out by asking. Serving thread only. */
	bool no_nowait[2]; /* reads, writes */
	struct blk_pace pace[2];
	bool flush_failed; /* atomic */
};

struct blk_range {
	uint64_t offset, bytes;
	bool unmap;
};

struct blk_request {
	struct blk_request *next; /* in the list that it is in */
	unsigned generation;	  /* struct blk's when it was popped */
	uint32_t type;
	uint16_t queue, head;
	uint8_t status;	   /* for the guest */
	gpa_t status_at;   /* its place in guest memory */
	uint32_t in_room;  /* bytes of the chain before the status that the device may write */
	uint32_t in_done;  /* of which are written, counted from the start */
	uint32_t out_done; /* bytes written to the file */
	/* read, write */
	uint64_t offset, bytes; /* what is left; of the file */
	size_t iov_first, iov_count;
	struct iovec iov[VIRTQ_SIZE_MAX];
	/* discard, write-zeroes */
	unsigned ranges_count;
	struct blk_range ranges[BLK_RANGES_MAX];
};

struct blk {
	struct virtio_dev dev;
	struct blk_file file;
	uint8_t serial[BLK_SERIAL_BYTES];
	/* with dev->lock */
	unsigned generation; /* one more with each reset */
	struct blk_request
		*free; /* of the first `used` of requests; the others were never touched */
	unsigned used;
	unsigned waiting;	/* bit q: queue q is to be looked at when there is room or time */
	bool throttled;		/* until the timer */
	unsigned pooled;	/* requests that the pool has */
	pthread_cond_t drained; /* pooled is 0 */
	struct limiter limiter;
	bool limited;
	int timer_fd;
	struct virtq_chain chain; /* of the request that is being parsed */
	bool polling;		  /* the last wait for more was worth it */
	uint64_t idle_ns;	  /* since when nothing was left to do */
	struct blk_lane lane;
	int post_fd; /* there is something for the drive's thread: below, or the pool is done */
	/* posted by the control thread, which must not wait for dev->lock: a reset may hold it for
	 * as long as the storage hangs */
	pthread_mutex_t post_lock;
	bool post_limits, post_resize;
	struct limits posted_limits;
	uint64_t posted_bytes;
	struct loop_io *timer_io, *post_io;
	struct blk_request requests[BLK_REQUESTS_MAX];
};

static inline struct blk *to_blk(struct virtio_dev *dev)
{
	return CONTAINER_OF(dev, struct blk, dev);
}

/* ---- blk_request.c ---------------------------------------------------------------------------
 */

/*
 * Fills *rq from a chain of dev->queues[rq->queue] (head and queue are set): 0 when it is to be
 * done, 1 when rq->status already says all (refused, or answered from memory). Negative: not even
 * a header and a status fit, there is nobody to tell.
 */
MUST_USE int blk_request_parse(struct blk *b, const struct virtq_chain *c, struct blk_request *rq);
/* What the limits count. */
uint64_t blk_request_cost(const struct blk_request *rq);
/* Does what can be done without waiting (or as good as): true when rq->status is final. Serving
 * thread, dev->lock held. */
MUST_USE bool blk_request_try(struct blk *b, struct blk_request *rq);
/* Does the rest, however long it takes; rq->status is final. Any thread, no lock. */
void blk_request_run(struct blk_request *rq, void *blk);

/* ---- blk_queue.c -----------------------------------------------------------------------------
 */

int blk_queue_notify(struct virtio_dev *dev, unsigned q);
/* Gives back what the pool has done. Negative: the guest broke the rules. dev->lock held. */
MUST_USE int blk_queue_reap(struct blk *b);
void blk_request_free(struct blk *b, struct blk_request *rq);
/* Looks at the queues in b->waiting again. dev->lock held. */
void blk_queue_kick_waiting(struct blk *b);

#endif
