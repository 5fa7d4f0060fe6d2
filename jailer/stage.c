/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * Should: become casemate-vmm, with one argument and no environment.
 * Mustn't: look a path up; the root is empty, and the binary was copied and sealed at the
 * jailer's start.
 */
static int stage_exec(struct stage_env *env)
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
	int (*run)(struct stage_env *env);
	unsigned layer; /* what the test build may leave out */
} stages[] = {
	[STAGE_SIGNALS] = { "signals", stage_signals, LAYER_NONE },
	[STAGE_FDS] = { "descriptors", stage_fds, LAYER_NONE },
	[STAGE_CGROUP] = { "cgroup", stage_cgroup, LAYER_NONE },
	[STAGE_SESSION] = { "session", stage_session, LAYER_SYSC },
	[STAGE_LABEL] = { "label", stage_label, LAYER_X },
	[STAGE_MEMFD] = { "memfd", stage_memfd, LAYER_SYSC | LAYER_NS },
	[STAGE_OOM] = { "oom score", stage_oom, LAYER_CGRP },
	[STAGE_UTS] = { "host name", stage_uts, LAYER_NS },
	[STAGE_NIC] = { "network interface", stage_nic, LAYER_NONE },
	[STAGE_EGRESS] = { "egress", stage_egress, LAYER_NONE },
	[STAGE_ROOT] = { "root", stage_root, LAYER_FS },
	[STAGE_USER] = { "user namespace", stage_user, LAYER_NS },
	[STAGE_CHROOT] = { "change of root", stage_chroot, LAYER_FS },
	[STAGE_BOUNDING] = { "bounding set", stage_bounding, LAYER_CAP },
	[STAGE_RLIMITS] = { "rlimits", stage_rlimits, LAYER_RLIM },
	[STAGE_IDS] = { "ids", stage_ids, LAYER_UID },
	[STAGE_CAPS] = { "capabilities", stage_caps, LAYER_NONE },
	[STAGE_LOCKS] = { "locks", stage_locks, LAYER_NONE },
	[STAGE_CLAIM] = { "claim", stage_claim, LAYER_NONE },
	[STAGE_TAP] = { "tap", stage_tap, LAYER_NONE },
	[STAGE_TABLE] = { "descriptor table", stage_table, LAYER_NONE },
	[STAGE_EXEC] = { "exec", stage_exec, LAYER_NONE },
};
_Static_assert(ARRAY_SIZE(stages) == STAGE_COUNT, "each stage has a name and a function");

const char *stage_name(uint32_t stage)
{
	return stage < STAGE_COUNT ? stages[stage].name : "unknown";
}

#ifdef CASEMATE_TEST
/* Waits to be killed, by whoever sees the name: as pid 1 of its namespace it can't stop itself. */
static void stop_here(const struct stage_env *env, uint32_t stage)
{
	if (env->stop != stage || stage == 0)
		return;
	if (prctl(PR_SET_NAME, "casemate-stop", 0, 0, 0) < 0)
		_exit(124);
	for (;;)
		(void)pause();
}
#else
#define stop_here(env, stage) ((void)0)
#endif

NORETURN void stage_run(struct stage_env *env)
{
	struct stage_report rep = { .kind = REPORT_FAILED, .stage = STAGE_COUNT, .err = -EINVAL };
	int report = env->report;

	for (uint32_t i = 0; i < STAGE_COUNT; i++) {
		int r;
		stop_here(env, i);
		r = layer_is_off(env, stages[i].layer) ? 0 : stages[i].run(env);
		if (i == STAGE_FDS && r == 0)
			report = STAGE_FD_REPORT;
		if (r < 0) {
			rep.stage = i;
			rep.err = r;
			break;
		}
	}
	/* If even this fails, the jailer sees the child end without an exec. */
	if (fd_send(report, &rep, sizeof(rep), NULL, 0) < 0)
		_exit(125);
	_exit(126);
}
