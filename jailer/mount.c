/* SPDX-License-Identifier: Apache-2.0 */
/* mount.c - the empty root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/stage.h"

#define ROOT_DIR  "empty"
#define ROOT_ATTR (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* A tmpfs of one page and a few inodes, not attached anywhere yet: its mount, or -errno. */
static int make_tmpfs(void)
{
	static const char *const options[][2] = {
		{ "size", "4096" },
		{ "nr_inodes", "4" },
		{ "mode", "0555" },
	};
	CLEANUP(fd_closep) int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int mnt;

	if (fs < 0)
		return -errno;
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		if (fsconfig(fs, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0) < 0)
			return -errno;
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, ROOT_ATTR);
	return mnt < 0 ? -errno : mnt;
}

/* Read-only only now: the directory had to be made first. */
static int make_root(int *ret)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | ROOT_ATTR };
	CLEANUP(fd_closep) int mnt = make_tmpfs();

	if (mnt < 0)
		return mnt;
	/* Root's alone: the uid of the VMM can't even look into its own root. */
	if (mkdirat(mnt, ROOT_DIR, 0500) < 0)
		return -errno;
	if (mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	*ret = fd_steal(&mnt);
	return 0;
}

/*
 * Should: leave a root that is the empty one, in this process's own mount namespace, and unmount
 * the host's. Mustn't: propagate anything to the host.
 */
int stage_root(struct stage_env *env)
{
	CLEANUP(fd_closep) int mnt = -1;
	int r;

	(void)env;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	r = make_root(&mnt);
	if (r < 0)
		return r;
	/*
	 * Over the working directory: the jailer's is the store, and the clone has translated it
	 * into this namespace (a descriptor would still belong to the jailer's).
	 */
	if (move_mount(mnt, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(mnt) < 0)
		return -errno;
	/* New root and place for the old one are the same: the old root lies on top and goes. */
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		return -errno;
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
