/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: one thread, the drive's own, takes chains from all of its queues. A request
 * that needs no waiting is done there and then; the others go to the pool, whose threads give them
 * back themselves. Everything about queues happens with dev->lock held; the pool's threads do I/O
 * without it.
 *
 * A queue stops being looked at when the drive's limits are used up or all requests are in use. It
 * then asks for no kicks, stands in b->waiting, and is kicked by the timer or by the next request
 * that is given back.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <sys/timerfd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/num.h"
#include "vmm/virtio/blk_internal.h"

/* Used buffers are announced at the end of a round, or earlier when the disk is that slow. */
#define ANNOUNCE_NS UINT64_C(100000)

/* So long it looks for more, and so soon it must have been woken to begin with it. */
#define POLL_NS	  UINT64_C(30000)
#define POLL_SPIN 32U /* looks between two looks at the clock */

static struct blk_request *request_new(struct blk *b)
{
	struct blk_request *rq = b->free;

	if (rq != NULL)
		b->free = rq->next;
	else if (b->used < BLK_REQUESTS_MAX)
		rq = &b->requests[b->used++];
	return rq;
}

void blk_request_free(struct blk *b, struct blk_request *rq)
{
	rq->next = b->free;
	b->free = rq;
}

static void count(struct blk *b, const struct blk_request *rq)
{
	if (rq->status != VIRTIO_BLK_S_OK) {
		virtio_dev_count(&b->dev, BLK_FAILED, 1);
		return;
	}
	switch (rq->type) {
	case VIRTIO_BLK_T_IN:
		virtio_dev_count(&b->dev, BLK_READS, 1);
		virtio_dev_count(&b->dev, BLK_READ_BYTES, rq->in_done);
		break;
	case VIRTIO_BLK_T_OUT:
		virtio_dev_count(&b->dev, BLK_WRITES, 1);
		virtio_dev_count(&b->dev, BLK_WRITE_BYTES, rq->out_done);
		break;
	case VIRTIO_BLK_T_FLUSH:
		virtio_dev_count(&b->dev, BLK_FLUSHES, 1);
		break;
	case VIRTIO_BLK_T_DISCARD:
		virtio_dev_count(&b->dev, BLK_DISCARDS, 1);
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		virtio_dev_count(&b->dev, BLK_WRITE_ZEROES, 1);
		break;
	default:
		break;
	}
}

/* Gives a request back to the driver: 0, or negative when the guest broke the rules. */
static int complete(struct blk *b, struct blk_request *rq)
{
	/* A reset waits for what is in the pool, and takes it back (blk_reset). */
	BUG_ON(rq->generation != b->generation);
	int r = gmem_write(b->dev.gmem, rq->status_at, &rq->status, sizeof(rq->status));

	if (r < 0)
		return r;
	count(b, rq);
	/* The length counts from the start of the writable part and must not claim bytes that
	 * were never written, so the status is only included when all before it was filled. */
	return virtq_push(&b->dev.queues[rq->queue], rq->head,
			  rq->in_done + (rq->in_done == rq->in_room));
}

static void arm_timer(const struct blk *b, uint64_t wait_ns)
{
	const struct itimerspec t = { .it_value = {
					      .tv_sec = (time_t)(wait_ns / UINT64_C(1000000000)),
					      .tv_nsec = (long)(wait_ns % UINT64_C(1000000000)),
				      } };

	BUG_ON(timerfd_settime(b->timer_fd, 0, &t, NULL) < 0);
}

/* May it start now? If not, the timer is set for when it may. */
static bool admit(struct blk *b, const struct blk_request *rq)
{
	uint64_t wait_ns;

	if (!b->limited || limiter_take(&b->limiter, blk_request_cost(rq), now_ns(), &wait_ns))
		return true;
	virtio_dev_count(&b->dev, BLK_THROTTLED, 1);
	b->throttled = true;
	arm_timer(b, wait_ns);
	return false;
}

/* Starts what has been parsed; r is blk_request_parse's. 0, or negative: it broke the rules. */
static int start(struct blk *b, struct blk_request *rq, int r)
{
	if (r == 0 && !blk_request_try(b, rq)) {
		virtio_dev_count(&b->dev, BLK_POOLED, 1);
		b->pooled++;
		blk_pool_submit(&b->lane, rq);
		return 0;
	}
	r = complete(b, rq);
	blk_request_free(b, rq);
	return r;
}

/* Serves the next chain: 1; 0 when none waits; -EAGAIN when it has to wait (the queue is then in
 * b->waiting); else negative: the guest broke the rules. */
