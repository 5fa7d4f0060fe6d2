/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc_fixture.h - a server and a client (or a raw descriptor) joined by a socketpair on one loop.
 * The contract is one of the real ones, borrowed: messages that are there anyway.
 */
#ifndef TESTS_UNIT_RPC_FIXTURE_H
#define TESTS_UNIT_RPC_FIXTURE_H

#include "api/rpc/internal.h"

#include <agent.pb-c.h>
#include <ttrpc.pb-c.h>

enum fx_method { FX_ECHO, FX_LATE, FX_READ, FX_WRITE, FX_TAKE_FD, FX_GIVE_FD, FX_ONCE, FX_COUNT };
extern const struct rpc_method fx_methods[FX_COUNT];

struct fx {
	struct loop *loop;
	struct rpc_conn *server, *client;
	int raw;			  /* when there is no client */
	int server_closed, client_closed; /* calls of closed */
	int server_reason, client_reason;
	uint32_t state; /* what the server's state() says; FX_LATE is legal in FX_STATE_OPEN */
	/* what the handlers saw */
	unsigned calls, cancelled, half_closed, data;
	uint64_t bytes;
	struct rpc_call *late; /* FX_LATE's last call */
	bool late_unwatched;   /* FX_LATE doesn't ask to be told of a cancellation */
	struct rpc_call *stream;
	uint64_t to_send; /* FX_READ: bytes still to be sent */
	uint64_t sent;
	unsigned stalls;
};
#define FX_STATE_OPEN	1U
#define FX_STATE_CLOSED 2U

/* What done got. */
struct fx_answer {
	unsigned count;
	struct rpc_status st;
	uint64_t value; /* of a HealthResponse or WriteFileResponse */
};
extern const struct rpc_pending_ops fx_answer_ops; /* arg: a struct fx_answer */

/* raw: the test speaks bytes itself, to a server. */
void fx_init(struct fx *f, bool raw);
void fx_done(struct fx *f);
/* The same over descriptors of the caller's choice; client < 0: none. */
void fx_init_on(struct fx *f, int server, int client);
/* A server for bytes from elsewhere: no closed, drained or state callbacks needed. */
struct rpc_conn *fx_server(struct fx *f, int fd);
/* Sends of FX_READ's stream what the connection takes; byte n is fx_byte(n). */
void fx_stream_more(struct fx *f);
static inline uint8_t fx_byte(uint64_t n)
{
	return (uint8_t)((uint32_t)n * 2654435761U >> 24);
}
/* Runs the loop until nothing happens for 20 ms. */
void fx_settle(struct fx *f);

/* Waits for a call of a method of HealthRequest and HealthResponse. */
int fx_call(struct fx *f, enum fx_method m, const int *fds, uint64_t timeout_ms,
	    struct rpc_status *st, uint64_t *ret_value, int *ret_fds);
/* Queues the frame of a request as a client would make it. msg need not be the method's own. */
int fx_request(struct frame_tx *tx, enum fx_method m, uint32_t id, uint8_t flags,
	       const ProtobufCMessage *msg);
/* How many descriptors this process has open. */
unsigned fx_fds_open(void);

#endif
