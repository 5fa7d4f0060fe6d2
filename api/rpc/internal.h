/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h - what the files of api/rpc share. Not for anybody else (but for the fuzz target,
 * which feeds bytes by rpc_conn_feed).
 *
 * Theory of operation
 *
 * Receiving: exactly a header, then exactly its payload is read, never more. A recvmsg on a unix
 * socket joins plain bytes with the bytes that descriptors came with, so with read-ahead one
 * could not tell which of two frames they belong to. Descriptors are accepted with the read that
 * starts a frame and refused anywhere else. A complete frame is taken out of the connection
 * before it is dispatched, so that a callback may run the loop.
 *
 * Sending: frames are encoded into one byte queue; descriptors wait beside it (duplicated) with
 * the stream position of their frame's first byte.
 *
 * Callbacks may do anything, also free the connection. Every function that calls one holds the
 * connection by conn_enter/conn_leave, and looks a stream up again by its id afterwards.
 * Failures found while sending never call back from inside the sender: they are left to the kick
 * timer, which runs in the next round of the loop.
 */
#ifndef API_RPC_INTERNAL_H
#define API_RPC_INTERNAL_H

#include "api/rpc/rpc.h"
#include "base/buf.h"

#define FRAME_HEADER_BYTES  10U
#define FRAME_REMOTE_CLOSED 0x1U
#define FRAME_REMOTE_OPEN   0x2U
#define FRAME_NO_DATA	    0x4U

/* Service name, method name, metadata and the field tags around a payload. */
#define FRAME_ENVELOPE_MAX 4096U
/* Sets of descriptors that may wait to be sent. */
#define FRAME_FDS_QUEUE_MAX 64U

enum frame_type { FRAME_REQUEST = 1, FRAME_RESPONSE = 2, FRAME_DATA = 3 };

struct frame_header {
	uint32_t len;
	uint32_t id;
	uint8_t type;
	uint8_t flags;
};

/* A received frame. */
struct frame {
	struct frame_header h;
	uint8_t *body; /* h.len bytes; NULL when 0 */
	int fds[FD_PASS_MAX];
	size_t nfds;
};

/* A frame that is being received. */
struct frame_rx {
	struct frame f;
	uint8_t head[FRAME_HEADER_BYTES];
	size_t head_got;
	size_t body_got;
};

/* Descriptors that wait to be sent with byte number `at`. */
struct frame_fds {
	struct frame_fds *next;
	uint64_t at;
	size_t count;
	int fds[FD_PASS_MAX];
};

struct frame_tx {
	struct buf out;
	uint64_t sent; /* bytes that have left the queue */
	struct frame_fds *first, *last;
	unsigned fds_queued;
};

struct rpc_call {
	struct rpc_call *next;
	struct rpc_conn
		*conn; /* NULL: the connection died or the deadline passed; nobody listens */
	const struct rpc_method *method;
	const struct rpc_call_ops *ops;
	void *arg;
	const struct rpc_wire_ops *wire; /* a foreign call's; conn is NULL then */
	void *wire_arg;
	struct loop_timer *deadline;
	uint32_t id;
	bool remote_closed; /* the client has sent its last message */
	bool cancelled;	    /* ops->cancelled is being called */
};

struct rpc_pending {
	struct rpc_pending *next;
	struct rpc_conn *conn;
	const struct rpc_method *method;
	struct rpc_pending_ops ops; /* done == NULL: it was called, the server's end is awaited */
	void *arg;
	struct loop_timer *deadline;
	uint32_t id;
	bool local_closed;
};

struct rpc_conn {
	struct loop *loop;
	struct loop_io *io; /* NULL: closed, or parked while paused (see on_hangup) */
	uint32_t events;    /* what io watches */
	int fd;
	struct rpc_conn_config cfg;
	struct frame_rx rx;
	struct frame_tx tx;

	struct rpc_call *calls;
	unsigned calls_count;
	uint32_t last_id;   /* highest stream id that the peer has used */
	uint64_t once_used; /* bit n: handler n has been called */

	struct rpc_pending *pending;
	unsigned pending_count;
	uint32_t next_id;

