/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/vmm_machine.h"

#define READ_WAIT_MS 10

void bench_die(const char *fmt, ...)
{
	va_list ap;

	(void)fputs("bench vmm: ", stderr);
	va_start(ap, fmt);
	/* Two programs have this file; clang-tidy 14 loses sight of va_start in its second run. */
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	exit(1);
}

static void run_child(const char *const argv[], int out, bool errors, int pass_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || null < 0 || dup2(null, 0) < 0 ||
	    dup2(out, 1) < 0 || dup2(errors ? out : null, 2) < 0 ||
	    (pass_fd >= 0 && fcntl(pass_fd, F_SETFD, 0) < 0))
		_exit(126);
	/* execvp takes char *const[] for history's sake and writes to none of it. */
	(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

void process_start(struct instance *in, const char *const argv[], bool errors, int *ret_out)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		bench_die("pipe: %s", strerror(errno));
	in->begun_ns = clock_ns(CLOCK_REALTIME);
	in->pid = fork();
	if (in->pid < 0)
		bench_die("fork: %s", strerror(errno));
	if (in->pid == 0)
		run_child(argv, p[1], errors, in->pass_fd);
	fd_closep(&p[1]);
	if (fd_set_nonblock(p[0], true) < 0)
		bench_die("fcntl");
	*ret_out = p[0];
}

void instance_append(struct instance *in, const char *data, size_t len)
{
	len = MIN(len, sizeof(in->text) - 1 - in->text_len);
	memcpy(in->text + in->text_len, data, len);
	in->text_len += len;
	in->text[in->text_len] = '\0';
}

bool process_read(struct instance *in, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char data[4096];
	ssize_t n;

	if (poll(&p, 1, READ_WAIT_MS) <= 0)
		return true;
	n = read(fd, data, sizeof(data));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	instance_append(in, data, (size_t)n);
	return n > 0;
}

void process_kill(struct instance *in)
{
	(void)kill(in->pid, SIGKILL);
	while (waitpid(in->pid, NULL, 0) < 0)
		if (errno != EINTR)
			bench_die("waitpid: %s", strerror(errno));
}
