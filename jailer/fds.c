/* SPDX-License-Identifier: Apache-2.0 */
/* fds.c - the descriptor table of the new process, twice: the jail's and the VMM's. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "egress/egress_fds.h"
#include "jailer/stage.h"

#define FDS_LEAK_END 1024 /* test build */
#define ENTRIES_MAX  (STAGE_FDS_MAX + 3 + 3 + CGROUP_TREE_COUNT + VMM_TAPS_MAX + 4)

_Static_assert(EGRESS_FD_DNS_UDP == EGRESS_FD_TCP + 1 && EGRESS_FD_DNS_TCP == EGRESS_FD_TCP + 2 &&
		       EGRESS_FD_STEER == EGRESS_FD_TCP + 3,
	       "in the order of struct gateway");

struct entry {
	int from;
	int to;
	bool keep; /* over the exec */
};

struct table {
	struct entry list[ENTRIES_MAX];
	unsigned count;
};

static void add(struct table *t, int from, int to, bool keep)
{
	BUG_ON(t->count == ENTRIES_MAX || from < 0);
	t->list[t->count++] = (struct entry){ from, to, keep };
}

#ifdef CASEMATE_TEST
/* The layer left out: what a jailer without this stage and without O_CLOEXEC would leave open. But
 * no pipe or socket: some other process waits for the end of each, the jailer for that of the
 * report. */
static int fds_leak(void)
{
	for (int fd = 0; fd < FDS_LEAK_END; fd++) {
		bool stays = fd < STAGE_FD_REPORT || fd >= STAGE_FD_END;
		struct stat st;
		stays = stays && fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode) &&
			!S_ISSOCK(st.st_mode);
		if (stays && fcntl(fd, F_GETFD) >= 0 && fcntl(fd, F_SETFD, 0) < 0)
			return -errno;
	}
	return 0;
}
#else
#define fds_leak() 0
#endif

/* Closes what is open and not used, a gap at a time. */
static int close_gaps(const bool used[STAGE_FD_END])
{
	unsigned from = 0;

	for (unsigned fd = 0; fd < STAGE_FD_END; fd++) {
		if (!used[fd])
			continue;
		if (fd > from && close_range(from, fd - 1, 0) < 0)
			return -errno;
		from = fd + 1;
	}
	return close_range(from, ~0U, 0) < 0 ? -errno : 0;
}

/*
 * First everything is moved out of the way, then put in place, then the gaps are closed: no order
 * of numbers can make two of them overwrite each other.
 */
static int apply(const struct stage_env *env, struct table *t)
{
	bool used[STAGE_FD_END] = { false };

	(void)env;
	for (unsigned i = 0; i < t->count; i++) {
		struct entry *e = &t->list[i];
		BUG_ON(e->to < 0 || e->to >= STAGE_FD_END);
		if (used[e->to])
			return -EPROTO;
		used[e->to] = true;
		e->from = fd_dup(e->from, STAGE_FD_END);
		if (e->from < 0)
			return e->from;
	}
	for (unsigned i = 0; i < t->count; i++) {
		const struct entry *e = &t->list[i];
		if (dup3(e->from, e->to, e->keep ? 0 : O_CLOEXEC) < 0)
			return -errno;
	}
	for (unsigned i = 0; i < t->count; i++)
		fd_closep(&t->list[i].from);
	if (layer_is_off(env, LAYER_FDS))
		return fds_leak();
	return close_gaps(used);
}

/*
 * Should: leave /dev/null as 0 to 2 and the stages' own descriptors, which the exec closes.
 * Mustn't: let anything else of the jailer survive: another jail's control socket or cgroup, the
 * listening socket, the store.
 */
int stage_fds(struct stage_env *env)
{
	struct table t = { .count = 0 };

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		add(&t, env->null, fd, true);
	add(&t, env->report, STAGE_FD_REPORT, false);
	add(&t, env->exec, STAGE_FD_EXEC, false);
	add(&t, env->root, STAGE_FD_ROOT, false);
	for (int tree = 0; tree < CGROUP_TREE_COUNT; tree++) {
		if (env->cgroup[tree] >= 0)
			add(&t, env->cgroup[tree], STAGE_FD_CGROUP + tree, false);
	}
	if (env->nic && env->egress >= 0) {
		add(&t, env->hostnet, STAGE_FD_HOSTNET, false);
		add(&t, env->egress, STAGE_FD_EGRESS, false);
		add(&t, env->egress_control, STAGE_FD_EGRESS_CONTROL, false);
		add(&t, env->egress_log, STAGE_FD_EGRESS_LOG, false);
	}
	return apply(env, &t);
}

/*
 * Should: leave exactly the table of egress/egress_fds.h, and what the steps to the exec need.
 * Mustn't: keep anything of the VMM's: its report socket, its tap.
 */
int stage_egress_fds(struct stage_env *env)
{
	struct table t = { .count = 0 };

	add(&t, STDIN_FILENO, STDIN_FILENO, true);
	add(&t, STDOUT_FILENO, STDOUT_FILENO, true);
	add(&t, STAGE_FD_EGRESS_LOG, STDERR_FILENO, true);
	add(&t, STAGE_FD_EGRESS_CONTROL, EGRESS_FD_CONTROL, true);
	for (int i = 0; i < 4; i++)
		add(&t, STAGE_FD_GATEWAY + i, EGRESS_FD_TCP + i, true);
	add(&t, STAGE_FD_HOSTNET, STAGE_FD_HOSTNET, false);
	add(&t, STAGE_FD_EGRESS, STAGE_FD_EGRESS, false);
	add(&t, STAGE_FD_ROOT, STAGE_FD_ROOT, false);
	add(&t, STAGE_FD_FAILURE, STAGE_FD_FAILURE, false);
	return apply(env, &t);
}

/*
 * Should: leave exactly the table of vmm/vmm_fds.h, and limit what a file may grow to, and memory
 * a second time, for the day on which the cgroup does not.
 * Mustn't: put a descriptor where another is: the numbers came with the order.
 */
int stage_table(struct stage_env *env)
{
	const struct rlimit size = { env->file_bytes_max, env->file_bytes_max };
	const struct rlimit space = { env->address_bytes_max, env->address_bytes_max };
	struct table t = { .count = 0 };

	if (!layer_is_off(env, LAYER_RLIM) &&
	    (setrlimit(RLIMIT_FSIZE, &size) < 0 || setrlimit(RLIMIT_AS, &space) < 0))
		return -errno;
	add(&t, STDIN_FILENO, STDIN_FILENO, true);
	add(&t, STDOUT_FILENO, STDOUT_FILENO, true);
	for (unsigned i = 0; i < env->fds_count; i++)
		add(&t, env->fds[i].from, env->fds[i].to, true);
	for (unsigned q = 0; q < env->nic_queues; q++)
		add(&t, STAGE_FD_TUN + (int)q, VMM_FD_TAP0 + (int)q, true);
	add(&t, STAGE_FD_REPORT, STAGE_FD_REPORT, false);
	add(&t, STAGE_FD_EXEC, STAGE_FD_EXEC, false);
	return apply(env, &t);
}
