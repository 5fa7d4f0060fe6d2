/* SPDX-License-Identifier: Apache-2.0 */
/* The policy language: what is read, how it is meant, what is refused. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <linux/kvm.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policies/seccomp/check.h"
#include "policies/seccomp/policy.h"

static struct policy p;

static bool parse(const char *text)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	bool ok;

	cr_assert_not_null(in);
	p = (struct policy){ .file = "test.policy" };
	ok = policy_parse(&p, in);
	(void)fclose(in);
	return ok && policy_lint(&p);
}

static int eval(const char *name, uint64_t a0, uint64_t a1, uint64_t a2)
{
	const uint64_t args[POLICY_ARGS] = { a0, a1, a2 };

	return policy_eval(&p, seccomp_syscall_resolve_name(name), args);
}

Test(seccomp_compile, conditions_mean_what_they_say)
{
	cr_assert(parse("# a comment\n\n"
			"ioctl arg0 & ~31 == 32 && arg1 == KVM_RUN && arg2 == 0  # runs the guest\n"
			"getrandom arg1 >= 64  # enough\n"
			"write arg0:32 == 2  # the log\n"
			"mprotect arg2 & ~(PROT_READ|PROT_WRITE) == 0  # the heap\n"
			"clone3 -> ENOSYS  # falls back to clone\n"));
	cr_expect_eq(eval("ioctl", 32, KVM_RUN, 0), 0);
	cr_expect_eq(eval("ioctl", 63, KVM_RUN, 0), 0);
	cr_expect_eq(eval("ioctl", 64, KVM_RUN, 0), -1);
	cr_expect_eq(eval("ioctl", 31, KVM_RUN, 0), -1);
	cr_expect_eq(eval("ioctl", 32, KVM_GET_REGS, 0), -1);
	cr_expect_eq(eval("ioctl", 32, KVM_RUN, 1), -1);
	cr_expect_eq(eval("ioctl", (UINT64_C(1) << 32) | 32, KVM_RUN, 0), -1);
	cr_expect_eq(eval("getrandom", 0, 63, 0), -1);
	cr_expect_eq(eval("getrandom", 0, 64, 0), 0);
	cr_expect_eq(eval("write", (UINT64_C(1) << 32) | 2, 0, 0), 0);
	cr_expect_eq(eval("write", 3, 0, 0), -1);
	cr_expect_eq(eval("mprotect", 0, 0, PROT_READ | PROT_WRITE), 0);
	cr_expect_eq(eval("mprotect", 0, 0, PROT_EXEC), -1);
	cr_expect_gt(eval("clone3", 0, 0, 0), 0);
	cr_expect_eq(eval("getpid", 0, 0, 0), -1);
}

Test(seccomp_compile, wrong_text_is_refused, .init = cr_redirect_stderr)
{
	static const char *const wrong[] = {
		"read arg0 == 3\n",
		"read arg0 == 3 #\n",
		"read arg0 == 3 # 1 2 3\n",
		"",
		"reads arg0 == 3 # no such call\n",
		"read arg6 == 3 # no such argument\n",
		"read arg0 = 3 # no such comparison\n",
		"read arg0 == KVM_WALK # no such constant\n",
		"read arg0 == 3x # bad number\n",
		"read arg0 == 0x # bad number\n",
		"read arg0 == 0xfg # bad number\n",
		"read arg0 == 08 # bad number\n",
		"read arg0 == 99999999999999999999 # bad number\n",
		"read arg0 == (3 # missing bracket\n",
		"read arg0 & 3 > 2 # mask with order\n",
		"read arg0 & 3 == 4 # value outside mask\n",
		"getrandom arg1 > 3 && arg1 < 9 # twice the same argument\n",
		"read arg0 == 3 or arg0 == 4 # no such word\n",
		"read -> 5000 # no such errno\n",
		"read -> ENOSYS # one answer\nread arg0 == 1 # another answer\n",
		"read # all of it\nread arg0 == 1 # redundant\n",
		"read arg0 == 1 # once\nread arg0 == 1 # redundant\n",
		"read arg0 == ((((((((((((1)))))))))))) # too deep\n",
		"include none.policy # no such file\n",
		"include none.policy\n",
		"include ../none.policy # of another folder\n",
		"include # no name\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_expect_not(parse(wrong[i]), "accepted: %s", wrong[i]);
}

Test(seccomp_compile, broad_rules_are_refused, .init = cr_redirect_stderr)
{
	static const char *const broad[] = {
		"ioctl # any command\n",
		"ioctl arg0 == 3 # any command\n",
		"ioctl arg1 & 255 == 1 # a range of commands\n",
		"ioctl arg1 >= 0 # any command\n",
		"fcntl # any command\n",
		"prctl # any option\n",
		"socket # any family\n",
		"mmap arg3 == MAP_PRIVATE # any protection\n",
		"mmap arg2 == PROT_READ|PROT_EXEC # code\n",
		"mprotect arg2 <= 7 # code\n",
		"mprotect arg2 & PROT_WRITE == 0 # code\n",
		"clone # any flags\n",
		"clone arg0 & CLONE_VM == CLONE_VM # may be a user namespace\n",
		"clone3 # any flags\n",
		"tgkill # any signal\n",
		"read arg0 >= 64 # 2^32 + 3 is descriptor 3\n",
		"shutdown arg0 != 3 # 2^32 + 3 is descriptor 3\n",
		"openat # any flags\n",
		"memfd_create # any flags\n",
		"fallocate arg0 == 8 # any mode\n",
		"ptrace # never allowed\n",
		"io_uring_enter # never allowed\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(broad); i++)
		cr_expect_not(parse(broad[i]), "accepted: %s", broad[i]);
}

/* By the name of the policy: what holds for the VMM's threads. */
static bool parse_as(const char *name, const char *text)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	bool ok;

	cr_assert_not_null(in);
	p = (struct policy){ .file = name };
	ok = policy_parse(&p, in);
	(void)fclose(in);
	return ok && policy_lint(&p);
}

