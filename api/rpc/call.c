/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - the client's half: calls made, their answers, and waiting for one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ttrpc.pb-c.h>

#include "api/rpc/internal.h"
#include "base/bug.h"
#include "base/num.h"

typedef Casemate__Ttrpc__Request request_pb;
typedef Casemate__Ttrpc__Response response_pb;

static struct rpc_pending *pending_by_id(struct rpc_conn *c, uint32_t id)
{
	struct rpc_pending *p = c->pending;

	while (p != NULL && p->id != id)
		p = p->next;
	return p;
}

/* Calls done if that hasn't happened yet. p stays, but may not be used by its maker any more. */
static void pending_tell(struct rpc_pending *p, const struct rpc_status *st,
			 const ProtobufCMessage *out, int *fds)
{
	const struct rpc_pending_ops ops = p->ops;

	loop_timer_del(p->deadline);
	p->deadline = NULL;
	p->ops = (struct rpc_pending_ops){ 0 };
	if (ops.done != NULL)
		ops.done(st, out, fds, p->arg);
}

/* The server has ended the call. */
static void pending_finish(struct rpc_pending *p, const struct rpc_status *st,
			   const ProtobufCMessage *out, int *fds)
{
	struct rpc_pending **at = &p->conn->pending;

	while (*at != p) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = p->next;
	p->conn->pending_count--;
	pending_tell(p, st, out, fds);
	free(p);
}

static void status_text(struct rpc_status *st, enum rpc_code code, const char *text)
{
	rpc_status_set(st, code, text, strlen(text));
}

void call_abort(struct rpc_conn *c, enum rpc_code code, const char *why)
{
	struct rpc_status st;

	status_text(&st, code, why);
	while (c->pending != NULL)
		pending_finish(c->pending, &st, NULL, NULL);
}

/* ---- Making a call ----------------------------------------------------------------------- */

static void on_deadline(void *arg)
{
	struct rpc_pending *p = arg;
	struct rpc_conn *c = p->conn;
	struct rpc_status st;

	p->deadline = NULL;
	conn_enter(c);
	status_text(&st, RPC_DEADLINE_EXCEEDED, "deadline exceeded");
	pending_tell(p, &st, NULL, NULL);
	conn_leave(c);
}

static int put_request(struct rpc_conn *c, const struct rpc_method *m, const ProtobufCMessage *in,
		       const int *fds, uint64_t timeout_ms)
{
	request_pb req = CASEMATE__TTRPC__REQUEST__INIT;
	uint8_t *data;
	size_t len;
	int r = frame_pack(in, m->in_bytes_max, &data, &len);

	if (r < 0)
		return r;
	req.service = frame_bytes(m->service, strlen(m->service));
	req.method = frame_bytes(m->name, strlen(m->name));
	req.payload = frame_bytes(data, len);
	req.timeout_nano = (int64_t)(MIN(timeout_ms, (uint64_t)INT64_MAX / 1000000) * 1000000);
	r = frame_put(&c->tx, c->next_id, FRAME_REQUEST, frame_request_flags(m->kind), &req.base,
		      RPC_PAYLOAD_MAX, fds, m->fds_in);
	free(data);
	return r;
}

int rpc_start(struct rpc_conn *c, const struct rpc_method *m, const ProtobufCMessage *in,
	      const int *fds, uint64_t timeout_ms, const struct rpc_pending_ops *ops, void *arg,
	      struct rpc_pending **ret)
{
	struct rpc_pending *p;
	int r;

