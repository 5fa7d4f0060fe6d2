/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/freezer.h"

#include <agent.pb-c.h>
#include <errno.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

struct freezer {
	struct loop *loop;
	int disk;	       /* -1 = none */
	int child;	       /* the child's end of life is our closing it; -1 = there is none */
	struct loop_io *io;    /* of child */
	struct rpc_call *call; /* NULL: nobody waits */
};

int freezer_new(struct loop *l, struct freezer **ret)
{
	struct freezer *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -ENOMEM;
	*f = (struct freezer){ .loop = l, .disk = -1, .child = -1 };
	*ret = f;
	return 0;
}

void freezer_set_disk(struct freezer *f, int fd)
{
	fd_closep(&f->disk);
	f->disk = fd;
}

void freezer_thaw(struct freezer *f)
{
	struct rpc_call *call = f->call;

	loop_io_del(f->io);
	f->io = NULL;
	fd_closep(&f->child);
	f->call = NULL;
	if (call == NULL)
		return;
	rpc_call_watch(call, NULL, NULL);
	rpc_fail(call, RPC_ABORTED, "it was thawed meanwhile");
}

void freezer_free(struct freezer *f)
{
	if (f == NULL)
		return;
	freezer_thaw(f);
	fd_closep(&f->disk);
	free(f);
}

/* ---- The child ----------------------------------------------------------------------------- */

/* Connections of the agent must not live on in it. */
static void close_others(unsigned a, unsigned b)
{
	const unsigned low = MIN(a, b), high = MAX(a, b);

	if (low > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, low - 1, 0);
	if (high > low + 1)
		(void)close_range(low + 1, high - 1, 0);
	(void)close_range(high + 1, ~0U, 0);
}

static NORETURN void hold(int disk, int parent)
{
	struct pollfd p = { .fd = parent, .events = POLLIN };
	int32_t word;

	close_others((unsigned)disk, (unsigned)parent);
	word = ioctl(disk, FIFREEZE, 0) < 0 ? -errno : 0;
	/* Nothing else is ever sent to us: readable means that the other end is closed. */
	if (write(parent, &word, sizeof(word)) == (ssize_t)sizeof(word) && word == 0)
		while (poll(&p, 1, FREEZER_HOLD_MS) < 0 && errno == EINTR)
			;
	if (word == 0)
		(void)ioctl(disk, FITHAW, 0);
	_exit(0);
}

/* ---- The agent's side ---------------------------------------------------------------------- */

static void on_cancelled(struct rpc_call *call, void *arg)
{
	struct freezer *f = arg;

	(void)call;
	f->call = NULL;
	freezer_thaw(f);
}

/* The child's word, or its end: it has thawed by itself. */
static void on_word(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	const Casemate__Agent__V1__FreezeResponse out = CASEMATE__AGENT__V1__FREEZE_RESPONSE__INIT;
	struct freezer *f = arg;
	struct rpc_call *call = f->call;
	int32_t word = -ECHILD;
	ssize_t n = recv(fd, &word, sizeof(word), MSG_DONTWAIT);

	(void)io;
	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	f->call = NULL;
	if (call != NULL)
		rpc_call_watch(call, NULL, NULL);
	if (n != (ssize_t)sizeof(word) || word != 0)
		freezer_thaw(f);
	if (call == NULL)
		return;
	if (n == (ssize_t)sizeof(word) && word == 0)
		rpc_reply(call, &out.base, NULL);
	else
		rpc_fail(call, RPC_FAILED_PRECONDITION, "the scratch disk can't be frozen: %s",
			 strerrordesc_np(n == (ssize_t)sizeof(word) ? -word : ECHILD));
}

static int start(struct freezer *f)
{
	CLEANUP(fd_closep) int theirs = -1;
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	f->child = sv[0];
	theirs = sv[1];
	pid = fork(); /* one thread: safe (spawn.h) */
	if (pid == 0)
		hold(f->disk, theirs);
	if (pid < 0)
		return -errno;
	return loop_io_add(f->loop, f->child, EPOLLIN, on_word, f, &f->io);
}

void freezer_freeze(struct freezer *f, struct rpc_call *call)
{
	static const struct rpc_call_ops ops = { .cancelled = on_cancelled };
	int r;

	if (f->disk < 0) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "the root isn't on a scratch disk");
		return;
	}
	if (f->child >= 0) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "it is frozen already");
		return;
	}
	r = start(f);
	if (r < 0) {
		freezer_thaw(f);
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "can't freeze: %s", strerrordesc_np(-r));
		return;
	}
	f->call = call;
	rpc_call_watch(call, &ops, f);
}
