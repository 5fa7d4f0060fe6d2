/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage that sorts descriptors: whatever numbers the jailer happens to have, each ends up at
 * its place, and nothing else stays open.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/stage.h"

#define LOOK_AT 512
#define ROUNDS	200
#define TABLE	9

static const int places[TABLE] = { 0,
				   1,
				   2,
				   VMM_FD_CONTROL,
				   VMM_FD_KVM,
				   VMM_FD_KERNEL,
				   VMM_FD_INITRD,
				   VMM_FD_DRIVE0,
				   VMM_FD_DRIVE0 + 1 };

/* A file whose content is its number, at a random descriptor that nothing else has. */
static int make(int mark, unsigned *seed, bool taken[LOOK_AT])
{
	int fd = memfd_create("mark", MFD_CLOEXEC), at;

	do
		at = (int)((unsigned)rand_r(seed) % (STAGE_FD_END + 40));
	while (taken[at]);
	if (pwrite(fd, &mark, sizeof(mark), 0) != (ssize_t)sizeof(mark))
		_exit(10);
	if (fd == at)
		return taken[at] = true, at;
	if (dup3(fd, at, O_CLOEXEC) < 0)
		_exit(11);
	close(fd);
	taken[at] = true;
	return at;
}

static bool has_mark(int fd, int want)
{
	int mark = -1;

	return pread(fd, &mark, sizeof(mark), 0) == (ssize_t)sizeof(mark) && mark == want;
}

/* In a child, because it closes everything: 0 = right, else what went wrong. */
static int shuffle(unsigned seed)
{
	struct stage_env env = { .cgroup = { -1, -1, -1, -1 } };
	bool taken[LOOK_AT] = { false };

	/* memfd_create takes the lowest number: keep those busy until all are placed. */
	fd_close_from(0);
	for (int i = 0; i < TABLE; i++)
		env.fds[env.fds_count++] = (struct stage_fd){ make(i, &seed, taken), places[i] };
	env.report = make(100, &seed, taken);
	env.exec = make(101, &seed, taken);
	env.cgroup[2] = make(102, &seed, taken);
	(void)make(999, &seed, taken); /* something that must not stay */
	if (stage_fds(&env) != 0)
		return 20;
	for (int i = 0; i < TABLE; i++) {
		if (!has_mark(places[i], i) || fcntl(places[i], F_GETFD) != 0)
			return 30 + i;
	}
	if (!has_mark(STAGE_FD_REPORT, 100) || fcntl(STAGE_FD_REPORT, F_GETFD) != FD_CLOEXEC)
		return 40;
	if (!has_mark(STAGE_FD_EXEC, 101) || fcntl(STAGE_FD_EXEC, F_GETFD) != FD_CLOEXEC)
		return 41;
	if (!has_mark(STAGE_FD_CGROUP + 2, 102))
		return 42;
	for (int fd = 0, open_fds = 0; fd < LOOK_AT; fd++) {
		open_fds += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
		if (fd == LOOK_AT - 1 && open_fds != TABLE + 3)
			return 43;
	}
	return 0;
}

Test(jailer_fds, any_order_of_numbers, .timeout = 60)
{
	for (unsigned seed = 1; seed <= ROUNDS; seed++) {
		int status = 0;
		pid_t pid = fork();
		cr_assert_geq(pid, 0);
		if (pid == 0)
			_exit(shuffle(seed));
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "seed %u: status %#x",
			  seed, status);
	}
}
