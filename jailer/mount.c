/* SPDX-License-Identifier: Apache-2.0 */
/* mount.c - the empty root. */
#include <errno.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/root.h"
#include "jailer/stage.h"

/*
 * Should: leave a root that is the empty one, in a mount namespace of this process's own, a copy
 * of the one that has nothing of the host's (root.h). Both calls move root and working directory.
 * Mustn't: come before what still needs the host's files; keep the descriptor.
 */
int stage_root(struct stage_env *env)
{
	int template = STAGE_FD_ROOT;

	(void)env;
	if (setns(template, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0)
		return -errno;
	fd_closep(&template);
	return chdir("/") < 0 ? -errno : 0;
}

/*
 * Should: make a directory below the root the root. A process whose root is not the root of its
 * mount namespace is refused user namespaces by the kernel, and with them the way to capabilities:
 * pivot_root alone doesn't have this effect. The one namespace of stage_user exists already.
 * Mustn't: leave a directory that the VMM's uid could even look into.
 */
int stage_chroot(struct stage_env *env)
{
	struct stat above, below;

	(void)env;
	if (stat("/", &above) < 0 || chdir("/" ROOT_DIR) < 0 || chroot(".") < 0 || chdir("/") < 0 ||
	    stat("/", &below) < 0)
		return -errno;
	/* It must be another directory, or there is no effect. */
	return above.st_ino == below.st_ino && above.st_dev == below.st_dev ? -EPERM : 0;
}
