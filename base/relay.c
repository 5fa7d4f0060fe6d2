/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a relay has two ends; end i owns the buffer of what was read from it and
 * is to be written to the other. epoll is level-triggered, so what an end waits for is computed
 * from the buffers after each step (end_events). EPOLLHUP can't be masked: an end that has hung
 * up is taken out of the loop at once, or it would be reported for ever while its last bytes
 * wait for the other side. With a filter, bytes from a stand in `raw` until the filter has moved
 * them to `in`.
 */
#include "base/relay.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"

#define RELAY_ROUNDS 4U

struct relay_end {
	struct relay *relay;
	struct relay_end *peer;
	struct loop_io *io; /* NULL = hung up */
	int fd;
	uint32_t events;
	struct buf in;		 /* read from fd, to be written to peer->fd */
	struct buf raw;		 /* read from fd, for the filter */
	relay_filter_fn *filter; /* NULL = none */
	void *filter_arg;
	uint64_t moved; /* bytes that the peer has got */
	bool more;	/* the last fill stopped for want of room, not of bytes */
	bool eof;	/* nothing more will be read */
	bool done;	/* eof, and all bytes passed on or given up: the direction has ended */
};

struct relay {
	struct relay_end end[2];
	struct relay_end *first_eof;
	struct loop_timer *kick; /* reports an end that was reached outside of the loop */
	struct loop *loop;
	relay_ended_fn *ended;
	void *arg;
};

static void end_fill(struct relay_end *e)
{
	struct buf *to = e->filter == NULL ? &e->in : &e->raw;

	e->more = false;
	while (!e->eof && buf_room(to) > 0) {
		size_t room = MIN(buf_room(to), (size_t)16384);
		uint8_t *p = buf_reserve(to, room);
		ssize_t n;

		if (p == NULL) { /* no memory: this direction can't go on */
			e->eof = true;
			return;
		}
		n = recv(e->fd, p, room, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			e->eof = true;
			return;
		}
		buf_commit(to, (size_t)n);
	}
	e->more = !e->eof;
}

/* Has the filter done anything? Then it may have more to do once its output has gone. */
static bool end_filter(struct relay_end *e)
{
	size_t raw = buf_len(&e->raw), in = buf_len(&e->in);

	if (e->filter == NULL || raw == 0)
		return false;
	if (e->filter(e->filter_arg, &e->raw, &e->in) < 0) {
		buf_consume(&e->raw, buf_len(&e->raw));
		e->eof = true;
	}
	/* What is no whole piece now won't be one any more. */
	if (e->eof && buf_len(&e->in) == 0)
		buf_consume(&e->raw, buf_len(&e->raw));
	return buf_len(&e->raw) != raw || buf_len(&e->in) != in;
}

/* Writes what was read from e to its peer. */
static void end_flush(struct relay_end *e)
{
	while (!e->done && buf_len(&e->in) > 0) {
		ssize_t n = send(e->peer->fd, buf_head(&e->in), buf_len(&e->in),
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			/* The reader is gone: nobody will see these bytes or later ones. */
			buf_consume(&e->in, buf_len(&e->in));
			buf_consume(&e->raw, buf_len(&e->raw));
			e->eof = true;
			break;
		}
		buf_consume(&e->in, (size_t)n);
		e->moved += (size_t)n;
	}
	if (e->eof && !e->done && buf_len(&e->raw) == 0) {
		e->done = true;
		(void)shutdown(e->peer->fd, SHUT_WR);
	}
}

static uint32_t end_events(const struct relay_end *e)
{
	uint32_t ev = 0;

	if (!e->eof && buf_room(e->filter == NULL ? &e->in : &e->raw) > 0)
		ev |= EPOLLIN;
	if (buf_len(&e->peer->in) > 0)
		ev |= EPOLLOUT;
	return ev;
}

static void end_rearm(struct relay_end *e)
{
	uint32_t ev = end_events(e);

	if (e->io == NULL || ev == e->events)
		return;
	BUG_ON(loop_io_set(e->io, ev) < 0);
	e->events = ev;
}

/* Moves what e has for its peer. An end that hung up gets no event for the rest in its socket, so
 * that is read until the peer blocks; a live one takes a few rounds and lets others have a turn. */
