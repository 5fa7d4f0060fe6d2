/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: libmicrohttpd runs in its external mode, with its epoll descriptor as one
 * source of our loop; its timeout is one timer. In that mode a resume doesn't wake the descriptor
 * (libmicrohttpd 0.9.75 has no inter-thread channel then), so http_kick sets the timer to now. It
 * calls on_request several times for a request: with the headers, with parts of the body, with the
 * end of the body, and again after a resume.
 *
 * A request that can't be answered at once is suspended. libmicrohttpd doesn't watch the socket
 * of a suspended connection, so a client that goes away would go unnoticed; http_suspend puts
 * the socket into our own loop, for hang-ups only, and http_resume takes it out again. A client
 * that half-closes its side while it waits counts as gone.
 */
#include "api/daemon/http.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "api/daemon/http_internal.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define HTTP_DRAIN_RUNS 16 /* rounds to send last answers at the end */

struct http_conn {
	char unused; /* only its address counts */
};

/* ---- The loop ------------------------------------------------------------------------------ */

static void on_mhd_timer(void *arg);

static void pump(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	loop_timer_del(h->timer);
	h->timer = NULL;
	(void)MHD_run(h->mhd);
	if (MHD_get_timeout(h->mhd, &ms) == MHD_YES &&
	    loop_timer_add(h->cfg.loop, ms, on_mhd_timer, h, &h->timer) < 0)
		BUG("no memory for one timer");
}

static void on_mhd_timer(void *arg)
{
	struct http *h = arg;

	h->timer = NULL;
	pump(h);
}

void http_kick(struct http *h)
{
	loop_timer_del(h->timer);
	h->timer = NULL;
	if (loop_timer_add(h->cfg.loop, 0, on_mhd_timer, h, &h->timer) < 0)
		BUG("no memory for one timer");
}

static void on_mhd(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	(void)io;
	(void)fd;
	(void)events;
	pump(arg);
}

/* ---- Holding ------------------------------------------------------------------------------- */

static int client_fd(const struct http_req *req)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

	BUG_ON(info == NULL);
	return info->connect_fd;
}

static void on_client_gone(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct http_req *req = arg;
	void (*gone)(struct http_req *, void *) = req->gone;

	(void)io;
	(void)fd;
	(void)events;
	log_debug("http.gone", "request=%s", req->id);
	req->client_gone = true;
	req->gone = NULL;
	if (gone != NULL)
		gone(req, req->state);
	if (req->phase == HTTP_RUNNING) /* libmicrohttpd needs an answer to end it */
		http_error(req, 499, "client_gone", "the client went away");
	else
		http_resume(req);
}

void http_suspend(struct http_req *req)
{
	if (req->suspended)
		return;
	req->suspended = true;
	MHD_suspend_connection(req->mhd);
	if (loop_io_add(req->http->cfg.loop, client_fd(req), EPOLLRDHUP, on_client_gone, req,
			&req->watch) < 0)
		log_warn("http.watch", "request=%s: a client that goes away won't be noticed",
			 req->id);
}

void http_resume(struct http_req *req)
{
	if (!req->suspended)
		return;
	req->suspended = false;
	loop_io_del(req->watch);
	req->watch = NULL;
	MHD_resume_connection(req->mhd);
	http_kick(req->http);
}

void http_hold(struct http_req *req, void (*gone)(struct http_req *req, void *state))
{
	BUG_ON(req->phase != HTTP_RUNNING);
	req->gone = gone;
	http_suspend(req);
}

/* ---- Routes -------------------------------------------------------------------------------- */

