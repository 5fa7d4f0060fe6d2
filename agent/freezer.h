/* SPDX-License-Identifier: Apache-2.0 */
/*
 * freezer.h - lets the scratch disk stand still, with everything on it that was written: what is
 * kept of a sandbox whose memory isn't.
 *
 * Theory of operation. A file system that is frozen makes its writers wait, and the agent may be
 * one of them: then it could thaw nothing. So a child freezes it (which may take a while: all that
 * is dirty is written), says so, and thaws it when the agent closes its end of a socket, ends, or
 * FREEZER_HOLD_MS have passed. Root of the guest can kill that child, or thaw: it is his disk.
 *
 * Threads: the loop's.
 */
#ifndef AGENT_FREEZER_H
#define AGENT_FREEZER_H

#include "api/rpc/rpc.h"
#include "base/compiler.h"
#include "base/loop.h"

#define FREEZER_HOLD_MS 60000

struct freezer;

MUST_USE int freezer_new(struct loop *l, struct freezer **ret);
/* Thaws. NULL is fine. */
void freezer_free(struct freezer *f);
/* A directory of the file system, taken over; without one there is nothing to freeze. */
void freezer_set_disk(struct freezer *f, int fd);

/* Answers call (Freeze) when it is frozen, or why it isn't. */
void freezer_freeze(struct freezer *f, struct rpc_call *call);
/* No matter whether it is. */
void freezer_thaw(struct freezer *f);

#endif
