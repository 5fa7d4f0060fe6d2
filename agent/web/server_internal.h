/* SPDX-License-Identifier: Apache-2.0 */
/* server_internal.h - what server.c (connections) and answer.c share. */
#ifndef AGENT_WEB_SERVER_INTERNAL_H
#define AGENT_WEB_SERVER_INTERNAL_H

#include "agent/web/server.h"
#include "api/http/body.h"
#include "api/http/target.h"
#include "base/buf.h"

enum conn_state {
	CONN_HEAD,    /* no request */
	CONN_BODY,    /* its body is being read; it may have been answered */
	CONN_ANSWER,  /* its body has been read, it has not been answered */
	CONN_CLOSING, /* answers are sent, then the connection ends */
	CONN_CLOSED
};

struct web_conn;

/* The request is a part of its connection: there is one at a time. */
struct web_req {
	struct web_conn *conn;
	bool active; /* handed to the handler and neither answered nor gone */
	bool begun;
	bool chunked;
	bool no_body;  /* HEAD, 204, 304: length is announced and nothing sent */
	uint64_t left; /* of the announced length */
	const struct web_req_ops *ops;
	void *arg;
	struct http_head head;
	char *path, *query; /* into text; query NULL = none, or not cut up yet */
	struct http_arg args[HTTP_QUERY_MAX];
	int args_count;
	char text[HTTP_HEAD_MAX + 1];
};

struct web_conn {
	struct web_server *server;
	struct web_conn *prev, *next;
	struct loop_io *io;
	struct loop_timer *kick;
	int fd;
	uint32_t events;
	unsigned door;
	enum conn_state state;
	unsigned depth;	    /* callbacks under way */
	bool freed;	    /* free it when they have returned */
	bool eof;	    /* the client sends no more */
	bool dead;	    /* the client takes no more */
	bool close;	    /* after this request */
	bool congested;	    /* `drained` is due */
	uint64_t since_ms;  /* since when nothing has moved, for the limits on time */
	uint64_t discarded; /* bytes of a body that nobody wants */
	struct http_body body;
	struct buf in, out;
	struct web_req req;
};

struct web_server {
	struct web_server_config cfg;
	struct web_conn *conns;
	unsigned count;
	struct loop_timer *tick;
};

/* Sends conn->out and then data, as far as the client takes them now: how many bytes of data went.
 */
size_t web_conn_send(struct web_conn *c, const void *data, size_t len);
/* Bytes are in conn->out, or the request has ended: goes on from the loop or at once. */
void web_conn_flush(struct web_conn *c);
void web_conn_kick(struct web_conn *c);

#endif
