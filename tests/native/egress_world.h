/* SPDX-License-Identifier: Apache-2.0 */
/*
 * egress_world.h - servers of the world, each a thread:
 *
 * - a name server, from a table that a test may change;
 * - servers that answer an HTTP request with their address, a newline and the request's head, and
 *   anything else with their address and a newline, and then send back what they get;
 * - a SOCKS5 server that connects nowhere: it answers with "socks NAME:PORT" as such a server.
 */
#ifndef TESTS_NATIVE_EGRESS_WORLD_H
#define TESTS_NATIVE_EGRESS_WORLD_H

#include <stdatomic.h>
#include <stdint.h>

#include "tests/native/egress_net.h"

#define WORLD_DNS   "8.1.1.53"
#define WORLD_SOCKS "8.1.1.99"

struct world {
	struct net net;
	int dns_udp, dns_tcp, socks;
	atomic_uint questions;	  /* that have reached the name server */
	atomic_uint rebind_after; /* rebind.example is 10.9.9.9 from this question on */
	atomic_uint rebinds;
};

/* Makes the namespaces, the name server and the SOCKS5 server. Lives as long as the process. */
void world_make(struct world *w);
/* A server at this address and port; the address is added if it is new. */
void world_serve(struct world *w, const char *address, uint16_t port);

#endif
