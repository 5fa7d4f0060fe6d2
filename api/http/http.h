/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - an HTTP/1.1 server on a struct loop: it bounds, routes and answers.
 *
 * A request's head is checked (head.h), shown to `admit`, and its route is looked up; the route's
 * function is called when the body is complete. It answers at once, or holds the request
 * (http_hold) and answers later. `admit` may instead answer itself, which ends the request before a
 * byte of its body is kept, or take it (http_take): then the body is pulled as it comes and the
 * answer put as it grows, which is how requests are relayed.
 *
 * While a request is held or taken, a client that goes away, or closes its direction, is noticed:
 * `gone` is called, once, and the request ends. Every answer that is an error has the form
 *     {"code":404,"error":"not_found","message":"...","request_id":"..."}
 *
 * What clients can make the server hold: HTTP_CONNS_MAX connections, each with HTTP_HEAD_MAX of
 * unread bytes (HTTP_PULL_MAX while its request is taken), HTTP_BODY_MAX of body, and an answer. A
 * connection without a request is the first to go when all are taken; heads, bodies and answers
 * that make no progress end by time.
 *
 * Threads: the loop's.
 */
#ifndef API_HTTP_HTTP_H
#define API_HTTP_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "api/http/head.h"
#include "api/http/target.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/loop.h"

#define HTTP_BODY_MAX	  (64U * 1024U)
#define HTTP_CONNS_MAX	  1024U
#define HTTP_CONNS_SPARED 64U	 /* of them, for HTTP_DOOR_LOCAL */
#define HTTP_HEAD_MS	  10000U /* from a head's first byte to its last */
#define HTTP_BODY_MS	  30000U /* for a body that is waited for */
#define HTTP_STALL_MS	  60000U /* without a byte taken by the client */
#define HTTP_IDLE_MS	  60000U /* between requests */
#define HTTP_ROOM	  65536U /* bytes of a growing answer that wait for the client */
#define HTTP_PULL_MAX	  65536U /* bytes of a taken request's body that wait to be pulled */
#define HTTP_ID_LEN	  16U

struct http;
struct http_req;

/* Where a connection came in. */
enum http_door {
	HTTP_DOOR_LOCAL, /* the unix socket: who may open it is the operator */
	HTTP_DOOR_TLS,	 /* the unix socket of a TLS proxy: its clients say https */
	HTTP_DOOR_NET,
};

typedef void http_route_fn(struct http_req *req, void *arg);

struct http_route {
	const char *method;
	const char *path; /* as http_path_matches takes it */
	http_route_fn *fn;
};

struct http_config {
	struct loop *loop;
	const struct http_route *const *tables; /* each ends with a NULL method */
	size_t tables_count;
	void *arg; /* for routes and the functions below */
	/* A client's connection has ended, upgraded ones included. NULL is fine. */
	void (*conn_closed)(const void *conn, void *arg);
	/* The head is there: answer, take, or return for the routes. NULL is fine. */
	void (*admit)(struct http_req *req, void *arg);
	/* An answer's head is about to leave: add fields by http_add_field. NULL is fine. */
	void (*decorate)(struct http_req *req, void *arg);
};

MUST_USE int http_new(const struct http_config *cfg, struct http **ret);
/* Serves fd, a listening stream socket, taken over also on failure. At most 4. */
MUST_USE int http_listen(struct http *h, int fd, enum http_door door);
/* No new connections from now on. */
void http_quiesce(struct http *h);
/* Answers 503 to what is held, closes what is upgraded, ends all. NULL is fine. */
void http_free(struct http *h);

struct http_counts {
	uint64_t requests;
	uint64_t errors;    /* answered with a status of 500 or more */
	uint64_t evicted;   /* idle connections that made room */
	uint64_t malformed; /* heads and bodies that were refused */
	size_t conns;
};
void http_count(const struct http *h, struct http_counts *ret);

/* ---- A request ----------------------------------------------------------------------------- */

enum http_door http_door(const struct http_req *req);
const char *http_id(const struct http_req *req);
const struct http_head *http_request_head(const struct http_req *req);
const char *http_path(const struct http_req *req);   /* as sent, without the query */
const char *http_param(const struct http_req *req);  /* unescaped; "" = the route has none */
const char *http_param2(const struct http_req *req); /* the same for its second */
/* The value of a query argument; NULL = not there. */
const char *http_query(const struct http_req *req, const char *name);
const char *http_header(const struct http_req *req, const char *name);
const char *http_body(const struct http_req *req, size_t *ret_len);
/* The client's connection, for comparing addresses with conn_closed's. */
const void *http_conn(const struct http_req *req);
/* The connection may idle for ever from now on. */
void http_keep_idle(struct http_req *req);

