/* SPDX-License-Identifier: Apache-2.0 */
/* net.h - the guest's end of its network (api/proto/guest_net.h). For PID 1, in the image's root.
 */
#ifndef AGENT_NET_H
#define AGENT_NET_H

#include "base/compiler.h"
#include "base/err.h"

/*
 * The loopback interface; and, when the machine has a network card, its address, the one route and
 * /etc/resolv.conf. What they are never changes, so it is done before the sandbox has an identity,
 * and what goes on from a snapshot has them. 0 or -errno.
 */
MUST_USE int net_open(struct err *err);

#endif
