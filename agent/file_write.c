/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_write.c - WriteFile: a temporary file beside the destination, renamed when complete, so a
 * reader sees the old file or the new one and a client that goes away leaves nothing. A symlink
 * at the destination is replaced, not followed; a directory or device there is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/file_internal.h"
#include "agent/path.h"
#include "base/bug.h"
#include "base/fd.h"

#define MODE_DEFAULT 0644U
#define MODE_MAX     07777U

typedef Casemate__Agent__V1__WriteFileRequest write_pb;

/* base is the first member of every message. */
static const write_pb *request_of(const ProtobufCMessage *msg)
{
	BUG_ON(msg->descriptor != &casemate__agent__v1__write_file_request__descriptor);
	return (const write_pb *)(const void *)msg;
}

static int check_target(const struct file *f, struct err *err)
{
	struct stat st;

	if (fstatat(f->dir, f->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		int r = errno == ENOENT ? 0 : -errno;
		return r < 0 ? err_sys(err, r, "%.160s", f->name) : 0;
	}
	if (S_ISDIR(st.st_mode))
		return err_set(err, -EISDIR, "%.160s: is a directory", f->name);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(err, -EINVAL, "%.160s: not a regular file", f->name);
	return 0;
}

/* With the user's rights: finds the place and makes the temporary file. */
static int open_temp(struct file *f, struct err *err)
{
	uint64_t random;
	int r;

	f->dir = path_open_parent(f->path, &f->name, err);
	if (f->dir < 0)
		return f->dir;
	r = check_target(f, err);
	if (r < 0)
		return r;
	/* Unguessable names are politeness, O_EXCL is the protection: never wait for entropy. */
	if (getrandom(&random, sizeof(random), GRND_INSECURE) != (ssize_t)sizeof(random))
		return err_set(err, -EIO, "no random numbers");
	(void)snprintf(f->temp, sizeof(f->temp), ".casemate-%016" PRIx64, random);
	f->fd = openat(f->dir, f->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f->fd < 0) {
		r = -errno;
		f->temp[0] = '\0';
		return err_sys(err, r, "%.160s", f->name);
	}
	return 0;
}

static int begin(struct file *f, const write_pb *in, struct err *err)
{
	int r;

	if (in->mode > MODE_MAX)
		return err_set(err, -EINVAL, "mode %o is more than permission bits",
			       (unsigned)in->mode);
	f->mode = in->mode != 0 ? in->mode : MODE_DEFAULT;
	r = user_lookup(in->user, f->fallback, &f->user, err);
	if (r == 0)
		r = path_of_file(in->path, f->user.pw.home, f->path, sizeof(f->path), err);
	if (r < 0)
		return r;
	r = user_enter_fs(&f->user);
	if (r < 0)
		return err_sys(err, r, "can't take the rights of %s", f->user.pw.name);
	r = open_temp(f, err);
	user_leave_fs();
	return r;
}

static int append(struct file *f, const ProtobufCBinaryData *data, struct err *err)
{
	int r;

	if (data->len == 0)
		return 0;
	r = fd_write_full(f->fd, data->data, data->len);
	if (r < 0)
		return err_sys(err, r, "%.160s", f->name);
	f->size += data->len;
	return 0;
}

/* One message: the first names the file, all may carry data. */
static int take(struct file *f, const write_pb *in, struct err *err)
{
	int r = 0;

	if (f->name == NULL)
		r = begin(f, in, err);
	else if (in->path[0] != '\0')
		return err_set(err, -EINVAL, "only the first message names the file");
	return r < 0 ? r : append(f, &in->data, err);
}

static int finish(struct file *f, struct err *err)
{
	int r = 0;

	if (f->name == NULL)
		return err_set(err, -EINVAL, "no message named the file");
	r = user_enter_fs(&f->user);
	if (r < 0)
		return err_sys(err, r, "can't take the rights of %s", f->user.pw.name);
	if (fchmod(f->fd, (mode_t)f->mode) < 0 || renameat(f->dir, f->temp, f->dir, f->name) < 0)
		r = err_sys(err, -errno, "%.160s", f->name);
	else
		f->temp[0] = '\0';
	user_leave_fs();
	return r;
}

static void on_data(struct rpc_call *call, const ProtobufCMessage *msg, void *arg)
{
	struct file *f = arg;
	struct err err;

	(void)call;
	if (take(f, request_of(msg), &err) < 0)
		file_fail(f, &err);
}

static void on_half_closed(struct rpc_call *call, void *arg)
{
	Casemate__Agent__V1__WriteFileResponse out = CASEMATE__AGENT__V1__WRITE_FILE_RESPONSE__INIT;
	struct file *f = arg;
	struct err err;

	if (finish(f, &err) < 0) {
		file_fail(f, &err);
		return;
	}
	out.size = f->size;
	rpc_reply(call, &out.base, NULL);
	file_free(f);
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	(void)call;
	file_free(arg);
}

static const struct rpc_call_ops write_ops = {
	.data = on_data,
	.half_closed = on_half_closed,
	.cancelled = on_cancelled,
};

void file_write(struct file_table *t, struct rpc_call *call, const ProtobufCMessage *in,
		const char *fallback_user)
{
	struct file *f = file_new(t, call);
	struct err err;

	if (f == NULL)
		return;
	(void)snprintf(f->fallback, sizeof(f->fallback), "%s", fallback_user);
	if (in != NULL && take(f, request_of(in), &err) < 0) {
		file_fail(f, &err);
		return;
	}
	rpc_call_watch(call, &write_ops, f);
}
