/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define READ_STEP 4096U

int child_start(child_become_fn *become, const void *arg, pid_t *ret_pid, int *ret_reader,
		struct err *err)
{
	CLEANUP(fd_closep) int reader = -1;
	const pid_t parent = getpid();
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "pipe");
	reader = ends[0];
	pid = fork();
	if (pid == 0) {
		/* The parent may have gone before this was set. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
			become(ends[1], arg);
		_exit(CLI_FAILED);
	}
	(void)close(ends[1]);
	if (pid < 0)
		return err_sys(err, -errno, "a new process");
	*ret_pid = pid;
	*ret_reader = fd_steal(&reader);
	return 0;
}

int child_signals(void)
{
	sigset_t empty;

	(void)sigemptyset(&empty);
	if (signal(SIGPIPE, SIG_DFL) == SIG_ERR || sigprocmask(SIG_SETMASK, &empty, NULL) < 0)
		return -errno;
	return 0;
}

struct reading {
	struct buf *text;
	bool end;
	int error;
};

static void on_output(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct reading *r = arg;
	uint8_t *p = buf_reserve(r->text, READ_STEP);
	ssize_t n = p == NULL ? -1 : read(fd, p, READ_STEP);

	(void)io;
	(void)events;
	if (n > 0)
		buf_commit(r->text, (size_t)n);
	if (p == NULL)
		r->error = -ENOSPC;
	else if (n < 0 && errno != EINTR)
		r->error = -errno;
	r->end = n == 0 || r->error < 0;
}

int child_read(struct cli *cli, int reader, struct buf *text)
{
	struct reading r = { .text = text };
	struct loop_io *io;
	int e = loop_io_add(cli->loop, reader, EPOLLIN, on_output, &r, &io);

	if (e < 0)
		return e;
	while (e == 0 && !r.end)
		e = cli->signo != 0 ? -EINTR : loop_step(cli->loop, -1);
	loop_io_del(io);
	return e == 0 ? r.error : e;
}

int child_wait(pid_t pid, bool kill_it)
{
	int status = 0;

	if (kill_it)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFSIGNALED(status) ? CLI_SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}
