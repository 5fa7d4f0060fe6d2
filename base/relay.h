/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - joins two stream sockets: bytes both ways, never looked at.
 *
 * Each direction has a buffer of RELAY_BUF_BYTES; a full one stops reading from its source, so a
 * slow reader holds its writer back. The end of one direction is passed on by shutdown(2) after
 * the bytes before it; the other direction goes on. The relay ends when both directions have.
 *
 * Threads: the loop's.
 */
#ifndef BASE_RELAY_H
#define BASE_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/loop.h"

#define RELAY_BUF_BYTES (64U * 1024U)

struct buf;
struct relay;

/* Both directions have ended. Must call relay_free, now or later; closes no descriptor. */
typedef void relay_ended_fn(struct relay *r, void *arg);

/*
 * Starts to relay between fds a and b (stream sockets, made non-blocking, not owned). `first`
 * (at most RELAY_BUF_BYTES) goes to b before anything that is read from a.
 * ended is called from the loop, never from relay_new.
 */
MUST_USE int relay_new(struct loop *l, int a, int b, const void *first, size_t first_len,
		       relay_ended_fn *ended, void *arg, struct relay **ret);
/*
 * What is read from a goes through fn before it goes to b. fn takes bytes from the front of `in`
 * and puts what b is to get at the end of `out`, whose ceiling is RELAY_BUF_BYTES as that of `in`;
 * it is called again when more has come or gone. Bytes that it leaves in `in` when a has ended and
 * `out` is empty are dropped. A negative answer ends the direction: what lies in `out` is still
 * sent.
 */
typedef int relay_filter_fn(void *arg, struct buf *in, struct buf *out);
/* Before the loop runs again after relay_new: `first` goes through it, too. */
void relay_set_filter(struct relay *r, relay_filter_fn *fn, void *arg);
/* Bytes that have been passed on since the start: to b, or to a. */
uint64_t relay_moved(const struct relay *r, bool to_b);
/* Was b, not a, the first to end its direction? */
bool relay_ended_by_b(const struct relay *r);
/* Stops at once, without the callback. NULL is fine. */
void relay_free(struct relay *r);

#endif
