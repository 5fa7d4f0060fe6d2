/* SPDX-License-Identifier: Apache-2.0 */
/* rlimit.c - the second fence behind the cgroup, and some that only rlimits have. */
#include <errno.h>
#include <sys/resource.h>

#include "jailer/stage.h"

/*
 * Should: bind from the moment CAP_SYS_RESOURCE is gone, which is the next stage but one.
 * Core dumps would write guest memory to disk. The limit on files comes with the claim
 * (stage_table).
 */
int stage_rlimits(struct stage_env *env)
{
	const struct {
		__rlimit_resource_t what;
		rlim_t max;
	} limits[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NOFILE, VMM_FD_END },
		{ RLIMIT_NPROC, CGROUP_PIDS_MAX },
		{ RLIMIT_MEMLOCK, 0 },
		{ RLIMIT_MSGQUEUE, 0 },
		{ RLIMIT_SIGPENDING, 64 },
		{ RLIMIT_NICE, 0 },
		{ RLIMIT_RTPRIO, 0 },
		{ RLIMIT_LOCKS, 0 },
		{ RLIMIT_STACK, 8U << 20 },
	};

	(void)env;
	for (unsigned i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit r = { limits[i].max, limits[i].max };
		if (setrlimit(limits[i].what, &r) < 0)
			return -errno;
	}
	return 0;
}
