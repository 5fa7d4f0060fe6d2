/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a connection has one request at a time; what a client pipelines waits
 * unread. Every event and every answer ends in http_conn_step(), which reads what is wanted, moves
 * the state on, writes, and at last computes from the state what to wait for. Only it (and the
 * server, between steps) frees a connection; whatever is called from inside of it asks for another
 * round (again).
 *
 * A step may be asked for by somebody who runs inside a callback of this very connection: then it
 * is put off to a timer of zero (http_conn_wake).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/http/internal.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define READ_BLOCK 16384U	   /* of what is not pulled: most clients say little */
#define DRAIN_MAX  (1024U * 1024U) /* of a refused body: then the connection breaks */
#define DRAIN_MS   2000U

static void set_deadline(struct http_conn *c, uint64_t ms)
{
	c->deadline_ms = ms == 0 ? 0 : now_ms() + ms;
}

/* A taken request, whose body has not ended: only reading tells how the client is. */
static bool is_pulling(const struct http_conn *c)
{
	return c->state == HTTP_CONN_BUSY && c->req->flow != NULL && !c->body.done;
}

/* ---- In and out ---------------------------------------------------------------------------- */

_Static_assert(HTTP_PULL_MAX >= HTTP_HEAD_MAX, "a body begins in what was read for its head");

/* For how many bytes of the client is there room? A body that is pulled comes in large pieces. */
static size_t input_room(const struct http_conn *c)
{
	size_t len = buf_len(&c->in);

	if (is_pulling(c))
		return len <= HTTP_PULL_MAX / 2 ? HTTP_PULL_MAX - len : 0;
	return len < HTTP_HEAD_MAX ? MIN(HTTP_HEAD_MAX - len, READ_BLOCK) : 0;
}

/* Are more bytes of the client wanted now? */
static bool wants_input(const struct http_conn *c)
{
	if (c->eof || input_room(c) == 0)
		return false;
	switch (c->state) {
	case HTTP_CONN_HEAD:
	case HTTP_CONN_BODY:
	case HTTP_CONN_DRAIN:
		return true;
	case HTTP_CONN_BUSY:
		return is_pulling(c);
	case HTTP_CONN_GIVEN:
	case HTTP_CONN_OVER:
		break;
	}
	return false;
}

static void fill(struct http_conn *c)
{
	while (wants_input(c)) {
		size_t room = input_room(c);
		uint8_t *p = buf_reserve(&c->in, room);
		ssize_t n = p == NULL ? 0 : recv(c->fd, p, room, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			c->eof = true;
			return;
		}
		buf_commit(&c->in, (size_t)n);
		if ((size_t)n < room)
			return;
	}
}

/* An answer that stands still has a deadline, which each byte puts off. */
static void note_sent(struct http_conn *c, size_t n)
{
	if (c->state != HTTP_CONN_BUSY)
		return;
	if (buf_len(&c->out) == 0)
		set_deadline(c, 0);
	else if (n > 0 || c->deadline_ms == 0)
		set_deadline(c, HTTP_STALL_MS);
}

ssize_t http_conn_send(struct http_conn *c, const void *data, size_t len)
{
	size_t queued = buf_len(&c->out);
	ssize_t n = fd_send_pair(c->fd, buf_head(&c->out), queued, data, len);

	if (n < 0 && n != -EAGAIN)
		return n;
	n = MAX(n, 0);
	buf_consume(&c->out, MIN((size_t)n, queued));
	note_sent(c, (size_t)n);
	return n;
}

/* False: the client is gone. */
static bool flush(struct http_conn *c)
{
	while (buf_len(&c->out) > 0) {
		ssize_t n = http_conn_send(c, NULL, 0);
		if (n <= 0)
			return n == 0;
	}
	return true;
}

static uint32_t events_of(const struct http_conn *c)
{
	uint32_t ev = 0;

	if (c->state == HTTP_CONN_GIVEN)
		return 0;
	if (wants_input(c))
		ev |= EPOLLIN;
	if (!c->eof && !is_pulling(c))
		ev |= EPOLLRDHUP;
	if (buf_len(&c->out) > 0)
		ev |= EPOLLOUT;
	return ev;
}

static void rearm(struct http_conn *c)
{
	uint32_t ev = events_of(c);

	if (c->io == NULL || ev == c->events)
		return;
	BUG_ON(loop_io_set(c->io, ev) < 0);
	c->events = ev;
}

/* ---- The states ---------------------------------------------------------------------------- */

/* The answer has ended and left: the next request, or the end. */
static void end_request(struct http_conn *c)
{
	bool whole = c->body.done;

	http_req_free(c->req);
	c->req = NULL;
	/* Of this request's body, though nobody wanted it: never to be read as the next one. */
	buf_consume(&c->in, c->shown);
	c->shown = 0;
	if (buf_len(&c->in) == 0 && c->in.cap > HTTP_HEAD_MAX)
		buf_done(&c->in);
	if (c->close || !whole || c->http->stopping) {
		/* A client that is still sending would lose the answer to a reset. */
		(void)shutdown(c->fd, SHUT_WR);
		c->state = c->eof || whole ? HTTP_CONN_OVER : HTTP_CONN_DRAIN;
		set_deadline(c, DRAIN_MS);
		buf_consume(&c->in, buf_len(&c->in));
		return;
	}
	c->state = HTTP_CONN_HEAD;
	c->scanned = 0;
	set_deadline(c, buf_len(&c->in) > 0 ? HTTP_HEAD_MS : c->idle_ok ? 0 : HTTP_IDLE_MS);
}

