/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - HTTP/1.1 on connected stream descriptors: reading requests, keep-alive, answers.
 *
 * The handler is called when a request's head has come. It answers at once, or watches the
 * request to get its body and answers then or later. A body is handed on as it comes and never
 * kept here; an answer of unknown length is sent in chunks. One request at a time is under way on
 * a connection; what a client sends ahead waits in the socket.
 *
 * The messages themselves are api/http's: head.h, body.h. The daemon's server there is another
 * one, because it collects bodies and routes; this one streams, and does not know jansson.
 *
 * Limits: HTTP_HEAD_MAX, WEB_OUT_MAX bytes waiting to be sent, and the times below. A client that
 * passes one is answered if that makes sense and dropped.
 *
 * Callbacks may do anything with their request, but not free the server. One thread.
 */
#ifndef AGENT_WEB_SERVER_H
#define AGENT_WEB_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/http/head.h"
#include "base/compiler.h"
#include "base/loop.h"

#define WEB_OUT_HIGH (256U * 1024U) /* web_writable() is false above this */
#define WEB_OUT_MAX  (16U * 1024U * 1024U)
#define WEB_HEAD_MS  10000U  /* for a whole head */
#define WEB_BODY_MS  60000U  /* without a byte of the body */
#define WEB_STALL_MS 300000U /* without the client taking a byte of an answer */
#define WEB_IDLE_MS  300000U /* between requests */

struct web_server;
struct web_req;

struct web_server_config {
	struct loop *loop;
	unsigned conns_max;
	void (*handle)(struct web_req *req, void *arg);
	/* A connection has ended and there is room for another. May be NULL. */
	void (*room)(void *arg);
	void *arg;
};

MUST_USE int web_server_new(const struct web_server_config *cfg, struct web_server **ret);
/* Ends all requests. NULL is fine. */
void web_server_free(struct web_server *s);
bool web_server_full(const struct web_server *s);
/* Serves fd, which it owns in every case. door: the caller's number for where it came in.
 * -EAGAIN: too many connections. */
MUST_USE int web_serve(struct web_server *s, int fd, unsigned door);

/* ---- A request: valid until it has been answered whole, or `gone` was called ------------- */

const struct http_head *web_req_head(const struct web_req *req);
const char *web_req_path(const struct web_req *req); /* as sent, without the query */
/* The decoded value of a query argument; NULL = not there. */
const char *web_req_query(const struct web_req *req, const char *name);
/* As http_head_field. */
const char *web_req_field(const struct web_req *req, const char *name);
unsigned web_req_door(const struct web_req *req);

struct web_req_ops {
	void (*body)(struct web_req *req, const uint8_t *data, size_t len, void *arg);
	void (*body_end)(struct web_req *req, void *arg);
	/* web_writable() was false and is true again. */
	void (*drained)(struct web_req *req, void *arg);
	/* The client is gone: the request ends here. Required. */
	void (*gone)(struct web_req *req, void *arg);
	/* A client that sends no more (having sent the whole request) counts as gone. */
	bool gone_at_eof;
};
/* Without it the body is read and dropped. ops is not copied. */
void web_req_watch(struct web_req *req, const struct web_req_ops *ops, void *arg);

/* ---- The answer -------------------------------------------------------------------------- */

#define WEB_LENGTH_UNKNOWN UINT64_MAX

/* Begins it. type may be NULL; fields: more header lines, each with its CRLF, or "". length: of the
 * body, or WEB_LENGTH_UNKNOWN. Then web_send (never more than length in all) and web_end. */
void web_begin(struct web_req *req, unsigned status, const char *type, const char *fields,
	       uint64_t length);
/* 0, -ENOSPC (WEB_OUT_MAX: nothing was sent), -EPIPE (the client is gone; `gone` will come). */
MUST_USE int web_send(struct web_req *req, const void *data, size_t len);
bool web_writable(const struct web_req *req);
/* Has web_begin been called? */
bool web_begun(const struct web_req *req);
/* The answer is complete: the request is gone. An answer shorter than announced closes the
 * connection, so that the client notices. */
void web_end(struct web_req *req);
/* All of it. */
void web_answer(struct web_req *req, unsigned status, const char *type, const char *fields,
		const void *body, size_t len);
/* {"code":STATUS,"message":"..."} */
void web_fail(struct web_req *req, unsigned status, const char *fmt, ...) PRINTF(3, 4);

#endif
