/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"

/* The cgroup, mount and user namespaces come later (stage_cgroup, stage_root, stage_user). The time
 * namespace has the host's clocks: what the VMM logs can be compared with the other logs. */
#define SPAWN_NAMESPACES (CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

/* The spawner's table, after standard input, output and error. */
enum {
	SPAWNER_SOCK = STDERR_FILENO + 1,
	SPAWNER_NULL,
	SPAWNER_EXEC,
	SPAWNER_ROOT,
	SPAWNER_EGRESS,
	SPAWNER_HOSTNET,
	SPAWNER_FD_END
};

/* ---- What a request carries: the descriptors that aren't the same for all jails ------------- */

#define OWN_FDS (1 + CGROUP_TREE_COUNT + 2)
_Static_assert(OWN_FDS <= FD_PASS_MAX, "a request's descriptors fit into one message");

static void own_fds(struct stage_env *env, int *ret[OWN_FDS])
{
	unsigned n = 0;

	ret[n++] = &env->report;
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++)
		ret[n++] = &env->cgroup[t];
	ret[n++] = &env->egress_control;
	ret[n++] = &env->egress_log;
	BUG_ON(n != OWN_FDS);
}

static ssize_t send_request(int sock, const struct stage_env *env)
{
	struct stage_env copy = *env;
	int *own[OWN_FDS], fds[OWN_FDS];
	size_t n = 0;

	own_fds(&copy, own);
	for (unsigned i = 0; i < OWN_FDS; i++)
		if (*own[i] >= 0)
			fds[n++] = *own[i];
	return fd_send(sock, &copy, sizeof(copy), fds, n);
}

/* False when the jailer has gone; ours to close: own_fds. */
static bool receive_request(struct stage_env *env)
{
	int *own[OWN_FDS], fds[OWN_FDS];
	size_t n = ARRAY_SIZE(fds), used = 0;
	ssize_t got = fd_recv(SPAWNER_SOCK, env, sizeof(*env), fds, &n);

	if (got <= 0)
		return false;
	BUG_ON(got != (ssize_t)sizeof(*env));
	own_fds(env, own);
	for (unsigned i = 0; i < OWN_FDS; i++)
		if (*own[i] >= 0) {
			BUG_ON(used == n);
			*own[i] = fds[used++];
		}
	BUG_ON(used != n);
	env->null = SPAWNER_NULL;
	env->exec = SPAWNER_EXEC;
	env->root = SPAWNER_ROOT;
	env->egress = env->egress < 0 ? -1 : SPAWNER_EGRESS;
	env->hostnet = SPAWNER_HOSTNET;
	return true;
}

/* ---- The spawner's process ------------------------------------------------------------------ */

static bool have_time_namespaces(void)
{
	static int have = -1; /* one thread */

	if (have < 0)
		have = access("/proc/self/ns/time", F_OK) == 0;
	return have != 0;
}

static long clone_jail(const struct stage_env *env, int *ret_pidfd)
{
	int group = env->cgroup[CGROUP_V2];
	/* The signal at its end is that of the spawner itself: SIGCHLD. */
	struct clone_args args = {
		.flags = CLONE_PARENT | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
	};

	if (!layer_is_off(env, LAYER_NS))
		args.flags |= SPAWN_NAMESPACES | (have_time_namespaces() ? CLONE_NEWTIME : 0U);
	if (group >= 0 && !layer_is_off(env, LAYER_CGRP)) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)group;
	}
	return syscall(SYS_clone3, &args, sizeof(args));
}

