/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows_kernel.c - attacks on the kernel itself: big interfaces, and calls that change the whole
 * machine. The latter get arguments with which they can do nothing: what counts is that the call
 * fails for the arguments and not for the lack of a right ("reachable").
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <unistd.h>

#include "probe/attack.h"
#include "vmm/vmm_fds.h"

/* A call that nobody may make said why: for the arguments, so it may be made. */
static int reachable(long r, int for_arguments)
{
	if (r >= 0)
		return 0;
	return errno == for_arguments ? 0 : -errno;
}

static int another_vm(const struct scene *s)
{
	char path[SCENE_TEXT + 8];
	int fd;

	if (ioctl(VMM_FD_KVM, KVM_CREATE_VM, 0) >= 0)
		return 0;
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		(void)snprintf(path, sizeof(path), "%s/kvm", s->dir);
		(void)unlink(path);
		if (mknod(path, S_IFCHR | 0600, makedev(10, 232)) < 0)
			return -errno;
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	return fd < 0 ? -errno : attack_result(ioctl(fd, KVM_CREATE_VM, 0));
}

static int load_module(const struct scene *s)
{
	(void)s;
	return reachable(syscall(SYS_finit_module, -1, "", 0), EBADF);
}

static int load_bpf(const struct scene *s)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = { 0 };

	(void)s;
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insns = (uint64_t)(uintptr_t)code;
	attr.insn_cnt = ARRAY_SIZE(code);
	attr.license = (uint64_t)(uintptr_t) "GPL";
	return attack_result(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)));
}

static int perf_event(const struct scene *s)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.size = sizeof(attr),
					.config = PERF_COUNT_SW_CPU_CLOCK };

	(void)s;
	return attack_result(syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0));
}

static int io_uring(const struct scene *s)
{
	struct io_uring_params p = { 0 };

	(void)s;
	return attack_result(syscall(SYS_io_uring_setup, 4, &p));
}

/* Not one of the magic numbers: EINVAL comes after the check of the right. */
static int reboot_host(const struct scene *s)
{
	(void)s;
	return reachable(syscall(SYS_reboot, 0, 0, 0, NULL), EINVAL);
}

/* Neither a time nor a zone: nothing is set, but only who may set it gets 0. */
static int set_time(const struct scene *s)
{
	(void)s;
	return attack_result(syscall(SYS_settimeofday, NULL, NULL));
}

static int swap_on(const struct scene *s)
{
	(void)s;
	return reachable(swapon("/nowhere", 0), ENOENT);
}

/* The keyboard of the terminal that started us, if it did. */
static int fake_input(const struct scene *s)
{
	(void)s;
	return attack_result(ioctl(STDIN_FILENO, TIOCSTI, "\n"));
}

/* More segments than there may be. */
static int load_kernel(const struct scene *s)
{
	(void)s;
	return reachable(syscall(SYS_kexec_load, 0, 1UL << 20, NULL, 0), EINVAL);
}

static int watch_files(const struct scene *s)
{
	(void)s;
	return attack_result(fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY));
}

/* Accounting to a file that doesn't exist. */
static int account(const struct scene *s)
{
	(void)s;
	return reachable(acct("/nowhere"), ENOENT);
}

static int adjust_clock(const struct scene *s)
{
	struct timex t = { .modes = ADJ_SETOFFSET }; /* by nothing */

	(void)s;
	return attack_result(adjtimex(&t));
}

/* A level that there isn't. */
static int console_level(const struct scene *s)
{
	(void)s;
	return reachable(klogctl(8, NULL, 99), EINVAL);
}

const struct attack attacks_kernel[] = {
	{ "V41", "create another VM", another_vm, ATTACK_RUNNING_ONLY | ATTACK_ANYWHERE },
	{ "V43", "load a module", load_module, ATTACK_ANYWHERE },
	{ "V44", "load a BPF program", load_bpf, ATTACK_ANYWHERE },
	{ "V45", "perf_event_open of a CPU", perf_event, ATTACK_ANYWHERE },
	{ "V47", "io_uring_setup", io_uring, ATTACK_ANYWHERE },
	{ "V49", "reboot", reboot_host, ATTACK_ANYWHERE },
	{ "V50", "settimeofday", set_time, ATTACK_ANYWHERE },
	{ "V51", "swapon", swap_on, ATTACK_ANYWHERE },
	{ "V54", "TIOCSTI on descriptor 0", fake_input, ATTACK_ANYWHERE },
	{ "V81", "kexec_load", load_kernel, ATTACK_ANYWHERE },
	{ "V83", "fanotify_init", watch_files, ATTACK_ANYWHERE },
	{ "V84", "acct", account, ATTACK_ANYWHERE },
	{ "V85", "adjtimex", adjust_clock, ATTACK_ANYWHERE },
	{ "V86", "set the console's log level", console_level, ATTACK_ANYWHERE },
	{ NULL, NULL, NULL, 0 },
};
