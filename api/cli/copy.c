/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: in is a client stream that keeps as much under way as rpc_conn_writable()
 * allows; out is a server stream into a new file beside the wanted one, which it replaces by
 * rename when it is complete. Either gives up when nothing moves for STALL_MS.
 */
#include "api/cli/copy.h"

#include <agent.pb-c.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/cli/progress.h"
#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define CHUNK_BYTES 8192U
#define STALL_MS    30000U
#define STEP_MS	    100

struct transfer {
	struct session *s;
	bool done;
	struct rpc_status st;
	uint64_t moved_ms; /* when something last moved */
	struct progress progress;
	/* Out only. */
	int fd;
	int error;
	uint64_t bytes;
	uint32_t mode;
	bool has_mode;
};

int copy_check(struct filespec *f, struct err *err)
{
	struct stat st;
	bool exists = stat(f->host, &st) == 0;

	if (!exists && errno != ENOENT)
		return err_sys(err, -errno, "%s %.100s", f->option, f->host);
	if (exists && S_ISDIR(st.st_mode))
		return err_set(err, -EISDIR,
			       "%s %.100s: is a directory; only regular files are supported",
			       f->option, f->host);
	if (exists && !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL,
			       "%s %.100s: is not a regular file; only regular files are supported",
			       f->option, f->host);
	if (f->way == FILESPEC_AUTO)
		f->way = exists ? FILESPEC_IN : FILESPEC_OUT;
	if ((f->way & FILESPEC_IN) != 0 && !exists)
		return err_set(err, -ENOENT, "%s %.100s: no such file to copy in", f->option,
			       f->host);
	if ((f->way & FILESPEC_IN) != 0 && access(f->host, R_OK) < 0)
		return err_sys(err, -errno, "%s %.100s", f->option, f->host);
	if ((f->way & FILESPEC_OUT) != 0) {
		char copy[FILESPEC_PATH_MAX];
		memcpy(copy, f->host, sizeof(copy));
		const char *dir = dirname(copy);
		if (access(dir, W_OK | X_OK) < 0)
			return err_sys(err, -errno, "%s %.100s: directory %.100s", f->option,
				       f->host, dir);
	}
	return 0;
}

static void on_done(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct transfer *t = arg;

	(void)out;
	(void)fds;
	t->done = true;
	t->st = *st;
}

/* One round of the loop: 0, -EINTR (signal), -ETIMEDOUT (nothing moves, or the deadline),
 * -ECONNRESET. */
static int step(struct transfer *t)
{
	int r = loop_step(t->s->cli->loop, STEP_MS);

	if (r < 0)
		return r;
	if (t->s->cli->signo != 0)
		return -EINTR;
	if (!t->done && t->s->conn == NULL)
		return -ECONNRESET;
	return session_late(t->s) || now_ms() - t->moved_ms > STALL_MS ? -ETIMEDOUT : 0;
}

static int status_to_errno(const struct rpc_status *st)
{
	if (st->code == RPC_OK)
		return 0;
	if (st->code == RPC_NOT_FOUND)
		return -ENOENT;
	return st->code == RPC_PERMISSION_DENIED ? -EACCES : -EREMOTEIO;
}

/* ---- In ------------------------------------------------------------------------------------ */

/* Sends the next chunk of fd: 1, 0 at the end of the file, or -errno. */
static int send_chunk(struct transfer *t, struct rpc_pending *p, int fd)
{
	Casemate__Agent__V1__WriteFileRequest req = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	uint8_t chunk[CHUNK_BYTES];
	ssize_t n = read(fd, chunk, sizeof(chunk));
	int r;

	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (n == 0)
		return rpc_stream_close(p);
	req.data = (ProtobufCBinaryData){ .len = (size_t)n, .data = chunk };
	r = rpc_stream_send(p, &req.base);
	t->progress.done += (uint64_t)n;
	return r < 0 ? r : 1;
}

static int send_file(struct transfer *t, struct rpc_pending *p, int fd)
{
	int more = 1, r = 0;

	while (r == 0 && !t->done) {
		if (more <= 0 || !rpc_conn_writable(t->s->conn)) {
			r = step(t);
			continue;
		}
		more = send_chunk(t, p, fd);
		t->moved_ms = now_ms();
		if (more < 0 && !t->done)
			r = more;
	}
	if (!t->done && t->s->conn != NULL)
		rpc_cancel(p);
	return r < 0 ? r : status_to_errno(&t->st);
}

static int begin_in(struct transfer *t, const struct filespec *f, const char *user, uint32_t mode,
		    struct rpc_pending **ret)
{
	static const struct rpc_pending_ops ops = { .done = on_done };
	Casemate__Agent__V1__WriteFileRequest req = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	char guest[FILESPEC_PATH_MAX], *owner = strdup(user != NULL ? user : "");
	int r;

	if (owner == NULL)
		return -ENOMEM;
	memcpy(guest, f->guest, sizeof(guest));
	req.path = guest;
	req.mode = mode;
	req.user = owner;
	r = rpc_start(t->s->conn, &agent_methods[AGENT_WRITE_FILE], &req.base, NULL, 0, &ops, t,
		      ret);
	free(owner);
	return r;
}

