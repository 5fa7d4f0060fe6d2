/* SPDX-License-Identifier: Apache-2.0 */
/* bench_queue.c - notification suppression by event indexes (virtio 1.2, 2.7.7.2 and 2.7.10). */
#include "bench.h"

static volatile uint16_t *used_event(struct vq *q)
{
	return q->avail + 2 + VQ_SIZE;
}

static uint16_t avail_event(struct vq *q)
{
	return q->used[2 + VQ_SIZE * 4];
}

void bench_push(struct vq *q, uint16_t head)
{
	uint16_t idx = q->avail[1];

	q->avail[2 + idx % VQ_SIZE] = head;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	q->avail[1] = (uint16_t)(idx + 1);
}

void bench_kick_since(struct vdev *d, struct vq *q, uint16_t old)
{
	uint16_t now = q->avail[1];

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if ((uint16_t)(now - avail_event(q) - 1) < (uint16_t)(now - old))
		vq_kick(d, q);
}

uint16_t bench_wait(struct vdev *d, struct vq *q, uint32_t *len)
{
	uint16_t head;

	for (;;) {
		uint32_t seen = irq_count[d->irq];
		if (vq_used(q, &head, len))
			return head;
		*used_event(q) = q->last_used;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (!bench_pending(q))
			cpu_wait_irq(d->irq, seen);
	}
}
