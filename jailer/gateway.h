/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway.h - the host's end of a sandbox's network: where everything that the guest sends ends.
 *
 * Theory of operation. A jail's network namespace has a tap and nothing else: no second interface,
 * no route to one, no forwarding, no address translation, no packet filter. All IPv4 addresses are
 * local in it ("local default"), so a connection that the guest opens to any of them arrives in
 * this namespace's own TCP; a BPF program (sk_lookup) gives it to one listening socket, whatever
 * address and port it was for. Who holds that socket learns both by getsockname, and decides
 * (egress/). Default deny is therefore what it was without a gateway: nothing is connected. There
 * is no state of connections but that of the sockets, and it goes with the namespace.
 *
 * What else arrives is for nobody: UDP but to the resolver, ICMP (the kernel would answer an echo
 * in the name of the whole Internet: told not to), fragments (dropped before they are stored),
 * IPv6 (off). The source address must be the guest's, which has the one route back (rp_filter);
 * its neighbour entry is fixed, so a guest's frames make no entries in the host's table, which
 * all namespaces share.
 *
 * A process with CAP_NET_ADMIN and CAP_SYS_ADMIN over the namespace, which is its current one and
 * new. All of these: 0 or -errno.
 */
#ifndef JAILER_GATEWAY_H
#define JAILER_GATEWAY_H

#include "base/compiler.h"

/* The caller's; all close-on-exec and the sockets non-blocking; -1 = none. */
struct gateway {
	int tcp;     /* listens for everything */
	int dns_udp; /* port 53 of the gateway */
	int dns_tcp; /* the same, listens */
	int steer;   /* the program's link: closing it ends the rest of it */
};

/* Settings of the namespace, before its tap is made: an interface has what they are at its birth,
 * and they are the host's at the namespace's. */
MUST_USE int gateway_harden(void);
/* Addresses, routes, sockets. The tap is there and up. */
MUST_USE int gateway_open(const char *tap, struct gateway *ret);
void gateway_close(struct gateway *g);

#endif
