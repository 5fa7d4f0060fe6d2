/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.h - is an address this host's own? The kernel's routes know: all that it would take in
 * itself (every address of every interface, loopback, local routes, broadcasts) has a route of
 * another type than one that leads away.
 *
 * Asked of the kernel each time (rtnetlink(7), RTM_GETROUTE): addresses come and go. A connected
 * datagram socket's own address would not do: of a network's second address the kernel's route says
 * that the first one is the source.
 */
#ifndef EGRESS_ROUTE_H
#define EGRESS_ROUTE_H

#include <stdbool.h>

#include "base/compiler.h"
#include "egress/addr.h"

/* The socket to ask by, of the network namespace of now; no system call but sendto and recvfrom is
 * made on it later. Or -errno. */
MUST_USE int route_open(void);

/* True also when it can't be told. False when the way leads elsewhere, or there is none. */
bool route_is_own(int sock, const struct addr *a);

#endif
