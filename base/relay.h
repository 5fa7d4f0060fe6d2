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
/* Was b, not a, the first to end its direction? */
bool relay_ended_by_b(const struct relay *r);
/* Stops at once, without the callback. NULL is fine. */
void relay_free(struct relay *r);

#endif