static int serve_next(struct blk *b, unsigned qi)
{
	struct virtq *q = &b->dev.queues[qi];
	struct blk_request *rq = b->throttled ? NULL : request_new(b);
	int r;

	if (rq == NULL) {
		b->waiting |= 1U << qi;
		return -EAGAIN;
	}
	r = virtq_pop(q, &b->chain);
	if (r > 0) {
		rq->generation = b->generation;
		rq->queue = (uint16_t)qi;
		rq->head = b->chain.head;
		r = blk_request_parse(b, &b->chain, rq);
		if (r >= 0 && !admit(b, rq)) {
			virtq_unpop(q);
			b->waiting |= 1U << qi;
			r = -EAGAIN;
		} else if (r >= 0) {
			r = start(b, rq, r);
			return r < 0 ? r : 1;
		}
	}
	blk_request_free(b, rq);
	return r;
}

/* A round over one queue, results as serve_next's; 1 also when it has to be cut short. */
static int serve_round(struct blk *b, unsigned qi, unsigned *budget)
{
	struct virtq *q = &b->dev.queues[qi];
	uint64_t announced = now_ns();
	int r = 1;

	while (r > 0 && *budget > 0 && !virtio_dev_wanted(&b->dev)) {
		r = serve_next(b, qi);
		if (r <= 0)
			break;
		(*budget)--;
		if (now_ns() - announced > ANNOUNCE_NS) {
			int rc = virtio_dev_notify_used(&b->dev, q);
			if (rc == 0)
				rc = blk_queue_reap(b);
			if (rc < 0)
				return rc;
			announced = now_ns();
		}
	}
	return r;
}

/* Waits a moment for more requests: 1 = they are there; 0; negative: the guest broke the rules. */
static int wait_for_more(struct blk *b, struct virtq *q)
{
	uint64_t end = now_ns() + POLL_NS;
	int r = 0;

	if (!b->polling || b->pooled > 0 || b->dev.queues_count > 1)
		return 0;
	do {
		for (unsigned i = 0; i < POLL_SPIN && r == 0; i++) {
			r = virtq_poll(q);
			__builtin_ia32_pause();
		}
	} while (r == 0 && !virtio_dev_wanted(&b->dev) && now_ns() < end);
	b->polling = r > 0;
	if (r > 0)
		virtio_dev_count(&b->dev, BLK_POLLED, 1);
	return r;
}

int blk_queue_notify(struct virtio_dev *dev, unsigned qi)
{
	struct virtq *q = &dev->queues[qi];
	struct blk *b = to_blk(dev);
	unsigned budget = q->size;
	int r, rc;

	b->polling = b->polling || now_ns() - b->idle_ns < POLL_NS;
	do {
		r = virtq_disable_notify(q);
		if (r < 0)
			return r;
		r = serve_round(b, qi, &budget);
		rc = virtio_dev_notify_used(dev, q);
		if (rc < 0)
			return rc;
		if (r == 0)
			r = wait_for_more(b, q);
		if (r == 0)
			r = virtq_enable_notify(q);
	} while (r > 0 && budget > 0 && !virtio_dev_wanted(dev));
	b->idle_ns = now_ns();
	if (r > 0)
		virtio_dev_kick(dev, qi);
	return r < 0 && r != -EAGAIN ? r : 0;
}

void blk_queue_kick_waiting(struct blk *b)
{
	for (unsigned q = 0; q < b->dev.queues_count; q++)
		if ((b->waiting >> q & 1U) != 0)
			virtio_dev_kick(&b->dev, q);
	b->waiting = 0;
}

int blk_queue_reap(struct blk *b)
{
	struct blk_list done = blk_pool_take_done(&b->lane);
	struct blk_request *rq;
	unsigned touched = 0;
	int r = 0;

	while ((rq = blk_list_take(&done)) != NULL) {
		touched |= 1U << rq->queue;
		b->pooled--;
		if (r == 0)
			r = complete(b, rq);
		blk_request_free(b, rq);
	}
	if (touched != 0 && b->pooled == 0)
		pthread_cond_broadcast(&b->drained);
	for (unsigned q = 0; q < b->dev.queues_count && r == 0; q++)
		if ((touched >> q & 1U) != 0)
			r = virtio_dev_notify_used(&b->dev, &b->dev.queues[q]);
	if (touched != 0 && !b->throttled)
		blk_queue_kick_waiting(b);
	return r;
}
