/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.h - how a freshly cloned process becomes a jail, one stage after the other.
 *
 * Theory of operation. jail_spawn clones a process into new namespaces (and its v2 cgroup). The
 * child runs the stages of the table in stage.c in order. A stage either did all that it is for
 * or returns a negative errno: then its name and the errno go to the parent through the report
 * pipe, the child ends, and the start has failed. There is no stage that may be skipped because
 * it failed. The last stage is the exec; the report pipe is close-on-exec, so that its end without
 * a word is the sign of success.
 *
 * The working directory is the store (host.c) until the root stage mounts over it.
 *
 * Each stage says what it should do and what it must not leave to the stages after it.
 */
#ifndef JAILER_STAGE_H
#define JAILER_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "jailer/cgroup.h"
#include "jailer/label.h"
#include "jailer/layer.h"
#include "vmm/vmm_fds.h"

/* Descriptors that the stages need: above the VMM's table, close-on-exec, gone after the exec. */
#define STAGE_FD_REPORT VMM_FD_DYNAMIC
#define STAGE_FD_EXEC	(VMM_FD_DYNAMIC + 1)
#define STAGE_FD_CGROUP (VMM_FD_DYNAMIC + 2) /* one for each tree */
#define STAGE_FD_END	(STAGE_FD_CGROUP + CGROUP_TREE_COUNT)

/* One descriptor of the new process: source in the jailer, number in the VMM. */
struct stage_fd {
	int from;
	int to;
};

#define STAGE_FDS_MAX (VMM_FD_DRIVE0 + VMM_DRIVES_MAX + 2)

/* All that the stages know. Filled by plan.c; read-only in the child. */
struct stage_env {
	struct stage_fd fds[STAGE_FDS_MAX]; /* the VMM's table */
	unsigned fds_count;
	int report; /* write end */
	int exec;   /* the VMM's binary */
	int cgroup[CGROUP_TREE_COUNT];
	char label[LABEL_MAX];
	uint32_t uid; /* and gid */
	uint64_t file_bytes_max;
#ifdef CASEMATE_TEST
	unsigned off; /* mask of enum layer: left out */
#endif
};

enum stage {
	STAGE_SIGNALS,
	STAGE_FDS,
	STAGE_CGROUP,
	STAGE_SESSION,
	STAGE_LABEL,
	STAGE_MEMFD,
	STAGE_OOM,
	STAGE_UTS,
	STAGE_ROOT,
	STAGE_BOUNDING,
	STAGE_RLIMITS,
	STAGE_IDS,
	STAGE_CAPS,
	STAGE_LOCKS,
	STAGE_EXEC,
	STAGE_COUNT
};

/* What the child writes when a stage fails. */
struct stage_report {
	uint32_t stage;
	int32_t err; /* negative errno */
};

const char *stage_name(uint32_t stage);

/* Runs all stages; comes back only by not coming back. */
NORETURN void stage_run(const struct stage_env *env);

/* The stages, by file: fds.c */
MUST_USE int stage_fds(const struct stage_env *env);
/* ns.c */
MUST_USE int stage_signals(const struct stage_env *env);
MUST_USE int stage_cgroup(const struct stage_env *env);
MUST_USE int stage_session(const struct stage_env *env);
MUST_USE int stage_label(const struct stage_env *env);
MUST_USE int stage_memfd(const struct stage_env *env);
MUST_USE int stage_oom(const struct stage_env *env);
MUST_USE int stage_uts(const struct stage_env *env);
/* mount.c */
MUST_USE int stage_root(const struct stage_env *env);
/* cred.c */
MUST_USE int stage_bounding(const struct stage_env *env);
MUST_USE int stage_ids(const struct stage_env *env);
MUST_USE int stage_caps(const struct stage_env *env);
MUST_USE int stage_locks(const struct stage_env *env);
/* rlimit.c */
MUST_USE int stage_rlimits(const struct stage_env *env);

#endif
