/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - finished cells that lie ready, so that a request pays for a handful of system calls
 * instead of for a jail.
 *
 * Theory of operation. There is one pool of cells without a network interface and one of cells with
 * one. Each keeps as many as it was told and no more, and makes new ones, a few at a time and
 * outside of requests, after some have been taken. Who finds none waits in line for the next one
 * that is finished: that is how jails are made when there is no pool. What could not be made is
 * told to who waits first; with nobody waiting the pool tries again later, and later each time.
 *
 * Only cells that never held a virtual machine are in it: there is no way to give one back.
 */
#ifndef JAILER_POOL_H
#define JAILER_POOL_H

#include "base/compiler.h"
#include "jailer/cell.h"

struct pool {
	struct cells *cells;
	bool nic;
	unsigned want;
	struct cell *ready; /* list */
	unsigned ready_count;
	struct cell *preparing; /* list */
	unsigned preparing_count;
	struct pool_waiter *first, **last;
	unsigned waiters_count;
	struct loop_timer *refill;
	unsigned failures; /* in a row */
	bool closing;
};

/* Who waits for a cell; owned by the caller until one of the two is called. */
struct pool_waiter {
	struct pool_waiter *next;
	/* The cell is READY and the waiter's: cell_give or cell_drop it. */
	void (*got)(struct pool_waiter *w, struct cell *c);
	void (*none)(struct pool_waiter *w, const struct err *why);
};

/* Begins to fill. */
void pool_init(struct pool *p, struct cells *cs, bool nic, unsigned want);
/* Drops what is ready; makes no more. Waiters get an error. */
void pool_close(struct pool *p);

/* w->got or w->none follows: before this returns, when a cell lies ready. */
void pool_get(struct pool *p, struct pool_waiter *w);
/* w no longer waits; it must. */
void pool_unget(struct pool *p, struct pool_waiter *w);

#endif
