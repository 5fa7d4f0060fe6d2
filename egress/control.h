/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - the control socket: SOCK_SEQPACKET, a JSON object in each message, one answer to
 * each.
 *
 *     {"policy": {...}}  -> {"ended": N}          the policy is in force, all of it, from now on;
 *                           with "certificate": "..." (PEM) where the guest is to trust it
 *     {"status": {}}     -> {"connections": N, "counters": {...}}
 *     anything else      -> {"error": "..."}      and nothing has changed
 *
 * With a policy may come one descriptor: the file with the authorities that this host believes. It
 * is read when a policy has headers for the first time. casemate-egress(8) describes the policy.
 * The peer's end ends the program. The loop's thread.
 */
#ifndef EGRESS_CONTROL_H
#define EGRESS_CONTROL_H

#include "base/compiler.h"
#include "egress/egress_fds.h"
#include "egress/proxy.h"

#define CONTROL_BYTES_MAX EGRESS_POLICY_MAX

struct control;

/* fd: not owned. When the peer has gone, the loop is stopped with 0. */
MUST_USE int control_new(struct egress *e, struct proxy *p, int fd, struct control **ret);
void control_free(struct control *c);

#endif
