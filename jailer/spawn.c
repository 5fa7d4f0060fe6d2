/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"

/* The cgroup and user namespaces come later (stage_cgroup, stage_user). The time namespace has the
 * host's clocks: what the VMM logs can be compared with the other logs. */
#define SPAWN_NAMESPACES (CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static bool have_time_namespaces(void)
{
	static int have = -1; /* one thread */

	if (have < 0)
		have = access("/proc/self/ns/time", F_OK) == 0;
	return have != 0;
}

static long clone_child(const struct stage_env *env, int *ret_pidfd)
{
	int group = env->cgroup[CGROUP_V2];
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};

	if (!layer_is_off(env, LAYER_NS))
		args.flags |= SPAWN_NAMESPACES | (have_time_namespaces() ? CLONE_NEWTIME : 0U);
	if (!layer_is_off(env, LAYER_FS))
		args.flags |= CLONE_NEWNS;
	if (group >= 0 && !layer_is_off(env, LAYER_CGRP)) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)group;
	}
	return syscall(SYS_clone3, &args, sizeof(args));
}

int spawn_probe_userns(void)
{
	siginfo_t si = { 0 };
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) == 0 ? 0 : errno & 0xff);
	while (waitid(P_PID, (id_t)pid, &si, WEXITED) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return si.si_code == CLD_EXITED ? -si.si_status : -EIO;
}

int spawn(struct stage_env *env, struct spawned *ret, struct err *err)
{
	CLEANUP(fd_closep) int report = -1;
	int pidfd = -1, ends[2], failed;
	long pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, -errno, "jail: report socket");
	report = ends[0];
	env->report = ends[1];
	pid = clone_child(env, &pidfd);
	if (pid == 0) {
		/* So that the jailer's death closes the last other end. */
		fd_closep(&report);
		stage_run(env);
	}
	failed = pid < 0 ? -errno : 0;
	fd_closep(&env->report);
	if (failed < 0)
		return err_sys(err, failed, "jail: new process");
	failed = fd_set_nonblock(report, true);
	BUG_ON(failed < 0); /* a socket of our own */
	*ret = (struct spawned){ .pid = (pid_t)pid, .pidfd = pidfd, .report = fd_steal(&report) };
	return 0;
}

int spawn_receive(const struct spawned *s, struct stage_report *ret)
{
	struct stage_report rep = { 0 };
	size_t none = 0;
	ssize_t n = fd_recv(s->report, &rep, sizeof(rep), NULL, &none);

	if (n == -EAGAIN)
		return -EAGAIN;
	/* A process that was killed before it read our answer resets the connection. */
	if (n == 0 || n == -ECONNRESET)
		return 0;
	if (n != (ssize_t)sizeof(rep) ||
	    (rep.kind != REPORT_MAP && rep.kind != REPORT_READY && rep.kind != REPORT_FAILED) ||
	    (rep.kind == REPORT_FAILED && (rep.err >= 0 || rep.err < -4095)))
		return -EPROTO;
	*ret = rep;
	return 1;
}

static int write_map(pid_t pid, const char *file, uint32_t id)
{
	CLEANUP(fd_closep) int fd = -1;
	char path[48], text[48];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	(void)snprintf(text, sizeof(text), "%u %u 1\n", id, id);
	/* The number is the process's for as long as we haven't reaped it. */
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));
}

int spawn_map(const struct spawned *s, uint32_t uid)
{
	const struct stage_order o = { .kind = ORDER_MAPPED };
	int r = write_map(s->pid, "uid_map", uid);
	ssize_t n;

	if (r == 0)
		r = write_map(s->pid, "gid_map", uid);
	if (r < 0)
		return r;
	n = fd_send(s->report, &o, sizeof(o), NULL, 0);
	return n < 0 ? (int)n : 0;
}

int spawn_claim(const struct spawned *s, struct stage_order *o, const struct stage_fd *fds)
{
	int pass[STAGE_FDS_MAX];
	ssize_t n;

	BUG_ON(o->fds_count > STAGE_FDS_MAX);
	for (uint32_t i = 0; i < o->fds_count; i++) {
		pass[i] = fds[i].from;
		o->to[i] = fds[i].to;
	}
	o->kind = ORDER_CLAIM;
	n = fd_send(s->report, o, sizeof(*o), pass, o->fds_count);
	return n < 0 ? (int)n : 0;
}

int spawn_reap(int pidfd, struct ending *ret)
{
	siginfo_t si = { 0 };
	int r;

	do
		r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (si.si_pid == 0)
		return -EAGAIN;
	ret->exited = si.si_code == CLD_EXITED;
	ret->status = si.si_status;
	return 0;
}

void spawn_kill(int pidfd)
{
	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}