	struct loop_timer *kick;
	int error;	 /* found while sending; the kick closes with it */
	unsigned depth;	 /* callbacks under way */
	bool plain;	 /* not a socket: read and write, no descriptors */
	bool paused;	 /* by the owner */
	bool finishing;	 /* send what is queued, then close */
	bool write_dead; /* the peer takes no more; what it has sent is still read */
	bool congested;	 /* rpc_conn_writable() was false; drained is due */
	bool closed;
	bool freed; /* by the owner, while callbacks are under way */
};

/* ---- frame.c: bytes <-> frames, messages ---- */

void frame_header_put(uint8_t out[FRAME_HEADER_BYTES], const struct frame_header *h);
/* Pure. 0, or -EPROTO: length, type, id or flags that no peer may send. */
MUST_USE int frame_header_get(const uint8_t in[FRAME_HEADER_BYTES], struct frame_header *ret);
/* The flags of a request that starts a call of this kind. */
uint8_t frame_request_flags(enum rpc_kind kind);
/* Frees the body and closes what descriptors are left. */
void frame_done(struct frame *f);

/* Where the next bytes belong and how many (>= 1) are wanted: 0, -ENOMEM. */
MUST_USE int frame_rx_want(struct frame_rx *rx, uint8_t **ret, size_t *ret_len);
/* n of them have come: 1 = rx->f is complete, 0 = more is wanted, -EPROTO. */
MUST_USE int frame_rx_got(struct frame_rx *rx, size_t n);
/* Takes the complete frame out; rx is then ready for the next. */
void frame_rx_take(struct frame_rx *rx, struct frame *ret);
static inline bool frame_rx_idle(const struct frame_rx *rx)
{
	return rx->head_got == 0;
}

void frame_tx_init(struct frame_tx *tx);
void frame_tx_done(struct frame_tx *tx);
/* Queues one frame. msg may be NULL (no payload). fds are duplicated. All or nothing: 0, -ENOSPC
 * (queue full), -EMSGSIZE (msg > max), -ENOMEM, or the errno of dup. */
MUST_USE int frame_put(struct frame_tx *tx, uint32_t id, enum frame_type type, uint8_t flags,
		       const ProtobufCMessage *msg, size_t max, const int *fds, size_t nfds);
/* How many bytes from the head of the queue go in the next write, and what descriptors with them
 * (NULL = none). */
size_t frame_tx_next(const struct frame_tx *tx, const struct frame_fds **ret);
/* n of these have been written, the descriptors with the first. */
void frame_tx_sent(struct frame_tx *tx, size_t n);
/* For packing, which only reads: protobuf-c's type lacks the const. */
ProtobufCBinaryData frame_bytes(const void *data, size_t len);
/* The encoding of msg (malloc; NULL when empty): 0, -EMSGSIZE, -ENOMEM. */
MUST_USE int frame_pack(const ProtobufCMessage *msg, size_t max, uint8_t **ret, size_t *ret_len);

/* ---- status.c ---- */

void rpc_status_set(struct rpc_status *st, enum rpc_code code, const char *text, size_t len);
enum rpc_code rpc_code_from_wire(int32_t code);

/* ---- conn.c ---- */

void conn_enter(struct rpc_conn *c);
/* Frees the connection when the owner has asked for it and this was the last callback. */
void conn_leave(struct rpc_conn *c);
/* Is this entry of a contract's table well-formed? */
bool method_sane(const struct rpc_method *m);
/* May frames be queued? */
bool conn_can_send(const struct rpc_conn *c);
/* Frames have been queued: sends what the socket takes, watches for the rest. No callbacks. */
void conn_flush_soon(struct rpc_conn *c);
/* The connection can't go on: closes it with this error in the next round. */
void conn_fail_soon(struct rpc_conn *c, int error);
/* For the fuzzer: as if these bytes had come from the peer. Stops when the connection closes. */
void rpc_conn_feed(struct rpc_conn *c, const uint8_t *data, size_t len);

/* ---- serve.c and call.c: what a frame means. 0, or -errno: drop the connection. ---- */

MUST_USE int serve_request(struct rpc_conn *c, struct frame *f);
MUST_USE int serve_data(struct rpc_conn *c, const struct frame *f);
void serve_abort(struct rpc_conn *c);
/* Tells the calls that the connection takes more. */
void serve_drained(struct rpc_conn *c);
MUST_USE int call_response(struct rpc_conn *c, struct frame *f);
MUST_USE int call_data(struct rpc_conn *c, const struct frame *f);
void call_abort(struct rpc_conn *c, enum rpc_code code, const char *why);

#endif
