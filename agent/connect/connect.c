/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. A connect_call lives from the head of its request until the answer is
 * complete or the client is gone. Until the body is complete it only collects (a client stream
 * hands messages on as they come). Then the handler gets an rpc_call whose wire is the
 * connect_call; `end` frees both sides.
 */
#include "agent/connect/connect.h"

#include <agent.pb-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/connect/code.h"
#include "agent/connect/envelope.h"
#include "agent/connect/request.h"
#include "agent/json/codec.h"
#include "base/buf.h"
#include "base/bug.h"
#include "base/num.h"

#define ANSWER_BYTES_MAX (WEB_OUT_MAX - 65536U)
#define ERROR_BYTES_MAX	 8192U

struct connect_call {
	const struct connect *connect;
	struct web_req *req;
	struct rpc_call *call; /* NULL until the handler has it */
	struct connect_request r;
	struct buf in;
	struct loop_timer *deadline;
	struct loop_timer *keepalive;
	bool busy;	    /* taking messages of a stream: freed only after that */
	bool ended;	    /* meanwhile */
	struct err refused; /* code 0 = not; answered when the body has come */
};

static void call_free(struct connect_call *cc)
{
	cc->ended = true;
	if (cc->busy)
		return;
	loop_timer_del(cc->deadline);
	loop_timer_del(cc->keepalive);
	buf_done(&cc->in);
	free(cc);
}

/* ---- Answers ----------------------------------------------------------------------------- */

static const char *stream_type(const struct connect_call *cc)
{
	return cc->r.json ? "application/connect+json" : "application/connect+proto";
}

static int encode(const struct connect_call *cc, const ProtobufCMessage *msg, struct buf *out)
{
	uint8_t *p;
	size_t len;

	if (cc->r.json)
		return json_encode(msg, out);
	len = protobuf_c_message_get_packed_size(msg);
	p = buf_reserve(out, len);
	if (p == NULL)
		return len > buf_room(out) ? -ENOSPC : -ENOMEM;
	buf_commit(out, protobuf_c_message_pack(msg, p));
	return 0;
}

static void begin_stream(struct connect_call *cc)
{
	if (!web_begun(cc->req))
		web_begin(cc->req, 200, stream_type(cc), "", WEB_LENGTH_UNKNOWN);
}

static int send_message(struct connect_call *cc, const ProtobufCMessage *msg)
{
	static const uint8_t room[ENVELOPE_HEADER];
	struct buf out;
	int r;

	buf_init(&out, ANSWER_BYTES_MAX);
	r = buf_put(&out, room, sizeof(room));
	if (r == 0)
		r = encode(cc, msg, &out);
	if (r == 0) {
		envelope_put(out.data + out.off, 0, (uint32_t)(buf_len(&out) - ENVELOPE_HEADER));
		begin_stream(cc);
		r = web_send(cc->req, buf_head(&out), buf_len(&out));
	}
	buf_done(&out);
	return r;
}

/* The last envelope: how the call ended. */
static void end_stream(struct connect_call *cc, enum rpc_code code, const char *msg)
{
	static const uint8_t room[ENVELOPE_HEADER];
	struct buf out;
	int r;

	buf_init(&out, ERROR_BYTES_MAX);
	r = buf_put(&out, room, sizeof(room));
	if (r == 0)
		r = buf_put(&out, "{\"error\":", code == RPC_OK ? 1 : 9);
	if (r == 0 && code != RPC_OK)
		r = connect_put_error(&out, code, msg);
	if (r == 0)
		r = buf_put(&out, "}", 1);
	begin_stream(cc);
	if (r == 0) {
		envelope_put(out.data + out.off, ENVELOPE_END,
			     (uint32_t)(buf_len(&out) - ENVELOPE_HEADER));
		r = web_send(cc->req, buf_head(&out), buf_len(&out));
	}
	(void)r; /* without it the client sees a stream that was cut, which is what happened */
	web_end(cc->req);
	buf_done(&out);
}

static void end_unary(struct connect_call *cc, enum rpc_code code, const char *msg,
		      const ProtobufCMessage *answer)
{
	struct buf out;
	int r = 0;

	buf_init(&out, ANSWER_BYTES_MAX);
	if (answer != NULL) {
		r = encode(cc, answer, &out);
		if (r < 0) {
			buf_done(&out);
			code = RPC_RESOURCE_EXHAUSTED;
			msg = "the answer is too large";
		}
	}
	if (code != RPC_OK)
		r = connect_put_error(&out, code, msg);
	if (r < 0)
		web_fail(cc->req, 500, "out of memory");
	else
		web_answer(cc->req, connect_http_status(code),
			   cc->r.json || code != RPC_OK ? "application/json" : "application/proto",
			   "", buf_head(&out), buf_len(&out));
	buf_done(&out);
}

