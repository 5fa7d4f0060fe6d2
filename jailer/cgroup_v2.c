/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_v2.c - the controllers of the unified hierarchy. */
#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "jailer/cgroup_internal.h"

#define CPU_PERIOD_US 100000U

int cgroup_v2_enable(int dir, struct err *err)
{
	static const char *const controllers[] = { "+memory", "+pids", "+cpu" };

	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		int r = cgroup_write(dir, "cgroup.subtree_control", controllers[i]);
		if (r < 0)
			return err_sys(err, r, "cgroup controller %s can't be enabled",
				       controllers[i] + 1);
	}
	return 0;
}

static int limit(int dir, const char *file, uint64_t value, struct err *err)
{
	int r = cgroup_write_u64(dir, file, value);

	return r < 0 ? err_sys(err, r, "cgroup %s", file) : 0;
}

int cgroup_v2_limit(const struct cgroup *c, const struct cgroup_limits *l, struct err *err)
{
	int dir = c->dir[CGROUP_V2];
	char cpu[48];
	int r;

	r = limit(dir, "memory.max", l->memory_bytes + CGROUP_MEMORY_ALLOWANCE, err);
	/* The VMM dies as a whole: half a VMM is of no use to anybody. */
	if (r == 0)
		r = limit(dir, "memory.oom.group", 1, err);
	if (r == 0)
		r = limit(dir, "pids.max", CGROUP_PIDS_MAX, err);
	if (r < 0)
		return r;
	/* A kernel without swap has no such file, and nothing to forbid. */
	r = cgroup_write_u64(dir, "memory.swap.max", 0);
	if (r < 0 && r != -ENOENT)
		return err_sys(err, r, "cgroup memory.swap.max");
	/* The vCPUs whole, and half a CPU for the device threads. */
	(void)snprintf(cpu, sizeof(cpu), "%u %u", l->vcpus * CPU_PERIOD_US + CPU_PERIOD_US / 2,
		       CPU_PERIOD_US);
	r = cgroup_write(dir, "cpu.max", cpu);
	return r < 0 ? err_sys(err, r, "cgroup cpu.max") : 0;
}
