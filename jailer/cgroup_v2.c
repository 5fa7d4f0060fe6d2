/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_v2.c - the controllers of the unified hierarchy, and its device program. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/cgroup_internal.h"
#include "jailer/cpuset.h"

#define CPU_WEIGHT_PER_VCPU 100U /* the kernel's default, for each vCPU */

#define TUN_MAJOR 10U
#define TUN_MINOR 200U

int cgroup_v2_enable(int dir, struct cgroup_host *h, struct err *err)
{
	static const char *const controllers[] = { "+memory", "+pids", "+cpu" };

	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		int r = cgroup_write(dir, "cgroup.subtree_control", controllers[i]);
		if (r < 0)
			return err_sys(err, r, "cgroup controller %s can't be enabled",
				       controllers[i] + 1);
	}
	/* Not every kernel has it, and without it there is only no limit on disk bandwidth. */
	h->io = cgroup_write(dir, "cgroup.subtree_control", "+io") == 0;
	/* Nor this one; a request for it is refused then. */
	h->cpuset = cgroup_write(dir, "cgroup.subtree_control", "+cpuset") == 0;
	return 0;
}

/*
 * The program's answer to any open or mknod of a device: 1 for /dev/net/tun (a character device,
 * not to be made), else 0. Fields of struct bpf_cgroup_dev_ctx: access_type (type in the lower
 * half, access in the upper), major, minor, at 0, 4 and 8.
 */
static int load_device_program(void)
{
	const struct bpf_insn deny_all_but_tun[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = 0 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 3, .src_reg = 1, .off = 4 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 4, .src_reg = 1, .off = 8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		/* access_type = BPF_DEVCG_DEV_CHAR, READ and WRITE at most */
		{ .code = BPF_ALU | BPF_AND | BPF_K,
		  .dst_reg = 2,
		  .imm = ~((BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE) << 16) },
		{ .code = BPF_JMP | BPF_JNE | BPF_K,
		  .dst_reg = 2,
		  .off = 3,
		  .imm = BPF_DEVCG_DEV_CHAR },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 3, .off = 2, .imm = TUN_MAJOR },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 4, .off = 1, .imm = TUN_MINOR },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	static const char license[] = "Apache-2.0";
	union bpf_attr attr;
	long fd;

	memset(&attr, 0, sizeof(attr)); /* the kernel refuses non-zero padding */
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uint64_t)(uintptr_t)deny_all_but_tun;
	attr.insn_cnt = ARRAY_SIZE(deny_all_but_tun);
	attr.license = (uint64_t)(uintptr_t)license;
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	return fd < 0 ? -errno : (int)fd;
}

int cgroup_v2_close_devices(int dir, struct err *err)
{
	CLEANUP(fd_closep) int prog = load_device_program();
	union bpf_attr attr;

	if (prog < 0)
		return err_sys(err, prog, "cgroup device program");
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)dir;
	attr.attach_bpf_fd = (uint32_t)prog;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = 0; /* exclusive; it replaces that of an earlier jailer */
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0)
		return err_sys(err, -errno, "cgroup device program");
	return 0;
}

static int set_io(const struct cgroup_host *h, int dir, struct err *err)
{
	char text[160];
	int n = snprintf(text, sizeof(text), "%u:%u", h->disk_major, h->disk_minor);

	if (h->limit.bytes_per_s != 0)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " rbps=%llu wbps=%llu",
			      (unsigned long long)h->limit.bytes_per_s,
			      (unsigned long long)h->limit.bytes_per_s);
	if (h->limit.ops_per_s != 0)
		(void)snprintf(text + n, sizeof(text) - (size_t)n, " riops=%llu wiops=%llu",
			       (unsigned long long)h->limit.ops_per_s,
			       (unsigned long long)h->limit.ops_per_s);
	return cgroup_set(dir, "io.max", text, err);
}

int cgroup_v2_base(const struct cgroup_host *h, const struct cgroup *c, struct err *err)
{
	int dir = c->dir[CGROUP_V2];
	int r;

	r = cgroup_set_u64(dir, "memory.max", CGROUP_MEMORY_ALLOWANCE, err);
	/* The VMM dies as a whole: half a VMM is of no use to anybody. */
	if (r == 0)
		r = cgroup_set_u64(dir, "memory.oom.group", 1, err);
	if (r == 0)
		r = cgroup_set_u64(dir, "pids.max", CGROUP_PIDS_MAX, err);
	if (r == 0 && h->io && h->disk_major != 0 &&
	    (h->limit.bytes_per_s != 0 || h->limit.ops_per_s != 0))
		r = set_io(h, dir, err);
	if (r < 0)
		return r;
	/* A kernel without swap has no such file, and nothing to forbid. */
	r = cgroup_write(dir, "memory.swap.max", "0");
	return r < 0 && r != -ENOENT ? err_sys(err, r, "cgroup memory.swap.max") : 0;
}

/*
 * The kernel takes a list of what isn't there, and then lets the group have what its parent has: so
 * what came of it is looked at.
 */
static int set_place(int dir, const char *file, const char *list, struct err *err)
{
	struct cpuset want, have;
	char effective[64], text[4096];
	int r;

	if (list[0] == '\0')
		return 0;
	r = cgroup_set(dir, file, list, err);
	if (r < 0)
		return r;
	(void)snprintf(effective, sizeof(effective), "%s.effective", file);
	r = (int)fd_read_file(dir, effective, text, sizeof(text));
	if (r < 0)
		return err_sys(err, r, "cgroup %s", effective);
	text[strcspn(text, "\n")] = '\0';
	if (cpuset_parse(list, &want) < 0 || cpuset_parse(text, &have) < 0 ||
	    !cpuset_within(&have, &want))
		return err_set(err, -EINVAL, "%s: nothing of %s is there for us", file, list);
	return 0;
}

int cgroup_v2_limit_memory(const struct cgroup *c, uint64_t memory_bytes, struct err *err)
{
	return cgroup_set_u64(c->dir[CGROUP_V2], "memory.max",
			      memory_bytes + CGROUP_MEMORY_ALLOWANCE, err);
}

int cgroup_v2_limit(const struct cgroup *c, const struct cgroup_limits *l, struct err *err)
{
	int dir = c->dir[CGROUP_V2];
	char cpu[48];
	int r = cgroup_v2_limit_memory(c, l->memory_bytes, err);

	if (r == 0)
		r = cgroup_set_u64(dir, "cpu.weight", l->vcpus * CPU_WEIGHT_PER_VCPU, err);
	if (r < 0)
		return r;
	(void)snprintf(cpu, sizeof(cpu), "%llu %u",
		       (unsigned long long)CGROUP_CPU_QUOTA_US(l->vcpus), CGROUP_CPU_PERIOD_US);
	r = cgroup_set(dir, "cpu.max", cpu, err);
	if (r == 0)
		r = set_place(dir, "cpuset.mems", l->mems, err);
	if (r == 0)
		r = set_place(dir, "cpuset.cpus", l->cpus, err);
	return r;
}
