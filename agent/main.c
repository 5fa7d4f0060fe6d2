/* SPDX-License-Identifier: Apache-2.0 */
/*
 * casemate-agent: PID 1 of a sandbox. docs/casemate-agent.8 describes it.
 *
 * As PID 1 it takes no arguments: the kernel appends words of its command line that it doesn't
 * know, and they mean nothing here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/agent_limits.h"
#include "agent/boot.h"
#include "agent/power.h"
#include "agent/vsock.h"
#include "base/log.h"
#include "base/num.h"

#define EXIT_USAGE 2

static int start_init(struct agent *agent, struct vsock **ret, struct err *err)
{
	int r = boot_root(err);

	if (r < 0)
		return r;
	log_setup("agent", LOG_LEVEL_INFO);
	r = agent_init(agent, true);
	if (r < 0)
		return err_sys(err, r, "agent");
	r = vsock_open(agent, ret, err);
	return r < 0 ? r : boot_system(err);
}

static NORETURN void run_init(void)
{
	struct agent agent;
	struct vsock *vsock = NULL;
	struct err err;

	if (start_init(&agent, &vsock, &err) < 0)
		power_fail("boot failed", &err);
	log_info("ready", "version=%s uptime_ms=%llu", CASEMATE_VERSION,
		 (unsigned long long)agent_uptime_ms());
	int r = agent_run(&agent);
	if (r < 0) {
		(void)err_sys(&err, r, "event loop");
		power_fail("stopped", &err);
	}
	vsock_close(vsock);
	power_down(r == AGENT_END_REBOOT);
}

static int run_alone(const int *fds, size_t count)
{
	struct agent agent;
	int r = agent_init(&agent, false);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = agent_serve(&agent, fds[i]);
	if (r == 0)
		r = agent_run(&agent);
	if (r < 0)
		(void)fprintf(stderr, "casemate-agent: %s\n", strerrordesc_np(-r));
	agent_done(&agent);
	return r < 0 ? 1 : 0;
}

static int usage(FILE *to)
{
	(void)fputs("usage: casemate-agent --serve-fd FD [--serve-fd FD]...\n"
		    "       casemate-agent --version | --help\n"
		    "\n"
		    "PID 1 of a Casemate sandbox. With --serve-fd it serves ttrpc on inherited\n"
		    "descriptors instead, for tests, and ends when all of them are closed.\n",
		    to);
	return to == stderr ? EXIT_USAGE : 0;
}

static int bad(const char *what, const char *arg)
{
	(void)fprintf(stderr, "casemate-agent: %s: %s\n", what, arg);
	return usage(stderr);
}

int main(int argc, char **argv)
{
	int fds[AGENT_SESSIONS_MAX];
	size_t count = 0;
	uint64_t fd;

	if (getpid() == 1)
		run_init();
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--version") == 0)
			return printf("casemate-agent %s\n", CASEMATE_VERSION) < 0 ? 1 : 0;
		if (strcmp(argv[i], "--help") == 0)
			return usage(stdout);
		if (strcmp(argv[i], "--serve-fd") != 0)
			return bad("unknown argument", argv[i]);
		if (++i >= argc || count == ARRAY_SIZE(fds))
			return bad("needs a descriptor, and there may be 64", argv[i - 1]);
		if (parse_u64(argv[i], 3, INT_MAX, &fd) < 0 ||
		    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
			return bad("not an open descriptor from 3 on", argv[i]);
		fds[count++] = (int)fd;
	}
	return count > 0 ? run_alone(fds, count) : bad("missing argument", "--serve-fd");
}
