/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - the HTTP resources of casemated: /v1/status, /v1/sandboxes and what is below.
 * Reads requests, asks sandbox.h and jailer.h, writes answers. docs/SPECIFICATION.md lists them.
 */
#ifndef API_DAEMON_SERVICE_H
#define API_DAEMON_SERVICE_H

#include "api/daemon/auth.h"
#include "api/daemon/cors.h"
#include "api/daemon/sandbox.h"
#include "api/daemon/spec.h"
#include "api/http/http.h"
#include "base/loop.h"

struct build_files;
struct builds;
struct jailer;
struct service;
struct subscriber;

/* A request that waits for a change of a sandbox: the request's state. */
struct service_wait {
	struct http_req *req;
	struct sandbox *sandbox; /* NULL once the wait is over */
	struct sandbox_watch watch;
	struct loop_timer *timer;
	struct service *sv; /* the route's own use */
	uint64_t ms;	    /* the same */
	bool asked;	    /* the same */
};

struct service {
	struct loop *loop;
	struct jailer *jailer;
	struct sandboxes *sandboxes;
	struct store *store;
	struct auth auth;
	struct http *http;
	struct build_files *files; /* build_files.h */
	struct builds *builds;	   /* build.h */
	const struct cors *cors;
	const char *domain; /* of sandboxes' host names; NULL = none */
	struct spec_limits limits;
	size_t sandboxes_max;
	uint64_t started_ms;		/* monotonic */
	struct subscriber *subscribers; /* service_events.c */
	uint64_t events;		/* published so far: the last one's number */
	uint64_t started[SANDBOX_PATH_COUNT], ended, failed; /* sandboxes */
};

extern const struct http_route service_routes[];
extern const struct http_route service_e2b_routes[];	  /* service_e2b.c */
extern const struct http_route service_key_routes[];	  /* service_keys.c */
extern const struct http_route service_image_routes[];	  /* service_images.c */
extern const struct http_route service_snapshot_routes[]; /* service_snapshots.c */
extern const struct http_route service_template_routes[]; /* service_templates.c */

/* For http_config and sandboxes_config. */
void service_admit(struct http_req *req, void *arg);
void service_changed(struct sandbox *s, void *arg);
void service_touched(struct sandbox *s, void *arg);
/* The sandboxes that an earlier casemated had when it ended, as the store knows them: they are
 * there when this returns, and are adopted once the jailer is. 0 or -errno. */
MUST_USE int service_recall(struct service *sv);

/* The sandbox that the request's path names, or NULL when the request has been answered 404. */
struct sandbox *service_find(struct http_req *req, const struct service *sv);

/* May the request's principal see it? */
bool service_owns(const struct http_req *req, const struct sandbox *s);
/* Begins to wait: fn is called at each change, and ends the wait. NULL: answered 500. */
struct service_wait *service_wait(struct http_req *req, struct sandbox *s,
				  void (*fn)(struct sandbox *s, void *arg));
void service_wait_end(struct service_wait *w);
/* For http_hold of a request that makes a sandbox: nobody has learnt its id, so it ends. */
void service_creator_gone(struct http_req *req, void *state);
void service_deleter_gone(struct http_req *req, void *state);
/* service_images.c: what spec's image stands for, and its configuration where spec says nothing. 0,
 * -EINVAL, -ENOMEM, -EIO... with err. */
MUST_USE int service_image(const struct service *sv, struct spec *spec, struct err *err);
/* What clients are shown of one. */
#define SERVICE_VIEW_BYTES_MAX 16384U
void service_answer_sandbox(struct http_req *req, unsigned status, const struct sandbox *s);
/* Why there is no sandbox. */
void service_answer_failed(struct http_req *req, const struct sandbox *s);
void service_answer_refused(struct http_req *req, int code, const char *msg);

/* service_pause.c. Is the wait of w for a pause or a resume over? Then, unless it came to that, the
 * request has been answered. */
bool service_rest_over(struct sandbox *s, struct service_wait *w, bool paused);
/* Answers why sandbox_pause or sandbox_resume refused. */
void service_rest_refused(struct http_req *req, int r, const struct err *err);
void service_pause(struct http_req *req, void *arg);
void service_resume(struct http_req *req, void *arg);
/* service_network.c */
void service_network(struct http_req *req, void *arg);
void service_network_e2b(struct http_req *req, void *arg);

/* service_snapshots.c: makes what spec, whose tenant is set, asks for: from its snapshot, or of its
 * image. spec is taken over. Errors as service_image and sandbox_create have them; -ENOENT: no
 * such snapshot. */
MUST_USE int service_create(const struct service *sv, struct spec *spec, struct sandbox **ret,
			    struct err *err);
/* The same where a template is named, which may be a snapshot. */
MUST_USE int service_create_e2b(const struct service *sv, const char *template, struct spec *spec,
				struct sandbox **ret, struct err *err);
/* A route: DELETE of the snapshot that the path names. */
void service_delete_snapshot(struct http_req *req, void *arg);
/* POST /sandboxes/ID/snapshots, of s. */
void service_e2b_snapshot(struct http_req *req, struct service *sv, struct sandbox *s);

/* Routes with a file of their own. */
void service_status(struct http_req *req, void *arg);	  /* service_status.c */
void service_agent(struct http_req *req, void *arg);	  /* service_agent.c */
void service_tcp(struct http_req *req, void *arg);	  /* the same */
void service_events(struct http_req *req, void *arg);	  /* service_events.c */
void service_fork(struct http_req *req, void *arg);	  /* service_fork.c */
void service_prometheus(struct http_req *req, void *arg); /* service_prometheus.c */
void service_usage(struct http_req *req, void *arg);	  /* service_usage.c */
/* Tells listeners of /v1/events what state it is in now. */
void service_publish(struct service *sv, const struct sandbox *s);
void service_jail(struct http_req *req, void *arg);    /* service_jail.c */
void service_logs(struct http_req *req, void *arg);    /* service_logs.c */
void service_metrics(struct http_req *req, void *arg); /* service_metrics.c */

/* Hostile bytes as lines of printable ASCII: keeps '\n' and '\t', drops '\r', turns the rest
 * into \xNN. Writes at most cap bytes, no terminator; returns how many. Pure. */
size_t service_clean_text(char *dst, size_t cap, const char *src, size_t len);

#endif