/* One line about what went wrong, whoever said it. */
static int explain(const struct filespec *f, const struct transfer *t, int r, const char *verb,
		   struct err *err)
{
	if (t->done && t->st.code != RPC_OK)
		return err_set(err, r, "%s %.60s: cannot %s %.60s: %s", f->option, f->host, verb,
			       f->guest, t->st.msg);
	return err_sys(err, r, "%s %.60s: cannot %s %.60s", f->option, f->host, verb, f->guest);
}

int copy_in(struct session *s, const struct filespec *f, const char *user, struct err *err)
{
	CLEANUP(fd_closep) int fd = open(f->host, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct transfer t = { .s = s, .fd = -1, .moved_ms = now_ms() };
	struct rpc_pending *p;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s %.100s", f->option, f->host);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s %.100s: is no longer a regular file", f->option,
			       f->host);
	if (s->conn == NULL)
		return explain(f, &t, -ECONNRESET, "copy to", err);
	r = begin_in(&t, f, user, st.st_mode & 0777, &p);
	progress_begin(&t.progress, s->cli, "copying in");
	t.progress.total = (uint64_t)st.st_size;
	if (r == 0)
		r = send_file(&t, p, fd);
	progress_end(&t.progress);
	return r < 0 ? explain(f, &t, r, "copy to", err) : 0;
}

/* ---- Out ----------------------------------------------------------------------------------- */

static void on_data(const ProtobufCMessage *msg, void *arg)
{
	const Casemate__Agent__V1__ReadFileResponse *m =
		(const Casemate__Agent__V1__ReadFileResponse *)msg;
	struct transfer *t = arg;

	t->moved_ms = now_ms();
	if (!t->has_mode)
		t->mode = m->mode & 0777; /* never set-uid, whatever it says */
	t->has_mode = true;
	if (t->error != 0)
		return;
	t->bytes += m->data.len;
	t->progress.done = t->bytes;
	t->error =
		t->bytes > COPY_OUT_MAX ? -EFBIG : fd_write_full(t->fd, m->data.data, m->data.len);
}

static int receive_file(struct transfer *t, const struct filespec *f, const char *user)
{
	static const struct rpc_pending_ops ops = { .data = on_data, .done = on_done };
	Casemate__Agent__V1__ReadFileRequest req = CASEMATE__AGENT__V1__READ_FILE_REQUEST__INIT;
	char guest[FILESPEC_PATH_MAX], *reader = strdup(user != NULL ? user : "");
	struct rpc_pending *p;
	int r;

	if (reader == NULL)
		return -ENOMEM;
	memcpy(guest, f->guest, sizeof(guest));
	req.path = guest;
	req.user = reader;
	r = rpc_start(t->s->conn, &agent_methods[AGENT_READ_FILE], &req.base, NULL, 0, &ops, t, &p);
	free(reader);
	if (r < 0)
		return r;
	while (r == 0 && !t->done && t->error == 0)
		r = step(t);
	if (!t->done && t->s->conn != NULL)
		rpc_cancel(p);
	if (r == 0)
		r = t->error;
	return r < 0 ? r : status_to_errno(&t->st);
}

/* A new file in the directory dirfd, with a random name that is left in name. */
static int make_temp(int dirfd, char *name, size_t cap)
{
	uint64_t n;
	int fd;

	if (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
		return -EIO;
	(void)snprintf(name, cap, ".casemate-%016" PRIx64, n);
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int publish(const struct transfer *t, int dirfd, const char *temp, const char *name)
{
	const mode_t mask = umask(0);

	(void)umask(mask);
	if (fchmod(t->fd, (t->has_mode ? t->mode : 0644) & ~mask) < 0)
		return -errno;
	return renameat(dirfd, temp, dirfd, name) < 0 ? -errno : 0;
}

int copy_out(struct session *s, const struct filespec *f, const char *user, struct err *err)
{
	char dir_copy[FILESPEC_PATH_MAX], name_copy[FILESPEC_PATH_MAX], temp[40];
	CLEANUP(fd_closep) int dirfd = -1;
	CLEANUP(fd_closep) int fd = -1;
	struct transfer t = { .s = s, .moved_ms = now_ms() };
	int r;

	memcpy(dir_copy, f->host, sizeof(dir_copy));
	memcpy(name_copy, f->host, sizeof(name_copy));
	if (s->conn == NULL)
		return explain(f, &t, -ECONNRESET, "copy from", err);
	dirfd = open(dirname(dir_copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return err_sys(err, -errno, "%s %.100s", f->option, f->host);
	fd = make_temp(dirfd, temp, sizeof(temp));
	if (fd < 0)
		return err_sys(err, fd, "%s %.100s: temporary file beside it", f->option, f->host);
	t.fd = fd;
	progress_begin(&t.progress, s->cli, "copying out");
	r = receive_file(&t, f, user);
	progress_end(&t.progress);
	if (r == 0)
		r = publish(&t, dirfd, temp, basename(name_copy));
	if (r < 0)
		(void)unlinkat(dirfd, temp, 0);
	return r < 0 ? explain(f, &t, r, "copy from", err) : 0;
}
