/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/vmlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define VMLOG_READS_MAX                                                          \
	64 /* reads of a pipe that is being closed: its capacity bounds them too \
	    */

struct vmlog {
	struct loop_io *io;
	int fd;
	char id[65];
	struct log_limit limit;
	char line[VMLOG_LINE_MAX];
	size_t line_len;
	char keep[VMLOG_KEEP_BYTES];
	size_t keep_len;
};

/* Appends one escaped line to the kept text, dropping the oldest lines to make room. */
static void keep_line(struct vmlog *v, const char *text, size_t len)
{
	size_t drop = 0;

	len = MIN(len, sizeof(v->keep) / 2);
	while (v->keep_len - drop + len + 1 > sizeof(v->keep)) {
		const char *nl = memchr(v->keep + drop, '\n', v->keep_len - drop);
		drop = nl == NULL ? v->keep_len : (size_t)(nl - v->keep) + 1;
	}
	memmove(v->keep, v->keep + drop, v->keep_len - drop);
	v->keep_len -= drop;
	memcpy(v->keep + v->keep_len, text, len);
	v->keep_len += len;
	v->keep[v->keep_len++] = '\n';
}

static void end_line(struct vmlog *v)
{
	char text[VMLOG_LINE_MAX * 4 + 1]; /* \xNN */
	size_t len = log_escape(text, sizeof(text), v->line, v->line_len);

	if (v->line_len == 0)
		return;
	v->line_len = 0;
	if (!log_allowed(&v->limit))
		return;
	keep_line(v, text, len);
	log_info("vmm.log", "id=%s line=\"%s\"", v->id, text);
}

static void take_bytes(struct vmlog *v, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] != '\n')
			v->line[v->line_len++] = data[i];
		if (data[i] == '\n' || v->line_len == sizeof(v->line))
			end_line(v);
	}
}

/* Bytes taken, 0 at the end of the pipe, or -errno. */
static ssize_t read_some(struct vmlog *v)
{
	char chunk[4096];
	ssize_t n = read(v->fd, chunk, sizeof(chunk));

	if (n > 0)
		take_bytes(v, chunk, (size_t)n);
	return n < 0 ? -errno : n;
}

static void close_pipe(struct vmlog *v)
{
	end_line(v);
	loop_io_del(v->io);
	v->io = NULL;
	fd_closep(&v->fd);
}

static void on_readable(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct vmlog *v = arg;
	ssize_t n = read_some(v);

	(void)io;
	(void)fd;
	(void)events;
	if (n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR))
		close_pipe(v);
}

int vmlog_new(struct loop *l, int fd, const char *id, struct vmlog **ret)
{
	struct vmlog *v = calloc(1, sizeof(*v));
	int r;

	if (v == NULL) {
		fd_closep(&fd);
		return -ENOMEM;
	}
	v->fd = fd;
	v->limit = (struct log_limit)LOG_LIMIT(50);
	memcpy(v->id, id, strnlen(id, sizeof(v->id) - 1));
	r = fd_set_nonblock(fd, true);
	if (r == 0)
		r = loop_io_add(l, fd, EPOLLIN, on_readable, v, &v->io);
	if (r < 0) {
		vmlog_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

void vmlog_close(struct vmlog *v)
{
	if (v == NULL || v->fd < 0)
		return;
	for (int i = 0; i < VMLOG_READS_MAX && read_some(v) > 0; i++)
		continue;
	close_pipe(v);
}

void vmlog_free(struct vmlog *v)
{
	if (v == NULL)
		return;
	loop_io_del(v->io);
	fd_closep(&v->fd);
	free(v);
}

const char *vmlog_text(const struct vmlog *v, size_t *ret_len)
{
	*ret_len = v == NULL ? 0 : v->keep_len;
	return v == NULL ? "" : v->keep;
}
