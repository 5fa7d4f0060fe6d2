/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_v1.c - the same limits on the memory, pids and cpu hierarchies of version 1. */
#include <errno.h>

#include "jailer/cgroup_internal.h"

#define CPU_PERIOD_US 100000U

static int limit(int dir, const char *file, uint64_t value, struct err *err)
{
	int r = cgroup_write_u64(dir, file, value);

	return r < 0 ? err_sys(err, r, "cgroup %s", file) : 0;
}

int cgroup_v1_limit(const struct cgroup *c, const struct cgroup_limits *l, struct err *err)
{
	uint64_t memory = l->memory_bytes + CGROUP_MEMORY_ALLOWANCE;
	int mem = c->dir[CGROUP_V1_MEMORY], cpu = c->dir[CGROUP_V1_CPU];
	int r;

	r = limit(mem, "memory.limit_in_bytes", memory, err);
	if (r < 0)
		return r;
	/* Memory and swap together: without swap accounting the file is missing, and then the
	 * group's pages are simply kept from being swapped. */
	r = cgroup_write_u64(mem, "memory.memsw.limit_in_bytes", memory);
	if (r == -ENOENT)
		r = cgroup_write_u64(mem, "memory.swappiness", 0);
	if (r < 0)
		return err_sys(err, r, "cgroup memory.memsw.limit_in_bytes");
	r = limit(c->dir[CGROUP_V1_PIDS], "pids.max", CGROUP_PIDS_MAX, err);
	if (r == 0)
		r = limit(cpu, "cpu.cfs_period_us", CPU_PERIOD_US, err);
	if (r == 0)
		r = limit(cpu, "cpu.cfs_quota_us",
			  (uint64_t)l->vcpus * CPU_PERIOD_US + CPU_PERIOD_US / 2, err);
	return r;
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
