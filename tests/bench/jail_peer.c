/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tests/bench/jail_bench.h"
#include "vmm/vmm_fds.h"

#define WAIT_MS 20000

/* out: where the program writes; at: its number there. */
static pid_t start(const char *const argv[], int out, int at)
{
	pid_t pid = fork();
	int null;

	if (pid < 0)
		jail_bench_die("fork", strerror(errno));
	if (pid > 0)
		return pid;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(126);
	if (out == at ? fcntl(out, F_SETFD, 0) < 0 : dup2(out, at) < 0)
		_exit(126);
	(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* From before fork() to the first byte: ns, or 0 when none came. */
static uint64_t measure(const char *const argv[], int at)
{
	struct pollfd p = { .events = POLLIN };
	uint64_t begin, end = 0;
	int pair[2];
	pid_t pid;
	char byte;

	if (fd_socketpair(pair, false) < 0)
		jail_bench_die("socketpair", strerror(errno));
	begin = now_ns();
	pid = start(argv, pair[1], at);
	fd_closep(&pair[1]);
	p.fd = pair[0];
	if (poll(&p, 1, WAIT_MS) == 1 && read(p.fd, &byte, 1) == 1)
		end = now_ns();
	fd_closep(&pair[0]); /* the program's end, and bwrap's with it */
	(void)kill(pid, SIGTERM);
	(void)waitpid(pid, NULL, 0);
	return end == 0 ? 0 : end - begin;
}

uint64_t bwrap_measure(const char *root)
{
	const char *const argv[] = { "bwrap",
				     "--unshare-all",
				     "--die-with-parent",
				     "--new-session",
				     "--cap-drop",
				     "ALL",
				     "--ro-bind",
				     root,
				     "/",
				     "/hello",
				     NULL };

	return measure(argv, VMM_FD_CONTROL);
}

uint64_t qemu_measure(void)
{
	static const char *const argv[] = {
		"qemu-system-x86_64",
		"-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-machine",
		"none",
		"-nodefaults",
		"-no-user-config",
		"-display",
		"none",
		"-qmp",
		"stdio",
		NULL
	};

	return measure(argv, STDOUT_FILENO);
}
