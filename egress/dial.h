/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dial.h - makes a TCP connection to the first of some addresses that takes one, perhaps through a
 * SOCKS5 server. Decides nothing: the addresses were checked by the caller. The loop's thread.
 */
#ifndef EGRESS_DIAL_H
#define EGRESS_DIAL_H

#include "base/compiler.h"
#include "base/loop.h"
#include "egress/socks.h"

struct dial_plan {
	struct addr addrs[EGRESS_DIAL_MAX];
	size_t count;
	uint16_t port;
	const struct policy_proxy *proxy; /* NULL = the addresses are the target's own... */
	const char *name;     /* ...else they are the server's, and the target is this... */
	struct addr target;   /* ...or, if name is NULL, this, */
	uint16_t target_port; /* at this port */
};

struct dial;
/* fd: the connection, now the callee's; or -errno. The dial is gone. at: which of addrs. */
typedef void dial_fn(void *arg, int fd, size_t at);

/* plan->proxy must outlive the dial. Never calls fn itself. */
MUST_USE int dial_new(struct loop *l, const struct dial_plan *plan, dial_fn *fn, void *arg,
		      struct dial **ret);
/* Without a call of fn. NULL is fine. */
void dial_free(struct dial *d);

#endif