	BUG_ON(c->cfg.handlers != NULL || !method_sane(m));
	BUG_ON(in == NULL && m->kind != RPC_CLIENT_STREAM);
	BUG_ON(in != NULL && in->descriptor != m->in);
	BUG_ON(m->fds_in > 0 && fds == NULL);
	if (!conn_can_send(c))
		return -EPIPE;
	if (c->pending_count >= RPC_STREAMS_MAX)
		return -EBUSY;
	if (c->next_id > UINT32_MAX - 2)
		return -EOVERFLOW;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	*p = (struct rpc_pending){ .conn = c,
				   .method = m,
				   .ops = *ops,
				   .arg = arg,
				   .id = c->next_id,
				   .local_closed = m->kind != RPC_CLIENT_STREAM };
	if (timeout_ms > 0) {
		r = loop_timer_add(c->loop, timeout_ms, on_deadline, p, &p->deadline);
		if (r < 0)
			goto fail;
	}
	r = put_request(c, m, in, fds, timeout_ms);
	if (r < 0)
		goto fail;
	c->next_id += 2;
	p->next = c->pending;
	c->pending = p;
	c->pending_count++;
	conn_flush_soon(c);
	if (ret != NULL)
		*ret = p;
	return 0;
fail:
	loop_timer_del(p->deadline);
	free(p);
	return r;
}

int rpc_stream_send(struct rpc_pending *p, const ProtobufCMessage *msg)
{
	struct rpc_conn *c = p->conn;
	int r;

	BUG_ON(p->ops.done == NULL || p->local_closed || msg->descriptor != p->method->in);
	if (!conn_can_send(c))
		return -EPIPE;
	r = frame_put(&c->tx, p->id, FRAME_DATA, 0, msg, p->method->in_bytes_max, NULL, 0);
	if (r == 0)
		conn_flush_soon(c);
	return r;
}

int rpc_stream_close(struct rpc_pending *p)
{
	struct rpc_conn *c = p->conn;
	int r;

	BUG_ON(p->ops.done == NULL || p->local_closed);
	if (!conn_can_send(c))
		return -EPIPE;
	r = frame_put(&c->tx, p->id, FRAME_DATA, FRAME_REMOTE_CLOSED | FRAME_NO_DATA, NULL, 0, NULL,
		      0);
	if (r < 0)
		return r;
	p->local_closed = true;
	conn_flush_soon(c);
	return 0;
}

void rpc_cancel(struct rpc_pending *p)
{
	struct rpc_conn *c = p->conn;
	struct rpc_status st;

	BUG_ON(p->ops.done == NULL);
	conn_enter(c);
	status_text(&st, RPC_CANCELLED, "cancelled");
	pending_tell(p, &st, NULL, NULL);
	conn_leave(c);
}

void rpc_cancelp(struct rpc_pending **p)
{
	if (*p != NULL)
		rpc_cancel(*p);
	*p = NULL;
}

/* ---- Answers ----------------------------------------------------------------------------- */

/* An OK response: decodes its message and ends the call. */
static int finish_ok(struct rpc_pending *p, const response_pb *resp, struct frame *f)
{
	struct rpc_status st = { .code = RPC_OK };
	const struct rpc_method *m = p->method;
	ProtobufCMessage *out;

	if (m->kind == RPC_SERVER_STREAM) {
		if (resp->payload.len > 0)
			return -EPROTO;
		pending_finish(p, &st, NULL, f->fds);
		return 0;
	}
	if (resp->payload.len > m->out_bytes_max)
		return -EMSGSIZE;
	out = rpc_unpack(m->out, resp->payload.data, resp->payload.len);
	if (out == NULL)
		return -EBADMSG;
	pending_finish(p, &st, out, f->fds);
	protobuf_c_message_free_unpacked(out, NULL);
	return 0;
}

