/* SPDX-License-Identifier: Apache-2.0 */
/* conn.c - the life of a connection: reading, writing, closing. internal.h has the theory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/rpc/internal.h"
#include "base/bug.h"

/* Frames handled before other sources of the loop get their turn. */
#define FRAMES_PER_ROUND 64U
/* Frames still read from a peer that takes no answers any more. */
#define FRAMES_AFTER_DEATH 4096U
/* Requests aren't read while so many bytes wait: answers would only pile up until RPC_OUT_MAX. */
#define OUT_STALL_BYTES (RPC_OUT_MAX / 2)

static void read_frames(struct rpc_conn *c, unsigned budget);

static void conn_destroy(struct rpc_conn *c)
{
	BUG_ON(!c->closed || c->calls != NULL || c->pending != NULL);
	free(c);
}

void conn_enter(struct rpc_conn *c)
{
	c->depth++;
}

void conn_leave(struct rpc_conn *c)
{
	BUG_ON(c->depth == 0);
	if (--c->depth == 0 && c->freed)
		conn_destroy(c);
}

/* Lets go of the descriptor and ends all calls; the struct stays. */
static void conn_shut(struct rpc_conn *c, enum rpc_code code, const char *why)
{
	struct frame half;

	c->closed = true;
	loop_io_del(c->io);
	c->io = NULL;
	loop_timer_del(c->kick);
	c->kick = NULL;
	fd_closep(&c->fd);
	frame_rx_take(&c->rx, &half);
	frame_done(&half);
	frame_tx_done(&c->tx);
	serve_abort(c);
	call_abort(c, code, why);
}

/* The caller holds the connection, so that it outlives its own callback. */
static void conn_close(struct rpc_conn *c, int reason)
{
	BUG_ON(c->depth == 0);
	if (c->closed)
		return;
	conn_shut(c, RPC_UNAVAILABLE, "connection closed");
	if (c->cfg.closed != NULL && !c->freed)
		c->cfg.closed(c, reason, c->cfg.arg);
}

/* ---- What to wait for -------------------------------------------------------------------- */

static bool may_read(const struct rpc_conn *c)
{
	if (c->closed || c->paused || c->finishing || c->error != 0)
		return false;
	return c->cfg.handlers == NULL || buf_len(&c->tx.out) <= OUT_STALL_BYTES;
}

static void on_kick(void *arg)
{
	struct rpc_conn *c = arg;

	c->kick = NULL;
	conn_enter(c);
	if (c->error != 0) {
		conn_close(c, c->error);
	} else if (c->finishing) {
		if (c->write_dead)
			conn_close(c, -EPIPE);
		else if (buf_len(&c->tx.out) == 0)
			conn_close(c, 0);
	} else if (c->write_dead && !c->paused) {
		/* What the peer said before it went away still counts. */
		read_frames(c, FRAMES_AFTER_DEATH);
		if (!c->paused)
			conn_close(c, -EPIPE);
	}
	conn_leave(c);
}

static void kick(struct rpc_conn *c)
{
	if (c->kick != NULL || c->closed || loop_timer_add(c->loop, 0, on_kick, c, &c->kick) == 0)
		return;
	/* No memory for a timer: the hang-up that this brings about does its work (on_io). */
	(void)shutdown(c->fd, SHUT_RDWR);
}

void conn_fail_soon(struct rpc_conn *c, int error)
{
	BUG_ON(error >= 0);
	if (c->closed || c->error != 0)
		return;
	c->error = error;
	kick(c);
}

static void on_io(struct loop_io *io, int fd, uint32_t events, void *arg);

/* Makes the loop watch what the state asks for. */
static void watch(struct rpc_conn *c)
{
	uint32_t events = 0;
	int r;

	if (c->closed)
		return;
	if (may_read(c))
		events |= EPOLLIN;
	if (buf_len(&c->tx.out) > 0 && c->error == 0)
		events |= EPOLLOUT;
	if (c->io == NULL) {
		if (events == 0)
			return;
		r = loop_io_add(c->loop, c->fd, events, on_io, c, &c->io);
	} else {
		if (events == c->events)
			return;
		r = loop_io_set(c->io, events);
	}
	if (r < 0)
		conn_fail_soon(c, r);
	else
		c->events = events;
}