static void refuse(struct http_conn *c, unsigned status, const char *why)
{
	c->http->counts.malformed++;
	c->close = true;
	c->state = HTTP_CONN_BUSY;
	http_error(c->req, status, status == 413 ? "too_large" : "bad_request", "%s", why);
}

static const char *refusal_text(unsigned status)
{
	switch (status) {
	case 414:
		return "request target: too long";
	case 431:
		return "request head: too large";
	case 501:
		return "request: a transfer coding that is not known";
	case 505:
		return "request: not HTTP/1.1";
	default:
		return "request: malformed";
	}
}

/* True when there may be more to do. */
static bool step_head(struct http_conn *c)
{
	ssize_t len;
	int r;

	/* Empty lines before a request are to be ignored (RFC 9112, 2.2). */
	while (buf_len(&c->in) >= 2 && memcmp(buf_head(&c->in), "\r\n", 2) == 0)
		buf_consume(&c->in, 2);
	if (buf_len(&c->in) > 0 && c->scanned == 0)
		set_deadline(c, HTTP_HEAD_MS);
	len = http_head_length(buf_head(&c->in), buf_len(&c->in), c->scanned);
	if (len == 0) {
		c->scanned = buf_len(&c->in);
		if (c->eof)
			c->state = HTTP_CONN_OVER;
		return false;
	}
	c->scanned = 0;
	r = http_req_begin(c, len < 0 ? 0 : (size_t)len);
	if (r == -ENOMEM) {
		c->state = HTTP_CONN_OVER;
		return false;
	}
	if (len < 0 || r > 0) {
		c->body.done = false; /* where it ends is anybody's guess */
		refuse(c, len < 0 ? 431 : (unsigned)r, refusal_text(len < 0 ? 431 : (unsigned)r));
		return true;
	}
	http_body_init(&c->body, &c->req->head);
	c->close = c->req->head.close;
	c->state = HTTP_CONN_BODY;
	set_deadline(c, HTTP_BODY_MS);
	http_req_admit(c->req);
	return true;
}

static void send_continue(struct http_conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (c->req->head.expect && !c->body.done && buf_len(&c->in) == 0 &&
	    buf_put(&c->out, text, sizeof(text) - 1) < 0)
		log_debug("http.continue", "request=%s: no memory; the client will send anyway",
			  c->req->id);
	c->req->head.expect = false;
}

/* Collects the body; true when there may be more to do. */
static bool step_body(struct http_conn *c)
{
	struct http_req *req = c->req;

	if (req->phase != HTTP_READING || req->flow != NULL) { /* answered or taken by admit */
		c->state = HTTP_CONN_BUSY;
		if (req->flow != NULL) {
			set_deadline(c, 0);
			send_continue(c);
		}
		return true;
	}
	send_continue(c);
	while (!c->body.done) {
		const void *data;
		size_t len;
		ssize_t used =
			http_body_take(&c->body, buf_head(&c->in), buf_len(&c->in), &data, &len);
		if (used < 0) {
			refuse(c, 400, "body: malformed");
			return true;
		}
		if (used == 0)
			break;
		if (buf_put(&req->body, data, len) < 0) {
			refuse(c, 413, "body: too large");
			return true;
		}
		buf_consume(&c->in, (size_t)used);
	}
	if (!c->body.done) {
		if (c->eof)
			c->state = HTTP_CONN_OVER;
		return false;
	}
	c->state = HTTP_CONN_BUSY;
	set_deadline(c, 0);
	http_req_run(req);
	return true;
}

/* Is there room, and has nobody been told of it? */
static bool is_room_untold(const struct http_conn *c)
{
	const struct http_req *req = c->req;

	return c->state == HTTP_CONN_BUSY && req->phase == HTTP_REPLYING && req->flow != NULL &&
	       req->want_writable && buf_len(&c->out) < HTTP_ROOM;
}

/* The whole answer is in c->out, or gone through it. */
static bool answered(const struct http_conn *c)
{
	return c->req->phase == HTTP_DONE;
}

