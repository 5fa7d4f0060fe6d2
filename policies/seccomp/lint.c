/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lint.c - what no policy of this project may say, whatever its author thinks: calls that have no
 * place in any of our processes, calls whose danger lies in an argument that the rule leaves
 * open, writable or plain executable memory, and descriptors that are compared by order.
 */
#include <linux/sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>

#include "policies/seccomp/policy.h"

/* Never, with any argument. */
static const char *const never[] = {
	"ptrace",
	"perf_event_open",
	"process_vm_readv",
	"process_vm_writev",
	"io_uring_setup", /* its operations are invisible to seccomp */
	"io_uring_enter",
	"io_uring_register",
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"open_by_handle_at",
	"modify_ldt",
	"iopl",
	"ioperm",
	"swapon",
	"swapoff",
	"reboot",
	"settimeofday",
	"clock_settime",
	"personality",
	"pidfd_getfd",
	"move_pages",
	"migrate_pages",
	"kcmp",
	"lookup_dcookie",
	"acct",
	"quotactl",
	"add_key",
	"request_key",
	"vfork",
	"fork",
};

/* Nor, with any argument, for the VMM once it has begun to listen. */
static const char *const never_in_vmm[] = {
	"open",	    "openat",  "openat2",   "creat",	  "socket",    "socketpair",   "connect",
	"bind",	    "listen",  "accept",    "accept4",	  "execve",    "execveat",     "mount",
	"umount2",  "unshare", "setns",	    "chroot",	  "kill",      "memfd_create", "unlink",
	"unlinkat", "rename",  "renameat2", "pivot_root", "setresuid", "capset",
};

/* Nor for anybody but this one. */
static const struct {
	const char *name;
	const char *policy;
} only_in[] = {
	{ "bpf", "jailer.policy" }, /* a gateway's program, of constant text */
	{ "setns", "jailer.policy" },
};

/* How many calls a policy may allow; what is answered with an errno isn't allowed. */
static const struct {
	const char *policy;
	size_t calls;
} ceilings[] = {
	{ "vmm-vcpu.policy", 10 }, { "vmm-blk.policy", 20 },	 { "vmm-net.policy", 20 },
	{ "vmm-copy.policy", 5 },  { "vmm-control.policy", 20 },
};

/* The argument that decides what the call does must be named by each rule that allows it. */
static const struct {
	const char *name;
	unsigned arg;
	bool exact; /* by == without a mask: a range of commands is not a choice */
} needed[] = {
	{ "ioctl", 1, true },	       { "fcntl", 1, true },	  { "prctl", 0, true },
	{ "arch_prctl", 0, true },     { "socket", 0, true },	  { "socketpair", 0, true },
	{ "setsockopt", 2, true },     { "getsockopt", 2, true }, { "madvise", 2, true },
	{ "futex", 1, false },	       { "mmap", 2, false },	  { "mprotect", 2, false },
	{ "pkey_mprotect", 2, false }, { "mremap", 3, true },	  { "clone", 0, false },
	{ "clone3", 1, true }, /* flags lie in memory; at least the size is known */
	{ "unshare", 0, true },	       { "seccomp", 0, true },	  { "keyctl", 0, true },
	{ "kill", 1, true },	       { "tgkill", 2, true },	  { "tkill", 1, true },
	{ "execveat", 4, true },       { "prlimit64", 0, true }, /* 0: only the caller itself */
	{ "openat", 2, false },	       { "open", 1, false },	  { "memfd_create", 1, false },
	{ "fallocate", 1, true },      { "bpf", 0, true },	  { "setns", 1, true },
};

/* Their first argument is a descriptor: the kernel uses its lower 32 bits and ignores the rest. */
static const char *const take_fd[] = {
	"read",	       "write",	    "readv",	"writev",  "preadv",  "pwritev",    "preadv2",
	"pwritev2",    "pread64",   "pwrite64", "recvmsg", "sendmsg", "recvfrom",   "sendto",
	"shutdown",    "close",	    "ioctl",	"fcntl",   "lseek",   "fsync",	    "fdatasync",
	"fallocate",   "ftruncate", "dup",	"dup2",	   "dup3",    "epoll_ctl",  "epoll_wait",
	"epoll_pwait", "accept4",   "connect",	"bind",	   "listen",  "setsockopt", "getsockopt",
};

static int resolve(const char *name)
{
	return seccomp_syscall_resolve_name_arch(SCMP_ARCH_NATIVE, name);
}

static const struct cond *cond_on(const struct rule *r, unsigned arg)
{
	for (size_t i = 0; i < r->conds_count; i++) {
		if (r->conds[i].arg == arg)
			return &r->conds[i];
	}
	return NULL;
}

