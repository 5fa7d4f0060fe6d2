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
#include "agent/httpd.h"
#include "agent/identity.h"
#include "agent/power.h"
#include "agent/vsock.h"
#include "api/proto/contract.h"
#include "base/log.h"
#include "base/num.h"

#define EXIT_USAGE     2
#define INSIDE_ADDRESS "127.0.0.1:49983"
_Static_assert(AGENT_HTTP_PORT == 49983, "INSIDE_ADDRESS has the same port");

/* What a run outside of a sandbox is asked for. */
struct alone {
	int fds[AGENT_SESSIONS_MAX];
	size_t count;
	const char *listen; /* NULL = no HTTP */
};

static int listen_tcp(struct agent *agent, const char *address, enum httpd_door door,
		      struct err *err)
{
	int fd = httpd_bind_tcp(address, err), r;

	if (fd < 0)
		return fd;
	r = httpd_listen(agent->httpd, fd, door);
	return r < 0 ? err_sys(err, r, "%s", address) : 0;
}

static int start_init(struct agent *agent, struct vsock **ret, struct err *err)
{
	int scratch = -1, r = boot_root(&scratch, err);

	if (r < 0)
		return r;
	log_setup("agent", LOG_LEVEL_INFO);
	r = agent_init(agent, true);
	if (r < 0)
		return err_sys(err, r, "agent");
	freezer_set_disk(agent->freezer, scratch);
	r = vsock_open(agent, ret, err);
	if (r == 0)
		r = boot_system(err);
	if (r == 0)
		r = identity_prepare(err);
	/* Only now is there a loopback interface. */
	return r < 0 ? r : listen_tcp(agent, INSIDE_ADDRESS, HTTPD_DOOR_INSIDE, err);
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

static int run_alone(const struct alone *how)
{
	struct agent agent;
	struct err err;
	int r = agent_init(&agent, false);

	(void)err_set(&err, -EIO, "%s", r < 0 ? strerrordesc_np(-r) : "");
	for (size_t i = 0; r == 0 && i < how->count; i++) {
		r = agent_serve(&agent, how->fds[i]);
		if (r < 0)
			(void)err_sys(&err, r, "--serve-fd");
	}
	if (r == 0 && how->listen != NULL) {
		agent.lasting = true;
		r = listen_tcp(&agent, how->listen, HTTPD_DOOR_ALONE, &err);
	}
	if (r == 0) {
		r = agent_run(&agent);
		if (r < 0)
			(void)err_sys(&err, r, "event loop");
	}
	if (r < 0)
		(void)fprintf(stderr, "casemate-agent: %s\n", err.msg);
	agent_done(&agent);
	return r < 0 ? 1 : 0;
}

static int usage(FILE *to)
{
	(void)fputs("usage: casemate-agent [--listen ADDRESS:PORT] [--serve-fd FD]...\n"
		    "       casemate-agent --version | --help\n"
		    "\n"
		    "PID 1 of a Casemate sandbox. For tests it runs outside of one, as any user:\n"
		    "  --listen ADDRESS:PORT  serves HTTP there, until it is killed\n"
		    "  --serve-fd FD          serves ttrpc on an inherited descriptor, until all\n"
		    "                         of them are closed\n",
		    to);
	return to == stderr ? EXIT_USAGE : 0;
}

static int bad(const char *what, const char *arg)
{
	(void)fprintf(stderr, "casemate-agent: %s: %s\n", what, arg);
	return usage(stderr);
}

/* The argument at *i and its value: 0, or the exit status. */
static int parse_option(int argc, char **argv, int *i, struct alone *how)
{
	const char *name = argv[*i];
	uint64_t fd;

	if (strcmp(name, "--serve-fd") != 0 && strcmp(name, "--listen") != 0)
		return bad("unknown argument", name);
	if (++*i >= argc)
		return bad("needs a value", name);
	if (strcmp(name, "--listen") == 0) {
		how->listen = argv[*i];
		return 0;
	}
	if (how->count == ARRAY_SIZE(how->fds))
		return bad("may be there 64 times", name);
	if (parse_u64(argv[*i], 3, INT_MAX, &fd) < 0 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return bad("not an open descriptor from 3 on", argv[*i]);
	how->fds[how->count++] = (int)fd;
	return 0;
}

int main(int argc, char **argv)
{
	struct alone how = { .count = 0 };

	if (getpid() == 1)
		run_init();
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--version") == 0)
			return printf("casemate-agent %s\n", CASEMATE_VERSION) < 0 ? 1 : 0;
		if (strcmp(argv[i], "--help") == 0)
			return usage(stdout);
		int status = parse_option(argc, argv, &i, &how);
		if (status != 0)
			return status;
	}
	return how.count > 0 || how.listen != NULL
		       ? run_alone(&how)
		       : bad("missing argument", "--listen or --serve-fd");
}
