/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - HTTP/1.1 for casemated: libmicrohttpd parses, this module bounds and routes.
 *
 * A request is handed to its route's function when its body is complete. The function answers
 * at once, or holds the request (http_hold) and answers later. While a request is held the
 * client's connection is watched: when it goes away, the hold's `gone` is called, once, and the
 * request ends. Every answer that is an error has the form
 *     {"error":{"code":"...","message":"..."},"request_id":"..."}
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_HTTP_H
#define API_DAEMON_HTTP_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/loop.h"

#define HTTP_BODY_MAX	(64U * 1024U)
#define HTTP_HEADER_MAX (32U * 1024U) /* memory a connection: request line and headers */
#define HTTP_CONNS_MAX	1024U
#define HTTP_IDLE_S	60U
#define HTTP_PARAM_MAX	64U

struct http;
struct http_req;

typedef void http_route_fn(struct http_req *req, void *arg);

struct http_route {
	const char *method;
	const char *path; /* a segment "{}" matches one segment, which becomes the parameter */
	http_route_fn *fn;
};

struct http_config {
	struct loop *loop;
	int listen_fd; /* taken over */
	const struct http_route *routes;
	size_t routes_count;
	void *arg; /* for routes and conn_closed */
	/* A client's connection has ended, upgraded ones included. */
	void (*conn_closed)(const void *conn, void *arg);
};

MUST_USE int http_new(const struct http_config *cfg, struct http **ret);
/* No new connections from now on. */
void http_quiesce(struct http *h);
/* Answers 503 to what is held, closes what is upgraded, ends all. NULL is fine. */
void http_free(struct http *h);

/* ---- A request ----------------------------------------------------------------------------- */

const char *http_param(const struct http_req *req); /* "" = the route has none */
/* The value of a query argument; NULL = not there. */
const char *http_query(const struct http_req *req, const char *name);
const char *http_header(const struct http_req *req, const char *name);
const char *http_body(const struct http_req *req, size_t *ret_len);
/* The client's connection, for comparing addresses with conn_closed's. */
const void *http_conn(const struct http_req *req);
/* The connection may idle for ever from now on. */
void http_keep_idle(struct http_req *req);

/* Room for the route's own use, zeroed; `done` is called when the request ends. */
void *http_set_state(struct http_req *req, size_t size, void (*done)(void *state));

/* Not answered yet. gone: the client went away; answer nothing, the request ends. */
void http_hold(struct http_req *req, void (*gone)(struct http_req *req, void *state));

/* ---- Answers: one for each request --------------------------------------------------------- */

/* body: reference taken over; NULL = out of memory, answers 500 (for 204: no body). */
void http_answer(struct http_req *req, unsigned status, json_t *body);
void http_error(struct http_req *req, unsigned status, const char *code, const char *fmt, ...)
	PRINTF(4, 5);
/* An error with more members in its "error" object (reference taken over). */
void http_error_with(struct http_req *req, unsigned status, const char *code, const char *msg,
		     json_t *more);
/* Plain text, copied. */
void http_text(struct http_req *req, const char *text, size_t len);
/*
 * Text of unknown length. more(): fills p with up to max bytes; returns bytes, 0 = nothing yet
 * (call http_more later), -1 = end. Called with the request's state.
 */
void http_stream(struct http_req *req, ssize_t (*more)(char *p, size_t max, void *state));
/* A stream that had nothing has something now. */
void http_more(struct http_req *req);
/*
 * 101: the connection becomes a byte stream. up() gets the socket, bytes that the client has
 * sent already; it is called once, unless the client goes away before. The request lives on
 * until http_upgrade_close.
 */
void http_upgrade(struct http_req *req, const char *protocol,
		  void (*up)(struct http_req *req, int fd, const char *extra, size_t len,
			     void *state));
/* Closes an upgraded connection; the request ends soon. */
void http_upgrade_close(struct http_req *req);

#endif
