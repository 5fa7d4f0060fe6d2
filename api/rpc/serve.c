/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - the server's half: requests to handlers, their answers to frames. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ttrpc.pb-c.h>

#include "api/rpc/internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/num.h"

typedef Casemate__Ttrpc__Request request_pb;
typedef Casemate__Ttrpc__Response response_pb;
typedef Casemate__Ttrpc__Status status_pb;

/* ---- Answers ----------------------------------------------------------------------------- */

/* The one place where a connection that takes no more is given up: an answer must not be lost
 * while the connection looks alive. */
static void put_or_drop(struct rpc_conn *c, int r)
{
	if (r < 0)
		conn_fail_soon(c, r == -ENOSPC ? -ENOBUFS : r);
	else
		conn_flush_soon(c);
}

static void send_status(struct rpc_conn *c, uint32_t id, enum rpc_code code, const char *msg)
{
	status_pb st = CASEMATE__TTRPC__STATUS__INIT;
	response_pb resp = CASEMATE__TTRPC__RESPONSE__INIT;

	if (!conn_can_send(c))
		return;
	st.code = (int32_t)code;
	st.message = frame_bytes(msg, strlen(msg));
	resp.status = &st;
	put_or_drop(c,
		    frame_put(&c->tx, id, FRAME_RESPONSE, 0, &resp.base, RPC_PAYLOAD_MAX, NULL, 0));
}

/* Takes the call out of its connection. */
static void call_unlink(struct rpc_conn *c, struct rpc_call *call)
{
	struct rpc_call **at = &c->calls;

	while (*at != call) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = call->next;
	c->calls_count--;
	call->conn = NULL;
	loop_timer_del(call->deadline);
	call->deadline = NULL;
}

/* The handler has ended the call. */
static void call_end(struct rpc_call *call)
{
	BUG_ON(call->cancelled); /* it was told that the call is gone */
	if (call->conn != NULL)
		call_unlink(call->conn, call);
	free(call);
}

/* Nobody waits for the answer any more: tells the handler, if it wants to know. */
static void call_drop(struct rpc_conn *c, struct rpc_call *call)
{
	call_unlink(c, call);
	if (call->ops == NULL || call->ops->cancelled == NULL)
		return; /* the handler's rpc_reply or rpc_fail will free it */
	call->cancelled = true;
	call->ops->cancelled(call, call->arg);
	free(call);
}

void serve_abort(struct rpc_conn *c)
{
	while (c->calls != NULL)
		call_drop(c, c->calls);
}

static void on_deadline(void *arg)
{
	struct rpc_call *call = arg;
	struct rpc_conn *c = call->conn;

	call->deadline = NULL;
	conn_enter(c);
	send_status(c, call->id, RPC_DEADLINE_EXCEEDED, "deadline exceeded");
	call_drop(c, call);
	conn_leave(c);
}

void rpc_call_watch(struct rpc_call *call, const struct rpc_call_ops *ops, void *arg)
{
	call->ops = ops;
	call->arg = arg;
}

struct rpc_conn *rpc_call_conn(struct rpc_call *call)
{
	return call->conn;
}

bool rpc_call_writable(const struct rpc_call *call)
{
	if (call->wire != NULL)
		return call->wire->writable(call->wire_arg);
	return call->conn == NULL || rpc_conn_writable(call->conn);
}

/* A callback may end any call: the next one is looked up by its id (the newest come first). */
void serve_drained(struct rpc_conn *c)
{
	uint64_t below = (uint64_t)UINT32_MAX + 1;
	struct rpc_call *call;

	do {
		for (call = c->calls; call != NULL && call->id >= below; call = call->next)
			;
		if (call == NULL)
			return;
		below = call->id;
		if (call->ops != NULL && call->ops->drained != NULL)
			call->ops->drained(call, call->arg);
	} while (!c->closed);
}

int rpc_send(struct rpc_call *call, const ProtobufCMessage *msg)
{
	struct rpc_conn *c = call->conn;
	int r;

	BUG_ON(call->method->kind != RPC_SERVER_STREAM || msg->descriptor != call->method->out);
	if (call->wire != NULL)
		return call->wire->send(call->wire_arg, msg);
	if (c == NULL || !conn_can_send(c))
		return -EPIPE;
	r = frame_put(&c->tx, call->id, FRAME_DATA, 0, msg, call->method->out_bytes_max, NULL, 0);
	if (r == 0)
		conn_flush_soon(c);
	return r;
}

