/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_link.h - casemated's own ttrpc connection to the agent of a running sandbox, for what it
 * does there on a tenant's order (builds). Everything that comes over it is hostile.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_GUEST_LINK_H
#define API_DAEMON_GUEST_LINK_H

#include "api/daemon/sandbox.h"
#include "api/rpc/rpc.h"
#include "base/compiler.h"
#include "base/loop.h"

struct guest_link;

struct guest_link_ops {
	void (*up)(struct rpc_conn *c, void *arg);
	/* rpc_conn_writable turned true again; NULL is fine. */
	void (*drained)(void *arg);
	/* It couldn't be made, or has ended; calls have been told before. why: for people. */
	void (*down)(const char *why, void *arg);
};

/* One of ops (static) is called later. 0; -ESTALE: the sandbox doesn't run; or -errno. */
MUST_USE int guest_link_open(struct loop *l, const struct sandbox *s,
			     const struct guest_link_ops *ops, void *arg, struct guest_link **ret);
/* Calls under way are told (RPC_CANCELLED), ops are not. Also from within ops and calls. NULL is
 * fine. */
void guest_link_free(struct guest_link *g);

#endif
