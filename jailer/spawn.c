/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/spawn.h"

#include <errno.h>
#include <fcntl.h>
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

int spawn(struct spawner *by, struct stage_env *env, struct spawned *ret, struct err *err)
{
	CLEANUP(fd_closep) int report = -1, theirs = -1;
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, -errno, "jail: report socket");
	report = ends[0];
	theirs = ends[1];
	r = fd_set_nonblock(report, true);
	BUG_ON(r < 0); /* a socket of our own */
	env->report = theirs;
	r = spawner_clone(by, env, err);
	env->report = -1;
	if (r < 0)
		return r;
	*ret = (struct spawned){ .pid = 0, .pidfd = -1, .report = fd_steal(&report) };
	return 0;
}

/* The process is the spawner's word; nobody else sends a descriptor. */
static bool is_proper(const struct stage_report *rep, size_t fds)
{
	bool failed = rep->err < 0 && rep->err >= -4095;

	switch (rep->kind) {
	case REPORT_BORN:
		return fds == 0 ? failed : rep->err == 0 && rep->pid > 0;
	case REPORT_MAP:
	case REPORT_READY:
		return fds == 0;
	case REPORT_FAILED:
		return fds == 0 && failed;
	default:
		return false;
	}
}

int spawn_receive(struct spawned *s, struct stage_report *ret)
{
	CLEANUP(fd_closep) int pidfd = -1;
	struct stage_report rep = { 0 };
	size_t fds = 1;
	ssize_t n = fd_recv(s->report, &rep, sizeof(rep), &pidfd, &fds);

	if (n == -EAGAIN)
		return -EAGAIN;
	/* A process that was killed before it read our answer resets the connection. */
	if (n == 0 || n == -ECONNRESET)
		return 0;
	if (n != (ssize_t)sizeof(rep) || !is_proper(&rep, fds) ||
	    (rep.kind == REPORT_BORN && s->pidfd >= 0))
		return -EPROTO;
	if (rep.kind == REPORT_BORN && rep.err == 0) {
		s->pid = (pid_t)rep.pid;
		s->pidfd = fd_steal(&pidfd);
	}
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
