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
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/stage.h"

#define LOOK_AT 512
#define ROUNDS	200
#define TABLE	7

static const int places[TABLE] = { 2,
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

static int count_open(void)
{
	int n = 0;

	for (int fd = 0; fd < LOOK_AT; fd++)
		n += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
	return n;
}

static bool is_ours(int fd, int mark)
{
	return has_mark(fd, mark) && fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

/* The jail's own table: /dev/null three times and the stages' own. */
static int shuffle_jail(unsigned *seed)
{
	struct stage_env env = { 0 };
	bool taken[LOOK_AT] = { false };

	for (int t = 0; t < CGROUP_TREE_COUNT; t++)
		env.cgroup[t] = -1;
	/* memfd_create takes the lowest number: keep those busy until all are placed. */
	fd_close_from(0);
	env.null = make(1, seed, taken);
	env.report = make(100, seed, taken);
	env.exec = make(101, seed, taken);
	env.root = make(103, seed, taken);
	env.cgroup[2] = make(102, seed, taken);
	(void)make(999, seed, taken); /* something that must not stay */
	if (stage_fds(&env) != 0)
		return 20;
	for (int fd = 0; fd <= 2; fd++) {
		if (!has_mark(fd, 1) || fcntl(fd, F_GETFD) != 0)
			return 30 + fd;
	}
	if (!is_ours(STAGE_FD_REPORT, 100) || !is_ours(STAGE_FD_EXEC, 101) ||
	    !is_ours(STAGE_FD_ROOT, 103) || !is_ours(STAGE_FD_CGROUP + 2, 102))
		return 40;
	return count_open() == 7 ? 0 : 41;
}

/* And then the VMM's, from whatever numbers its descriptors have arrived at. */
static int shuffle_table(unsigned *seed)
{
	struct stage_env env = { .file_bytes_max = 1U << 20,
				 .address_bytes_max = RLIM_INFINITY,
				 .nic_queues = 1 };
	bool taken[LOOK_AT] = { [0] = true, [1] = true, [2] = true };

	for (int fd = STAGE_FD_REPORT; fd < STAGE_FD_END; fd++)
		taken[fd] = true;
	if (dup3(0, STAGE_FD_TUN, O_CLOEXEC) < 0)
		return 50;
	for (int i = 0; i < TABLE; i++)
		env.fds[env.fds_count++] =
			(struct stage_fd){ make(200 + i, seed, taken), places[i] };
	(void)make(999, seed, taken);
	if (stage_table(&env) != 0)
		return 60;
	for (int i = 0; i < TABLE; i++) {
		if (!has_mark(places[i], 200 + i) || fcntl(places[i], F_GETFD) != 0)
			return 70 + i;
	}
	if (!has_mark(0, 1) || !has_mark(1, 1) || !has_mark(VMM_FD_TAP0, 1) ||
	    fcntl(VMM_FD_TAP0, F_GETFD) != 0)
		return 80;
	if (!is_ours(STAGE_FD_REPORT, 100) || !is_ours(STAGE_FD_EXEC, 101))
		return 81;
	return count_open() == TABLE + 2 + 1 + 2 ? 0 : 82;
}

/* In a child, because it closes everything: 0 = right, else what went wrong. */
static int shuffle(unsigned seed)
{
	int r = shuffle_jail(&seed);

	return r != 0 ? r : shuffle_table(&seed);
}

/* The numbers are the jailer's, but two of them at one place would hide a descriptor. */
Test(jailer_fds, a_place_is_taken_once)
{
	int status;
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		struct stage_env env = { .fds_count = 2,
					 .fds = { { 0, VMM_FD_KVM }, { 0, VMM_FD_KVM } } };
		(void)dup2(0, STAGE_FD_REPORT);
		(void)dup2(0, STAGE_FD_EXEC);
		_exit(stage_table(&env) == -EPROTO ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
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
