/* SPDX-License-Identifier: Apache-2.0 */
/* ns.c - what the new process still shares with the jailer, cut off. */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/stage.h"

#define OOM_SCORE "500" /* of 1000 */

/*
 * Should: give the VMM the signals of a fresh process; the jailer blocks those that it reads from
 * a signalfd and ignores SIGPIPE (and what it was started with), and all that would pass through
 * the exec. And to end with the jailer, whatever happens from here on.
 */
int stage_signals(struct stage_env *env)
{
	sigset_t none;

	(void)env;
	for (int s = 1; s < _NSIG; s++) {
		/* EINVAL: SIGKILL, SIGSTOP and the C library's own can't be changed. */
		if (signal(s, SIG_DFL) == SIG_ERR && errno != EINVAL)
			return -errno;
	}
	(void)sigemptyset(&none);
	/* Already here: stage_locks is the last to ask for it, but not the first that needs it. */
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ||
			       prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0
		       ? -errno
		       : 0;
}

/*
 * Should: be in the jail's cgroups before anything is allocated for the VMM, and see them as the
 * roots. CLONE_NEWCGROUP at clone time would make the jailer's own group the root, because the
 * namespace is copied before CLONE_INTO_CGROUP has moved us.
 * Mustn't: keep descriptors of the groups.
 */
int stage_cgroup(struct stage_env *env)
{
	int dir[CGROUP_TREE_COUNT];
	int r;

	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++)
		dir[t] = env->cgroup[t] < 0 ? -1 : STAGE_FD_CGROUP + (int)t;
	r = layer_is_off(env, LAYER_CGRP) ? 0 : cgroup_join_v1(dir);
	if (r < 0)
		return r;
	for (unsigned t = 0; t < CGROUP_TREE_COUNT; t++)
		fd_closep(&dir[t]);
	if (layer_is_off(env, LAYER_NS))
		return 0;
	return unshare(CLONE_NEWCGROUP) < 0 ? -errno : 0;
}

/*
 * Should: have no terminal, and a session and keyring of its own (SIGCONT reaches any uid in the
 * same session; keys of the jailer's session would be possessed by the VMM).
 * A kernel without keyrings has none to share.
 */
int stage_session(struct stage_env *env)
{
	(void)env;
	if (setsid() < 0)
		return -errno;
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		return -errno;
	(void)umask(077);
	return 0;
}

/*
 * Should: make the exec enter the VMM's SELinux domain with this jail's categories.
 * Mustn't: come after the root is gone: libselinux writes to /proc/thread-self/attr/exec.
 */
int stage_label(struct stage_env *env)
{
	return label_next_exec(env->label);
}

/*
 * Should: forbid executable memfds in this pid namespace (Linux 6.3): they are the one way to
 * run a file that needs no path.
 */
int stage_memfd(struct stage_env *env)
{
	CLEANUP(fd_closep) int fd = open("/proc/sys/vm/memfd_noexec", O_WRONLY | O_CLOEXEC);

	(void)env;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return fd_write_full(fd, "2", 1);
}

/*
 * Should: be what the host ends first when it runs out of memory itself; a service manager may
 * have protected the jailer, and the VMM would inherit that.
 * Mustn't: come after the root is gone, with it /proc.
 */
int stage_oom(struct stage_env *env)
{
	CLEANUP(fd_closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	(void)env;
	return fd < 0 ? -errno : fd_write_full(fd, OOM_SCORE, strlen(OOM_SCORE));
}

/* Should: tell nothing about the host by name. */
int stage_uts(struct stage_env *env)
{
	static const char name[] = "casemate", domain[] = "(none)";

	(void)env;
	if (sethostname(name, strlen(name)) < 0 || setdomainname(domain, strlen(domain)) < 0)
		return -errno;
	return 0;
}
