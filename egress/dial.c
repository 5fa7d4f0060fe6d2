/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "base/fd.h"

struct dial {
	struct loop *loop;
	struct dial_plan plan;
	dial_fn *fn;
	void *arg;
	size_t next; /* address to try */
	int fd;
	int error; /* of the last try */
	struct loop_io *io;
	struct loop_timer *timer;
	struct socks socks;
	uint8_t in[SOCKS_IN_MAX];
	size_t have;
};

static int dial_try(struct dial *d);

static void hang_up(struct dial *d)
{
	loop_io_del(d->io);
	d->io = NULL;
	loop_timer_del(d->timer);
	d->timer = NULL;
	fd_closep(&d->fd);
}

void dial_free(struct dial *d)
{
	if (d == NULL)
		return;
	hang_up(d);
	free(d);
}

static void finish(struct dial *d, int result)
{
	dial_fn *fn = d->fn;
	void *arg = d->arg;
	size_t at = d->next - 1;

	dial_free(d);
	fn(arg, result, at);
}

static void connected(struct dial *d)
{
	/* Out of this loop_io before somebody else watches the descriptor. */
	loop_io_del(d->io);
	d->io = NULL;
	finish(d, fd_steal(&d->fd));
}

static void failed(struct dial *d, int error)
{
	hang_up(d);
	d->error = error;
	if (dial_try(d) < 0)
		finish(d, d->error);
}

static int send_socks(struct dial *d)
{
	uint8_t out[SOCKS_OUT_MAX];
	size_t len = socks_output(&d->socks, out);
	ssize_t n = len == 0 ? 0 : send(d->fd, out, len, MSG_NOSIGNAL);

	explicit_bzero(out, sizeof(out));
	/* A connection that says so little takes it at once. */
	return n == (ssize_t)len ? 0 : -EIO;
}

/* 0, or why it can't go on. */
static int receive_socks(struct dial *d)
{
	size_t want = socks_wants(&d->socks);
	ssize_t n = recv(d->fd, d->in + d->have, want - d->have, MSG_DONTWAIT);
	int r;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	d->have += (size_t)n;
	if (d->have < want)
		return 0;
	d->have = 0;
	r = socks_input(&d->socks, d->in);
	return r < 0 ? r : send_socks(d);
}

static void on_socks(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct dial *d = arg;
	int r = receive_socks(d);

	(void)io;
	(void)fd;
	(void)events;
	if (r < 0)
		failed(d, r);
	else if (socks_done(&d->socks))
		connected(d);
}

static int begin_socks(struct dial *d)
{
	const struct dial_plan *p = &d->plan;

	socks_init(&d->socks, p->proxy, p->name, &p->target, p->target_port);
	d->have = 0;
	loop_io_del(d->io);
	d->io = NULL;
	if (send_socks(d) < 0)
		return -EIO;
	return loop_io_add(d->loop, d->fd, EPOLLIN, on_socks, d, &d->io);
}

static void on_connected(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct dial *d = arg;
	int error = 0, r;
	socklen_t len = sizeof(error);

	(void)io;
	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0) {
		failed(d, -error);
	} else if (d->plan.proxy == NULL) {
		connected(d);
	} else {
		r = begin_socks(d);
		if (r < 0)
			failed(d, r);
	}
}

static void on_timeout(void *arg)
{
	struct dial *d = arg;

	d->timer = NULL;
	failed(d, -ETIMEDOUT);
}

static int begin(struct dial *d, const struct addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, d->plan.port, &ss);
	int r;

	d->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0)
		return -errno;
	if (connect(d->fd, (const struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return -errno;
	r = loop_io_add(d->loop, d->fd, EPOLLOUT, on_connected, d, &d->io);
	if (r == 0)
		r = loop_timer_add(d->loop, EGRESS_DIAL_MS, on_timeout, d, &d->timer);
	return r;
}

/* The next address: 0, or there is none left and d->error says why. */
static int dial_try(struct dial *d)
{
	while (d->next < d->plan.count) {
		int r = begin(d, &d->plan.addrs[d->next++]);

		if (r == 0)
			return 0;
		hang_up(d);
		d->error = r;
	}
	return d->error;
}

int dial_new(struct loop *l, const struct dial_plan *plan, dial_fn *fn, void *arg,
	     struct dial **ret)
{
	struct dial *d = calloc(1, sizeof(*d));
	int r;

	BUG_ON(plan->count == 0 || plan->count > EGRESS_DIAL_MAX);
	if (d == NULL)
		return -ENOMEM;
	d->loop = l;
	d->plan = *plan;
	d->fn = fn;
	d->arg = arg;
	d->fd = -1;
	r = dial_try(d);
	if (r < 0) {
		dial_free(d);
		return r;
	}
	*ret = d;
	return 0;
}