/* ---- Writing ----------------------------------------------------------------------------- */

bool conn_can_send(const struct rpc_conn *c)
{
	return !c->closed && !c->finishing && !c->write_dead && c->error == 0;
}

bool rpc_conn_writable(const struct rpc_conn *c)
{
	return conn_can_send(c) && buf_len(&c->tx.out) <= RPC_OUT_HIGH;
}

static ssize_t conn_write(struct rpc_conn *c)
{
	const struct frame_fds *m;
	size_t len = frame_tx_next(&c->tx, &m);
	const uint8_t *data = buf_head(&c->tx.out);
	ssize_t n;

	if (!c->plain) {
		n = fd_send(c->fd, data, len, m != NULL ? m->fds : NULL, m != NULL ? m->count : 0);
		if (n != -ENOTSOCK)
			return n;
		c->plain = true;
	}
	if (m != NULL)
		return -EOPNOTSUPP;
	do
		n = write(c->fd, data, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Nobody reads what we send any more. */
static void write_died(struct rpc_conn *c)
{
	c->write_dead = true;
	frame_tx_done(&c->tx);
	kick(c);
}

static void flush(struct rpc_conn *c)
{
	while (c->error == 0 && buf_len(&c->tx.out) > 0) {
		ssize_t n = conn_write(c);
		if (n == -EAGAIN || n == 0)
			break;
		if (n == -EPIPE || n == -ECONNRESET) {
			write_died(c);
			return;
		}
		if (n < 0) {
			conn_fail_soon(c, (int)n);
			return;
		}
		frame_tx_sent(&c->tx, (size_t)n);
	}
	if (buf_len(&c->tx.out) == 0 && c->finishing)
		kick(c);
}

void conn_flush_soon(struct rpc_conn *c)
{
	/* Bytes from before are still waiting for EPOLLOUT: so must these. */
	if ((c->events & EPOLLOUT) == 0)
		flush(c);
	if (buf_len(&c->tx.out) > RPC_OUT_HIGH)
		c->congested = true;
	watch(c);
}

/* ---- Reading ----------------------------------------------------------------------------- */

static int dispatch(struct rpc_conn *c)
{
	struct frame f;
	int r = -EPROTO;

	frame_rx_take(&c->rx, &f);
	switch (f.h.type) {
	case FRAME_REQUEST:
		if (c->cfg.handlers != NULL)
			r = serve_request(c, &f);
		break;
	case FRAME_RESPONSE:
		if (c->cfg.handlers == NULL)
			r = call_response(c, &f);
		break;
	case FRAME_DATA:
		if (f.nfds > 0)
			break;
		r = c->cfg.handlers != NULL ? serve_data(c, &f) : call_data(c, &f);
		break;
	default:
		BUG("frame_header_get let a type pass");
	}
	frame_done(&f);
	return r;
}

/* fds_ok: the read starts a frame, so descriptors may come with it. */
static ssize_t conn_read(struct rpc_conn *c, uint8_t *p, size_t len, bool fds_ok)
{
	size_t nfds = fds_ok ? FD_PASS_MAX : 0;
	ssize_t n;

	if (!c->plain) {
		n = fd_recv(c->fd, p, len, c->rx.f.fds, &nfds);
		if (n != -ENOTSOCK) {
			if (n >= 0 && fds_ok)
				c->rx.f.nfds = nfds;
			return n;
		}
		c->plain = true;
	}
	do
		n = read(c->fd, p, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void read_frames(struct rpc_conn *c, unsigned budget)
{
	while (budget > 0 && may_read(c)) {
		uint8_t *p;
		size_t len;
		ssize_t n;
		int r = frame_rx_want(&c->rx, &p, &len);

		if (r < 0) {
			conn_close(c, r);
			return;
		}
		n = conn_read(c, p, len, frame_rx_idle(&c->rx));
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			bool clean = frame_rx_idle(&c->rx);
			conn_close(c, n < 0 ? (int)n : clean ? 0 : -ECONNRESET);
			return;
		}
		r = frame_rx_got(&c->rx, (size_t)n);
		if (r == 1) {
			r = dispatch(c);
			budget--;
		}
		if (r < 0) {
			conn_close(c, r);
			return;
		}
	}
}

void rpc_conn_feed(struct rpc_conn *c, const uint8_t *data, size_t len)
{
	conn_enter(c);
	while (len > 0 && !c->closed) {
		uint8_t *p;
		size_t want;
		int r = frame_rx_want(&c->rx, &p, &want);

		if (r == 0) {
			want = want < len ? want : len;
			memcpy(p, data, want);
			data += want;
			len -= want;
			r = frame_rx_got(&c->rx, want);
			if (r == 1)
				r = dispatch(c);
		}
		if (r < 0)
			conn_close(c, r);
	}
	conn_leave(c);
}

/*
 * The peer is gone and the state forbids reading what it left. epoll would report that for ever,
 * so while the owner pauses the connection its descriptor is parked.
 */
static void on_hangup(struct rpc_conn *c)
{
	if (c->finishing) {
		conn_close(c, -EPIPE);
		return;
	}
	loop_io_del(c->io);
	c->io = NULL;
	c->events = 0;
	write_died(c);
}

static void on_io(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct rpc_conn *c = arg;

	(void)io;
	(void)fd;
	conn_enter(c);
	if (c->error != 0)
		conn_close(c, c->error);
	if (!c->closed && (events & EPOLLOUT) != 0) {
		flush(c);
		if (c->congested && rpc_conn_writable(c)) {
			c->congested = false;
			serve_drained(c);
			if (c->cfg.drained != NULL)
				c->cfg.drained(c, c->cfg.arg);
		}
	}
	if (may_read(c)) {
		if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
			read_frames(c, FRAMES_PER_ROUND);
	} else if (!c->closed && c->io != NULL && (events & (EPOLLHUP | EPOLLERR)) != 0) {
		on_hangup(c);
	}
	watch(c);
	conn_leave(c);
}

/* ---- For the owner ----------------------------------------------------------------------- */

bool method_sane(const struct rpc_method *m)
{
	const uint32_t max = RPC_PAYLOAD_MAX - FRAME_ENVELOPE_MAX;

	return m->in_bytes_max > 0 && m->in_bytes_max <= max && m->out_bytes_max > 0 &&
	       m->out_bytes_max <= max && m->fds_in <= FD_PASS_MAX && m->fds_out <= FD_PASS_MAX &&
	       (m->fds_out == 0 || m->kind != RPC_SERVER_STREAM);
}

int rpc_conn_new(struct loop *l, int fd, const struct rpc_conn_config *cfg, struct rpc_conn **ret)
{
	struct rpc_conn *c = calloc(1, sizeof(*c));
	int r = c == NULL ? -ENOMEM : cfg->nonblocking ? 0 : fd_set_nonblock(fd, true);

	BUG_ON(cfg->handlers_count > 64); /* bits of once_used */
	for (size_t i = 0; i < cfg->handlers_count; i++)
		BUG_ON(!method_sane(cfg->handlers[i].method));
	if (r < 0)
		goto fail;
	c->loop = l;
	c->fd = fd;
	c->cfg = *cfg;
	c->next_id = 1;
	frame_tx_init(&c->tx);
	c->events = EPOLLIN;
	r = loop_io_add(l, fd, c->events, on_io, c, &c->io);
	if (r < 0)
		goto fail;
	*ret = c;
	return 0;
fail:
	fd_closep(&fd);
	free(c);
	return r;
}

void rpc_conn_free(struct rpc_conn *c)
{
	if (c == NULL || c->freed)
		return;
	c->freed = true;
	conn_enter(c);
	if (!c->closed)
		conn_shut(c, RPC_CANCELLED, "connection closed by its owner");
	conn_leave(c);
}

void rpc_conn_finish(struct rpc_conn *c)
{
	if (c->closed || c->finishing)
		return;
	c->finishing = true;
	if (buf_len(&c->tx.out) == 0)
		kick(c);
	watch(c);
}

void rpc_conn_pause(struct rpc_conn *c, bool pause)
{
	if (c->closed || c->paused == pause)
		return;
	c->paused = pause;
	if (!pause && c->write_dead)
		kick(c);
	watch(c);
}

int rpc_conn_fd(const struct rpc_conn *c)
{
	return c->fd;
}
