/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

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
static int replace_root(int *ret_ns)
{
	CLEANUP(fd_closep) int mnt = -1, ns = -1;
	int r;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	/* While there is a /proc; it is this namespace, whatever is mounted in it later. */
	ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return -errno;
	r = make_root(&mnt);
	if (r < 0)
		return r;
	/* Over the working directory, which unshare has translated into the new namespace. */
	if (move_mount(mnt, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(mnt) < 0)
		return -errno;
	/* New root and place for the old one are the same: the old root lies on top and goes. */
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		return -errno;
	*ret_ns = fd_steal(&ns);
	return 0;
}

/* A process of its own, so that the jailer itself stays where it is. */
static NORETURN void make_namespace(int sock)
{
	int ns = -1;
	int r = replace_root(&ns);

	_exit(fd_send(sock, &r, sizeof(r), &ns, r < 0 ? 0 : 1) < 0);
}

/* The jailer isn't dumpable, so it may not look into its child's /proc: it is sent the namespace.
 */
static int receive_namespace(int sock)
{
	CLEANUP(fd_closep) int ns = -1;
	size_t fds = 1;
	int r;

	if (fd_recv(sock, &r, sizeof(r), &ns, &fds) != (ssize_t)sizeof(r))
		return -EPIPE;
	if (r < 0)
		return r;
	return fds == 1 ? fd_steal(&ns) : -EPROTO;
}

int root_open(struct err *err)
{
	siginfo_t si = { 0 };
	int ends[2], fd;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(err, -errno, "empty root: socket");
	pid = fork();
	if (pid == 0)
		make_namespace(ends[1]);
	fd = pid < 0 ? -errno : 0;
	(void)close(ends[1]);
	if (fd == 0)
		fd = receive_namespace(ends[0]);
	(void)close(ends[0]);
	while (pid > 0 && waitid(P_PID, (id_t)pid, &si, WEXITED) < 0 && errno == EINTR)
		;
	return fd < 0 ? err_sys(err, fd, "empty root") : fd;
}
