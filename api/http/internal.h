/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what server.c (doors, time), conn.c (one connection), request.c and answer.c share.
 */
#ifndef API_HTTP_INTERNAL_H
#define API_HTTP_INTERNAL_H

#include "api/http/body.h"
#include "api/http/http.h"
#include "api/http/target.h"
#include "base/buf.h"

#define HTTP_DOORS_MAX	4U
#define HTTP_ANSWER_MAX (16U * 1024U * 1024U)
#define HTTP_EXTRA_MAX	8U /* fields by http_add_field */

struct http_listener {
	struct http *http;
	struct loop_io *io;
	int fd;
	enum http_door door;
};

struct http {
	struct http_config cfg;
	struct http_listener doors[HTTP_DOORS_MAX];
	size_t doors_count;
	struct http_conn *first, *last; /* newest first */
	struct loop_timer *sweep;
	struct http_counts counts;
	bool stopping;
	bool deaf; /* out of descriptors: nothing is accepted until the next sweep */
};

enum http_conn_state {
	HTTP_CONN_HEAD,	 /* a head is waited for or comes in */
	HTTP_CONN_BODY,	 /* a body is collected for its route */
	HTTP_CONN_BUSY,	 /* the request is with somebody else, or its answer is */
	HTTP_CONN_GIVEN, /* upgraded: the descriptor is somebody else's to use */
	HTTP_CONN_DRAIN, /* answered, and what the client still sends is thrown away */
	HTTP_CONN_OVER,	 /* to be freed */
};

struct http_conn {
	struct http_conn *prev, *next;
	struct http *http;
	struct loop_io *io;
	struct loop_timer *wake;
	int fd;
	uint32_t events;
	enum http_door door;
	enum http_conn_state state;
	struct buf in, out;
	size_t scanned; /* of in, for the end of a head */
	size_t shown;	/* bytes at the front of in that are the body's, its framing passed */
	size_t drained;
	struct http_body body; /* of the request */
	struct http_req *req;
	uint64_t deadline_ms; /* monotonic; 0 = none */
	bool eof;	      /* the client has closed its direction */
	bool stepping;
	bool again;
	bool idle_ok;
	bool close; /* after this request */
};

enum http_phase {
	HTTP_READING,  /* not with its route yet */
	HTTP_RUNNING,  /* in the route's function, held or taken */
	HTTP_REPLYING, /* the answer has begun */
	HTTP_DONE,     /* and ended */
	HTTP_UPGRADED, /* a byte stream */
};

struct http_req {
	struct http *http;
	struct http_conn *conn;
	const struct http_route *route;
	enum http_phase phase;
	char id[HTTP_ID_LEN + 1];
	struct http_params params;
	char *text;  /* the head, cut into strings */
	char *query; /* args' text */
	struct http_head head;
	struct http_arg args[HTTP_QUERY_MAX];
	size_t args_count;
	struct buf body;
	const void *principal;
	uint64_t begun_ns;

	void (*gone)(struct http_req *req, void *state);
	const struct http_flow_ops *flow; /* taken */
	void *state;
	void (*state_done)(void *state);

	struct http_field extra[HTTP_EXTRA_MAX]; /* values owned */
	size_t extra_count;
	unsigned status;
	enum http_body_kind kind; /* of the answer, as it is sent */
	uint64_t left;		  /* of HTTP_BODY_LENGTH */
	bool want_writable;
	bool more_due;
	ssize_t (*more)(char *p, size_t max, void *state);
	void (*up)(struct http_req *req, int fd, const void *extra, size_t len, void *state);
};

/* conn.c */
MUST_USE int http_conn_new(struct http *h, int fd, enum http_door door);
void http_conn_free(struct http_conn *c);
/* Goes on as far as it can, now, or soon when it is already under way. May free c. */
void http_conn_step(struct http_conn *c);
/* http_conn_step from the loop: for whoever may be called by c's own callbacks. */
void http_conn_wake(struct http_conn *c);
/* Sends what it can of c->out, and of the bytes behind it, which the caller keeps: how many bytes
 * went in all, or negative: the client is gone. */
MUST_USE ssize_t http_conn_send(struct http_conn *c, const void *data, size_t len);
/* Time's up. May free c. */
void http_conn_late(struct http_conn *c);

/* request.c */
/* Takes len bytes off c->in as a head and begins its request. 0, or the status that refuses it:
 * then c->req is a request without a head. -ENOMEM. */
MUST_USE int http_req_begin(struct http_conn *c, size_t len);
/* Shows it to admit and finds its route. */
void http_req_admit(struct http_req *req);
void http_req_run(struct http_req *req);
/* The client has gone. */
void http_req_gone(struct http_req *req);
void http_req_free(struct http_req *req);

/* answer.c */
/* Lets a streamed answer grow. */
void http_req_feed(struct http_req *req);

#endif
