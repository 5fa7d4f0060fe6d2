/* SPDX-License-Identifier: Apache-2.0 */
/* flow_internal.h - a flow's parts: for flow.c and flow_open.c only. */
#ifndef EGRESS_FLOW_INTERNAL_H
#define EGRESS_FLOW_INTERNAL_H

#include "base/buf.h"
#include "base/relay.h"
#include "egress/dial.h"
#include "egress/flow.h"
#include "egress/inspect.h"
#include "egress/intercept.h"
#include "egress/resolver.h"
#include "egress/sniff.h"

enum flow_state {
	FLOW_NEW,
	FLOW_SNIFF,  /* reads the first bytes */
	FLOW_OPEN,   /* looks names up, connects */
	FLOW_SECURE, /* is connected; the server has to show who it is */
	FLOW_RELAY,
	FLOW_BYE, /* has been told why; what it still sends is read and dropped */
};

struct flow {
	struct egress *egress;
	flow_ended_fn *ended;
	void *arg;
	enum flow_state state;
	int guest, upstream;
	struct loop_io *io; /* of guest, in SNIFF and BYE */
	struct loop_timer *timer;
	struct addr dialled; /* by the guest */
	uint16_t port;
	struct sniff sniff;
	struct buf first;
	/* OPEN */
	bool by_name;	/* the target is the name's, not the guest's choice */
	bool remote;	/* the SOCKS5 server resolves the name */
	bool for_proxy; /* the server's own name is being looked up */
	bool secure;	/* its TLS ends here, since its requests get headers */
	struct resolver_wait wait;
	struct dial_plan plan;
	struct dial *dial;
	/* SECURE and RELAY */
	struct addr target; /* unless remote */
	/* With it guest and upstream are its sockets, in RELAY. */
	struct intercept *intercept;
	/* RELAY */
	struct relay *relay;
	struct inspect inspect;
	uint64_t born_ms;
	uint64_t moved, moved_ms; /* bytes at the last tick that saw a change, and when */
};

/* flow_open.c: from what is known of the connection to flow_connected, flow_refuse or flow_fail. */
void flow_open(struct flow *f);
void flow_open_cancel(struct flow *f);

/* flow.c. upstream: the connection, now the flow's. */
void flow_connected(struct flow *f, int upstream);
/* Tells the guest, if it speaks HTTP or TLS, and ends. why: a word for the log. */
void flow_refuse(struct flow *f, enum count which, const char *why);
/* It is allowed, but there is no way. */
void flow_fail(struct flow *f, int error);

#endif
