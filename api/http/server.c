/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - the doors, the list of connections, and time. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http/internal.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#define SWEEP_MS     1000U
#define ACCEPT_BATCH 16U

/* The connection that has waited longest for a request, of the operator's or of the others. */
static struct http_conn *find_idle(const struct http *h, bool local)
{
	for (struct http_conn *c = h->last; c != NULL; c = c->prev)
		if (c->state == HTTP_CONN_HEAD && (c->door == HTTP_DOOR_LOCAL) == local &&
		    !c->idle_ok && !c->stepping)
			return c;
	return NULL;
}

/* Room for one more from this door? */
static bool make_room(struct http *h, enum http_door door)
{
	size_t max = HTTP_CONNS_MAX - (door == HTTP_DOOR_LOCAL ? 0 : HTTP_CONNS_SPARED);
	struct http_conn *idle;

	if (h->counts.conns < max)
		return true;
	idle = find_idle(h, false);
	if (idle == NULL && door == HTTP_DOOR_LOCAL)
		idle = find_idle(h, true);
	if (idle == NULL)
		return false;
	h->counts.evicted++;
	http_conn_free(idle);
	return true;
}

static void listen_to(struct http *h, uint32_t events)
{
	for (size_t i = 0; i < h->doors_count; i++)
		if (h->doors[i].io != NULL)
			BUG_ON(loop_io_set(h->doors[i].io, events) < 0);
}

static void on_sweep(void *arg)
{
	struct http *h = arg;
	uint64_t now = now_ms();

	h->sweep = NULL;
	if (h->deaf) {
		h->deaf = false;
		listen_to(h, EPOLLIN);
	}
	for (struct http_conn *c = h->first, *next; c != NULL; c = next) {
		next = c->next; /* ending c frees no other */
		if (c->deadline_ms != 0 && now >= c->deadline_ms)
			http_conn_late(c);
	}
	if (h->first != NULL && loop_timer_add(h->cfg.loop, SWEEP_MS, on_sweep, h, &h->sweep) < 0)
		BUG("no memory for one timer");
}

static bool begin_conn(struct http *h, int fd, enum http_door door)
{
	static struct log_limit limit = LOG_LIMIT(5);

	if (!make_room(h, door)) {
		(void)close(fd);
		if (log_allowed(&limit))
			log_warn("http.full", "conns=%zu: a client was turned away",
				 h->counts.conns);
		return false;
	}
	if (http_conn_new(h, fd, door) < 0)
		return false;
	if (h->sweep == NULL && loop_timer_add(h->cfg.loop, SWEEP_MS, on_sweep, h, &h->sweep) < 0)
		BUG("no memory for one timer");
	return true;
}

static void on_accept(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct http_listener *l = arg;

	(void)io;
	(void)events;
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
			struct http_conn *idle = find_idle(l->http, false);
			if (idle != NULL)
				http_conn_free(idle);
			/* Level-triggered: without a pause the loop would spin on it. */
			l->http->deaf = true;
			listen_to(l->http, 0);
			if (l->http->sweep == NULL &&
			    loop_timer_add(l->http->cfg.loop, SWEEP_MS, on_sweep, l->http,
					   &l->http->sweep) < 0)
				BUG("no memory for one timer");
			return;
		}
		if (conn < 0 || !begin_conn(l->http, conn, l->door))
			return;
	}
}

int http_new(const struct http_config *cfg, struct http **ret)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return -ENOMEM;
	h->cfg = *cfg;
	*ret = h;
	return 0;
}

int http_listen(struct http *h, int fd, enum http_door door)
{
	struct http_listener *l = &h->doors[h->doors_count];
	int r;

	BUG_ON(h->doors_count == HTTP_DOORS_MAX);
	*l = (struct http_listener){ .http = h, .fd = fd, .door = door };
	r = fd_set_nonblock(fd, true);
	if (r == 0)
		r = loop_io_add(h->cfg.loop, fd, EPOLLIN, on_accept, l, &l->io);
	if (r < 0)
		fd_closep(&l->fd);
	else
		h->doors_count++;
	return r;
}

void http_quiesce(struct http *h)
{
	for (size_t i = 0; i < h->doors_count; i++) {
		loop_io_del(h->doors[i].io);
		h->doors[i].io = NULL;
		fd_closep(&h->doors[i].fd);
	}
}

void http_free(struct http *h)
{
	if (h == NULL)
		return;
	h->stopping = true;
	http_quiesce(h);
	for (struct http_conn *c = h->first, *next; c != NULL; c = next) {
		next = c->next;
		if (c->req != NULL && c->req->phase <= HTTP_RUNNING) {
			http_error(c->req, 503, "shutting_down", "daemon: is shutting down");
			c->close = true;
			http_conn_step(c); /* may free it */
		}
	}
	while (h->first != NULL)
		http_conn_free(h->first);
	loop_timer_del(h->sweep);
	free(h);
}

void http_count(const struct http *h, struct http_counts *ret)
{
	*ret = h->counts;
}
