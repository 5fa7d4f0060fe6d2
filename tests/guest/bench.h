/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.h - the guest's side of ./dev bench vmm. A measurement is an array of counter differences;
 * bench_emit prints it in nanoseconds as one console line, `s NAME NS NS ...`, which
 * tests/bench/vmm_rows.c knows by NAME.
 */
#ifndef TESTS_GUEST_BENCH_H
#define TESTS_GUEST_BENCH_H

#include "guest.h"

/* Scratch for one measurement at a time. */
#define BENCH_SAMPLES_MAX 4096U
extern uint32_t bench_cycles[BENCH_SAMPLES_MAX];
/* Memory that holds nothing else. */
#define BENCH_MEM	0x4000000UL
#define BENCH_MEM_BYTES (32UL << 20)

/* Touches each page of BENCH_MEM, so that the host backs it before anything is measured. */
void bench_touch(void);
void bench_emit(const char *name, unsigned count);

/* bench_queue.c: EVENT_IDX in both directions, as Linux uses it. */
#define BENCH_F_EVENT_IDX (1ULL << 29)
#define DESC_NEXT	  1U
#define DESC_WRITE	  2U
#define DESC_INDIRECT	  4U
/* Makes one descriptor, already filled, available. */
void bench_push(struct vq *q, uint16_t head);
/* Tells the device, if it asked to be told of what was added since avail's index was `old`. */
void bench_kick_since(struct vdev *d, struct vq *q, uint16_t old);
/* The head of a used chain; asleep until there is one. */
uint16_t bench_wait(struct vdev *d, struct vq *q, uint32_t *len);
static inline bool bench_pending(const struct vq *q)
{
	return q->used[1] != q->last_used;
}

/* bench_blk.c: the drive that the others use too; false = none. */
bool bench_blk_open(void);
/* A write to QueueNotify with nothing in the queue: an ioeventfd and no more. */
void bench_blk_kick(void);
void bench_blk(void);

void bench_net(void);	/* bench_net.c */
void bench_vsock(void); /* bench_vsock.c */

#endif
