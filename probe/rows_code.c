/* SPDX-License-Identifier: Apache-2.0 */
/* rows_code.c - attacks that run other code, or become somebody else. */
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe/attack.h"
#include "probe/tiny.h"

#ifndef MFD_EXEC /* Linux 6.3; Debian 12's headers are older */
#define MFD_EXEC 0x0010U
#endif

static int exec_shell(const struct scene *s)
{
	static char sh[] = "sh", c[] = "-c", text[] = "exit 42";
	char *argv[] = { sh, c, text, NULL }, *envp[] = { NULL };

	(void)s;
	return attack_result(execve("/bin/sh", argv, envp));
}

/* A program that exists in memory only. */
static int exec_memfd(const struct scene *s)
{
	static char name[] = "x";
	char *argv[] = { name, NULL }, *envp[] = { NULL };
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_EXEC);

	(void)s;
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("x", MFD_CLOEXEC);
	if (fd < 0 || write(fd, tiny_exit, sizeof(tiny_exit)) != (ssize_t)sizeof(tiny_exit))
		return -errno;
	return attack_result(syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH));
}

static int exec_suid(const struct scene *s)
{
	static char name[] = "x";
	char *argv[] = { name, NULL }, *envp[] = { NULL };

	/* Without a jail we are root, and then it would prove nothing. */
	if (s->outside && (setgid(65534) < 0 || setuid(65534) < 0))
		return -errno;
	return attack_result(execve(s->suid_helper, argv, envp));
}

static int map_code(const struct scene *s)
{
	static const unsigned char code[] = { 0xb8, ATTACK_EXEC_OK, 0, 0, 0, 0xc3 };
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	int (*fn)(void);

	(void)s;
	if (p == MAP_FAILED)
		return -errno;
	memcpy(p, code, sizeof(code));
	memcpy(&fn, &p, sizeof(fn));
	return fn() == ATTACK_EXEC_OK ? 0 : -EIO;
}

/* The same in two steps, which is what a filter on mmap alone would miss. */
static int protect_code(const struct scene *s)
{
	static const unsigned char code[] = { 0xb8, ATTACK_EXEC_OK, 0, 0, 0, 0xc3 };
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int (*fn)(void);

	(void)s;
	if (p == MAP_FAILED)
		return -errno;
	memcpy(p, code, sizeof(code));
	if (mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0)
		return -errno;
	memcpy(&fn, &p, sizeof(fn));
	return fn() == ATTACK_EXEC_OK ? 0 : -EIO;
}

static int become_root(const struct scene *s)
{
	(void)s;
	return attack_result(setuid(0));
}

static int raise_capabilities(const struct scene *s)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct want[2] = { { .effective = 1U << CAP_SYS_ADMIN,
						    .permitted = 1U << CAP_SYS_ADMIN } };
	struct __user_cap_data_struct have[2] = { 0 };

	(void)s;
	if (syscall(SYS_capset, &head, want) < 0 || syscall(SYS_capget, &head, have) < 0)
		return -errno;
	return (have[0].effective & 1U << CAP_SYS_ADMIN) != 0 ? 0 : -EPERM;
}

static int user_namespace(const struct scene *s)
{
	(void)s;
	return attack_result(unshare(CLONE_NEWUSER));
}

/* No ASLR any more, for a program that this process becomes. */
static int fixed_addresses(const struct scene *s)
{
	if (personality(ADDR_NO_RANDOMIZE) < 0)
		return -errno;
	return exec_memfd(s);
}

/* The other ways into the kernel: a filter that looks at x86_64 numbers only would miss them. */
#define X32_BIT 0x40000000L

static int x32_open(const struct scene *s)
{
	long fd = syscall(X32_BIT | SYS_open, s->secret, O_RDONLY, 0);

	return fd < 0 ? -errno : attack_reads_canary((int)fd);
}

static int i386_open(const struct scene *s)
{
	const long nr_open = 5;
	long fd;

	__asm__ volatile("int $0x80"
			 : "=a"(fd)
			 : "a"(nr_open), "b"((long)s->low_page), "c"((long)O_RDONLY), "d"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	return fd < 0 ? (int)fd : attack_reads_canary((int)fd);
}

const struct attack attacks_code[] = {
	{ "V12", "execve /bin/sh", exec_shell, ATTACK_ANYWHERE },
	{ "V13", "execute a memfd", exec_memfd, ATTACK_ANYWHERE },
	{ "V14", "execute a set-uid helper", exec_suid, 0 },
	{ "V15", "map memory writable and executable", map_code, ATTACK_ANYWHERE },
	{ "V16", "make written memory executable", protect_code, ATTACK_ANYWHERE },
	{ "V17", "setuid(0)", become_root, ATTACK_ANYWHERE },
	{ "V18", "raise capabilities", raise_capabilities, ATTACK_ANYWHERE },
	{ "V19", "make a user namespace", user_namespace, ATTACK_ANYWHERE },
	{ "V53", "run a program without ASLR", fixed_addresses, ATTACK_ANYWHERE },
	{ "V55", "open a file by the x32 ABI", x32_open, ATTACK_ANYWHERE },
	{ "V56", "open a file by the i386 ABI", i386_open, ATTACK_ANYWHERE },
	{ NULL, NULL, NULL, 0 },
};
