/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the event loop: epoll, timers and signals, one loop a thread.
 *
 * Level-triggered. A callback may remove any source, its own included, and may add sources;
 * a removed source's callback is never called again, even if its event was already fetched.
 * All functions belong to the loop's thread.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/compiler.h"

struct loop;
struct loop_io;
struct loop_timer;

typedef void loop_io_fn(struct loop_io *io, int fd, uint32_t events, void *arg);
typedef void loop_timer_fn(void *arg);
typedef void loop_signal_fn(int signo, void *arg);

MUST_USE int loop_new(struct loop **ret);
/* Also removes what is still registered; signals stay blocked. Not from a callback. NULL is fine.
 */
void loop_free(struct loop *l);

/* Watches fd (not owned) for EPOLLIN, EPOLLOUT...; events may be 0 for only HUP and ERR. */
MUST_USE int loop_io_add(struct loop *l, int fd, uint32_t events, loop_io_fn *fn, void *arg,
			 struct loop_io **ret);
MUST_USE int loop_io_set(struct loop_io *io, uint32_t events);
/* Before the fd is closed. NULL is fine. */
void loop_io_del(struct loop_io *io);

/* One shot, delay_ms from now or later, never earlier. The handle is gone once the callback has
 * been called. */
MUST_USE int loop_timer_add(struct loop *l, uint64_t delay_ms, loop_timer_fn *fn, void *arg,
			    struct loop_timer **ret);
void loop_timer_del(struct loop_timer *t);

/* Blocks the signal in the calling thread and delivers it through the loop (signalfd). */
MUST_USE int loop_signal_add(struct loop *l, int signo, loop_signal_fn *fn, void *arg);

/* Runs until loop_stop; returns what loop_stop was given, or -errno. */
int loop_run(struct loop *l);
/* One round: waits at most timeout_ms (-1 = for ever) for events and handles them. 0 or -errno. */
MUST_USE int loop_step(struct loop *l, int timeout_ms);
/* loop_run returns at the end of the round. */
void loop_stop(struct loop *l, int result);
/* Has loop_stop been called and not yet been honoured by loop_run? For callers of loop_step. */
bool loop_stopped(const struct loop *l);

#endif
