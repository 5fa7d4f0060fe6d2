/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every seccomp policy of the project, tried in the running kernel. No call is carried out: the
 * numbers without a rule must kill a child, and for the rules the filter's ALLOW is replaced
 * by an errno that no call returns.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"

#define NUMBERS	    512
#define FILTER_MAX  4096
#define ERR_ALLOWED 4000

struct seccomp_case {
	unsigned line;
	int nr;
	int err;
	uint64_t args[6];
};

struct subject {
	const char *name;
	const struct sock_filter *filter;
	size_t len;
	const struct seccomp_case *cases;
	size_t cases_count;
};

#define SUBJECT(n)                                                             \
	{                                                                      \
#n, seccomp_##n, ARRAY_SIZE(seccomp_##n), seccomp_##n##_cases, \
			ARRAY_SIZE(seccomp_##n##_cases)                        \
	}

#include "all_policies.h"

static void install_or_die(const struct sock_filter *f, size_t len)
{
	static struct sock_filter copy[FILTER_MAX];
	static const struct rlimit no_core;
	struct sock_fprog prog = { .len = (unsigned short)len, .filter = copy };

	memcpy(copy, f, len * sizeof(*f));
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		_exit(99);
}

/* What becomes of a child that makes this call under the filter: the wait status. */
static int fate(const struct sock_filter *f, size_t len, const struct seccomp_case *c, int *answer)
{
	pid_t pid = fork();
	int status = 0;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		long r;
		install_or_die(f, len);
		r = syscall(c->nr, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4],
			    c->args[5]);
		*answer = r < 0 ? errno : 0;
		/* No exit call is certain to be allowed. */
		__builtin_trap();
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static bool has_rule(const struct subject *s, int nr)
{
	for (size_t i = 0; i < s->cases_count; i++) {
		if (s->cases[i].nr == nr)
			return true;
	}
	return false;
}

/*
 * uretprobe and uprobe (Linux 6.11, 6.18) pass every filter: the kernel itself puts them into
 * probed code. Called by anything else they do nothing or end in SIGILL.
 */
static bool passes_every_filter(int nr)
{
	return nr == 335 || nr == 336;
}

Test(seccomp_policy, other_calls_kill, .timeout = 120)
{
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		const struct subject *s = &subjects[i];
		unsigned tried = 0;
		for (int nr = 0; nr < NUMBERS; nr++) {
			struct seccomp_case c = { .nr = nr };
			int answer, status;
			if (has_rule(s, nr) || passes_every_filter(nr))
				continue;
			status = fate(s->filter, s->len, &c, &answer);
			cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
				  "%s: call %d is not in the policy but ended with status %#x",
				  s->name, nr, status);
			tried++;
		}
		cr_assert_gt(tried, NUMBERS / 2);
	}
}

/* The filter with an errno that no call returns in the place of ALLOW. */
static void make_harmless(const struct subject *s, struct sock_filter *f)
{
	for (size_t k = 0; k < s->len; k++) {
		f[k] = s->filter[k];
		if (f[k].code == (BPF_RET | BPF_K) && f[k].k == SECCOMP_RET_ALLOW)
			f[k].k = SECCOMP_RET_ERRNO | ERR_ALLOWED;
	}
}

Test(seccomp_policy, each_rule_gets_its_answer, .timeout = 120)
{
	static struct sock_filter f[FILTER_MAX];
	int *answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(answer, MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		const struct subject *s = &subjects[i];
		make_harmless(s, f);
		for (size_t k = 0; k < s->cases_count; k++) {
			const struct seccomp_case *c = &s->cases[k];
			int status, want = c->err == 0 ? ERR_ALLOWED : c->err;
			*answer = -1;
			status = fate(f, s->len, c, answer);
			cr_assert_eq(*answer, want, "%s, line %u: answer %d, status %#x", s->name,
				     c->line, *answer, status);
		}
	}
	(void)munmap(answer, sizeof(*answer));
}

static bool takes_fd(int nr)
{
	static const int calls[] = { SYS_read,	   SYS_write,	SYS_readv,
				     SYS_writev,   SYS_preadv2, SYS_pwritev2,
				     SYS_shutdown, SYS_ioctl,	SYS_fdatasync };

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		if (calls[i] == nr)
			return true;
	}
	return false;
}

/* The kernel looks at 32 bits of a descriptor: what it would reach by 3 it reaches by 2^32 + 3. */
Test(seccomp_policy, no_descriptor_hides_behind_its_upper_half, .timeout = 120)
{
	static const uint64_t fds[] = { 0, 2, 3, 4, 8, 9, 15, 16, 32, 63 };
	static struct sock_filter f[FILTER_MAX];
	int *answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(answer, MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		const struct subject *s = &subjects[i];
		make_harmless(s, f);
		for (size_t k = 0; k < s->cases_count * ARRAY_SIZE(fds); k++) {
			struct seccomp_case c = s->cases[k / ARRAY_SIZE(fds)];
			if (!takes_fd(c.nr))
				continue;
			c.args[0] = fds[k % ARRAY_SIZE(fds)];
			*answer = -1;
			(void)fate(f, s->len, &c, answer);
			if (*answer == ERR_ALLOWED)
				continue;
			c.args[0] |= UINT64_C(1) << 32;
			(void)fate(f, s->len, &c, answer);
			cr_expect_neq(*answer, ERR_ALLOWED, "%s, line %u: descriptor %#llx",
				      s->name, c.line, (unsigned long long)c.args[0]);
		}
	}
	(void)munmap(answer, sizeof(*answer));
}

/* int 0x80 reaches the i386 table: a number that is harmless there must kill all the same. */
#ifdef __x86_64__
Test(seccomp_policy, i386_entry_kills)
{
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		pid_t pid = fork();
		int status = 0;
		cr_assert_geq(pid, 0);
		if (pid == 0) {
			long nr = 20; /* getpid */
			install_or_die(subjects[i].filter, subjects[i].len);
			__asm__ volatile("int $0x80"
					 : "+a"(nr)
					 :
					 : "memory", "r8", "r9", "r10", "r11");
			__builtin_trap();
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		/* A kernel without 32-bit emulation answers with SIGSEGV. */
		cr_assert(WIFSIGNALED(status) &&
				  (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV),
			  "%s: status %#x", subjects[i].name, status);
	}
}
#endif
