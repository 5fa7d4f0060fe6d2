/* SPDX-License-Identifier: Apache-2.0 */
/* What the jailer takes from /proc files, which hold names that a VMM chose. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "jailer/inspect.h"

Test(inspect, lines)
{
	static const char text[] = "Name:\tvcpu0\nUid:\t1\t2\t3\t4\nCapEff:\t00ff\nGroups:\t \n";
	char v[INSPECT_VALUE_MAX];

	cr_assert_eq(inspect_line(text, "Uid", v), 0);
	cr_expect_str_eq(v, "1 2 3 4");
	cr_assert_eq(inspect_line(text, "CapEff", v), 0);
	cr_expect_str_eq(v, "00ff");
	cr_assert_eq(inspect_line(text, "Groups", v), 0);
	cr_expect_str_eq(v, "");
	cr_expect_eq(inspect_line(text, "Cap", v), -ENOENT);
	cr_expect_eq(inspect_line(text, "vcpu0", v), -ENOENT);
	cr_expect_eq(inspect_line("", "Uid", v), -ENOENT);
}

Test(inspect, a_long_line_is_cut)
{
	char text[1024] = "Name:\t", v[INSPECT_VALUE_MAX];

	memset(text + 6, 'x', sizeof(text) - 7);
	cr_assert_eq(inspect_line(text, "Name", v), 0);
	cr_expect_eq(strlen(v), INSPECT_VALUE_MAX - 1);
}

Test(inspect, kinds)
{
	static const struct {
		const char *link, *kind;
	} cases[] = {
		{ "socket:[123]", "socket" },
		{ "pipe:[9]", "pipe" },
		{ "/memfd:\033[2Jevil (deleted)", "memfd" },
		{ "anon_inode:kvm-vm", "kvm-vm" },
		{ "anon_inode:[eventfd]", "[eventfd]" },
		{ "anon_inode:\033]0;x\007", "?]0?x?" },
		{ "/dev/kvm", "/dev/kvm" },
		{ "/srv/secret name (deleted)", "file" },
		{ "", "" },
	};
	char kind[INSPECT_NAME_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		inspect_kind(cases[i].link, kind);
		cr_expect_str_eq(kind, cases[i].kind);
	}
}

static void put(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_CREAT | O_WRONLY, 0600);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

Test(inspect, a_made_up_process)
{
	static struct inspection in;
	char dir[] = "/tmp/casemate-inspect.XXXXXX";
	struct err err;
	int proc, pid;

	cr_assert_not_null(mkdtemp(dir));
	proc = open(dir, O_RDONLY | O_DIRECTORY);
	cr_assert_eq(mkdirat(proc, "7", 0700), 0);
	pid = openat(proc, "7", O_RDONLY | O_DIRECTORY);
	cr_expect_eq(inspect_process(proc, 8, &in, &err), -ENOENT);
	cr_expect_eq(inspect_process(proc, 7, &in, &err), -ENOENT);
	put(pid, "status", "Name:\tx\nUid:\t5\t5\t5\t5\nNoNewPrivs:\t1\n");
	put(pid, "limits",
	    "Limit                     Soft Limit           Hard Limit           Units     \n"
	    "Max core file size        0                    0                    bytes     \n"
	    "Max x\n");
	cr_assert_eq(mkdirat(pid, "task", 0700), 0);
	cr_assert_eq(mkdirat(pid, "task/9", 0700), 0);
	cr_assert_eq(mkdirat(pid, "fd", 0700), 0);
	cr_assert_eq(mkdirat(pid, "fdinfo", 0700), 0);
	for (int i = 0; i < 4; i++) {
		static const char *const flags[] = { "02100000", "0100001", "02", "02x" };
		char name[16], line[40];
		(void)snprintf(name, sizeof(name), "fd/%d", i);
		cr_assert_eq(symlinkat("/dev/null", pid, name), 0);
		(void)snprintf(name, sizeof(name), "fdinfo/%d", i);
		(void)snprintf(line, sizeof(line), "pos:\t0\nflags:\t%s\n", flags[i]);
		put(pid, name, line);
	}
	put(pid, "task/9/status", "Name:\ta\033b\nSeccomp:\t2\nSeccomp_filters:\t3\n");
	cr_assert_eq(inspect_process(proc, 7, &in, &err), 0, "%s", err.msg);
	cr_assert_eq(in.status.count, 2);
	cr_expect_str_eq(in.status.list[0].value, "5 5 5 5");
	cr_assert_eq(in.rlimits.count, 1);
	cr_expect_str_eq(in.rlimits.list[0].name, "core file size");
	cr_expect_str_eq(in.rlimits.list[0].value, "0 0 bytes");
	cr_assert_eq(in.threads_count, 1);
	cr_expect_str_eq(in.threads[0].name, "a?b");
	cr_expect_eq(in.threads[0].seccomp_mode, 2);
	cr_expect_eq(in.threads[0].seccomp_filters, 3);
	cr_assert_eq(in.fds_count, 4);
	cr_expect_str_eq(in.fds[0].mode, "r");
	cr_expect_str_eq(in.fds[1].mode, "w");
	cr_expect_str_eq(in.fds[2].mode, "rw");
	cr_expect_str_eq(in.fds[3].mode, "?");
	/* What isn't a number doesn't pass for a filter. */
	cr_assert_eq(unlinkat(pid, "task/9/status", 0), 0);
	put(pid, "task/9/status", "Name:\ta\nSeccomp:\t2x\nSeccomp_filters:\t4294967298\n");
	cr_assert_eq(inspect_process(proc, 7, &in, &err), 0, "%s", err.msg);
	cr_expect_eq(in.threads[0].seccomp_mode, 0);
	cr_expect_eq(in.threads[0].seccomp_filters, 0);
	cr_expect_str_eq(in.label, "");
	for (int i = 0; i < 4; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "fd/%d", i);
		cr_assert_eq(unlinkat(pid, name, 0), 0);
		(void)snprintf(name, sizeof(name), "fdinfo/%d", i);
		cr_assert_eq(unlinkat(pid, name, 0), 0);
	}
	cr_assert_eq(unlinkat(pid, "fd", AT_REMOVEDIR), 0);
	cr_assert_eq(unlinkat(pid, "fdinfo", AT_REMOVEDIR), 0);
	for (const char *const *f =
		     (const char *const[]){ "7/task/9/status", "7/status", "7/limits", NULL };
	     *f != NULL; f++)
		cr_assert_eq(unlinkat(proc, *f, 0), 0);
	for (const char *const *d = (const char *const[]){ "7/task/9", "7/task", "7", NULL };
	     *d != NULL; d++)
		cr_assert_eq(unlinkat(proc, *d, AT_REMOVEDIR), 0);
	cr_assert_eq(rmdir(dir), 0);
	close(pid);
	close(proc);
}
