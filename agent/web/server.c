/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. A connection is a state (enum conn_state), bytes that have come (in) and
 * bytes that are to go (out). run() takes it as far as the bytes allow and is called from the
 * loop only: an answer given anywhere else just queues bytes and kicks. Callbacks can end the
 * request but not the connection: that happens in the loop, too.
 *
 * An answer that was given before the whole request had come closes the connection: the rest is
 * read and dropped for a while, because closing with bytes unread would send a reset that
 * destroys the answer on its way.
 */
#include "agent/web/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/web/server_internal.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define IN_BYTES      ((size_t)65536)
#define READ_BYTES    ((size_t)16384) /* of a head: most are short, and the buffer stays */
#define READS_PER_RUN 8
#define TICK_MS	      5000
#define DISCARD_MAX   (4U * 1024U * 1024U)
#define LINGER_MS     5000U

static void run(struct web_conn *c);

/* ---- The end of a connection ------------------------------------------------------------- */

static void conn_free(struct web_conn *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		c->server->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->server->count--;
	free(c);
}

static void conn_enter(struct web_conn *c)
{
	c->depth++;
}

static void conn_leave(struct web_conn *c)
{
	struct web_server *s = c->server;

	BUG_ON(c->depth == 0);
	if (--c->depth > 0 || !c->freed)
		return;
	conn_free(c);
	if (s->cfg.room != NULL)
		s->cfg.room(s->cfg.arg);
}

/* The request's owner hears that its client is gone. */
static void abandon(struct web_conn *c)
{
	struct web_req *req = &c->req;

	if (!req->active)
		return;
	if (req->ops != NULL)
		req->ops->gone(req, req->arg);
	req->active = false;
	req->ops = NULL;
}

