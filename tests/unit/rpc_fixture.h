/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc_fixture.h - a server and a client (or a raw descriptor) joined by a socketpair on one loop.
 * The contract is one of the real ones, borrowed: messages that are there anyway.
 */
#ifndef TESTS_UNIT_RPC_FIXTURE_H
#define TESTS_UNIT_RPC_FIXTURE_H

#include "api/rpc/rpc.h"

#include <agent.pb-c.h>

enum fx_method { FX_ECHO, FX_LATE, FX_READ, FX_WRITE, FX_TAKE_FD, FX_GIVE_FD, FX_COUNT };
extern const struct rpc_method fx_methods[FX_COUNT];

struct fx {
	struct loop *loop;
	struct rpc_conn *server, *client;
	int raw; /* when there is no client */
	int server_closed, client_closed; /* calls of closed */
	int server_reason, client_reason;
	uint32_t state;
	/* what the handlers saw */
	unsigned calls, cancelled, half_closed, data;
	uint64_t bytes;
	struct rpc_call *late; /* FX_LATE's call */
	struct rpc_call *stream;
	uint64_t to_send;      /* FX_READ: bytes still to be sent */
	uint64_t sent;
	unsigned stalls;
};

/* raw: the test speaks bytes itself, to a server. */
void fx_init(struct fx *f, bool raw);
void fx_done(struct fx *f);
/* Sends of FX_READ's stream what the connection takes; byte n is fx_byte(n). */
void fx_stream_more(struct fx *f);
static inline uint8_t fx_byte(uint64_t n) { return (uint8_t)((uint32_t)n * 2654435761U >> 24); }
/* Runs the loop until nothing happens for 20 ms. */
void fx_settle(struct fx *f);

#endif
