/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - the HTTP resources of casemated: /v1/status, /v1/sandboxes and what is below.
 * Reads requests, asks sandbox.h and jailer.h, writes answers. docs/SPECIFICATION.md lists them.
 */
#ifndef API_DAEMON_SERVICE_H
#define API_DAEMON_SERVICE_H

#include "api/daemon/sandbox.h"
#include "api/daemon/spec.h"
#include "api/http/http.h"
#include "base/loop.h"

struct jailer;

struct service {
	struct loop *loop;
	struct jailer *jailer;
	struct sandboxes *sandboxes;
	struct spec_limits limits;
	size_t sandboxes_max;
	uint64_t started_ms; /* monotonic */
};

extern const struct http_route service_routes[];

/* The sandbox that the request's path names, or NULL when the request has been answered 404. */
struct sandbox *service_find(struct http_req *req, const struct service *sv);

/* Routes with a file of their own. */
void service_status(struct http_req *req, void *arg);  /* service_status.c */
void service_agent(struct http_req *req, void *arg);   /* service_agent.c */
void service_jail(struct http_req *req, void *arg);    /* service_jail.c */
void service_logs(struct http_req *req, void *arg);    /* service_logs.c */
void service_metrics(struct http_req *req, void *arg); /* service_metrics.c */

/* Hostile bytes as lines of printable ASCII: keeps '\n' and '\t', drops '\r', turns the rest
 * into \xNN. Writes at most cap bytes, no terminator; returns how many. Pure. */
size_t service_clean_text(char *dst, size_t cap, const char *src, size_t len);

#endif
