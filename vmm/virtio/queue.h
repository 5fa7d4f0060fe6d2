/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h - the device's side of a split virtqueue (virtio 1.2, section 2.7).
 *
 * All three areas lie in guest memory and the guest may change them at any moment. Each value is
 * fetched once into a local and checked there; indices that the device owns are kept here and
 * never read back. A negative result means that the guest broke the rules: the caller fails
 * the device (virtio_dev_fail) and uses the queue no more until it is reset.
 *
 * Not thread-safe: dev->lock serialises. No function allocates or loops beyond the queue's size.
 */
#ifndef VMM_VIRTIO_QUEUE_H
#define VMM_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "vmm/gmem.h"

#define VIRTQ_SIZE_MAX 256U /* descriptors in a queue, and segments in a chain */

struct virtq {
	struct gmem *gmem;
	/* written by the driver through the transport while !ready */
	gpa_t desc, avail, used;
	uint32_t size;
	uint16_t size_max; /* what the device offers */
	bool ready;	   /* areas checked; everything above is frozen */
	/* negotiated, fixed when the queue became ready */
	bool event_idx, indirect;
	/* owned by the device */
	uint16_t avail_next; /* the next entry of the available ring to be taken */
	uint16_t avail_seen; /* the driver's index when it was last fetched */
	uint16_t used_next;  /* the next entry of the used ring to be written */
	uint16_t used_told;  /* used_next at the last decision about an interrupt */
};

/* One piece of guest memory: RAM, or for what the device only reads, a file (gmem.h). */
struct virtq_seg {
	gpa_t addr;
	uint32_t len; /* > 0 */
};

/* A descriptor chain, copied: first what the device may read, then what it may write. */
struct virtq_chain {
	uint16_t head;
	unsigned nread, nwrite;
	uint64_t read_bytes, write_bytes;
	struct virtq_seg segs[VIRTQ_SIZE_MAX]; /* nread, then nwrite of them */
};

void virtq_init(struct virtq *q, struct gmem *m, uint16_t size_max);
/* Back to the state after virtq_init. */
void virtq_reset(struct virtq *q);
/* Checks size, alignment and the three areas, and freezes them: 0, -EINVAL, -EFAULT. */
MUST_USE int virtq_enable(struct virtq *q, bool event_idx, bool indirect);
/* The invariant, for tests and fuzzing. */
bool virtq_valid(const struct virtq *q);

/* Takes the next chain: 1 and *ret is filled, 0 when there is none (or the queue isn't ready),
 * -EBADMSG or -EFAULT. */
MUST_USE int virtq_pop(struct virtq *q, struct virtq_chain *ret);
/* Puts the chain that was popped last back: the next virtq_pop fetches it afresh. */
void virtq_unpop(struct virtq *q);
/* How many chains wait, as far as is known without fetching the index again. */
unsigned virtq_backlog(const struct virtq *q);
/* Looks for new chains without taking one: 1 = virtq_pop has one, 0, or negative as virtq_pop's. */
MUST_USE int virtq_poll(struct virtq *q);
/* Gives a chain back; `len` bytes at the start of its writable part were written. */
MUST_USE int virtq_push(struct virtq *q, uint16_t head, uint32_t len);
/* The same in two steps, for several chains that the driver must see at once: fill each, then
 * publish them all. */
MUST_USE int virtq_fill(struct virtq *q, uint16_t head, uint32_t len);
MUST_USE int virtq_publish(struct virtq *q);
/* Does the driver want an interrupt for what was pushed since the last call? 1, 0, -errno. */
MUST_USE int virtq_needs_irq(struct virtq *q);

/* Asks for no kicks (a hint), or for a kick with the next chain. virtq_enable_notify returns 1
 * when chains have arrived that no kick will tell of: go on popping. 0, -errno. */
MUST_USE int virtq_disable_notify(struct virtq *q);
MUST_USE int virtq_enable_notify(struct virtq *q);
/* For a driver that posts a buffer again when it is done with it: asks for a kick with the chain
 * that comes after all that have been posted, popped or not; *posted is where they end.
 * virtq_posted_past: 1 = there is one after that, 0, -errno. */
MUST_USE int virtq_notify_past(struct virtq *q, uint16_t *posted);
MUST_USE int virtq_posted_past(struct virtq *q, uint16_t posted);

/* Copies [off, off+len) of the readable part out, of the writable part in. -EBADMSG: too short. */
MUST_USE int virtq_chain_read(const struct virtq *q, const struct virtq_chain *c, uint64_t off,
			      void *dst, size_t len);
MUST_USE int virtq_chain_write(struct virtq *q, const struct virtq_chain *c, uint64_t off,
			       const void *src, size_t len);
/* Appends [off, off+len) of the readable or the writable part to iov, as gmem_iov. */
MUST_USE int virtq_chain_iov(const struct virtq *q, const struct virtq_chain *c, bool writable,
			     uint64_t off, uint64_t len, struct iovec *iov, size_t cap, size_t *n);

#endif
