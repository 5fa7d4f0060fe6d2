/* SPDX-License-Identifier: Apache-2.0 */
/* rlimit.c - the second fence behind the cgroup, and some that only rlimits have. */
#include <errno.h>
#include <sys/resource.h>

#include "egress/egress_fds.h"
#include "jailer/stage.h"

struct limit {
	__rlimit_resource_t what;
	rlim_t max;
};

static int apply(const struct limit *limits, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct rlimit r = { limits[i].max, limits[i].max };
		if (setrlimit(limits[i].what, &r) < 0)
			return -errno;
	}
	return 0;
}

/*
 * Should: bind from the moment CAP_SYS_RESOURCE is gone, which is the next stage but one.
 * Core dumps would write guest memory to disk. The limit on files comes with the claim
 * (stage_table).
 */
int stage_rlimits(struct stage_env *env)
{
	static const struct limit limits[] = {
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
	return apply(limits, ARRAY_SIZE(limits));
}

/* The same for casemate-egress, which writes no file and starts no thread. */
int stage_egress_rlimits(struct stage_env *env)
{
	static const struct limit limits[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NOFILE, EGRESS_FD_END },
		{ RLIMIT_NPROC, 1 },
		{ RLIMIT_FSIZE, 0 },
		{ RLIMIT_AS, EGRESS_ADDRESS_MAX },
		{ RLIMIT_MEMLOCK, 0 },
		{ RLIMIT_MSGQUEUE, 0 },
		{ RLIMIT_SIGPENDING, 64 },
		{ RLIMIT_NICE, 0 },
		{ RLIMIT_RTPRIO, 0 },
		{ RLIMIT_LOCKS, 0 },
		{ RLIMIT_STACK, 8U << 20 },
	};

	(void)env;
	return apply(limits, ARRAY_SIZE(limits));
}
