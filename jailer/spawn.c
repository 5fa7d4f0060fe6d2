/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* Stages take a millisecond; this is for a host that is out of breath. */
#define SPAWN_MS_MAX 10000

/* The cgroup namespace comes later (stage_cgroup); no user namespace: the unique uid has no
 * capability anywhere, and a root that isn't the namespace's keeps it from making one. */
#define SPAWN_NAMESPACES (CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static long clone_child(const struct stage_env *env, int *ret_pidfd)
{
	int group = env->cgroup[CGROUP_V2];
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};

	if (!layer_is_off(env, LAYER_NS))
		args.flags |= SPAWN_NAMESPACES;
	if (!layer_is_off(env, LAYER_FS))
		args.flags |= CLONE_NEWNS;
	if (group >= 0 && !layer_is_off(env, LAYER_CGRP)) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)group;
	}
	return syscall(SYS_clone3, &args, sizeof(args));
}

/* 0 = the exec has happened; else what went wrong. */
static int read_report(int fd, struct err *err)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct stage_report rep = { 0 };
	ssize_t n;
	int ready;

	do
		ready = poll(&p, 1, SPAWN_MS_MAX);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return err_set(err, -ETIMEDOUT, "jail: the set-up takes longer than %d s",
			       SPAWN_MS_MAX / 1000);
	n = read(fd, &rep, sizeof(rep));
	if (n == 0)
		return 0;
	if (n != (ssize_t)sizeof(rep) || rep.err >= 0 || rep.err < -4095)
		return err_set(err, -EIO, "jail: the set-up sent no proper report");
	return err_sys(err, rep.err, "jail: stage %s", stage_name(rep.stage));
}

/* The report pipe has ended without a word: after an exec, or because the child died before. */
static int check_alive(int pidfd, struct err *err)
{
	struct ending e = { 0 };
	int r = spawn_reap(pidfd, &e);

	if (r == -EAGAIN)
		return 0;
	if (r < 0)
		return err_sys(err, r, "jail: casemate-vmm");
	return err_set(err, -EIO, "jail: casemate-vmm ended at once (%s %d)",
		       e.exited ? "status" : "signal", e.status);
}

int spawn(struct stage_env *env, struct spawned *ret, struct err *err)
{
	CLEANUP(fd_closep) int report = -1;
	CLEANUP(fd_closep) int pidfd = -1;
	int ends[2];
	long pid;
	int r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "jail: report pipe");
	report = ends[0];
	env->report = ends[1];
	pid = clone_child(env, &pidfd);
	if (pid == 0) {
		/* So that the jailer's death closes the last reading end. */
		fd_closep(&report);
		stage_run(env);
	}
	r = pid < 0 ? -errno : 0;
	fd_closep(&env->report);
	if (r < 0)
		return err_sys(err, r, "jail: new process");
	r = read_report(report, err);
	if (r < 0) {
		spawn_end(pidfd);
		return r;
	}
	r = check_alive(pidfd, err);
	if (r < 0)
		return r;
	ret->pid = (pid_t)pid;
	ret->pidfd = fd_steal(&pidfd);
	return 0;
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

void spawn_end(int pidfd)
{
	struct ending e;
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	spawn_kill(pidfd);
	while (spawn_reap(pidfd, &e) == -EAGAIN)
		(void)poll(&p, 1, SPAWN_MS_MAX);
}
