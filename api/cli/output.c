/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/output.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "base/num.h"

#define OUTPUT_MAX (8U * 1024U * 1024U) /* above what one connection can have in flight */

void output_init(struct output *o, struct loop *l, int fd,
		 void (*changed)(struct output *o, void *arg), void *arg)
{
	*o = (struct output){ .loop = l, .fd = fd, .changed = changed, .arg = arg };
	buf_init(&o->pending, OUTPUT_MAX);
}

void output_done(struct output *o)
{
	loop_io_del(o->io);
	o->io = NULL;
	buf_done(&o->pending);
}

static bool is_writable(const struct output *o)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };

	return o->always || poll(&p, 1, 0) == 1;
}

/* Writes while it can be done without blocking: a descriptor that polls as writable takes
 * PIPE_BUF bytes at once, by the definition of a pipe's POLLOUT. */
static void flush(struct output *o)
{
	while (buf_len(&o->pending) > 0 && o->error == 0 && is_writable(o)) {
		ssize_t n = write(o->fd, buf_head(&o->pending),
				  MIN(buf_len(&o->pending), (size_t)PIPE_BUF));
		if (n > 0)
			buf_consume(&o->pending, (size_t)n);
		else if (n < 0 && errno == EAGAIN)
			break; /* somebody else made it non-blocking */
		else if (n < 0 && errno != EINTR)
			o->error = -errno;
	}
	if (o->error != 0)
		buf_consume(&o->pending, buf_len(&o->pending));
}

static void on_writable(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct output *o = arg;

	(void)fd;
	(void)events;
	flush(o);
	if (buf_len(&o->pending) > 0)
		return;
	loop_io_del(io);
	o->io = NULL;
	o->changed(o, o->arg);
}

int output_write(struct output *o, const void *data, size_t len)
{
	int r;

	if (o->error != 0)
		return 0;
	r = buf_put(&o->pending, data, len);
	if (r < 0)
		return r;
	flush(o);
	if (buf_len(&o->pending) == 0 || o->io != NULL)
		return 0;
	r = loop_io_add(o->loop, o->fd, EPOLLOUT, on_writable, o, &o->io);
	if (r == -EPERM) {
		/* A regular file: writing it doesn't wait for anybody. */
		o->always = true;
		flush(o);
		return 0;
	}
	return r;
}
