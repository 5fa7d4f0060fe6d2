/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.h - one connection of the guest, from its acceptance to its end. The loop's thread.
 *
 * Where the policy needs a name, the first bytes are read, within EGRESS_SNIFF_MS. A connection to
 * a name that the policy has goes to an address that our resolver gave and that was checked, never
 * to the one that the guest dialled. Any other connection goes to the dialled address, if the
 * policy allows that address by itself.
 */
#ifndef EGRESS_FLOW_H
#define EGRESS_FLOW_H

#include "base/compiler.h"
#include "egress/egress.h"

struct flow;
/* The flow is gone. Never called from flow_new. */
typedef void flow_ended_fn(struct flow *f, void *arg);

/* fd: accepted, non-blocking; the flow's from now on, also on failure. */
MUST_USE int flow_new(struct egress *e, int fd, flow_ended_fn *ended, void *arg, struct flow **ret);
/* Resets it, without a call of ended. NULL is fine. */
void flow_free(struct flow *f);
/* e->policy is another one now. Ends the flow if it would not be allowed any more; one that is
 * still being decided about is decided about anew. */
void flow_policy_changed(struct flow *f, const struct policy *old);

#endif
