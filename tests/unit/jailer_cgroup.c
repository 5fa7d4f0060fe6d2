/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of control files, from made-up groups. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "jailer/cgroup_internal.h"

Test(cgroup_key, numbers)
{
	static const struct {
		const char *text, *key;
		int r;
		uint64_t value;
	} cases[] = {
		{ "usage_usec 12\nuser_usec 7\nsystem_usec 5\n", "usage_usec", 0, 12 },
		{ "usage_usec 12\nuser_usec 7\nsystem_usec 5\n", "system_usec", 0, 5 },
		{ "x 1\nusage_usec 18446744073709551615", "usage_usec", 0, UINT64_MAX },
		{ "usage_usec 18446744073709551616\n", "usage_usec", -ERANGE, 0 },
		{ "usage_usec 000000000000000000001\n", "usage_usec", 0, 1 },
		{ "usage_usec 12 3\n", "usage_usec", -EINVAL, 0 },
		{ "usage_usec -1\n", "usage_usec", -EINVAL, 0 },
		{ "usage_usec \n1\n", "usage_usec", -EINVAL, 0 },
		{ "core_usage_usec 12\n", "usage_usec", -ENOENT, 0 },
		{ "usage_usec2 12\n", "usage_usec", -ENOENT, 0 },
		{ "usage_usec", "usage_usec", -ENOENT, 0 },
		{ "", "usage_usec", -ENOENT, 0 },
		{ "\n\n\n", "usage_usec", -ENOENT, 0 },
		{ "4096\n", "", 0, 4096 },
		{ "0", "", 0, 0 },
		{ "max\n", "", -EINVAL, 0 },
		{ "", "", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v = 0;
		cr_expect_eq(cgroup_parse_key(cases[i].text, cases[i].key, &v), cases[i].r, "%zu",
			     i);
		cr_expect_eq(v, cases[i].value, "%zu: %llu", i, (unsigned long long)v);
	}
}

static void put(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

Test(cgroup_usage, of_version_2)
{
	static const char *const files[] = { "cpu.stat", "memory.current", "memory.peak" };
	char path[] = "/tmp/casemate-cgroup.XXXXXX";
	struct cgroup_usage u = { .cpu_us = 77 };
	struct cgroup c;
	int dir;

	cr_assert_not_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY);
	cgroup_clear(&c);
	c.dir[CGROUP_V2] = dir;
	put(dir, "cpu.stat", "usage_usec 5000\nuser_usec 1\n");
	cr_expect_eq(cgroup_usage(&c, getpid(), &u), -ENOENT, "there is no memory.current");
	cr_expect_eq(u.cpu_us, 77, "set on failure");
	put(dir, "memory.current", "123456\n");
	cr_assert_eq(cgroup_usage(&c, getpid(), &u), 0, "older kernels have no memory.peak");
	cr_expect_eq(u.cpu_us, 5000);
	cr_expect_eq(u.memory_bytes, 123456);
	cr_expect_eq(u.memory_peak_bytes, 0);
	put(dir, "memory.peak", "200000\n");
	cr_assert_eq(cgroup_usage(&c, getpid(), &u), 0);
	cr_expect_eq(u.memory_peak_bytes, 200000);
	put(dir, "memory.peak", "lots\n");
	cr_expect_eq(cgroup_usage(&c, getpid(), &u), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		cr_assert_eq(unlinkat(dir, files[i], 0), 0);
	close(dir);
	cr_assert_eq(rmdir(path), 0);
}

/* The process's own clock: of one that has used nothing less than of one that has. */
Test(cgroup_usage, of_version_1)
{
	char path[] = "/tmp/casemate-cgroup.XXXXXX";
	struct cgroup_usage u, v;
	struct cgroup c;
	pid_t child;
	int dir;

	cr_assert_not_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY);
	cgroup_clear(&c);
	c.dir[CGROUP_V1_MEMORY] = dir;
	put(dir, "memory.usage_in_bytes", "4096\n");
	put(dir, "memory.max_usage_in_bytes", "8192\n");
	cr_assert_eq(cgroup_usage(&c, getpid(), &u), 0);
	cr_expect_eq(u.memory_bytes, 4096);
	cr_expect_eq(u.memory_peak_bytes, 8192);
	do
		cr_assert_eq(cgroup_usage(&c, getpid(), &v), 0);
	while (v.cpu_us < u.cpu_us + 1000);
	child = fork();
	if (child == 0)
		_exit(0);
	cr_assert_gt(child, 0);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	cr_expect_eq(cgroup_usage(&c, child, &v), -ESRCH, "it is gone");
	cr_assert_eq(unlinkat(dir, "memory.usage_in_bytes", 0), 0);
	cr_assert_eq(unlinkat(dir, "memory.max_usage_in_bytes", 0), 0);
	close(dir);
	cr_assert_eq(rmdir(path), 0);
}
