/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_read.c - ReadFile: chunks while the connection takes them, a few a turn so that one large
 * file doesn't keep the others waiting. Read to end of file, because files of /proc have no size.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/file_internal.h"
#include "agent/path.h"
#include "base/bug.h"
#include "base/fd.h"

#define CHUNKS_PER_TURN 8

typedef Casemate__Agent__V1__ReadFileRequest read_pb;

/* base is the first member of every message. */
static const read_pb *request_of(const ProtobufCMessage *msg)
{
	BUG_ON(msg->descriptor != &casemate__agent__v1__read_file_request__descriptor);
	return (const read_pb *)(const void *)msg;
}

static int open_file(struct file *f, struct err *err)
{
	struct stat st;
	int r;

	/* Without O_NONBLOCK a FIFO would stop the agent right here. */
	f->fd = open(f->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (f->fd < 0 || fstat(f->fd, &st) < 0) {
		r = -errno;
		return err_sys(err, r, "%.160s", f->path);
	}
	if (S_ISDIR(st.st_mode))
		return err_set(err, -EISDIR, "%.160s: is a directory", f->path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%.160s: not a regular file", f->path);
	f->mode = (uint32_t)st.st_mode & 07777U;
	return 0;
}

static int begin(struct file *f, const read_pb *in, const char *fallback_user, struct err *err)
{
	int r = user_lookup(in->user, fallback_user, &f->user, err);

	if (r == 0)
		r = path_of_file(in->path, f->user.pw.home, f->path, sizeof(f->path), err);
	if (r < 0)
		return r;
	r = user_enter_fs(&f->user);
	if (r < 0)
		return err_sys(err, r, "can't take the rights of %s", f->user.pw.name);
	r = open_file(f, err);
	user_leave_fs();
	return r;
}

/* Reads and sends one chunk: 1, 0 (end of file), or -errno. */
static int send_chunk(struct file *f)
{
	Casemate__Agent__V1__ReadFileResponse msg = CASEMATE__AGENT__V1__READ_FILE_RESPONSE__INIT;
	ssize_t n;
	int r;

	do
		n = read(f->fd, f->table->scratch, sizeof(f->table->scratch));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	/* An empty file, too, has a first message: it carries the mode. */
	if (n == 0 && f->told)
		return 0;
	msg.data = (ProtobufCBinaryData){ .len = (size_t)n, .data = f->table->scratch };
	if (!f->told)
		msg.mode = f->mode;
	r = rpc_send(f->call, &msg.base);
	f->told = true;
	return r < 0 ? r : n > 0;
}

static void read_on(struct file *f);

static void on_again(void *arg)
{
	struct file *f = arg;

	f->again = NULL;
	read_on(f);
}

static void read_on(struct file *f)
{
	struct err err;
	int r = 1;

	for (int i = 0; r > 0 && i < CHUNKS_PER_TURN; i++) {
		if (!rpc_call_writable(f->call))
			return; /* on_drained goes on, or on_cancelled ends it */
		r = send_chunk(f);
	}
	if (r > 0)
		r = loop_timer_add(f->table->loop, 0, on_again, f, &f->again) < 0 ? -ENOMEM : 1;
	if (r > 0 || r == -EPIPE)
		return;
	if (r == 0) {
		rpc_reply(f->call, NULL, NULL);
		file_free(f);
		return;
	}
	(void)err_sys(&err, r, "%.160s", f->path);
	file_fail(f, &err);
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	(void)call;
	file_free(arg);
}

static void on_drained(struct rpc_call *call, void *arg)
{
	struct file *f = arg;

	(void)call;
	if (f->again == NULL)
		read_on(f);
}

static const struct rpc_call_ops read_ops = { .cancelled = on_cancelled, .drained = on_drained };

void file_read(struct file_table *t, struct rpc_call *call, const ProtobufCMessage *in,
	       const char *fallback_user)
{
	struct file *f = file_new(t, call);
	struct err err;

	if (f == NULL)
		return;
	if (begin(f, request_of(in), fallback_user, &err) < 0) {
		file_fail(f, &err);
		return;
	}
	rpc_call_watch(call, &read_ops, f);
	read_on(f);
}
