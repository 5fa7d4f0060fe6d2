/* SPDX-License-Identifier: Apache-2.0 */
/* rows_resource.c - attacks that take more than a jail's share of the host. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "probe/attack.h"
#include "vmm/vmm_fds.h"

#define FORKS	    150
#define DESCRIPTORS 1000
#define BEYOND	    (256 * MIB) /* more memory than the jail has */
#define LOCKED	    (16 * MIB)
#define FLOOD	    (4 * MIB)

static int fork_bomb(const struct scene *s)
{
	pid_t pids[FORKS];
	int n = 0, r = 0;

	(void)s;
	while (n < FORKS && r == 0) {
		pid_t pid = fork();
		if (pid == 0) {
			for (;;)
				(void)pause();
		}
		if (pid < 0)
			r = -errno;
		else
			pids[n++] = pid;
	}
	while (n > 0)
		(void)kill(pids[--n], SIGKILL);
	return r;
}

static int descriptors(const struct scene *s)
{
	(void)s;
	for (int i = 0; i < DESCRIPTORS; i++) {
		if (fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) < 0)
			return -errno;
	}
	return 0;
}

static int memory(const struct scene *s)
{
	const size_t step = MIB;

	for (uint64_t done = 0; done < s->memory_bytes + BEYOND; done += step) {
		/* Without a jail all at once: page by page it takes an emulated host too long. */
		char *p =
			mmap(NULL, step, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | (s->outside ? MAP_POPULATE : 0), -1, 0);
		if (p == MAP_FAILED)
			return -errno;
		memset(p, 1, step);
	}
	return 0;
}

static int lock_memory(const struct scene *s)
{
	void *p = mmap(NULL, LOCKED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)s;
	return p == MAP_FAILED ? -errno : attack_result(mlock(p, LOCKED));
}

static int real_time(const struct scene *s)
{
	const struct sched_param p = { .sched_priority = 1 };

	(void)s;
	return attack_result(sched_setscheduler(0, SCHED_FIFO, &p));
}

static int priority(const struct scene *s)
{
	(void)s;
	return attack_result(setpriority(PRIO_PROCESS, 0, -15));
}

/* Guest memory on the host's disk. */
static int core_dump(const struct scene *s)
{
	const struct rlimit r = { MIB, MIB };

	(void)s;
	if (setrlimit(RLIMIT_CORE, &r) < 0)
		return -errno;
	return attack_result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int leave_cgroup(const struct scene *s)
{
	int fd = open(s->cgroup_procs, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : attack_result(write(fd, "0", 1));
}

/* The kernel keeps for the reader what is written to him: how much? */
static uint64_t flood_fd(int fd)
{
	static const char block[1U << 16];
	const int size = 16 << 20;
	uint64_t done = 0;
	ssize_t n;

	(void)fcntl(fd, F_SETPIPE_SZ, size);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	while (done < FLOOD && (n = write(fd, block, sizeof(block))) > 0)
		done += (uint64_t)n;
	return done;
}

/* What the jail's maker reads: the log pipe. (The control socket is the harness's own.) */
static int flood(const struct scene *s)
{
	(void)s;
	return flood_fd(STDERR_FILENO) >= FLOOD ? 0 : -EAGAIN;
}

/* Deaf to signals, in a session of its own; whoever writes to the control socket hears of it. */
static int outlive(const struct scene *s)
{
	struct pollfd p = { .fd = VMM_FD_CONTROL, .events = POLLIN };
	char order[4096];
	pid_t pid = fork();

	(void)s;
	/* It has made its own child when it ends. */
	if (pid != 0)
		return pid < 0 ? -errno : attack_result(waitpid(pid, NULL, 0));
	(void)setsid();
	for (int n = 1; n < _NSIG; n++)
		(void)signal(n, SIG_IGN);
	if (fork() != 0)
		_exit(0);
	/* While the probe lives it reads the orders; nobody sends one until it is dead. */
	while (poll(&p, 1, -1) == 1 && read(p.fd, order, sizeof(order)) > 0)
		(void)!write(p.fd, "x", 1);
	_exit(0);
}

const struct attack attacks_resource[] = {
	{ "V57", "150 processes", fork_bomb, ATTACK_ENDS_JAIL },
	{ "V59", "1000 descriptors", descriptors, ATTACK_RUNNING_ONLY | ATTACK_ANYWHERE },
	{ "V60", "more memory than its share", memory, ATTACK_ENDS_JAIL },
	{ "V61", "lock 16 MiB of memory", lock_memory, ATTACK_ANYWHERE },
	{ "V62", "real-time priority", real_time, ATTACK_ANYWHERE },
	{ "V63", "a nicer priority than others", priority, ATTACK_ANYWHERE },
	{ "V65", "core dumps on again", core_dump, ATTACK_ANYWHERE },
	{ "V66", "move to another cgroup", leave_cgroup, 0 },
	{ "V74", "flood the log pipe", flood, 0 },
	{ "V77", "outlive the jail", outlive, ATTACK_OUTLIVES },
	{ NULL, NULL, NULL, 0 },
};
