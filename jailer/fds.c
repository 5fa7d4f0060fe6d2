/* SPDX-License-Identifier: Apache-2.0 */
/* fds.c - the descriptor table of the new process. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "jailer/stage.h"

#define FDS_LEAK_END 1024 /* test build */
#define ENTRIES_MAX  (STAGE_FDS_MAX + 2 + CGROUP_TREE_COUNT)

struct entry {
	int from;
	int to;
	bool keep; /* over the exec */
};

static unsigned list_entries(const struct stage_env *env, struct entry list[ENTRIES_MAX])
{
	unsigned n = 0;

	BUG_ON(env->fds_count > STAGE_FDS_MAX);
	for (unsigned i = 0; i < env->fds_count; i++)
		list[n++] = (struct entry){ env->fds[i].from, env->fds[i].to, true };
	list[n++] = (struct entry){ env->report, STAGE_FD_REPORT, false };
	list[n++] = (struct entry){ env->exec, STAGE_FD_EXEC, false };
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++) {
		if (env->cgroup[t] >= 0)
			list[n++] =
				(struct entry){ env->cgroup[t], STAGE_FD_CGROUP + (int)t, false };
	}
	return n;
}

#ifdef CASEMATE_TEST
/* The layer left out: what a jailer without this stage and without O_CLOEXEC would leave open. */
static int fds_leak(void)
{
	for (int fd = 0; fd < FDS_LEAK_END; fd++) {
		bool stays = fd < STAGE_FD_REPORT || fd >= STAGE_FD_END;
		if (stays && fcntl(fd, F_GETFD) >= 0 && fcntl(fd, F_SETFD, 0) < 0)
			return -errno;
	}
	return 0;
}
#else
#define fds_leak() 0
#endif

/*
 * Should: leave exactly the table of vmm/vmm_fds.h, and the stages' own descriptors above it,
 * which the exec closes.
 * Mustn't: let anything else of the jailer survive: another jail's control socket or cgroup, the
 * listening socket, the store. First everything is moved out of the way, then put in place, then
 * the gaps are closed: no order of numbers can make two of them overwrite each other.
 */
int stage_fds(const struct stage_env *env)
{
	struct entry list[ENTRIES_MAX];
	unsigned n = list_entries(env, list);
	bool used[STAGE_FD_END] = { false };

	for (unsigned i = 0; i < n; i++) {
		BUG_ON(list[i].to < 0 || list[i].to >= STAGE_FD_END || used[list[i].to]);
		used[list[i].to] = true;
		list[i].from = fd_dup(list[i].from, STAGE_FD_END);
		if (list[i].from < 0)
			return list[i].from;
	}
	for (unsigned i = 0; i < n; i++) {
		if (dup3(list[i].from, list[i].to, list[i].keep ? 0 : O_CLOEXEC) < 0)
			return -errno;
	}
	if (layer_is_off(env, LAYER_FDS))
		return fds_leak();
	for (int fd = 0; fd < STAGE_FD_END; fd++) {
		if (!used[fd])
			(void)close(fd);
	}
	return close_range(STAGE_FD_END, ~0U, 0) < 0 ? -errno : 0;
}
