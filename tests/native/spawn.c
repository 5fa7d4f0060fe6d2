/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"

#define HIGH_FD 200 /* above every fixed number */

/* In the child: puts fd at `to`, if there is one. */
static void place(int fd, int to)
{
	if (fd >= 0 && dup2(fd, to) < 0)
		_exit(127);
}

/* In the child: a copy at a number that nothing else wants. */
static int lift(int fd)
{
	int high;

	if (fd < 0)
		return -1;
	high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (high < 0)
		_exit(127);
	return high;
}

/* In the child: the same file for reading only, which is how a jailer opens it. */
static int reopen(int fd)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		_exit(127);
	return fd;
}

static void run_child(const char *program, int control, const struct vmm_files *f)
{
	int kvm = lift(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	int null = lift(open("/dev/null", O_RDWR | O_CLOEXEC));
	int log = f->log > 0 ? lift(f->log) : -1;
	int kernel = lift(f->kernel), initrd = lift(f->initrd), drives[VMM_DRIVES_MAX];
	int taps[VMM_TAPS_MAX];
	int state = lift(f->restore ? f->state : -1), memory = lift(f->restore ? f->memory : -1);
	int rest = lift(f->restore && f->rest > 0 ? f->rest : -1);
	int handover = f->handover > 0 ? lift(f->handover) : -1;
	char name[] = "casemate-vmm", *const argv[] = { name, NULL };

	control = lift(control);
	for (unsigned i = 0; i < f->drives_count; i++)
		drives[i] =
			lift(f->drives[i].read_only ? reopen(f->drives[i].fd) : f->drives[i].fd);
	for (unsigned i = 0; i < f->taps_count; i++)
		taps[i] = lift(f->taps[i]);
	(void)close_range(3, HIGH_FD - 1, 0);
	place(null, 0);
	place(null, 1);
	place(log, 2);
	place(control, VMM_FD_CONTROL);
	place(kvm, VMM_FD_KVM);
	place(kernel, VMM_FD_KERNEL);
	place(initrd, VMM_FD_INITRD);
	place(memory, VMM_FD_MEMORY);
	place(state, VMM_FD_STATE);
	place(rest, VMM_FD_REST);
	place(handover, VMM_FD_HANDOVER);
	for (unsigned i = 0; i < f->drives_count; i++)
		place(drives[i], VMM_FD_DRIVE0 + (int)i);
	for (unsigned i = 0; i < f->taps_count; i++)
		place(taps[i], VMM_FD_TAP0 + (int)i);
	(void)execv(program, argv);
	_exit(127);
}

pid_t vmm_fork(const char *program, const struct vmm_files *files, int *ret_control)
{
	int sv[2];
	pid_t pid;
	int r = fd_socketpair(sv, false);

	if (r < 0)
		return r;
	pid = fork();
	if (pid == 0)
		run_child(program, sv[1], files);
	if (pid < 0) {
		r = -errno;
		fd_closep(&sv[0]);
	}
	fd_closep(&sv[1]);
	if (pid < 0)
		return r;
	*ret_control = sv[0];
	return pid;
}