/* The answer of a method that has one, with its descriptors. */
static void reply_message(struct rpc_call *call, const ProtobufCMessage *out, const int *fds)
{
	response_pb resp = CASEMATE__TTRPC__RESPONSE__INIT;
	struct rpc_conn *c = call->conn;
	uint8_t *data;
	size_t len;
	int r = frame_pack(out, call->method->out_bytes_max, &data, &len);

	if (r == -EMSGSIZE) {
		send_status(c, call->id, RPC_RESOURCE_EXHAUSTED, "the answer is too large");
		return;
	}
	if (r == 0) {
		resp.payload = frame_bytes(data, len);
		r = frame_put(&c->tx, call->id, FRAME_RESPONSE, 0, &resp.base, RPC_PAYLOAD_MAX, fds,
			      call->method->fds_out);
		free(data);
	}
	if (r == -EMFILE || r == -ENFILE)
		send_status(c, call->id, RPC_RESOURCE_EXHAUSTED, "out of descriptors");
	else
		put_or_drop(c, r);
}

void rpc_reply(struct rpc_call *call, const ProtobufCMessage *out, const int *fds)
{
	const struct rpc_method *m = call->method;
	struct rpc_conn *c = call->conn;

	BUG_ON((m->kind == RPC_SERVER_STREAM) != (out == NULL));
	BUG_ON(out != NULL && out->descriptor != m->out);
	BUG_ON(m->fds_out > 0 && fds == NULL);
	if (call->wire != NULL)
		call->wire->end(call->wire_arg, RPC_OK, "", out);
	if (c != NULL && conn_can_send(c)) {
		if (out != NULL)
			reply_message(call, out, fds);
		else
			put_or_drop(c, frame_put(&c->tx, call->id, FRAME_DATA,
						 FRAME_REMOTE_CLOSED | FRAME_NO_DATA, NULL, 0, NULL,
						 0));
	}
	call_end(call);
}

void rpc_fail(struct rpc_call *call, enum rpc_code code, const char *fmt, ...)
{
	char msg[RPC_STATUS_MAX];
	va_list ap;

	BUG_ON(code == RPC_OK);
	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (call->wire != NULL)
		call->wire->end(call->wire_arg, code, msg, NULL);
	else if (call->conn != NULL)
		send_status(call->conn, call->id, code, msg);
	call_end(call);
}

void rpc_fail_err(struct rpc_call *call, const struct err *err)
{
	rpc_fail(call, rpc_code_from_errno(err->code), "%s", err->msg);
}

/* ---- Requests ---------------------------------------------------------------------------- */

static struct rpc_call *call_by_id(struct rpc_conn *c, uint32_t id)
{
	struct rpc_call *call = c->calls;

	while (call != NULL && call->id != id)
		call = call->next;
	return call;
}

static bool name_is(const ProtobufCBinaryData *b, const char *name)
{
	return b->len == strlen(name) && memcmp(b->data, name, b->len) == 0;
}

static const struct rpc_handler *handler_find(const struct rpc_conn *c, const request_pb *req)
{
	for (size_t i = 0; i < c->cfg.handlers_count; i++) {
		const struct rpc_method *m = c->cfg.handlers[i].method;
		if (name_is(&req->method, m->name) && name_is(&req->service, m->service))
			return &c->cfg.handlers[i];
	}
	return NULL;
}

/* Why a request for this handler can't be served now: RPC_OK = it can. */
static enum rpc_code refuse(const struct rpc_conn *c, const struct rpc_handler *h,
			    const request_pb *req, uint8_t flags, const char **ret_why)
{
	const struct rpc_method *m = h->method;
	uint64_t bit = UINT64_C(1) << (h - c->cfg.handlers);
	/* A client stream may be complete with its first message. */
	bool complete = m->kind == RPC_CLIENT_STREAM && flags == FRAME_REMOTE_CLOSED;

	*ret_why = "the stream's flags don't fit the method";
	if (flags != frame_request_flags(m->kind) && !complete)
		return RPC_INVALID_ARGUMENT;
	*ret_why = "the request is too large";
	if (req->payload.len > m->in_bytes_max)
		return RPC_RESOURCE_EXHAUSTED;
	*ret_why = "too many calls at once";
	if (c->calls_count >= RPC_STREAMS_MAX)
		return RPC_RESOURCE_EXHAUSTED;
	*ret_why = "not allowed in this state";
	if (h->states != 0 && c->cfg.state != NULL && (c->cfg.state(c->cfg.arg) & h->states) == 0)
		return RPC_FAILED_PRECONDITION;
	*ret_why = "may be called once only";
	if (h->once && (c->once_used & bit) != 0)
		return RPC_FAILED_PRECONDITION;
	*ret_why = "deadline exceeded";
	if (req->timeout_nano < 0)
		return RPC_DEADLINE_EXCEEDED;
	return RPC_OK;
}

