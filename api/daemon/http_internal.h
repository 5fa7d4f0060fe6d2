/* SPDX-License-Identifier: Apache-2.0 */
/* http_internal.h - what http.c (connections, requests) and http_answer.c share. */
#ifndef API_DAEMON_HTTP_INTERNAL_H
#define API_DAEMON_HTTP_INTERNAL_H

#include "api/daemon/http.h"
#include "base/buf.h"

struct http {
	struct http_config cfg;
	struct MHD_Daemon *mhd;
	struct loop_io *io;
	struct loop_timer *timer;
	struct http_req *reqs; /* all that have begun and not ended */
	bool stopping;
};

enum http_phase {
	HTTP_READING,  /* the body is coming */
	HTTP_RUNNING,  /* in the route's function, or held */
	HTTP_ANSWERED, /* resp is to be queued */
	HTTP_QUEUED,   /* given to libmicrohttpd */
	HTTP_UPGRADED, /* a byte stream */
	HTTP_CLOSED    /* an upgraded stream that has been given back */
};

struct http_req {
	struct http_req *prev, *next;
	struct http *http;
	struct MHD_Connection *mhd;
	const struct http_route *route;
	enum http_phase phase;
	char id[17];
	char param[HTTP_PARAM_MAX + 1];
	struct buf body;
	bool too_large;

	/* Held: suspended in libmicrohttpd, which then doesn't look at the socket; we do. */
	bool suspended;
	bool client_gone;
	struct loop_io *watch;
	void (*gone)(struct http_req *req, void *state);

	void *state;
	void (*state_done)(void *state);

	struct MHD_Response *resp;
	unsigned status;
	ssize_t (*more)(char *p, size_t max, void *state);
	void (*up)(struct http_req *req, int fd, const char *extra, size_t len, void *state);
	struct MHD_UpgradeResponseHandle *urh;
};

/* Lets libmicrohttpd run soon: something has changed that no descriptor shows. */
void http_kick(struct http *h);
void http_suspend(struct http_req *req);
void http_resume(struct http_req *req);

#endif