/* Whom the request is for, as `admit` found out: a pointer that outlives it. NULL = not said. */
void http_set_principal(struct http_req *req, const void *who);
const void *http_principal(const struct http_req *req);

/* Room for the route's own use, zeroed; `done` is called when the request ends. */
void *http_set_state(struct http_req *req, size_t size, void (*done)(void *state));

/* Not answered yet. gone: the client went away; answer nothing, the request ends. */
void http_hold(struct http_req *req, void (*gone)(struct http_req *req, void *state));

/* ---- Answers: one for each request --------------------------------------------------------- */

/* For `decorate`, and before an answer. name: a literal; value: no control characters, copied. */
void http_add_field(struct http_req *req, const char *name, const char *value);
/* body: reference taken over; NULL = out of memory, answers 500 (for 204: no body). */
void http_answer(struct http_req *req, unsigned status, json_t *body);
/* The same with a body that is JSON text already, copied. */
void http_answer_text(struct http_req *req, unsigned status, const struct buf *body);
void http_error(struct http_req *req, unsigned status, const char *code, const char *fmt, ...)
	PRINTF(4, 5);
/* An error with more members (reference taken over). */
void http_error_with(struct http_req *req, unsigned status, const char *code, const char *msg,
		     json_t *more);
/* Plain text, copied; type NULL = text/plain. */
void http_text(struct http_req *req, const char *type, const char *text, size_t len);
/*
 * Text of unknown length; type NULL = text/plain. more(): fills p with up to max bytes; returns
 * bytes, 0 = nothing yet (call http_more later), -1 = end. Called with the request's state.
 */
void http_stream(struct http_req *req, const char *type,
		 ssize_t (*more)(char *p, size_t max, void *state));
/* A stream that had nothing has something now. */
void http_more(struct http_req *req);
/*
 * 101: the connection becomes a byte stream. up() gets the socket, bytes that the client has
 * sent already; it is called once, unless the client goes away before. The request lives on
 * until http_upgrade_close. fields: more of the answer's head; Connection and Upgrade are added.
 */
void http_upgrade(struct http_req *req, const char *protocol, const struct http_field *fields,
		  size_t fields_count,
		  void (*up)(struct http_req *req, int fd, const void *extra, size_t len,
			     void *state));
/* Closes an upgraded connection; the request ends soon. */
void http_upgrade_close(struct http_req *req);

/* ---- Taken requests ------------------------------------------------------------------------ */

struct http_flow_ops {
	void (*readable)(struct http_req *req, void *state); /* http_pull may give something */
	void (*writable)(struct http_req *req, void *state); /* http_reply_room has grown */
	void (*gone)(struct http_req *req, void *state);     /* the client; the request ends */
};

/* From `admit` only. ops outlives the request. */
void http_take(struct http_req *req, const struct http_flow_ops *ops);
/* The next bytes of the body: how many, 0 = that was all, -EAGAIN = not there yet, -EPROTO =
 * malformed: the connection will end. */
MUST_USE ssize_t http_pull(struct http_req *req, void *p, size_t max);
/* The same without a copy: results as http_pull, and where they are, until the next call of
 * anything here for this request. They stay there until http_skip. */
MUST_USE ssize_t http_peek(struct http_req *req, const void **ret_data);
/* Drops len bytes of what http_peek has shown. */
void http_skip(struct http_req *req, size_t len);
/* Status line and fields of the answer. Framing, Connection and X-Request-Id are added. */
void http_reply(struct http_req *req, unsigned status, const char *reason,
		const struct http_field *fields, size_t fields_count, enum http_body_kind kind,
		uint64_t length);
size_t http_reply_room(const struct http_req *req);
/* At most http_reply_room bytes, and of HTTP_BODY_LENGTH no more than the length. What the client's
 * socket takes at once leaves at once. */
void http_reply_put(struct http_req *req, const void *data, size_t len);
/* whole = false: it could not be completed, and the connection breaks off so that the client sees
 * it. */
void http_reply_end(struct http_req *req, bool whole);
/* Has the answer's head been sent off? */
bool http_replied(const struct http_req *req);

#endif