static struct rpc_call *call_new(struct rpc_conn *c, const struct rpc_method *m, uint32_t id,
				 uint64_t timeout_ns)
{
	struct rpc_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return NULL;
	call->method = m;
	call->id = id;
	if (timeout_ns > 0 && loop_timer_add(c->loop, timeout_ns / 1000000 + 1, on_deadline, call,
					     &call->deadline) < 0) {
		free(call);
		return NULL;
	}
	call->conn = c;
	call->next = c->calls;
	c->calls = call;
	c->calls_count++;
	return call;
}

/* Runs the handler of an accepted request. */
static void serve_call(struct rpc_conn *c, const struct rpc_handler *h, const request_pb *req,
		       struct frame *f)
{
	const struct rpc_method *m = h->method;
	bool has_msg = m->kind != RPC_CLIENT_STREAM || req->payload.len > 0;
	ProtobufCMessage *in = NULL;
	struct rpc_call *call;

	if (has_msg) {
		in = rpc_unpack(m->in, req->payload.data, req->payload.len);
		if (in == NULL) {
			send_status(c, f->h.id, RPC_INVALID_ARGUMENT, "malformed request message");
			return;
		}
	}
	call = call_new(c, m, f->h.id, (uint64_t)req->timeout_nano);
	if (call == NULL) {
		send_status(c, f->h.id, RPC_RESOURCE_EXHAUSTED, "out of memory");
	} else {
		c->once_used |= UINT64_C(1) << (h - c->cfg.handlers);
		h->fn(call, in, f->fds, c->cfg.arg);
	}
	if (in != NULL)
		protobuf_c_message_free_unpacked(in, NULL);
}

/* The client has no more to say on stream id, if that call is still there. */
static void half_close(struct rpc_conn *c, uint32_t id)
{
	struct rpc_call *call = call_by_id(c, id);

	if (call == NULL)
		return;
	call->remote_closed = true;
	if (call->method->kind == RPC_CLIENT_STREAM && call->ops != NULL &&
	    call->ops->half_closed != NULL)
		call->ops->half_closed(call, call->arg);
}

int serve_request(struct rpc_conn *c, struct frame *f)
{
	const struct rpc_handler *h;
	ProtobufCMessage *msg;
	const request_pb *req;
	enum rpc_code code;
	const char *why;
	int r = 0;

	if (f->h.id <= c->last_id)
		return -EPROTO;
	c->last_id = f->h.id;
	msg = rpc_unpack(&casemate__ttrpc__request__descriptor, f->body, f->h.len);
	if (msg == NULL)
		return -EBADMSG;
	req = CONTAINER_OF(msg, request_pb, base);
	h = handler_find(c, req);
	if (f->nfds != (h != NULL ? h->method->fds_in : 0)) {
		r = -EPROTO;
	} else if (h == NULL) {
		send_status(c, f->h.id, RPC_UNIMPLEMENTED, "no such method");
	} else if ((code = refuse(c, h, req, f->h.flags, &why)) != RPC_OK) {
		send_status(c, f->h.id, code, why);
	} else {
		serve_call(c, h, req, f);
		if (f->h.flags != FRAME_REMOTE_OPEN)
			half_close(c, f->h.id);
	}
	protobuf_c_message_free_unpacked(msg, NULL);
	return r;
}

int serve_data(struct rpc_conn *c, const struct frame *f)
{
	struct rpc_call *call = call_by_id(c, f->h.id);
	ProtobufCMessage *msg;

	if (call == NULL) /* we ended it while the client was still sending */
		return f->h.id <= c->last_id ? 0 : -EPROTO;
	if (call->remote_closed)
		return -EPROTO;
	if ((f->h.flags & FRAME_NO_DATA) == 0) {
		if (f->h.len > call->method->in_bytes_max)
			return -EMSGSIZE;
		msg = rpc_unpack(call->method->in, f->body, f->h.len);
		if (msg == NULL)
			return -EBADMSG;
		if (call->ops != NULL && call->ops->data != NULL)
			call->ops->data(call, msg, call->arg);
		protobuf_c_message_free_unpacked(msg, NULL);
	}
	if ((f->h.flags & FRAME_REMOTE_CLOSED) != 0)
		half_close(c, f->h.id);
	return 0;
}