static bool is_exact(const struct cond *c)
{
	return c->cmp == CMP_EQ && (c->mask & UINT32_MAX) == UINT32_MAX;
}

/* Does the rule make sure that this bit of the argument is clear? */
static bool bit_is_clear(const struct rule *r, unsigned arg, uint64_t bit)
{
	const struct cond *c = cond_on(r, arg);

	return c != NULL && c->cmp == CMP_EQ && (c->mask & bit) == bit && (c->value & bit) == 0;
}

static bool lint_needed(const struct policy *p, const struct rule *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		const struct cond *c;
		if (resolve(needed[i].name) != r->nr)
			continue;
		c = cond_on(r, needed[i].arg);
		if (c == NULL || (needed[i].exact && !is_exact(c)))
			return policy_complain(
				p, r->line, "too broad: %s needs a condition on arg%u%s",
				needed[i].name, needed[i].arg, needed[i].exact ? " by ==" : "");
	}
	return true;
}

/* By order, 2^32 + 3 would be above every limit, and the kernel would take it for 3. */
static bool lint_fd(const struct policy *p, const struct rule *r)
{
	const struct cond *c = cond_on(r, 0);

	for (size_t i = 0; c != NULL && c->cmp != CMP_EQ && i < ARRAY_SIZE(take_fd); i++) {
		if (resolve(take_fd[i]) == r->nr)
			return policy_complain(
				p, r->line, "too broad: compare a descriptor by == (with a mask)");
	}
	return true;
}

static const char *base_name(const struct policy *p)
{
	const char *slash = strrchr(p->file, '/');

	return slash == NULL ? p->file : slash + 1;
}

static bool lint_never(const struct policy *p, const struct rule *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		if (resolve(never[i]) == r->nr)
			return policy_complain(p, r->line, "%s is never allowed", never[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(only_in); i++) {
		if (resolve(only_in[i].name) == r->nr &&
		    strcmp(base_name(p), only_in[i].policy) != 0)
			return policy_complain(p, r->line, "%s is for %s alone", only_in[i].name,
					       only_in[i].policy);
	}
	if (strncmp(base_name(p), "vmm-", 4) != 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(never_in_vmm); i++) {
		if (resolve(never_in_vmm[i]) == r->nr)
			return policy_complain(p, r->line, "%s is never allowed in the VMM",
					       never_in_vmm[i]);
	}
	return true;
}

static bool lint_rule(const struct policy *p, const struct rule *r)
{
	/* PROT_EXEC is the same bit in mmap, mprotect and pkey_mprotect, and the same argument. */
	static const char *const protects[] = { "mmap", "mprotect", "pkey_mprotect" };

	if (r->err != 0)
		return true;
	if (!lint_never(p, r) || !lint_needed(p, r) || !lint_fd(p, r))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(protects); i++) {
		if (resolve(protects[i]) == r->nr && !bit_is_clear(r, 2, PROT_EXEC))
			return policy_complain(p, r->line, "too broad: lets %s make code",
					       protects[i]);
	}
	if (resolve("clone") == r->nr && !bit_is_clear(r, 0, CLONE_NEWUSER))
		return policy_complain(p, r->line, "too broad: lets clone make a user namespace");
	return true;
}

/* A rule that another one makes pointless hides what the policy says. */
static bool lint_pair(const struct policy *p, const struct rule *old, const struct rule *r)
{
	if (old->nr != r->nr)
		return true;
	if (old->err != r->err)
		return policy_complain(p, r->line, "the call has another answer in line %u",
				       old->line);
	if (old->conds_count == 0 || r->conds_count == 0 || rule_same_conds(old, r))
		return policy_complain(p, r->line, "one of this and line %u is redundant",
				       old->line);
	return true;
}

static bool lint_ceiling(const struct policy *p)
{
	size_t calls = policy_calls(p);

	for (size_t i = 0; i < ARRAY_SIZE(ceilings); i++) {
		if (strcmp(base_name(p), ceilings[i].policy) == 0 && calls > ceilings[i].calls)
			return policy_complain(p, 1, "allows %zu calls; %zu are enough", calls,
					       ceilings[i].calls);
	}
	return true;
}

bool policy_lint(const struct policy *p)
{
	bool ok = lint_ceiling(p);

	for (size_t i = 0; i < p->count; i++) {
		const struct rule *r = &p->rules[i];
		if (!lint_rule(p, r))
			ok = false;
		for (size_t k = 0; k < i; k++) {
			if (!lint_pair(p, &p->rules[k], r))
				ok = false;
		}
	}
	return ok;
}
