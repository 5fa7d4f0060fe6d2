/* SPDX-License-Identifier: Apache-2.0 */
/*
 * casemate-probe - the VMM, taken over. The jailer starts it in the place of casemate-vmm; in the
 * control run nothing is around it.
 *
 * Each order on the control socket is an attack of its own, in a child: the child closes what the
 * VMM closes once it is built, puts on what casemate-vmm puts on itself (locks, Landlock, the first
 * filter and that of a thread's role, by the same functions), and only then attacks. What came of
 * it stands in memory that it shares with us, because a filter may leave it no other way to tell.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/landlock.h"
#include "base/num.h"
#include "probe/off.h"
#include "probe/wire.h"
#include "vmm/seccomp.h"
#include "vmm/vmm_fds.h"

#ifndef PR_SET_MDWE /* Linux 6.3; Debian 12's headers are older */
#define PR_SET_MDWE		 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define ATTACK_MS     8000
#define FDS_LOOKED_AT 256

/* As casemate-vmm's main does. */
static int put_on_locks(unsigned off)
{
	int abi;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if ((off & OFF_BIT(OFF_SYSC)) == 0 &&
	    prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return (off & OFF_BIT(OFF_LLK)) != 0 ? 0 : landlock_deny_all(&abi);
}

/* What casemate-vmm retires in Configure becomes /dev/null. */
static int retire_fds(void)
{
	for (int fd = VMM_FD_KVM; fd < VMM_FD_DRIVE0; fd++) {
		if (dup3(STDIN_FILENO, fd, O_CLOEXEC) < 0)
			return -errno;
	}
	return 0;
}

static int put_on_filters(const struct wire_order *o)
{
	int r = 0;

	if (o->role == WIRE_ROLE_NONE)
		return 0;
	if ((o->off & OFF_BIT(OFF_SEC)) == 0)
		r = vmm_seccomp_install(SECCOMP_START);
	if (r == 0 && o->role != SECCOMP_START && (o->off & OFF_BIT(OFF_SEC)) == 0)
		r = vmm_seccomp_install((enum seccomp_role)o->role);
	return r;
}

/* Without a jail: mounts of this attack's own, so that it can't take another's away. */
static int leave_alone(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return 0;
}

static int get_ready(const struct wire_order *o)
{
	int r = 0;

	if (o->role != SECCOMP_START)
		r = retire_fds();
	if (r == 0)
		r = o->scene.outside ? leave_alone() : put_on_locks(o->off);
	return r == 0 ? put_on_filters(o) : r;
}

/* No attack: shows that an attack would be carried out, and its end be noticed. */
static int say_hello(const struct scene *s)
{
	(void)s;
	return 0;
}

/* Whatever number it has: as a file that can be read, or by a directory that leads to it. */
static int look_around(const struct scene *s)
{
	char text[sizeof(CANARY)] = "", path[SCENE_TEXT + 32];

	(void)snprintf(path, sizeof(path), "../../../../../..%s", s->secret);
	for (int fd = 0; fd < FDS_LOOKED_AT; fd++) {
		if ((pread(fd, text, sizeof(text) - 1, 0) > 0 && strcmp(text, CANARY) == 0) ||
		    attack_opens_canary(fd, path) == 0)
			return 0;
	}
	return attack_opens_canary(AT_FDCWD, s->secret);
}

/* Orders that are no rows of the battery. */
static const struct attack orders[] = {
	{ WIRE_HELLO, "nothing", say_hello, 0 },
	{ WIRE_LOOK, "look for the secret", look_around, 0 },
};

static const struct attack *find_order(const char *id)
{
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		if (strcmp(id, orders[i].id) == 0)
			return &orders[i];
	}
	return attack_find(id);
}

/* The child. Ends by the one system call that every filter allows. */
static NORETURN void attack(const struct wire_order *o, const struct attack *a,
			    volatile struct wire_answer *shared)
{
	int r;

	shared->kind = WIRE_HARNESS;
	shared->value = -ENOENT;
	if (a != NULL) {
		r = get_ready(o);
		shared->value = r;
		if (r == 0) {
			shared->kind = WIRE_NONE;
			r = a->run(&o->scene);
			shared->value = r;
			shared->kind = WIRE_RETURN;
		}
	}
	for (;;)
		(void)syscall(SYS_exit, 0);
}