/* The caller is inside conn_enter. */
static void conn_close(struct web_conn *c)
{
	BUG_ON(c->depth == 0);
	if (c->state == CONN_CLOSED)
		return;
	c->dead = true;
	abandon(c);
	c->state = CONN_CLOSED;
	loop_io_del(c->io);
	c->io = NULL;
	loop_timer_del(c->kick);
	c->kick = NULL;
	fd_closep(&c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	c->freed = true;
}

/* ---- Writing ----------------------------------------------------------------------------- */

static void on_kick(void *arg)
{
	struct web_conn *c = arg;

	c->kick = NULL;
	conn_enter(c);
	run(c);
	conn_leave(c);
}

void web_conn_kick(struct web_conn *c)
{
	if (c->kick != NULL || c->state == CONN_CLOSED)
		return;
	if (loop_timer_add(c->server->cfg.loop, 0, on_kick, c, &c->kick) < 0) {
		c->kick = NULL;
		(void)shutdown(c->fd, SHUT_RDWR); /* the hang-up does the kick's work */
	}
}

size_t web_conn_send(struct web_conn *c, const void *data, size_t len)
{
	const size_t queued = buf_len(&c->out);
	ssize_t n = c->dead ? -EPIPE : fd_send_pair(c->fd, buf_head(&c->out), queued, data, len);

	if (n == -EAGAIN)
		return 0;
	if (n <= 0) {
		c->dead = true;
		return 0;
	}
	buf_consume(&c->out, MIN((size_t)n, queued));
	c->since_ms = now_ms();
	return (size_t)n > queued ? (size_t)n - queued : 0;
}

void web_conn_flush(struct web_conn *c)
{
	size_t before;

	do {
		before = buf_len(&c->out);
		if (before > 0)
			(void)web_conn_send(c, NULL, 0);
	} while (!c->dead && buf_len(&c->out) > 0 && buf_len(&c->out) < before);
	/* Somebody must wait for EPOLLOUT, or bury the connection. */
	if (c->dead || (buf_len(&c->out) > 0 && (c->events & EPOLLOUT) == 0))
		web_conn_kick(c);
}

/* ---- Requests ---------------------------------------------------------------------------- */

void web_req_watch(struct web_req *req, const struct web_req_ops *ops, void *arg)
{
	BUG_ON(!req->active || ops->gone == NULL);
	req->ops = ops;
	req->arg = arg;
}

const struct http_head *web_req_head(const struct web_req *req)
{
	return &req->head;
}

const char *web_req_field(const struct web_req *req, const char *name)
{
	return http_head_field(&req->head, name);
}

const char *web_req_path(const struct web_req *req)
{
	return req->path;
}

const char *web_req_query(const struct web_req *req, const char *name)
{
	for (int i = 0; i < req->args_count; i++)
		if (strcmp(req->args[i].name, name) == 0)
			return req->args[i].value;
	return NULL;
}

unsigned web_req_door(const struct web_req *req)
{
	return req->conn->door;
}

/* Answers a request that has no handler, and the connection with it. */
static void refuse(struct web_conn *c, unsigned status, const char *why)
{
	c->req.active = true;
	c->req.begun = false;
	c->req.ops = NULL;
	c->req.head.method = "";
	c->close = true;
	web_fail(&c->req, status, "%s", why);
	c->state = CONN_CLOSING;
}

static const char *refusal(unsigned status)
{
	switch (status) {
	case 414:
	case 431:
		return "the request's head is too large";
	case 501:
		return "unknown transfer coding";
	case 505:
		return "HTTP/1.1 is spoken here";
	default:
		return "malformed request";
	}
}

/* Splits the target, which lies in req->text. */
static unsigned cut_target(struct web_req *req)
{
	char *target = req->text + (req->head.target - req->text);

	req->path = target;
	req->query = strchr(target, '?');
	req->args_count = 0;
	if (req->query == NULL)
		return 0;
	*req->query++ = '\0';
	req->args_count = http_query_parse(req->query, req->args);
	return req->args_count < 0 ? 400 : 0;
}

/* Takes the head's n bytes from the queue: 0, or the status of a refusal. */
static unsigned parse_head(struct web_conn *c, size_t n)
{
	struct web_req *req = &c->req;
	unsigned status;

	memcpy(req->text, buf_head(&c->in), n);
	req->text[n] = '\0';
	buf_consume(&c->in, n);
	status = http_request_parse(req->text, n, &req->head);
	return status != 0 ? status : cut_target(req);
}

/* True when there was one. */
static bool take_head(struct web_conn *c)
{
	struct web_req *req = &c->req;
	ssize_t n = http_head_length(buf_head(&c->in), buf_len(&c->in), 0);
	unsigned status;

	if (n == 0)
		return false;
	req->active = req->begun = req->chunked = req->no_body = false;
	req->left = 0;
	req->ops = NULL;
	status = n < 0 ? 431 : parse_head(c, (size_t)n);
	if (status != 0) {
		refuse(c, status, refusal(status));
		return true;
	}
	http_body_init(&c->body, &req->head);
	c->discarded = 0;
	c->state = c->body.done ? CONN_ANSWER : CONN_BODY;
	if (!c->body.done && req->head.expect && buf_len(&c->in) == 0 &&
	    buf_put(&c->out, "HTTP/1.1 100 Continue\r\n\r\n", 25) < 0)
		c->dead = true;
	req->active = true;
	c->server->cfg.handle(req, c->server->cfg.arg);
	if (c->state == CONN_ANSWER && req->active && req->ops != NULL &&
	    req->ops->body_end != NULL)
		req->ops->body_end(req, req->arg);
	web_conn_flush(c);
	return true;
}

/* True when something was taken. */
static bool take_body(struct web_conn *c)
{
	struct web_req *req = &c->req;
	const void *piece;
	size_t len;
	ssize_t n = http_body_take(&c->body, buf_head(&c->in), buf_len(&c->in), &piece, &len);

	if (n < 0) {
		abandon(c);
		if (req->begun)
			c->state = CONN_CLOSING;
		else
			refuse(c, 400, "malformed body");
		return true;
	}
	if (req->active && req->ops != NULL && req->ops->body != NULL) {
		if (len > 0)
			req->ops->body(req, piece, len, req->arg);
	} else {
		c->discarded += len;
	}
	buf_consume(&c->in, (size_t)n);
	if (c->body.done) {
		c->state = CONN_ANSWER;
		if (req->active && req->ops != NULL && req->ops->body_end != NULL)
			req->ops->body_end(req, req->arg);
	} else if (c->discarded > DISCARD_MAX) {
		conn_close(c);
	}
	return n > 0;
}

/* Is there a request whose answer is still owed? */
static bool owes(const struct web_conn *c)
{
	return c->req.active;
}

/* One step; false when there is nothing to be done with what has come. */
static bool step(struct web_conn *c)
{
	switch (c->state) {
	case CONN_HEAD:
		return buf_len(&c->in) > 0 && take_head(c);
	case CONN_BODY:
		return buf_len(&c->in) > 0 && take_body(c);
	case CONN_ANSWER:
		if (owes(c))
			return false;
		c->state = c->close ? CONN_CLOSING : CONN_HEAD;
		c->since_ms = now_ms();
		return true;
	case CONN_CLOSING:
	case CONN_CLOSED:
		break;
	}
	return false;
}

/* ---- Reading ----------------------------------------------------------------------------- */

static bool wants_bytes(const struct web_conn *c)
{
	return !c->eof && buf_room(&c->in) > 0 &&
	       (c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_CLOSING) &&
	       buf_len(&c->out) <= WEB_OUT_HIGH;
}

/* False when there is nothing more at the moment. */
static bool fill(struct web_conn *c)
{
	const size_t room = MIN(buf_room(&c->in), c->state == CONN_BODY ? IN_BYTES : READ_BYTES);
	uint8_t *p = buf_reserve(&c->in, room);
	ssize_t n;

	if (p == NULL) {
		c->dead = true;
		return false;
	}
	n = recv(c->fd, p, room, MSG_DONTWAIT);
	if (n > 0) {
		if (c->state != CONN_HEAD || buf_len(&c->in) == 0)
			c->since_ms = now_ms();
		buf_commit(&c->in, (size_t)n);
		if (c->state == CONN_CLOSING) {
			buf_consume(&c->in, (size_t)n);
			c->discarded += (size_t)n;
		}
		return true;
	}
	if (n == 0)
		c->eof = true;
	else if (errno == EINTR)
		return true;
	else if (errno != EAGAIN)
		c->dead = true;
	return false;
}

/* The client has sent all that it will: what does that mean here? */
static void on_eof(struct web_conn *c)
{
	/* What was asked has been answered or can't be asked any more. */
	const bool asking = c->state == CONN_HEAD || c->state == CONN_BODY;

	if (asking ||
	    (c->state == CONN_ANSWER && owes(c) && c->req.ops != NULL && c->req.ops->gone_at_eof)) {
		abandon(c);
		c->state = CONN_CLOSING;
	}
	c->close = true;
}

static void on_io(struct loop_io *io, int fd, uint32_t events, void *arg);

static void watch(struct web_conn *c)
{
	uint32_t events = 0;
	int r = 0;

	/* Where nothing is read, the client's end would not be noticed otherwise. */
	if (c->state == CONN_ANSWER && !c->eof)
		events |= EPOLLRDHUP;
	if (wants_bytes(c))
		events |= EPOLLIN;
	if (buf_len(&c->out) > 0)
		events |= EPOLLOUT;
	if (c->io == NULL)
		r = loop_io_add(c->server->cfg.loop, c->fd, events, on_io, c, &c->io);
	else if (events != c->events)
		r = loop_io_set(c->io, events);
	c->events = events;
	if (r < 0)
		conn_close(c);
}

static void closing(struct web_conn *c)
{
	if (buf_len(&c->out) > 0)
		return;
	if (c->eof || c->discarded > DISCARD_MAX)
		conn_close(c);
	else
		(void)shutdown(c->fd, SHUT_WR); /* and wait for the client's end: see above */
}

static void run(struct web_conn *c)
{
	bool more = true;

	if (c->state == CONN_CLOSED)
		return;
	web_conn_flush(c);
	if (c->congested && buf_len(&c->out) <= WEB_OUT_HIGH) {
		c->congested = false;
		if (c->req.active && c->req.ops != NULL && c->req.ops->drained != NULL)
			c->req.ops->drained(&c->req, c->req.arg);
	}
	for (int i = 0; i < READS_PER_RUN && more && !c->dead; i++) {
		while (!c->dead && c->state != CONN_CLOSED && step(c))
			;
		more = !c->dead && c->state != CONN_CLOSED && wants_bytes(c) && fill(c);
	}
	while (!c->dead && c->state != CONN_CLOSED && step(c))
		;
	if (c->state == CONN_CLOSED)
		return;
	if (c->eof)
		on_eof(c);
	if (c->state == CONN_CLOSING)
		closing(c);
	if (c->dead)
		conn_close(c);
	if (c->state != CONN_CLOSED)
		watch(c);
}

static void on_io(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct web_conn *c = arg;

	(void)io;
	(void)fd;
	conn_enter(c);
	/* Both directions have ended: of no use whatever the state. What it had asked before it
	 * went is not done. */
	if ((events & (EPOLLHUP | EPOLLERR)) != 0 && !wants_bytes(c))
		conn_close(c);
	/* Its bytes and then its end are read in the states that read; in the others it is told. */
	if ((events & EPOLLRDHUP) != 0 && c->state == CONN_ANSWER)
		c->eof = true;
	run(c);
	conn_leave(c);
}

/* ---- Limits on time ---------------------------------------------------------------------- */

static uint64_t patience_ms(const struct web_conn *c)
{
	if (buf_len(&c->out) > 0)
		return WEB_STALL_MS;
	switch (c->state) {
	case CONN_HEAD:
		return buf_len(&c->in) > 0 ? WEB_HEAD_MS : WEB_IDLE_MS;
	case CONN_BODY:
		return WEB_BODY_MS;
	case CONN_CLOSING:
		return LINGER_MS;
	case CONN_ANSWER:
	case CONN_CLOSED:
		break;
	}
	return UINT64_MAX;
}

static void on_tick(void *arg)
{
	struct web_server *s = arg;
	struct web_conn *c = s->conns, *next;
	const uint64_t now = now_ms();

	s->tick = NULL;
	for (; c != NULL; c = next) {
		next = c->next;
		if (now - c->since_ms < patience_ms(c))
			continue;
		conn_enter(c);
		conn_close(c);
		conn_leave(c);
	}
	if (s->conns != NULL && loop_timer_add(s->cfg.loop, TICK_MS, on_tick, s, &s->tick) < 0)
		s->tick = NULL; /* the next connection tries again */
}

/* ---- Life -------------------------------------------------------------------------------- */

int web_server_new(const struct web_server_config *cfg, struct web_server **ret)
{
	struct web_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->cfg = *cfg;
	*ret = s;
	return 0;
}

void web_server_free(struct web_server *s)
{
	if (s == NULL)
		return;
	s->cfg.room = NULL;
	for (struct web_conn *c = s->conns, *next; c != NULL; c = next) {
		next = c->next;
		conn_enter(c);
		conn_close(c);
		conn_leave(c);
	}
	loop_timer_del(s->tick);
	free(s);
}

bool web_server_full(const struct web_server *s)
{
	return s->count >= s->cfg.conns_max;
}

int web_serve(struct web_server *s, int fd, unsigned door)
{
	CLEANUP(fd_closep) int owned = fd;
	struct web_conn *c;
	int r;

	if (web_server_full(s))
		return -EAGAIN;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->server = s;
	c->door = door;
	c->req.conn = c;
	c->since_ms = now_ms();
	buf_init(&c->in, IN_BYTES);
	buf_init(&c->out, WEB_OUT_MAX);
	c->events = EPOLLIN;
	r = loop_io_add(s->cfg.loop, owned, c->events, on_io, c, &c->io);
	if (r == 0 && s->tick == NULL)
		r = loop_timer_add(s->cfg.loop, TICK_MS, on_tick, s, &s->tick);
	if (r < 0) {
		loop_io_del(c->io);
		free(c);
		return r;
	}
	c->fd = fd_steal(&owned);
	c->next = s->conns;
	if (s->conns != NULL)
		s->conns->prev = c;
	s->conns = c;
	s->count++;
	return 0;
}