int call_response(struct rpc_conn *c, struct frame *f)
{
	struct rpc_pending *p = pending_by_id(c, f->h.id);
	enum rpc_code code = RPC_OK;
	ProtobufCMessage *msg;
	const response_pb *resp;
	struct rpc_status st;
	int r = 0;

	if (p == NULL)
		return -EPROTO;
	msg = rpc_unpack(&casemate__ttrpc__response__descriptor, f->body, f->h.len);
	if (msg == NULL)
		return -EBADMSG;
	resp = CONTAINER_OF(msg, response_pb, base);
	if (resp->status != NULL)
		code = rpc_code_from_wire(resp->status->code);
	if (f->nfds != (code == RPC_OK ? p->method->fds_out : 0)) {
		r = -EPROTO;
	} else if (code == RPC_OK) {
		r = finish_ok(p, resp, f);
	} else {
		/* data may be NULL when the text is empty */
		const char *text = resp->status->message.len > 0
					   ? (const char *)resp->status->message.data
					   : "";
		rpc_status_set(&st, code, text, resp->status->message.len);
		pending_finish(p, &st, NULL, NULL);
	}
	protobuf_c_message_free_unpacked(msg, NULL);
	return r;
}

int call_data(struct rpc_conn *c, const struct frame *f)
{
	struct rpc_pending *p = pending_by_id(c, f->h.id);
	const struct rpc_status ok = { .code = RPC_OK };
	ProtobufCMessage *msg;

	if (p == NULL || p->method->kind != RPC_SERVER_STREAM)
		return -EPROTO;
	if ((f->h.flags & FRAME_NO_DATA) == 0) {
		if (f->h.len > p->method->out_bytes_max)
			return -EMSGSIZE;
		if (p->ops.data != NULL) {
			msg = rpc_unpack(p->method->out, f->body, f->h.len);
			if (msg == NULL)
				return -EBADMSG;
			p->ops.data(msg, p->arg);
			protobuf_c_message_free_unpacked(msg, NULL);
		}
	}
	if ((f->h.flags & FRAME_REMOTE_CLOSED) == 0)
		return 0;
	p = pending_by_id(c, f->h.id); /* the callback may have ended everything */
	if (p != NULL)
		pending_finish(p, &ok, NULL, NULL);
	return 0;
}

/* ---- Waiting ----------------------------------------------------------------------------- */

struct waiter {
	const struct rpc_method *method;
	struct rpc_status *st;
	ProtobufCMessage **ret_out;
	int *ret_fds;
	int result;
	bool over;
};

/* A copy that outlives the callback: through the encoding, since protobuf-c can't clone. */
static int clone(const ProtobufCMessage *msg, ProtobufCMessage **ret)
{
	uint8_t *data;
	size_t len;
	int r = frame_pack(msg, RPC_PAYLOAD_MAX, &data, &len);

	if (r < 0)
		return r;
	*ret = rpc_unpack(msg->descriptor, data, len);
	free(data);
	return *ret != NULL ? 0 : -ENOMEM;
}

static void on_waited(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct waiter *w = arg;

	w->over = true;
	*w->st = *st;
	if (st->code != RPC_OK)
		return;
	if (out != NULL && w->ret_out != NULL)
		w->result = clone(out, w->ret_out);
	if (w->result == 0 && w->ret_fds != NULL)
		for (unsigned i = 0; i < w->method->fds_out; i++)
			w->ret_fds[i] = fd_steal(&fds[i]);
}

int rpc_call_wait(struct loop *l, struct rpc_conn *c, const struct rpc_method *m,
		  const ProtobufCMessage *in, const int *fds, uint64_t timeout_ms,
		  struct rpc_status *st, ProtobufCMessage **ret_out, int *ret_fds)
{
	static const struct rpc_pending_ops ops = { .done = on_waited };
	struct waiter w = { .method = m, .st = st, .ret_out = ret_out, .ret_fds = ret_fds };
	struct rpc_pending *p;
	int r = rpc_start(c, m, in, fds, timeout_ms, &ops, &w, &p);

	if (r < 0)
		return r;
	while (!w.over) {
		r = loop_step(l, -1);
		if (r == 0 && !w.over && loop_stopped(l))
			r = -EINTR;
		if (r < 0) {
			if (!w.over)
				rpc_cancel(p);
			return r;
		}
	}
	return w.result;
}