static bool ended_in_time(pid_t pid, int *ret_status)
{
	static const struct timespec pause = { .tv_nsec = 1000000 };
	uint64_t deadline = now_ms() + ATTACK_MS;
	pid_t got;

	for (unsigned spin = 0;; spin++) {
		got = waitpid(pid, ret_status, WNOHANG);
		if (got == pid)
			return true;
		if (now_ms() >= deadline)
			break;
		if (spin > 64)
			(void)nanosleep(&pause, NULL);
		else
			(void)sched_yield();
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, ret_status, 0);
	return false;
}

static struct wire_answer run_attack(const struct wire_order *o, const struct attack *a,
				     volatile struct wire_answer *shared)
{
	int status = 0;
	pid_t pid;

	*shared = (struct wire_answer){ .kind = WIRE_NONE };
	pid = fork();
	if (pid < 0)
		return (struct wire_answer){ .kind = WIRE_HARNESS, .value = -errno };
	if (pid == 0)
		attack(o, a, shared);
	if (!ended_in_time(pid, &status))
		return (struct wire_answer){ .kind = WIRE_LATE };
	if (shared->kind != WIRE_NONE)
		return *shared;
	if (WIFSIGNALED(status))
		return (struct wire_answer){ .kind = WIRE_SIGNAL, .value = WTERMSIG(status) };
	return (struct wire_answer){ .kind = WIRE_EXIT, .value = WEXITSTATUS(status) };
}

/* What kills it is seen by whoever ordered it. */
static struct wire_answer run_here(const struct wire_order *o, const struct attack *a)
{
	int r = get_ready(o);

	if (r < 0)
		return (struct wire_answer){ .kind = WIRE_HARNESS, .value = r };
	r = a->run(&o->scene);
	return (struct wire_answer){ .kind = WIRE_RETURN, .value = r };
}

/* "#17": the row of that number, if doctor may try it. */
static struct wire_answer try_row(const struct wire_order *o, volatile struct wire_answer *shared)
{
	struct wire_answer ret = { .kind = WIRE_END };
	const struct attack *a = NULL;
	uint64_t i;

	if (parse_u64(o->id + strlen(WIRE_ROW), 0, WIRE_ROWS_MAX, &i) == 0)
		a = attack_at((size_t)i);
	if (a == NULL)
		return ret;
	ret.kind = WIRE_SKIPPED;
	if ((a->flags & ATTACK_ANYWHERE) != 0 &&
	    (o->role != SECCOMP_START || (a->flags & ATTACK_RUNNING_ONLY) == 0))
		ret = o->here != 0 ? run_here(o, a) : run_attack(o, a, shared);
	(void)snprintf(ret.id, sizeof(ret.id), "%s", a->id);
	ret.flags = a->flags;
	return ret;
}

static struct wire_answer obey(const struct wire_order *o, volatile struct wire_answer *shared)
{
	if (strncmp(o->id, WIRE_ROW, strlen(WIRE_ROW)) == 0)
		return try_row(o, shared);
	return run_attack(o, find_order(o->id), shared);
}

/* As pid 1 we inherit what attacks leave behind. */
static void reap_orphans(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* A template's memory comes over the control socket, if SELinux lets it: if not, then without. */
static int take_template(void)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	const struct cmsghdr *c;
	int fd;

	if (recvmsg(VMM_FD_CONTROL, &m, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (c == NULL || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(sizeof(fd)))
		return 0;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return dup2(fd, VMM_FD_DRIVE0 + 2) < 0 ? -1 : 0;
}

int main(void)
{
	static struct wire_order o;
	void *shared = mmap(NULL, sizeof(struct wire_answer), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *low = mmap(NULL, sizeof(o.scene.secret), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (shared == MAP_FAILED || low == MAP_FAILED || signal(SIGXFSZ, SIG_IGN) == SIG_ERR ||
	    take_template() < 0)
		return 1;
	while (fd_read_full(VMM_FD_CONTROL, &o, sizeof(o)) == 0) {
		struct wire_answer a;
		o.id[sizeof(o.id) - 1] = '\0';
		memcpy(low, o.scene.secret, sizeof(o.scene.secret));
		o.scene.low_page = (uint32_t)(uintptr_t)low;
		a = obey(&o, shared);
		if (o.here == 0)
			reap_orphans();
		if (fd_write_full(VMM_FD_CONTROL, &a, sizeof(a)) < 0)
			return 1;
	}
	return 0;
}