Test(seccomp_compile, a_thread_has_its_ceiling, .init = cr_redirect_stderr)
{
	static const char ten[] = "getpid # 1 call\ngettid # 2 calls\ngetuid # 3 calls\n"
				  "geteuid # 4 calls\ngetgid # 5 calls\ngetegid # 6 calls\n"
				  "getppid # 7 calls\nuname # 8 calls\numask # 9 calls\n"
				  "read arg0 == 1 # 10 calls\nread arg0 == 2 # the same call\n"
				  "mremap -> ENOMEM # an answer, no call\n";
	char more[sizeof(ten) + 32];

	(void)snprintf(more, sizeof(more), "%sfsync # one too many\n", ten);
	cr_expect(parse_as("policies/vmm-vcpu.policy", ten));
	cr_expect_not(parse_as("policies/vmm-vcpu.policy", more));
	cr_expect(parse_as("policies/vmm-blk.policy", more));
}

Test(seccomp_compile, the_vmm_opens_nothing, .init = cr_redirect_stderr)
{
	static const char text[] = "openat arg2 & O_CREAT == 0 # reads files\n";

	cr_expect(parse_as("daemon.policy", text));
	cr_expect_not(parse_as("vmm-control.policy", text));
	cr_expect_not(parse_as("policies/seccomp/vmm-new.policy", text));
}

static void put(const char *dir, const char *name, const char *text)
{
	char path[96];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	out = fopen(path, "we");
	cr_assert_not_null(out);
	cr_assert_geq(fputs(text, out), 0);
	cr_assert_eq(fclose(out), 0);
}

static bool parse_file(const char *dir, const char *name)
{
	static char path[96];
	FILE *in;
	bool ok;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	in = fopen(path, "re");
	cr_assert_not_null(in);
	p = (struct policy){ .file = path };
	ok = policy_parse(&p, in);
	(void)fclose(in);
	return ok && policy_lint(&p);
}

/* Own rules first, wherever they stand; what they don't replace is added. */
Test(seccomp_compile, another_policy_is_included, .init = cr_redirect_stderr)
{
	static const char *const files[] = { "base", "other", "top", "chain", "both", "three" };
	char dir[] = "/tmp/seccomp-compile.XXXXXX";

	cr_assert_not_null(mkdtemp(dir));
	put(dir, "base",
	    "getpid # harmless\n"
	    "write arg0 == 2 # the log\n"
	    "fsync -> ENOSYS # not here\n");
	put(dir, "top",
	    "include base # what it needs as well\n"
	    "write arg0 == 1 # more of it\n"
	    "fsync arg0 == 9 # here it is\n");
	put(dir, "chain", "include top # includes another\n");
	put(dir, "other", "getpid # harmless\nwrite # anything\nread arg0 == 3 # input\n");
	put(dir, "both", "include base # once\ninclude other # and more\n");
	put(dir, "three", "include base # one\ninclude other # two\ninclude base # three\n");
	cr_assert(parse_file(dir, "top"));
	cr_expect_eq(eval("getpid", 0, 0, 0), 0);
	cr_expect_eq(eval("write", 1, 0, 0), 0);
	cr_expect_eq(eval("write", 2, 0, 0), 0);
	cr_expect_eq(eval("write", 3, 0, 0), -1);
	cr_expect_eq(eval("fsync", 9, 0, 0), 0);
	cr_expect_eq(eval("fsync", 8, 0, 0), -1);
	cr_expect_not(parse_file(dir, "chain"));
	/* Of two included ones the wider rule holds. */
	cr_assert(parse_file(dir, "both"));
	cr_expect_eq(eval("getpid", 0, 0, 0), 0);
	cr_expect_eq(eval("write", 3, 0, 0), 0);
	cr_expect_eq(eval("read", 3, 0, 0), 0);
	cr_expect_eq(eval("read", 4, 0, 0), -1);
	cr_expect_eq(eval("fsync", 0, 0, 0), ENOSYS);
	cr_expect_not(parse_file(dir, "three"));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[96];
		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		cr_expect_eq(unlink(path), 0);
	}
	cr_expect_eq(rmdir(dir), 0);
}

/* The interpreter must notice a filter that is wider or narrower than the text. */
Test(seccomp_compile, a_wrong_filter_is_noticed, .init = cr_redirect_stderr)
{
	static const uint32_t actions[] = { 0x7fff0000 /* ALLOW */, 0x80000000 /* KILL_PROCESS */ };
	size_t cases;

	cr_assert(parse("getpid # harmless\nread arg0 == 3 # harmless\n"));
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		struct sock_filter f[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4),
					   BPF_STMT(BPF_RET | BPF_K, 0) };
		f[1].k = actions[i];
		cr_expect_not(check_filter(&p, f, ARRAY_SIZE(f), &cases));
	}
}
