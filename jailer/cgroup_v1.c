/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_v1.c - the same limits on the hierarchies of version 1. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "jailer/cgroup_internal.h"

#define DEVICES_ALLOWED	    "c 10:200 rw" /* /dev/net/tun */
#define CPU_SHARES_PER_VCPU 1024U

int cgroup_v1_close_devices(int dir, struct err *err)
{
	char list[64];
	int r;

	if (dir < 0)
		return 0;
	/* By an earlier jailer. To deny all again is refused while the kernel remembers groups
	 * below, and it does so for a while after they were removed. */
	if (fd_read_file(dir, "devices.list", list, sizeof(list)) >= 0 &&
	    strcmp(list, DEVICES_ALLOWED "\n") == 0)
		return 0;
	r = cgroup_set(dir, "devices.deny", "a", err);
	/* Groups below can't have more than their parent. */
	return r < 0 ? r : cgroup_set(dir, "devices.allow", DEVICES_ALLOWED, err);
}

static int set_throttle(int dir, const struct cgroup_host *h, const char *file, uint64_t value,
			struct err *err)
{
	char text[64];

	if (value == 0)
		return 0;
	(void)snprintf(text, sizeof(text), "%u:%u %llu", h->disk_major, h->disk_minor,
		       (unsigned long long)value);
	return cgroup_set(dir, file, text, err);
}

static int set_io(const struct cgroup_host *h, int dir, struct err *err)
{
	const struct {
		const char *file;
		uint64_t value;
	} files[] = {
		{ "blkio.throttle.read_bps_device", h->limit.bytes_per_s },
		{ "blkio.throttle.write_bps_device", h->limit.bytes_per_s },
		{ "blkio.throttle.read_iops_device", h->limit.ops_per_s },
		{ "blkio.throttle.write_iops_device", h->limit.ops_per_s },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++)
		r = set_throttle(dir, h, files[i].file, files[i].value, err);
	return r;
}

int cgroup_v1_base(const struct cgroup_host *h, const struct cgroup *c, struct err *err)
{
	int r = cgroup_set_u64(c->dir[CGROUP_V1_PIDS], "pids.max", CGROUP_PIDS_MAX, err);

	if (r == 0)
		r = cgroup_set_u64(c->dir[CGROUP_V1_MEMORY], "memory.limit_in_bytes",
				   CGROUP_MEMORY_ALLOWANCE, err);
	if (r == 0)
		r = cgroup_set_u64(c->dir[CGROUP_V1_CPU], "cpu.cfs_period_us", CGROUP_CPU_PERIOD_US,
				   err);
	if (r == 0 && h->disk_major != 0 && c->dir[CGROUP_V1_BLKIO] >= 0)
		r = set_io(h, c->dir[CGROUP_V1_BLKIO], err);
	return r;
}

int cgroup_v1_limit_memory(const struct cgroup *c, uint64_t memory_bytes, struct err *err)
{
	uint64_t memory = memory_bytes + CGROUP_MEMORY_ALLOWANCE;
	int mem = c->dir[CGROUP_V1_MEMORY];
	char text[24];
	int both, r;

	/* Memory and swap together; it can't be less than memory alone, so what grows begins here.
	 * Without swap accounting the file is missing, and then the group's pages are simply kept
	 * from being swapped. */
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)memory);
	both = cgroup_write(mem, "memory.memsw.limit_in_bytes", text);
	r = cgroup_set_u64(mem, "memory.limit_in_bytes", memory, err);
	if (r < 0)
		return r;
	if (both == -EINVAL) /* it shrinks: memory alone had to be first */
		both = cgroup_write(mem, "memory.memsw.limit_in_bytes", text);
	if (both == -ENOENT)
		both = cgroup_write(mem, "memory.swappiness", "0");
	return both < 0 ? err_sys(err, both, "cgroup memory.memsw.limit_in_bytes") : 0;
}

int cgroup_v1_limit(const struct cgroup *c, const struct cgroup_limits *l, struct err *err)
{
	int r = cgroup_v1_limit_memory(c, l->memory_bytes, err), cpu = c->dir[CGROUP_V1_CPU];

	if (r < 0)
		return r;
	r = cgroup_set_u64(cpu, "cpu.shares", (uint64_t)l->vcpus * CPU_SHARES_PER_VCPU, err);
	return r < 0 ? r
		     : cgroup_set_u64(cpu, "cpu.cfs_quota_us", CGROUP_CPU_QUOTA_US(l->vcpus), err);
}

int cgroup_join_v1(const int dir[CGROUP_TREE_COUNT])
{
	for (unsigned t = CGROUP_V1_MEMORY; t < CGROUP_TREE_COUNT; t++) {
		/* "0" is the writer itself. */
		int r = dir[t] < 0 ? 0 : cgroup_write(dir[t], "cgroup.procs", "0");
		if (r < 0)
			return r;
	}
	return 0;
}
