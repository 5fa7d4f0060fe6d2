/* SPDX-License-Identifier: Apache-2.0 */
/* httpd_internal.h - what httpd.c and the routes share. */
#ifndef AGENT_HTTPD_INTERNAL_H
#define AGENT_HTTPD_INTERNAL_H

#include "agent/connect/connect.h"
#include "agent/httpd.h"
#include "agent/place.h"
#include "agent/web/server.h"

#define HTTPD_LISTENERS_MAX 4

struct httpd;

struct httpd_listener {
	struct httpd *httpd;
	enum httpd_door door;
	int fd;
	struct loop_io *io; /* NULL = there is no room for a connection */
};

/* Processor time at the last look, for a share since then. */
struct cpu_times {
	uint64_t busy, total;
};

struct httpd {
	struct agent *agent;
	struct web_server *server;
	struct connect connect;
	struct cpu_times cpu;
	size_t listeners_count;
	struct httpd_listener listeners[HTTPD_LISTENERS_MAX];
};

typedef void httpd_route_fn(struct httpd *h, struct web_req *req);

/* route_info.c */
httpd_route_fn route_health, route_metrics, route_envs;
/* route_init.c, route_download.c, route_upload.c */
httpd_route_fn route_init, route_download, route_upload;

/* The user and path that a /files request names, if it may: 0, or the request has been answered. */
MUST_USE int route_file_place(struct httpd *h, struct web_req *req, const char *operation,
			      const char *path, struct place *ret);
/* The status that fits a negative errno. */
unsigned route_status(int error);

#endif