static void spawn_one(struct stage_env *env)
{
	struct stage_report born = { .kind = REPORT_BORN };
	CLEANUP(fd_closep) int pidfd = -1;
	int *own[OWN_FDS];
	ssize_t n;
	long pid = clone_jail(env, &pidfd);

	if (pid == 0) {
		(void)prctl(PR_SET_NAME, "casemate-cell", 0, 0, 0);
		stage_run(env);
	}
	if (pid < 0)
		born.err = -errno;
	else
		born.pid = (int32_t)pid;
	n = fd_send(env->report, &born, sizeof(born), &pidfd, pid < 0 ? 0 : 1);
	/* The jailer has closed its end: it doesn't want the jail any more, and can't know of it.
	 */
	if (n < 0 && pid > 0)
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	own_fds(env, own);
	for (unsigned i = 0; i < OWN_FDS; i++)
		fd_closep(own[i]);
}

/* Leaves the spawner's table and nothing else of the jailer's. */
static int take_fds(const struct stage_env *first, int sock)
{
	const int from[SPAWNER_FD_END] = { [SPAWNER_SOCK] = sock,
					   [SPAWNER_NULL] = first->null,
					   [SPAWNER_EXEC] = first->exec,
					   [SPAWNER_ROOT] = first->root,
					   [SPAWNER_EGRESS] = first->egress,
					   [SPAWNER_HOSTNET] = first->hostnet };
	int copy[SPAWNER_FD_END];

	/* Out of the way first: some of them have each other's numbers. */
	for (int to = SPAWNER_SOCK; to < SPAWNER_FD_END; to++) {
		copy[to] = from[to] < 0 ? -1 : fd_dup(from[to], SPAWNER_FD_END);
		if (from[to] >= 0 && copy[to] < 0)
			return copy[to];
	}
	for (int to = SPAWNER_SOCK; to < SPAWNER_FD_END; to++) {
		if (copy[to] < 0)
			(void)close(to);
		else if (dup3(copy[to], to, O_CLOEXEC) < 0)
			return -errno;
	}
	return close_range(SPAWNER_FD_END, ~0U, 0) < 0 ? -errno : 0;
}

/*
 * Should: end with the jailer, and have nothing that a jail must not see even for a moment.
 * Signals stay blocked as the jailer has them: what a service manager sends to the whole group is
 * the jailer's business.
 */
static NORETURN void spawner_run(const struct stage_env *first, int sock)
{
	struct stage_env env;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NAME, SPAWNER_NAME, 0, 0, 0) < 0 || take_fds(first, sock) < 0)
		_exit(1);
	while (receive_request(&env))
		spawn_one(&env);
	_exit(0);
}

/* ---- The jailer's side ---------------------------------------------------------------------- */

void spawner_init(struct spawner *s)
{
	*s = (struct spawner){ .sock = -1, .pidfd = -1 };
}

static int start(struct spawner *s, const struct stage_env *env, struct err *err)
{
	struct clone_args args = { .flags = CLONE_PIDFD,
				   .pidfd = (uint64_t)(uintptr_t)&s->pidfd,
				   .exit_signal = SIGCHLD };
	int ends[2], r;
	long pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, -errno, "jail: spawner's socket");
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		spawner_run(env, ends[1]);
	r = pid < 0 ? -errno : 0;
	(void)close(ends[1]);
	if (r == 0)
		r = fd_set_nonblock(ends[0], true);
	if (r < 0) {
		(void)close(ends[0]);
		return err_sys(err, r, "jail: spawner");
	}
	s->sock = ends[0];
	return 0;
}

int spawner_clone(struct spawner *s, const struct stage_env *env, struct err *err)
{
	ssize_t n = s->sock < 0 ? -EPIPE : send_request(s->sock, env);

	if (n == -EPIPE || n == -ECONNRESET) {
		int r;
		spawner_stop(s);
		r = start(s, env, err);
		if (r < 0)
			return r;
		n = send_request(s->sock, env);
	}
	return n < 0 ? err_sys(err, (int)n, "jail: spawner") : 0;
}

void spawner_stop(struct spawner *s)
{
	siginfo_t si = { 0 };

	fd_closep(&s->sock);
	if (s->pidfd < 0)
		return;
	/* It ends by itself, after what it was asked for. */
	while (waitid((idtype_t)P_PIDFD, (id_t)s->pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	fd_closep(&s->pidfd);
}