static bool step_busy(struct http_conn *c)
{
	struct http_req *req = c->req;

	if (req->phase == HTTP_UPGRADED) {
		if (req->up == NULL || buf_len(&c->out) > 0)
			return false;
		c->state = HTTP_CONN_GIVEN;
		set_deadline(c, 0);
		loop_io_del(c->io);
		c->io = NULL;
		void (*up)(struct http_req *, int, const void *, size_t, void *) = req->up;
		req->up = NULL;
		up(req, c->fd, buf_head(&c->in), buf_len(&c->in), req->state);
		return true;
	}
	if (answered(c)) {
		if (buf_len(&c->out) > 0)
			return false;
		end_request(c);
		return true;
	}
	if (c->eof && (req->flow == NULL || c->body.done)) {
		http_req_gone(req);
		c->state = HTTP_CONN_OVER;
		return false;
	}
	if (is_pulling(c) && (buf_len(&c->in) > 0 || c->eof))
		req->flow->readable(req, req->state);
	if (req->phase == HTTP_REPLYING && buf_len(&c->out) < HTTP_ROOM) {
		if (req->want_writable && req->flow != NULL) {
			req->want_writable = false;
			req->flow->writable(req, req->state);
		} else if (req->more != NULL && req->more_due) {
			http_req_feed(req);
		}
	}
	return answered(c);
}

static void step_drain(struct http_conn *c)
{
	c->drained += buf_len(&c->in);
	buf_consume(&c->in, buf_len(&c->in));
	if (c->eof || c->drained > DRAIN_MAX)
		c->state = HTTP_CONN_OVER;
}

/* Moves the state on; true when another round may bring something. */
static bool step_state(struct http_conn *c)
{
	switch (c->state) {
	case HTTP_CONN_HEAD:
		return step_head(c);
	case HTTP_CONN_BODY:
		return step_body(c);
	case HTTP_CONN_BUSY:
		return step_busy(c);
	case HTTP_CONN_DRAIN:
		step_drain(c);
		return false;
	case HTTP_CONN_GIVEN:
	case HTTP_CONN_OVER:
		break;
	}
	return false;
}

void http_conn_step(struct http_conn *c)
{
	if (c->stepping) {
		c->again = true;
		return;
	}
	c->stepping = true;
	do {
		c->again = false;
		fill(c);
		while (step_state(c))
			if (c->state != HTTP_CONN_GIVEN && !flush(c))
				break;
		if (c->state != HTTP_CONN_GIVEN && !flush(c))
			c->state = HTTP_CONN_OVER;
		/* What has just left may have been the last of an answer, or of a 101. */
		if (c->state == HTTP_CONN_BUSY && buf_len(&c->out) == 0 &&
		    (answered(c) || c->req->up != NULL))
			c->again = true;
	} while (c->again && c->state != HTTP_CONN_OVER);
	c->stepping = false;
	if (c->state == HTTP_CONN_OVER) {
		http_conn_free(c);
		return;
	}
	rearm(c);
	/* What was flushed at last made room, and no event will tell. In a round of its own, so
	 * that others have their turn. */
	if (is_room_untold(c))
		http_conn_wake(c);
}

static void on_wake(void *arg)
{
	struct http_conn *c = arg;

	c->wake = NULL;
	http_conn_step(c);
}

void http_conn_wake(struct http_conn *c)
{
	if (c->stepping)
		c->again = true;
	else if (c->wake == NULL && loop_timer_add(c->http->cfg.loop, 0, on_wake, c, &c->wake) < 0)
		BUG("no memory for one timer");
}

static void on_event(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct http_conn *c = arg;

	(void)io;
	(void)fd;
	if ((events & (EPOLLHUP | EPOLLERR)) != 0 && !wants_input(c)) {
		/* Nobody is left to read an answer. */
		http_conn_free(c);
		return;
	}
	if ((events & EPOLLRDHUP) != 0 && !wants_input(c) && !is_pulling(c))
		c->eof = true;
	http_conn_step(c);
}

void http_conn_late(struct http_conn *c)
{
	if (c->state == HTTP_CONN_BODY && c->req->phase == HTTP_READING) {
		refuse(c, 408, "body: too slow");
		http_conn_step(c);
		return;
	}
	http_conn_free(c);
}

int http_conn_new(struct http *h, int fd, enum http_door door)
{
	struct http_conn *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (c != NULL) {
		*c = (struct http_conn){ .http = h, .fd = fd, .door = door, .events = EPOLLIN };
		buf_init(&c->in, HTTP_PULL_MAX);
		buf_init(&c->out, HTTP_ANSWER_MAX);
		r = loop_io_add(h->cfg.loop, fd, EPOLLIN, on_event, c, &c->io);
	}
	if (r < 0) {
		free(c);
		fd_closep(&fd);
		return r;
	}
	set_deadline(c, HTTP_HEAD_MS);
	c->next = h->first;
	if (h->first != NULL)
		h->first->prev = c;
	else
		h->last = c;
	h->first = c;
	h->counts.conns++;
	return 0;
}

void http_conn_free(struct http_conn *c)
{
	struct http *h = c->http;

	BUG_ON(c->stepping);
	if (c->req != NULL) {
		if (c->req->phase <= HTTP_REPLYING)
			http_req_gone(c->req);
		http_req_free(c->req);
	}
	if (h->cfg.conn_closed != NULL)
		h->cfg.conn_closed(c, h->cfg.arg);
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		h->first = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	else
		h->last = c->prev;
	h->counts.conns--;
	loop_timer_del(c->wake);
	loop_io_del(c->io);
	fd_closep(&c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}