/* Ends the call at its client and frees cc. */
static void finish(struct connect_call *cc, enum rpc_code code, const char *msg,
		   const ProtobufCMessage *out)
{
	if (!cc->r.stream) {
		end_unary(cc, code, msg, out);
	} else {
		if (out != NULL && send_message(cc, out) < 0) {
			code = RPC_RESOURCE_EXHAUSTED;
			msg = "the answer could not be sent";
		}
		end_stream(cc, code, msg);
	}
	call_free(cc);
}

/* ---- The wire of the handler's call ------------------------------------------------------ */

static void on_keepalive(void *arg);

static void arm_keepalive(struct connect_call *cc)
{
	loop_timer_del(cc->keepalive);
	cc->keepalive = NULL;
	/* Without memory for the timer there are no more pings; the stream goes on. */
	if (cc->r.keepalive != NULL && loop_timer_add(cc->connect->loop, cc->r.keepalive_ms,
						      on_keepalive, cc, &cc->keepalive) < 0)
		cc->keepalive = NULL;
}

static void on_keepalive(void *arg)
{
	struct connect_call *cc = arg;

	cc->keepalive = NULL;
	/* A client that is slow has bytes to read, and needs no sign of life. */
	if (web_writable(cc->req) && send_message(cc, cc->r.keepalive) < 0)
		return; /* the client is gone */
	arm_keepalive(cc);
}

static int wire_send(void *wire, const ProtobufCMessage *msg)
{
	struct connect_call *cc = wire;
	int r = send_message(cc, msg);

	arm_keepalive(cc);
	return r;
}

static void wire_end(void *wire, enum rpc_code code, const char *msg, const ProtobufCMessage *out)
{
	finish(wire, code, msg, out);
}

static bool wire_writable(const void *wire)
{
	const struct connect_call *cc = wire;

	return web_writable(cc->req);
}

static const struct rpc_wire_ops wire_ops = {
	.send = wire_send,
	.end = wire_end,
	.writable = wire_writable,
};

static void on_deadline(void *arg)
{
	struct connect_call *cc = arg;

	cc->deadline = NULL;
	if (cc->call != NULL)
		rpc_foreign_cancel(cc->call);
	finish(cc, RPC_DEADLINE_EXCEEDED, "the deadline has passed", NULL);
}

/* ---- From bytes to the handler ----------------------------------------------------------- */

/* Makes the rpc_call and calls the handler, which may end everything: after 0, cc is not to be
 * used unless it is busy or the call is known to be alive. */