static void end_pump(struct relay_end *e)
{
	bool filtered = false;

	for (unsigned round = 0; round < RELAY_ROUNDS || e->io == NULL || filtered; round++) {
		end_fill(e);
		filtered = end_filter(e);
		end_flush(e);
		if (buf_len(&e->in) > 0)
			return;
		/* What had no room before has it now. */
		if (end_filter(e))
			filtered = true;
		if (!filtered && (e->eof || !e->more))
			return;
	}
}

/* True when the relay has ended (and is perhaps gone already). */
static bool relay_step(struct relay *r)
{
	end_pump(&r->end[0]);
	end_pump(&r->end[1]);
	for (size_t i = 0; i < 2 && r->first_eof == NULL; i++)
		r->first_eof = r->end[i].eof ? &r->end[i] : NULL;
	if (!r->end[0].done || !r->end[1].done) {
		end_rearm(&r->end[0]);
		end_rearm(&r->end[1]);
		return false;
	}
	for (size_t i = 0; i < 2; i++) {
		loop_io_del(r->end[i].io);
		r->end[i].io = NULL;
	}
	r->ended(r, r->arg);
	return true;
}

static void on_end(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct relay_end *e = arg;

	(void)fd;
	if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		/* What it sent is still read; nobody is left to read what it should get. */
		loop_io_del(io);
		e->io = NULL;
		if (e->relay->first_eof == NULL)
			e->relay->first_eof = e;
		buf_consume(&e->peer->in, buf_len(&e->peer->in));
		buf_consume(&e->peer->raw, buf_len(&e->peer->raw));
		e->peer->eof = true;
	}
	(void)relay_step(e->relay);
}

static void on_kick(void *arg)
{
	struct relay *r = arg;

	r->kick = NULL;
	(void)relay_step(r);
}

static int end_init(struct relay *r, size_t i, int fd)
{
	struct relay_end *e = &r->end[i];
	int n;

	e->relay = r;
	e->peer = &r->end[1 - i];
	e->fd = fd;
	e->events = EPOLLIN;
	n = fd_set_nonblock(fd, true);
	if (n < 0)
		return n;
	return loop_io_add(r->loop, fd, e->events, on_end, e, &e->io);
}

int relay_new(struct loop *l, int a, int b, const void *first, size_t first_len,
	      relay_ended_fn *ended, void *arg, struct relay **ret)
{
	struct relay *r = calloc(1, sizeof(*r));
	int n;

	if (r == NULL)
		return -ENOMEM;
	r->loop = l;
	r->ended = ended;
	r->arg = arg;
	buf_init(&r->end[0].in, RELAY_BUF_BYTES);
	buf_init(&r->end[1].in, RELAY_BUF_BYTES);
	buf_init(&r->end[0].raw, RELAY_BUF_BYTES);
	buf_init(&r->end[1].raw, 0);
	n = buf_put(&r->end[0].in, first, first_len);
	if (n == 0)
		n = end_init(r, 0, a);
	if (n == 0)
		n = end_init(r, 1, b);
	if (n == 0)
		n = loop_timer_add(l, 0, on_kick, r, &r->kick);
	if (n < 0) {
		relay_free(r);
		return n;
	}
	*ret = r;
	return 0;
}

void relay_set_filter(struct relay *r, relay_filter_fn *fn, void *arg)
{
	struct relay_end *e = &r->end[0];
	struct buf first = e->in;

	BUG_ON(e->filter != NULL || e->moved > 0);
	e->in = e->raw;
	e->raw = first;
	e->filter = fn;
	e->filter_arg = arg;
}

uint64_t relay_moved(const struct relay *r, bool to_b)
{
	return r->end[to_b ? 0 : 1].moved;
}

bool relay_ended_by_b(const struct relay *r)
{
	return r->first_eof == &r->end[1];
}

void relay_free(struct relay *r)
{
	if (r == NULL)
		return;
	loop_timer_del(r->kick);
	for (size_t i = 0; i < 2; i++) {
		loop_io_del(r->end[i].io);
		buf_done(&r->end[i].in);
		buf_done(&r->end[i].raw);
	}
	free(r);
}
