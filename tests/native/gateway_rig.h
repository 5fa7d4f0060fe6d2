/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_rig.h - the gateway of a jail's network in a namespace of its own, and in another one a
 * "guest", whose tap's frames a thread carries over: ordinary sockets say what a guest reaches. The
 * calling thread stays in the guest's namespace.
 */
#ifndef TESTS_NATIVE_GATEWAY_RIG_H
#define TESTS_NATIVE_GATEWAY_RIG_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "jailer/gateway.h"

/* How long something that must not arrive is waited for. What must has WAIT_MS. */
#define SILENT_MS 150
#define WAIT_MS	  5000

struct link {
	struct gateway gw;
	int jail_ns, guest_ns;
	int jail_tap, guest_tap;
	int stop[2];
	pthread_t carrier;
};

/* Skips the test where there may be no network namespaces. */
void link_open(struct link *l);
void link_close(struct link *l);
void link_enter(int ns);

struct sockaddr_in link_address(const char *text, uint16_t port);
bool link_readable(int fd, int ms);
/* The guest connects from `source` (NULL = its own address): the connection, which may be under
 * way. */
int link_dial(const char *source, const char *to, uint16_t port);
/* How a connection that was under way has ended: 0 = it is there. */
int link_outcome(int s);
/* A connection to `to` comes out at `listener`, which knows what it was for; bytes go both ways. */
void link_expect_accepted(int listener, const char *to, uint16_t port);

#endif
