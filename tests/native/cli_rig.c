/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/cli_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 40000

void cli_rig_start(const struct daemon_rig *d, struct cli_run *r, const char *const *args)
{
	char *argv[CLI_ARGS_MAX + 4] = { 0 };
	int argc = 0, out[2], err[2];

	memset(r, 0, sizeof(*r));
	argv[argc++] = strdup("casemate");
	argv[argc++] = strdup("--socket");
	argv[argc++] = strdup(d->socket);
	for (; *args != NULL; args++) {
		cr_assert_lt(argc, CLI_ARGS_MAX + 3);
		argv[argc++] = strdup(*args);
	}
	cr_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
	r->pid = fork();
	cr_assert_geq(r->pid, 0);
	if (r->pid == 0) {
		if (dup2(out[1], STDOUT_FILENO) >= 0 && dup2(err[1], STDERR_FILENO) >= 0)
			execv(CLI_BIN, argv);
		_exit(127);
	}
	close(out[1]);
	close(err[1]);
	r->fds[0] = out[0];
	r->fds[1] = err[0];
	while (argc > 0)
		free(argv[--argc]);
}

/* False at its end. */
static bool more(struct cli_run *r)
{
	struct pollfd p = { .fd = r->fds[0], .events = POLLIN };
	ssize_t n;

	cr_assert_lt(r->out_len, sizeof(r->out) - 1, "too much output");
	cr_assert_eq(poll(&p, 1, WAIT_MS), 1, "silent after: %s", r->out);
	n = read(r->fds[0], r->out + r->out_len, sizeof(r->out) - 1 - r->out_len);
	if (n > 0)
		r->out_len += (size_t)n;
	r->out[r->out_len] = '\0';
	return n > 0;
}

void cli_rig_expect(struct cli_run *r, const char *part)
{
	while (strstr(r->out, part) == NULL)
		cr_assert(more(r), "no \"%s\" in: %s", part, r->out);
}

int cli_rig_end(struct cli_run *r, int signo)
{
	ssize_t n;
	int status;

	if (signo != 0)
		cr_assert_eq(kill(r->pid, signo), 0);
	while (more(r))
		;
	n = read(r->fds[1], r->err, sizeof(r->err) - 1);
	r->err[n > 0 ? n : 0] = '\0';
	close(r->fds[0]);
	close(r->fds[1]);
	cr_assert_eq(waitpid(r->pid, &status, 0), r->pid);
	r->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return r->status;
}

int cli_rig_run(const struct daemon_rig *d, struct cli_run *ret, const char *const *args)
{
	cli_rig_start(d, ret, args);
	return cli_rig_end(ret, 0);
}
