/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork.h - new sandboxes that go on where a running one is, processes and all.
 *
 *     jailer Reserve -> VMM Snapshot (live) -> for each child: jailer Restore -> as boot.c has it
 *
 * The parent stops only while the VMM takes what changed during its copying; one with a scratch
 * disk until each child has its copy of that, too, so that memory and disk are of one moment. A
 * child is a sandbox like any other, in a jail of its own, and gets an identity of its own before
 * anybody can reach it. Either all children run, or none is left and there is one reason.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_FORK_H
#define API_DAEMON_FORK_H

#include "api/daemon/sandbox.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

struct fork;

/*
 * Begins to make `count` (1 to SPEC_FORK_MAX) children of parent. done is called once, later,
 * unless fork_free comes first; lease: as sandbox_set_lease, for each child.
 * 0, or with err: -ESTALE: it doesn't run; -EALREADY: another fork of it is under way; -ENOTSUP:
 * what it has can't be forked; -EBUSY, -EDQUOT, -ENOMEM: one of the limits; -ENOTCONN: no jailer.
 */
MUST_USE int fork_begin(struct sandbox *parent, unsigned count, const void *lease,
			void (*done)(struct fork *f, void *arg), void *arg, struct fork **ret,
			struct err *err);
/* Children that don't all run yet are stopped. NULL is fine. Not from within done of another. */
void fork_free(struct fork *f);

/* After done: 0, or why it failed: an HTTP status, a code and a line. */
unsigned fork_fault(const struct fork *f, const char **ret_code, const char **ret_msg);
/* After success: the i-th child, as long as the loop doesn't go on; NULL beyond the last. */
struct sandbox *fork_child(const struct fork *f, unsigned i);
/* After success: appends {"sandboxes":[...],"parent_paused_ms":...}. As sandbox_put_json. */
MUST_USE int fork_put_json(const struct fork *f, struct buf *out);

#endif
