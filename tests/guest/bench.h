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
/* Memory that holds nothing else; the host has backed it. */
#define BENCH_MEM	0x4000000UL
#define BENCH_MEM_BYTES (32UL << 20)

void bench_emit(const char *name, unsigned count);

/* bench_blk.c: the drive that the others use too; false = none. */
bool bench_blk_open(void);
/* A write to QueueNotify with nothing in the queue: an ioeventfd and no more. */
void bench_blk_kick(void);
void bench_blk(void);

#endif
