/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_way.h - a server, and two ways to it, for ./dev bench net:
 *
 *     guest's namespace: every address is local, as in a jail ── casemate-egress ──┐
 *     host's namespace:  the peer's client, directly ──────────────────────────────┴── server
 *
 * All of it in network namespaces of its own, over loopback devices: so what is measured is what
 * the program adds. The server ends with the benchmark. What can't be done ends it. One thread.
 */
#ifndef TESTS_BENCH_NET_WAY_H
#define TESTS_BENCH_NET_WAY_H

#include <stdint.h>

enum way { WAY_EGRESS, WAY_DIRECT, WAY_COUNT };

enum service {
	SERVICE_ECHO,	/* what it gets */
	SERVICE_SINK,	/* a byte when the client has ended its direction */
	SERVICE_SOURCE, /* NET_BULK_BYTES */
	SERVICE_COUNT
};

#define NET_BULK_BYTES (64U << 20)

/* program: casemate-egress. Enters the host's namespace, for good. */
void way_set_up(const char *program);
/* A connection to a service: the descriptor. */
int way_dial(enum way way, enum service service);
/* A policy to casemate-egress, and its answer. */
void way_policy(const char *policy);

#endif
