/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/httpd.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
/* after sys/socket.h, which it needs */
#include <linux/vm_sockets.h>
#include <unistd.h>

#include "agent/access.h"
#include "agent/agent_limits.h"
#include "agent/httpd_internal.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"

#define DOOR(d) (1U << (d))
#define OUTSIDE (DOOR(HTTPD_DOOR_HOST) | DOOR(HTTPD_DOOR_ALONE))
#define ANY	(OUTSIDE | DOOR(HTTPD_DOOR_INSIDE))

/* Everything but the services' methods, which need the token and come from outside. A program
 * inside the sandbox may ask for what code interpreters need and for no more: with a token unset,
 * it could act as root otherwise. */
static const struct route {
	const char *method, *path;
	httpd_route_fn *fn;
	unsigned doors;
	bool open; /* needs no token, or sees to it by itself */
} routes[] = {
	{ "GET", "/health", route_health, ANY, true },
	{ "GET", "/envs", route_envs, ANY, false },
	{ "GET", "/metrics", route_metrics, OUTSIDE, false },
	{ "GET", "/files", route_download, OUTSIDE, true },
	{ "HEAD", "/files", route_download, OUTSIDE, true },
	{ "POST", "/files", route_upload, OUTSIDE, true },
	{ "POST", "/init", route_init, OUTSIDE, true },
};

static bool authorized(const struct httpd *h, const struct web_req *req)
{
	return access_token_is(h->agent->access_token, web_req_field(req, "x-access-token"));
}

static void refuse_token(struct web_req *req)
{
	web_fail(req, 401,
		 "unauthorized access, please provide a valid access token or method signing if "
		 "supported");
}

static void handle(struct web_req *req, void *arg)
{
	const char *method = web_req_head(req)->method, *path = web_req_path(req);
	const unsigned door = DOOR(web_req_door(req));
	struct httpd *h = arg;
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		const struct route *r = &routes[i];
		if (strcmp(r->path, path) != 0 || (r->doors & door) == 0)
			continue;
		known = true;
		if (strcmp(r->method, method) != 0)
			continue;
		if (!r->open && !authorized(h, req))
			refuse_token(req);
		else
			r->fn(h, req);
		return;
	}
	if (known)
		web_fail(req, 405, "method not allowed");
	else if ((door & OUTSIDE) != 0 && !authorized(h, req))
		refuse_token(req);
	else if ((door & OUTSIDE) == 0 || !connect_serve(&h->connect, req))
		web_fail(req, 404, "not found");
}

static int check_user(const char *name, void *arg, struct err *err)
{
	struct user user;
	int r = user_lookup(name, NULL, &user, err);

	(void)arg;
	return r == -EINVAL ? err_set(err, r, "invalid username: '%.64s'", name) : r;
}

/* ---- Listening --------------------------------------------------------------------------- */

/* Through a loopback transport of vsock any program of the sandbox could come here and be root. */
static bool peer_is_allowed(const struct sockaddr_storage *peer)
{
	const struct sockaddr_vm *vm = (const struct sockaddr_vm *)(const void *)peer;

	return peer->ss_family != AF_VSOCK || vm->svm_cid == VMADDR_CID_HOST;
}

static void on_accept(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	static struct log_limit limit = LOG_LIMIT(5);
	struct httpd_listener *l = arg;
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);

	(void)io;
	(void)events;
	if (web_server_full(l->httpd->server)) {
		loop_io_del(l->io);
		l->io = NULL; /* on_room goes on */
		return;
	}
	CLEANUP(fd_closep)
	int conn = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (conn < 0)
		return;
	if (!peer_is_allowed(&peer)) {
		if (log_allowed(&limit))
			log_warn("http.refused", "family=%d", peer.ss_family);
		return;
	}
	if (peer.ss_family == AF_INET || peer.ss_family == AF_INET6)
		(void)setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (web_serve(l->httpd->server, fd_steal(&conn), l->door) < 0 && log_allowed(&limit))
		log_warn("http.full", "door=%u", l->door);
}

static int watch_listener(struct httpd_listener *l)
{
	if (l->io != NULL)
		return 0;
	return loop_io_add(l->httpd->agent->loop, l->fd, EPOLLIN, on_accept, l, &l->io);
}

static void on_room(void *arg)
{
	static struct log_limit limit = LOG_LIMIT(1);
	struct httpd *h = arg;

	for (size_t i = 0; i < h->listeners_count; i++)
		/* Without memory for it now, the next connection that ends tries again. */
		if (watch_listener(&h->listeners[i]) < 0 && log_allowed(&limit))
			log_warn("http.deaf", "door=%u", h->listeners[i].door);
}

int httpd_listen(struct httpd *h, int fd, enum httpd_door door)
{
	struct httpd_listener *l = &h->listeners[h->listeners_count];
	int r;

	BUG_ON(h->listeners_count >= HTTPD_LISTENERS_MAX);
	*l = (struct httpd_listener){ .httpd = h, .door = door, .fd = fd };
	r = watch_listener(l);
	if (r < 0)
		fd_closep(&l->fd);
	else
		h->listeners_count++;
	return r;
}

/* ---- Life -------------------------------------------------------------------------------- */

int httpd_new(struct agent *a, struct httpd **ret)
{
	struct httpd *h = calloc(1, sizeof(*h));
	struct web_server_config cfg = {
		.loop = a->loop,
		.conns_max = AGENT_HTTP_CONNS_MAX,
		.handle = handle,
		.room = on_room,
		.arg = h,
	};
	int r = h != NULL ? web_server_new(&cfg, &h->server) : -ENOMEM;

	if (r < 0) {
		free(h);
		return r;
	}
	h->agent = a;
	h->connect = (struct connect){
		.loop = a->loop,
		.handlers = agent_tenant_handlers,
		.handlers_count = agent_tenant_handlers_count,
		.arg = a,
		.check_user = check_user,
	};
	*ret = h;
	return 0;
}

void httpd_free(struct httpd *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < h->listeners_count; i++) {
		loop_io_del(h->listeners[i].io);
		fd_closep(&h->listeners[i].fd);
	}
	h->listeners_count = 0; /* on_room has nobody to wake */
	web_server_free(h->server);
	free(h);
}
