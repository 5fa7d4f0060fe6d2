/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/*
 * Should: become casemate-vmm, with one argument and no environment.
 * Mustn't: look a path up; the root is empty, and the binary was opened and checked at the
 * jailer's start.
 */
static int stage_exec(const struct stage_env *env)
{
	static char name[] = "casemate-vmm";
	char *argv[] = { name, NULL };
	char *envp[] = { NULL };

	(void)env;
	(void)execveat(STAGE_FD_EXEC, "", argv, envp, AT_EMPTY_PATH);
	return -errno;
}

static const struct {
	const char *name;
	int (*run)(const struct stage_env *env);
} stages[] = {
	[STAGE_SIGNALS] = { "signals", stage_signals },
	[STAGE_FDS] = { "descriptors", stage_fds },
	[STAGE_CGROUP] = { "cgroup", stage_cgroup },
	[STAGE_SESSION] = { "session", stage_session },
	[STAGE_LABEL] = { "label", stage_label },
	[STAGE_MEMFD] = { "memfd", stage_memfd },
	[STAGE_OOM] = { "oom score", stage_oom },
	[STAGE_UTS] = { "host name", stage_uts },
	[STAGE_ROOT] = { "root", stage_root },
	[STAGE_BOUNDING] = { "bounding set", stage_bounding },
	[STAGE_RLIMITS] = { "rlimits", stage_rlimits },
	[STAGE_IDS] = { "ids", stage_ids },
	[STAGE_CAPS] = { "capabilities", stage_caps },
	[STAGE_LOCKS] = { "locks", stage_locks },
	[STAGE_EXEC] = { "exec", stage_exec },
};
_Static_assert(ARRAY_SIZE(stages) == STAGE_COUNT, "each stage has a name and a function");

const char *stage_name(uint32_t stage)
{
	return stage < STAGE_COUNT ? stages[stage].name : "unknown";
}

NORETURN void stage_run(const struct stage_env *env)
{
	struct stage_report rep = { .stage = STAGE_COUNT, .err = -EINVAL };
	int report = env->report;

	for (uint32_t i = 0; i < STAGE_COUNT; i++) {
		int r = stages[i].run(env);
		if (i == STAGE_FDS && r == 0)
			report = STAGE_FD_REPORT;
		if (r < 0) {
			rep = (struct stage_report){ .stage = i, .err = r };
			break;
		}
	}
	/* If even this fails, the parent sees the child end without an exec. */
	if (write(report, &rep, sizeof(rep)) < 0)
		_exit(125);
	_exit(126);
}
