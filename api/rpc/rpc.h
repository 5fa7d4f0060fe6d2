/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc.h - ttrpc (client and server) over any stream descriptor, on a struct loop.
 *
 * Wire: the containerd project's ttrpc, version with streams: frames of a 10-byte header (u32 BE
 * payload length, u32 BE stream id, u8 type, u8 flags) and a protobuf payload. docs/PROTOCOL.md
 * has the byte table. Beyond it, a request or response may carry descriptors (SCM_RIGHTS, sent
 * with the frame's first byte) when its method says so.
 *
 * Limits: a payload is at most RPC_PAYLOAD_MAX; a connection has at most RPC_STREAMS_MAX streams
 * open; at most RPC_OUT_MAX bytes wait to be sent (a stream sender must stop when
 * rpc_conn_writable() is false and go on at the `drained` callback; unary replies always fit or
 * the connection is dropped). A peer that breaks framing, sends an unknown frame type, a stream
 * id out of order, or descriptors that the method doesn't carry is dropped. An unknown method or
 * one that is illegal in the current state gets an error response.
 *
 * Over a pipe (no socket) the process must ignore SIGPIPE.
 *
 * Threads: a connection belongs to its loop's thread. Callbacks may close the connection.
 */
#ifndef API_RPC_RPC_H
#define API_RPC_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "base/loop.h"

#define RPC_PAYLOAD_MAX (4U * 1024U * 1024U)
#define RPC_STREAMS_MAX 256U
#define RPC_OUT_MAX	(8U * 1024U * 1024U)
#define RPC_OUT_HIGH	(256U * 1024U) /* rpc_conn_writable() is false above this */
#define RPC_STATUS_MAX	256U

/* google.rpc.Code, as ttrpc's Status carries it. */
enum rpc_code {
	RPC_OK = 0,
	RPC_CANCELLED = 1,
	RPC_UNKNOWN = 2,
	RPC_INVALID_ARGUMENT = 3,
	RPC_DEADLINE_EXCEEDED = 4,
	RPC_NOT_FOUND = 5,
	RPC_ALREADY_EXISTS = 6,
	RPC_PERMISSION_DENIED = 7,
	RPC_RESOURCE_EXHAUSTED = 8,
	RPC_FAILED_PRECONDITION = 9,
	RPC_ABORTED = 10,
	RPC_OUT_OF_RANGE = 11,
	RPC_UNIMPLEMENTED = 12,
	RPC_INTERNAL = 13,
	RPC_UNAVAILABLE = 14,
	RPC_DATA_LOSS = 15,
	RPC_UNAUTHENTICATED = 16,
};
const char *rpc_code_name(enum rpc_code code);

struct rpc_status {
	enum rpc_code code;
	char msg[RPC_STATUS_MAX]; /* a peer's text has its control characters escaped */
};

enum rpc_kind { RPC_UNARY, RPC_SERVER_STREAM, RPC_CLIENT_STREAM };

/* One method of a contract; both sides share the table (api/proto/contract.c). */
struct rpc_method {
	const char *service;
	const char *name;
	const ProtobufCMessageDescriptor *in;
	const ProtobufCMessageDescriptor *out;
	enum rpc_kind kind;
	unsigned fds_in;	/* descriptors that the request carries, exactly */
	unsigned fds_out;	/* descriptors that an OK response carries, exactly */
	uint32_t in_bytes_max;	/* largest encoded message from the client: request or stream */
	uint32_t out_bytes_max; /* largest encoded message from the server: answer or stream */
};

struct rpc_conn;
struct rpc_call;    /* a call being served */
struct rpc_pending; /* a call being made */

/* ---- Connections ------------------------------------------------------------------------- */

/* Serves one method. in is valid until the handler returns; for RPC_CLIENT_STREAM it is NULL
 * when the request frame has no payload, else the first message. The handler takes descriptors
 * with fd_steal(&fds[i]); the rest are closed after it returns. Every call must be ended once,
 * by rpc_reply or rpc_fail, now or later - also when the connection has died meanwhile, unless
 * the `cancelled` of rpc_call_watch has been called for it. */
typedef void rpc_handler_fn(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg);

struct rpc_handler {
	const struct rpc_method *method;
	rpc_handler_fn *fn;
	uint32_t states; /* bit mask of the owner's states in which it is legal; 0 = all */
	bool once;	 /* a second call on this connection is refused */
};

struct rpc_conn_config {
	/* What we serve; NULL: a client. A connection is one or the other, as ttrpc has it. */
	const struct rpc_handler *handlers;
	size_t handlers_count;
	/* The owner's current state as ONE bit, asked at each request; NULL = no state check. */
	uint32_t (*state)(void *arg);
	/* The connection has ended: reason 0 = peer closed between frames, else -errno. Calls made
	 * have got RPC_UNAVAILABLE, calls served have been cancelled. The owner must now (or soon)
	 * call rpc_conn_free. May be NULL. */
	void (*closed)(struct rpc_conn *c, int reason, void *arg);
	/* rpc_conn_writable() turned true again. May be NULL. */
	void (*drained)(struct rpc_conn *c, void *arg);
	void *arg; /* given to all of the above and to the handlers */
	/* fd is non-blocking already: for a process that may not call fcntl. */
	bool nonblocking;
};

/* Takes fd (set non-blocking unless cfg says that it is; closed by rpc_conn_free, also on failure
 * here). cfg is copied; the handler table is not and must outlive the connection. */
MUST_USE int rpc_conn_new(struct loop *l, int fd, const struct rpc_conn_config *cfg,
			  struct rpc_conn **ret);
/* Closes at once, without the closed callback; calls made get RPC_CANCELLED first. NULL is fine.
 * Allowed in any callback of this connection, also in those that this very call makes (where it
 * does nothing). */
void rpc_conn_free(struct rpc_conn *c);
/* Sends what is queued, then closes (the closed callback comes with reason 0). */
void rpc_conn_finish(struct rpc_conn *c);
bool rpc_conn_writable(const struct rpc_conn *c);
/* Stops or restarts reading: back-pressure of the whole connection. */
void rpc_conn_pause(struct rpc_conn *c, bool pause);
int rpc_conn_fd(const struct rpc_conn *c);

/* ---- Serving ----------------------------------------------------------------------------- */

struct rpc_call_ops {
	/* A message of a client stream. */
	void (*data)(struct rpc_call *call, const ProtobufCMessage *msg, void *arg);
	/* The client stream is complete. */
	void (*half_closed)(struct rpc_call *call, void *arg);
	/* The connection died, or the deadline that the client set has passed (it has been told
	 * so), before the call was ended; call is gone when this returns. Without this callback
	 * the call stays until it is ended as usual, to no effect. */
	void (*cancelled)(struct rpc_call *call, void *arg);
	/* rpc_call_writable() was false and is true again. */
	void (*drained)(struct rpc_call *call, void *arg);
};
/* ops may have NULL members; not copied. */
void rpc_call_watch(struct rpc_call *call, const struct rpc_call_ops *ops, void *arg);
/* NULL when the connection has died or the deadline has passed, and for a foreign call. */
struct rpc_conn *rpc_call_conn(struct rpc_call *call);
/* Does its client take more? A sender that finds it false goes on at `drained`. True for a call
 * whose client is gone: nobody has to be waited for. */
bool rpc_call_writable(const struct rpc_call *call);
/* One message of a server stream: 0, -ENOSPC when RPC_OUT_MAX would be passed (nothing sent),
 * -EMSGSIZE above out_bytes_max, -EPIPE when nobody listens any more. */
MUST_USE int rpc_send(struct rpc_call *call, const ProtobufCMessage *msg);
/* Ends the call with OK. out: the message (NULL for RPC_SERVER_STREAM). fds are duplicated for
 * the peer by the kernel; the caller keeps and closes its own once this returns. */
void rpc_reply(struct rpc_call *call, const ProtobufCMessage *out, const int *fds);
/* Ends the call with an error. */
void rpc_fail(struct rpc_call *call, enum rpc_code code, const char *fmt, ...) PRINTF(3, 4);
/* Ends the call with the code that fits a negative errno and err's text. */
struct err;
void rpc_fail_err(struct rpc_call *call, const struct err *err);

/* ---- Foreign calls: the same handlers behind another protocol ------------------------------ */

/* What such a protocol's server does for its calls; `wire` is its own. All are called from the
 * handler's side; none may call back into it. */
struct rpc_wire_ops {
	int (*send)(void *wire, const ProtobufCMessage *msg); /* as rpc_send */
	/* The call has ended and is gone when this returns. out: the answer, NULL for an error and
	 * for RPC_SERVER_STREAM. */
	void (*end)(void *wire, enum rpc_code code, const char *msg, const ProtobufCMessage *out);
	bool (*writable)(const void *wire);
};
/* A call to be given to a handler; NULL: out of memory. Methods that carry descriptors can't be
 * called this way. */
struct rpc_call *rpc_foreign_new(const struct rpc_method *m, const struct rpc_wire_ops *ops,
				 void *wire);
/* A message of a client stream; its end; the wire takes more. */
void rpc_foreign_data(struct rpc_call *call, const ProtobufCMessage *msg);
void rpc_foreign_half_close(struct rpc_call *call);
void rpc_foreign_drained(struct rpc_call *call);
/* The client is gone: `wire` is not used again. */
void rpc_foreign_cancel(struct rpc_call *call);

/* Decodes a message of a hostile peer, with a bound on the memory that it may cost. len is at
 * most RPC_PAYLOAD_MAX. NULL: malformed, or too costly. Free with
 * protobuf_c_message_free_unpacked(msg, NULL). */
MUST_USE ProtobufCMessage *rpc_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data,
				      size_t len);
