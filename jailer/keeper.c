/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/keeper.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "jailer/keeper_process.h"
#include "jailer/spawn.h"

/* Counts as long as its process is there: after its end, too, until that has been reaped. */
struct keeper_job {
	struct keeper_job *next;
	struct keeper *keeper;
	struct loop_io *io; /* of the report, then of the pidfd */
	struct loop_timer *deadline;
	int report, pidfd, file;
	uint64_t bytes;
	char expected[BLOB_DIGEST_LEN + 1];
	keeper_fn *fn;
	void *arg;
};

struct keeper {
	struct loop *loop;
	const struct blobs *blobs;
	struct keeper_job *first;
	unsigned count;
};

int keeper_new(struct loop *l, const struct blobs *b, struct keeper **ret)
{
	struct keeper *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return -ENOMEM;
	k->loop = l;
	k->blobs = b;
	*ret = k;
	return 0;
}

static void forget(struct keeper_job *j)
{
	struct keeper_job **at = &j->keeper->first;

	while (*at != j) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = j->next;
	j->keeper->count--;
	loop_io_del(j->io);
	fd_closep(&j->pidfd);
	free(j);
}

static void on_gone(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct ending how;

	(void)io;
	(void)events;
	if (spawn_reap(fd, &how) == 0)
		forget(arg);
}

static void let_go(struct keeper_job *j)
{
	loop_timer_del(j->deadline);
	j->deadline = NULL;
	loop_io_del(j->io);
	j->io = NULL;
	fd_closep(&j->report);
	fd_closep(&j->file);
	if (j->pidfd >= 0)
		spawn_kill(j->pidfd);
}

void keeper_cancel(struct keeper_job *j)
{
	let_go(j);
	/* One that flushes a large file takes its time to die: nobody waits for it here. */
	if (j->pidfd < 0 || loop_io_add(j->keeper->loop, j->pidfd, EPOLLIN, on_gone, j, &j->io) < 0)
		forget(j);
}

void keeper_free(struct keeper *k)
{
	if (k == NULL)
		return;
	while (k->first != NULL) {
		let_go(k->first);
		forget(k->first);
	}
	free(k);
}

/* ---- The end of a job ---------------------------------------------------------------------- */

static void finish(struct keeper_job *j, int r, const struct kept *kept, const struct err *err)
{
	keeper_fn *fn = j->fn;
	void *arg = j->arg;

	keeper_cancel(j);
	fn(arg, r, kept, err);
}

/* What the process says is our own code's word; what it had is still looked at. */
static int check(const struct keeper_job *j, const struct keeper_report *rep, struct kept *ret,
		 struct err *err)
{
	struct stat st;

	if (rep->error == -EPIPE)
		return err_set(err, -EPIPE, "the image ended before its %llu bytes",
			       (unsigned long long)j->bytes);
	if (rep->error == -EFBIG)
		return err_set(err, -EINVAL, "the image has more than its %llu bytes",
			       (unsigned long long)j->bytes);
	if (rep->error != 0)
		return err_sys(err, rep->error < 0 ? rep->error : -EPROTO, "writing the image");
	if (fstat(j->file, &st) < 0 || (uint64_t)st.st_size != j->bytes)
		return err_set(err, -EIO, "the image's file isn't of its size");
	blob_digest_text(rep->digest, ret->digest);
	if (j->expected[0] != '\0' && strcmp(ret->digest, j->expected) != 0)
		return err_set(err, -EBADMSG, "the image isn't what its digest says: it is %s",
			       ret->digest);
	ret->verity = rep->verity != 0;
	return blobs_name(j->keeper->blobs, j->file, ret->digest, &ret->existed, err);
}

static void on_report(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct keeper_job *j = arg;
	struct keeper_report rep;
	struct blob_info info;
	struct kept kept = { .existed = false };
	struct err err = { 0 };
	size_t none = 0;
	ssize_t n = fd_recv(fd, &rep, sizeof(rep), NULL, &none);
	int r;

	(void)io;
	(void)events;
	r = n == (ssize_t)sizeof(rep) ? check(j, &rep, &kept, &err)
				      : err_set(&err, -EIO,
						"the process that stores the image "
						"has ended without a word");
	/* An older file of the same bytes may be another file system's. */
	if (r == 0 && kept.existed && blobs_find(j->keeper->blobs, kept.digest, &info) == 0)
		kept.verity = info.verity;
	finish(j, r, &kept, &err);
}

static void on_late(void *arg)
{
	struct keeper_job *j = arg;
	struct err err = { 0 };

	j->deadline = NULL;
	(void)err_set(&err, -ETIMEDOUT, "the image took longer than %llu minutes",
		      (unsigned long long)(KEEPER_MS_MAX / 60000));
	finish(j, err.code, NULL, &err);
}

/* ---- Its beginning ------------------------------------------------------------------------- */

static int start_process(struct keeper_job *j, const struct keeper_task *t)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&j->pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		keeper_process(t);
	if (pid < 0)
		j->pidfd = -1;
	return pid < 0 ? -errno : 0;
}

static int begin(struct keeper_job *j, int stream, struct err *err)
{
	struct keeper *k = j->keeper;
	CLEANUP(fd_closep) int file = -1;
	CLEANUP(fd_closep) int theirs = -1;
	struct keeper_task t;
	int ends[2], r = blobs_create(k->blobs, &file, &j->file, err);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, -errno, "a socket for the image's process");
	j->report = ends[0];
	theirs = ends[1];
	t = (struct keeper_task){
		.stream = stream, .file = file, .same = j->file, .report = theirs, .bytes = j->bytes
	};
	r = fd_set_nonblock(j->report, true);
	if (r == 0)
		r = fd_set_nonblock(stream, false); /* the process waits for bytes */
	if (r == 0)
		r = loop_io_add(k->loop, j->report, EPOLLIN, on_report, j, &j->io);
	if (r == 0)
		r = loop_timer_add(k->loop, KEEPER_MS_MAX, on_late, j, &j->deadline);
	if (r == 0)
		r = start_process(j, &t);
	return r < 0 ? err_sys(err, r, "a process for the image") : 0;
}

int keeper_store(struct keeper *k, int stream, uint64_t bytes, const char *digest, keeper_fn *fn,
		 void *arg, struct keeper_job **ret, struct err *err)
{
	struct keeper_job *j;
	uint64_t coming = 0;
	int r;

	BUG_ON(digest[0] != '\0' && !blob_digest_ok(digest));
	if (k->count == KEEPER_JOBS_MAX)
		return err_set(err, -EBUSY, "%u images are being stored", k->count);
	for (const struct keeper_job *o = k->first; o != NULL; o = o->next)
		coming += o->bytes;
	r = blobs_room(k->blobs, bytes, coming, err);
	if (r < 0)
		return r;
	j = calloc(1, sizeof(*j));
	if (j == NULL)
		return err_sys(err, -ENOMEM, "a new image");
	*j = (struct keeper_job){ .next = k->first,
				  .keeper = k,
				  .report = -1,
				  .pidfd = -1,
				  .file = -1,
				  .bytes = bytes,
				  .fn = fn,
				  .arg = arg };
	memcpy(j->expected, digest, strlen(digest) + 1);
	k->first = j;
	k->count++;
	r = begin(j, stream, err);
	if (r < 0) {
		keeper_cancel(j);
		return r;
	}
	*ret = j;
	return 0;
}