static int start_call(struct connect_call *cc, const ProtobufCMessage *in, struct err *err)
{
	const struct rpc_handler *h = cc->r.handler;

	cc->call = rpc_foreign_new(h->method, &wire_ops, cc);
	if (cc->call == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	arm_keepalive(cc);
	h->fn(cc->call, in, NULL, cc->connect->arg);
	return 0;
}

static ProtobufCMessage *decode(const struct connect_call *cc, const uint8_t *data, size_t len,
				struct err *err)
{
	ProtobufCMessage *msg = NULL;
	struct buf wire;
	int r;

	buf_init(&wire, cc->r.handler->method->in_bytes_max);
	r = cc->r.json ? json_decode(cc->r.handler->method->in, (const char *)data, len, &wire, err)
		       : buf_put(&wire, data, len);
	if (r == 0)
		r = connect_request_fields(&cc->r, &wire);
	if (r == -ENOSPC)
		(void)err_set(err, -EMSGSIZE, "the request is too large");
	if (r == 0) {
		msg = rpc_unpack(cc->r.handler->method->in, buf_head(&wire), buf_len(&wire));
		if (msg == NULL)
			(void)err_set(err, -EINVAL, "malformed request message");
	}
	buf_done(&wire);
	return msg;
}

/* One message of the request: into the handler, or into its call. After 0 as with start_call; an
 * error has ended nothing yet: refuse is to follow. */
static int put_message(struct connect_call *cc, const uint8_t *data, size_t len, struct err *err)
{
	ProtobufCMessage *msg = decode(cc, data, len, err);
	int r = 0;

	if (msg == NULL)
		return -EINVAL; /* *err says it more precisely */
	if (cc->call == NULL)
		r = start_call(cc, msg, err);
	else
		rpc_foreign_data(cc->call, msg);
	protobuf_c_message_free_unpacked(msg, NULL);
	return r;
}

static void refuse(struct connect_call *cc, const struct err *err)
{
	if (cc->call != NULL)
		rpc_foreign_cancel(cc->call);
	finish(cc, rpc_code_from_errno(err->code), err->msg, NULL);
}

/* The only message of a request. */
static void take_message(struct connect_call *cc, const uint8_t *data, size_t len)
{
	struct err err = { 0 };

	if (put_message(cc, data, len, &err) < 0)
		refuse(cc, &err);
}

static void refuse_envelope(struct connect_call *cc, ssize_t error)
{
	if (cc->call != NULL)
		rpc_foreign_cancel(cc->call);
	if (error == -EMSGSIZE)
		finish(cc, RPC_RESOURCE_EXHAUSTED, "the request is too large", NULL);
	else
		finish(cc, RPC_INVALID_ARGUMENT,
		       error == 0 ? "an incomplete envelope" : "compression is not supported",
		       NULL);
}

/* A client stream: every envelope that is complete. The handler may end the call with any of them,
 * which only marks cc while it is busy. */
static void on_stream_body(struct web_req *req, const uint8_t *data, size_t len, void *arg)
{
	struct connect_call *cc = arg;
	struct err err = { 0 };
	ssize_t n = 0;
	int r = 0;

	(void)req;
	if (cc->refused.code != 0)
		return;
	if (buf_put(&cc->in, data, len) < 0) {
		refuse_envelope(cc, -EMSGSIZE);
		return;
	}
	cc->busy = true;
	while (r == 0 && !cc->ended && buf_len(&cc->in) > 0) {
		n = envelope_get(buf_head(&cc->in), buf_len(&cc->in), cc->r.in_max);
		if (n <= 0)
			break;
		r = put_message(cc, buf_head(&cc->in) + ENVELOPE_HEADER,
				(size_t)n - ENVELOPE_HEADER, &err);
		buf_consume(&cc->in, (size_t)n);
	}
	cc->busy = false;
	if (cc->ended)
		call_free(cc);
	else if (r < 0)
		refuse(cc, &err);
	else if (n < 0)
		refuse_envelope(cc, n);
}

static void on_body(struct web_req *req, const uint8_t *data, size_t len, void *arg)
{
	struct connect_call *cc = arg;

	(void)req;
	if (cc->refused.code == 0 && buf_put(&cc->in, data, len) < 0)
		refuse_envelope(cc, -EMSGSIZE);
}

static void on_body_end(struct web_req *req, void *arg)
{
	struct connect_call *cc = arg;
	ssize_t n;

	(void)req;
	if (cc->refused.code != 0) {
		finish(cc, RPC_UNAUTHENTICATED, cc->refused.msg, NULL);
		return;
	}
	if (!cc->r.stream) {
		take_message(cc, buf_head(&cc->in), buf_len(&cc->in));
		return;
	}
	n = envelope_get(buf_head(&cc->in), buf_len(&cc->in), cc->r.in_max);
	if (n <= 0 || (size_t)n != buf_len(&cc->in))
		refuse_envelope(cc, n);
	else
		take_message(cc, buf_head(&cc->in) + ENVELOPE_HEADER, (size_t)n - ENVELOPE_HEADER);
}

static void on_stream_end(struct web_req *req, void *arg)
{
	struct connect_call *cc = arg;

	(void)req;
	if (cc->refused.code != 0)
		finish(cc, RPC_UNAUTHENTICATED, cc->refused.msg, NULL);
	else if (buf_len(&cc->in) > 0)
		refuse_envelope(cc, 0);
	else if (cc->call != NULL)
		rpc_foreign_half_close(cc->call);
	else
		finish(cc, RPC_INVALID_ARGUMENT, "a stream without a message", NULL);
}

static void on_drained(struct web_req *req, void *arg)
{
	struct connect_call *cc = arg;

	(void)req;
	if (cc->call != NULL)
		rpc_foreign_drained(cc->call);
}

static void on_gone(struct web_req *req, void *arg)
{
	struct connect_call *cc = arg;

	(void)req;
	if (cc->call != NULL)
		rpc_foreign_cancel(cc->call);
	call_free(cc);
}

static const struct web_req_ops call_ops = {
	.body = on_body,
	.body_end = on_body_end,
	.drained = on_drained,
	.gone = on_gone,
	.gone_at_eof = true,
};
static const struct web_req_ops stream_ops = {
	.body = on_stream_body,
	.body_end = on_stream_end,
	.drained = on_drained,
	.gone = on_gone,
	.gone_at_eof = true,
};

bool connect_serve(const struct connect *c, struct web_req *req)
{
	struct connect_request r;
	struct connect_call *cc;
	struct err err = { 0 };
	unsigned status = connect_request_parse(c, req, &r, &err);

	if (status == 0)
		return false;
	cc = status == 200 ? calloc(1, sizeof(*cc)) : NULL;
	if (cc == NULL) {
		web_fail(req, status == 200 ? 503 : status, "%s",
			 status == 200 ? "out of memory" : err.msg);
		return true;
	}
	cc->connect = c;
	cc->req = req;
	cc->r = r;
	buf_init(&cc->in, r.in_max + ENVELOPE_HEADER);
	web_req_watch(req, r.handler->method->kind == RPC_CLIENT_STREAM ? &stream_ops : &call_ops,
		      cc);
	cc->refused = err;
	if (r.timeout_ms > 0 &&
	    loop_timer_add(c->loop, r.timeout_ms, on_deadline, cc, &cc->deadline) < 0)
		finish(cc, RPC_RESOURCE_EXHAUSTED, "out of memory", NULL);
	return true;
}
