/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "egress/dnsd.h"
#include "egress/question.h"

struct conn {
	struct question question; /* first: what is answered is found by it */
	struct dnsd_tcp *dnsd;
	struct loop_io *io;
	struct loop_timer *idle;
	int fd; /* -1 = free */
	bool waiting;
	size_t have;
	uint8_t in[2 + DNS_UDP_MAX];
};

struct dnsd_tcp {
	struct egress *egress;
	struct loop_io *io;
	struct loop_timer *breathe;
	int fd;
	bool full;
	struct conn conns[EGRESS_DNS_CONNS_MAX];
};

static void on_question(struct loop_io *io, int fd, uint32_t events, void *arg);

static void conn_close(struct conn *c)
{
	question_cancel(&c->question);
	loop_io_del(c->io);
	c->io = NULL;
	loop_timer_del(c->idle);
	c->idle = NULL;
	fd_closep(&c->fd);
	c->waiting = false;
	c->have = 0;
	if (c->dnsd->full && c->dnsd->breathe == NULL && loop_io_set(c->dnsd->io, EPOLLIN) == 0)
		c->dnsd->full = false;
}

static void on_idle(void *arg)
{
	struct conn *c = arg;

	c->idle = NULL;
	conn_close(c);
}

static int conn_wait(struct conn *c)
{
	loop_timer_del(c->idle);
	c->idle = NULL;
	return loop_timer_add(c->dnsd->egress->loop, EGRESS_DNS_IDLE_MS, on_idle, c, &c->idle);
}

static void on_answered(struct question *q, const uint8_t *answer, size_t len)
{
	struct conn *c = (struct conn *)q;
	uint8_t out[2 + DNS_UDP_MAX];

	c->waiting = false;
	c->have = 0;
	out[0] = (uint8_t)(len >> 8);
	out[1] = (uint8_t)len;
	memcpy(out + 2, answer, len);
	/* The next question is read when this answer has gone; a socket that can't take so little
	 * at once has a guest behind it that doesn't read. */
	if (len == 0 ||
	    send(c->fd, out, len + 2, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)(len + 2))
		(void)shutdown(c->fd, SHUT_RDWR); /* on_question sees the end */
	if (loop_io_set(c->io, EPOLLIN) < 0 || conn_wait(c) < 0)
		(void)shutdown(c->fd, SHUT_RDWR);
}

/* What is still missing of the length, or of the message. 0: all is there. */
static size_t conn_missing(const struct conn *c)
{
	return c->have < 2 ? 2 - c->have : 2U + (size_t)(c->in[0] << 8 | c->in[1]) - c->have;
}

static void on_question(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct conn *c = arg;
	size_t missing = conn_missing(c);
	ssize_t n;

	if (c->waiting) { /* only HUP and ERR are reported */
		conn_close(c);
		return;
	}
	(void)events;
	n = recv(fd, c->in + c->have, missing, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close(c);
		return;
	}
	c->have += (size_t)n;
	missing = conn_missing(c);
	if (c->have >= 2 && c->have + missing > sizeof(c->in)) {
		conn_close(c);
		return;
	}
	if (c->have < 2 || missing > 0)
		return;
	c->waiting = true;
	if (loop_io_set(io, 0) < 0) {
		conn_close(c);
		return;
	}
	question_ask(&c->question, c->dnsd->egress, c->in + 2, c->have - 2, on_answered);
}

static struct conn *conn_free_one(struct dnsd_tcp *d)
{
	for (size_t i = 0; i < EGRESS_DNS_CONNS_MAX; i++)
		if (d->conns[i].fd < 0)
			return &d->conns[i];
	return NULL;
}

static void on_breathed(void *arg)
{
	struct dnsd_tcp *d = arg;

	d->breathe = NULL;
	if (loop_io_set(d->io, EPOLLIN) == 0)
		d->full = false;
}

/* There is no descriptor, or no memory, for one that waits: it would be reported at once again. */
static void pause_listening(struct dnsd_tcp *d)
{
	if (loop_timer_add(d->egress->loop, EGRESS_BREATHE_MS, on_breathed, d, &d->breathe) == 0)
		d->full = loop_io_set(d->io, 0) == 0;
}

static void on_connection(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct dnsd_tcp *d = arg;
	struct conn *c = conn_free_one(d);

	(void)events;
	if (c == NULL) { /* the rest waits in the kernel's queue */
		d->full = loop_io_set(io, 0) == 0;
		return;
	}
	c->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (c->fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_listening(d);
		return;
	}
	if (loop_io_add(d->egress->loop, c->fd, EPOLLIN, on_question, c, &c->io) < 0 ||
	    conn_wait(c) < 0)
		conn_close(c);
}

int dnsd_tcp_new(struct egress *e, int fd, struct dnsd_tcp **ret)
{
	struct dnsd_tcp *d = calloc(1, sizeof(*d));
	int r;

	if (d == NULL)
		return -ENOMEM;
	d->egress = e;
	d->fd = fd;
	for (size_t i = 0; i < EGRESS_DNS_CONNS_MAX; i++) {
		d->conns[i].dnsd = d;
		d->conns[i].fd = -1;
	}
	r = loop_io_add(e->loop, fd, EPOLLIN, on_connection, d, &d->io);
	if (r < 0) {
		free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void dnsd_tcp_free(struct dnsd_tcp *d)
{
	if (d == NULL)
		return;
	d->full = false;
	for (size_t i = 0; i < EGRESS_DNS_CONNS_MAX; i++)
		if (d->conns[i].fd >= 0)
			conn_close(&d->conns[i]);
	loop_timer_del(d->breathe);
	loop_io_del(d->io);
	free(d);
}