enum rpc_code rpc_code_from_errno(int negative_errno);

/* ---- Calling ----------------------------------------------------------------------------- */

struct rpc_pending_ops {
	/* A message of a server stream; valid during the callback. */
	void (*data)(const ProtobufCMessage *msg, void *arg);
	/* The call has ended, exactly once; out is NULL unless st->code is RPC_OK (and for server
	 * streams); take descriptors with fd_steal. The pending handle is gone afterwards. */
	void (*done)(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg);
};

/*
 * Starts a call. timeout_ms 0 = none; at expiry done gets RPC_DEADLINE_EXCEEDED (and the server's
 * later answer is ignored). For RPC_CLIENT_STREAM `in` is the first message and more follow by
 * rpc_stream_send. fds are duplicated, ops is copied. 0, or -errno and no callback.
 */
MUST_USE int rpc_start(struct rpc_conn *c, const struct rpc_method *m, const ProtobufCMessage *in,
		       const int *fds, uint64_t timeout_ms, const struct rpc_pending_ops *ops,
		       void *arg, struct rpc_pending **ret);
MUST_USE int rpc_stream_send(struct rpc_pending *p, const ProtobufCMessage *msg);
/* No more messages of a client stream. */
MUST_USE int rpc_stream_close(struct rpc_pending *p);
/* Forgets a call: done gets RPC_CANCELLED before this returns. */
void rpc_cancel(struct rpc_pending *p);
/* The same for one that may be NULL, and is afterwards. */
void rpc_cancelp(struct rpc_pending **p);

/*
 * The same for programs that wait: runs the loop until the answer is there. *ret_out (free with
 * protobuf_c_message_free_unpacked) and ret_fds are set on RPC_OK only. For tests and the CLI.
 * Returns 0 when st holds an answer of any code, -errno when the call could not be made.
 */
MUST_USE int rpc_call_wait(struct loop *l, struct rpc_conn *c, const struct rpc_method *m,
			   const ProtobufCMessage *in, const int *fds, uint64_t timeout_ms,
			   struct rpc_status *st, ProtobufCMessage **ret_out, int *ret_fds);

#endif
