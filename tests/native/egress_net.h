/* SPDX-License-Identifier: Apache-2.0 */
/*
 * egress_net.h - three network namespaces for tests of casemate-egress:
 *
 *     guest (every address is local, as in a jail)             host ---- veth ---- world
 *
 * The host has 5.5.5.1 and 2606::1, a second address in each of these networks, and a default route
 * to the world, which has servers' addresses. Made inside a user namespace of the test's own when
 * there is no root. Fails the test when it can't.
 */
#ifndef TESTS_NATIVE_EGRESS_NET_H
#define TESTS_NATIVE_EGRESS_NET_H

#include <stdint.h>

/* Of the host's. The kernel's route to it has the first one as its source. */
#define NET_HOST_SECOND "5.5.5.3"

enum net_place { NET_GUEST, NET_HOST, NET_WORLD, NET_COUNT };

struct net {
	int ns[NET_COUNT];
};

/* The calling process is in the host's namespace then. Skips the test without user namespaces. */
void net_make(struct net *n);
/* One more address of the world's. */
void net_world_address(const struct net *n, const char *address);
/* A socket of a place: bound to address:port and, if it is a stream, listening; or, with NULL,
 * not bound. */
int net_socket(const struct net *n, enum net_place place, int type, const char *address,
	       uint16_t port);
/* Non-blocking connect of the guest's to address:port, waited for: the socket, or -errno. */
int net_dial(const struct net *n, const char *address, uint16_t port);

#endif