/* Does path match the pattern? A "{}" segment is copied to param. */
static bool path_matches(const char *pattern, const char *path, char *param, size_t cap)
{
	while (*pattern != '\0') {
		if (strncmp(pattern, "{}", 2) == 0) {
			size_t len = strcspn(path, "/");
			if (len == 0 || len >= cap)
				return false;
			memcpy(param, path, len);
			param[len] = '\0';
			path += len;
			pattern += 2;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return *path == '\0';
}

static void dispatch(struct http_req *req, const char *url, const char *method)
{
	const struct http_config *cfg = &req->http->cfg;
	bool known = false;
	char shown[128];

	req->phase = HTTP_RUNNING;
	(void)log_escape(shown, sizeof(shown), url, strlen(url));
	log_debug("http.request", "request=%s method=%s path=%s", req->id, method, shown);
	if (req->too_large) {
		http_error(req, 413, "too_large", "body: more than %u bytes", HTTP_BODY_MAX);
		return;
	}
	for (size_t i = 0; i < cfg->routes_count; i++) {
		const struct http_route *r = &cfg->routes[i];
		if (!path_matches(r->path, url, req->param, sizeof(req->param)))
			continue;
		known = true;
		if (strcmp(r->method, method) != 0)
			continue;
		req->route = r;
		r->fn(req, cfg->arg);
		BUG_ON(req->phase == HTTP_RUNNING && !req->suspended);
		return;
	}
	if (known)
		http_error(req, 405, "method_not_allowed", "%s: not a method of this resource",
			   method);
	else
		http_error(req, 404, "not_found", "%s: no such resource", shown);
}

/* ---- Called by libmicrohttpd --------------------------------------------------------------- */

static struct http_req *req_new(struct http *h, struct MHD_Connection *mhd)
{
	struct http_req *req = calloc(1, sizeof(*req));
	uint64_t n;

	if (req == NULL)
		return NULL;
	BUG_ON(getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n));
	(void)snprintf(req->id, sizeof(req->id), "%016" PRIx64, n);
	req->http = h;
	req->mhd = mhd;
	buf_init(&req->body, HTTP_BODY_MAX);
	req->next = h->reqs;
	if (h->reqs != NULL)
		h->reqs->prev = req;
	h->reqs = req;
	return req;
}

static enum MHD_Result queue_answer(struct http_req *req)
{
	enum MHD_Result r = MHD_queue_response(req->mhd, req->status, req->resp);

	req->phase = HTTP_QUEUED;
	return r;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **con_cls)
{
	struct http_req *req = *con_cls;

	(void)version;
	if (req == NULL) {
		req = req_new(cls, mhd);
		*con_cls = req;
		return req == NULL ? MHD_NO : MHD_YES;
	}
	if (req->phase == HTTP_READING && *len > 0) {
		if (buf_put(&req->body, data, *len) < 0)
			req->too_large = true;
		*len = 0;
		return MHD_YES;
	}
	if (req->phase == HTTP_READING)
		dispatch(req, url, method);
	return req->phase == HTTP_ANSWERED ? queue_answer(req) : MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
			 enum MHD_RequestTerminationCode toe)
{
	struct http_req *req = *con_cls;

	(void)cls;
	(void)mhd;
	(void)toe;
	if (req == NULL)
		return;
	*con_cls = NULL;
	BUG_ON(req->suspended);
	if (req->state_done != NULL)
		req->state_done(req->state);
	free(req->state);
	if (req->resp != NULL)
		MHD_destroy_response(req->resp);
	buf_done(&req->body);
	if (req->prev != NULL)
		req->prev->next = req->next;
	else
		req->http->reqs = req->next;
	if (req->next != NULL)
		req->next->prev = req->prev;
	free(req);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
			  enum MHD_ConnectionNotificationCode toe)
{
	struct http *h = cls;

	(void)mhd;
	if (toe == MHD_CONNECTION_NOTIFY_STARTED) {
		/* Without memory the context stays NULL, and http_conn() is NULL: no leases. */
		*socket_context = calloc(1, sizeof(struct http_conn));
		return;
	}
	if (*socket_context != NULL && h->cfg.conn_closed != NULL)
		h->cfg.conn_closed(*socket_context, h->cfg.arg);
	free(*socket_context);
	*socket_context = NULL;
}

__attribute__((format(printf, 2, 0))) static void on_mhd_log(void *cls, const char *fmt, va_list ap)
{
	static struct log_limit limit = LOG_LIMIT(10);
	char line[256];

	(void)cls;
	if (!log_allowed(&limit))
		return;
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	log_debug("http.library", "text=\"%s\"", line);
}

/* ---- Life ---------------------------------------------------------------------------------- */

int http_new(const struct http_config *cfg, struct http **ret)
{
	struct http *h = calloc(1, sizeof(*h));
	const union MHD_DaemonInfo *info;
	int r = -ENOMEM;

	if (h == NULL)
		return r;
	h->cfg = *cfg;
	h->mhd = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG, 0,
		NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, cfg->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
		HTTP_CONNS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEADER_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, h, MHD_OPTION_END);
	if (h->mhd == NULL) {
		free(h);
		return -EIO;
	}
	info = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (info != NULL)
		r = loop_io_add(cfg->loop, info->epoll_fd, EPOLLIN, on_mhd, h, &h->io);
	if (r < 0) {
		MHD_stop_daemon(h->mhd);
		free(h);
		return r;
	}
	*ret = h;
	return 0;
}

void http_quiesce(struct http *h)
{
	int fd = MHD_quiesce_daemon(h->mhd);

	fd_closep(&fd);
}

/* Gives every request that something else would end its end now. */
static void end_requests(struct http *h)
{
	for (struct http_req *req = h->reqs; req != NULL; req = req->next) {
		if (req->phase == HTTP_RUNNING) {
			http_error(req, 503, "shutting_down", "daemon: is shutting down");
		} else if (req->phase == HTTP_UPGRADED) {
			if (req->state_done != NULL)
				req->state_done(req->state);
			req->state_done = NULL;
			http_upgrade_close(req);
		} else {
			http_resume(req);
		}
	}
}

void http_free(struct http *h)
{
	if (h == NULL)
		return;
	h->stopping = true;
	end_requests(h);
	for (int i = 0; i < HTTP_DRAIN_RUNS; i++)
		(void)MHD_run(h->mhd);
	end_requests(h); /* an upgrade that was under way */
	loop_io_del(h->io);
	loop_timer_del(h->timer);
	MHD_stop_daemon(h->mhd);
	free(h);
}
