/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/rooted.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define DIR_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

bool rooted_may(const struct place *p, int error)
{
	return geteuid() == 0 && p->user.pw.uid != 0 && (error == -EACCES || error == -EPERM);
}

/* One component down, made if it is missing. */
static int step(int dir, const char *name, const struct passwd_entry *owner)
{
	int fd = openat(dir, name, DIR_FLAGS);

	if (fd >= 0 || errno != ENOENT)
		return fd >= 0 ? fd : -errno;
	if (mkdirat(dir, name, 0755) < 0)
		return -errno;
	if (fchownat(dir, name, owner->uid, owner->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	fd = openat(dir, name, DIR_FLAGS);
	return fd >= 0 ? fd : -errno;
}

int rooted_parent(const struct place *p, char *path, const char **ret_name)
{
	CLEANUP(fd_closep) int dir = open("/", DIR_FLAGS);
	char *name = path + 1, *slash;

	if (dir < 0)
		return -errno;
	while ((slash = strchr(name, '/')) != NULL) {
		*slash = '\0';
		int next = step(dir, name, &p->user.pw);
		if (next < 0)
			return next;
		fd_closep(&dir);
		dir = next;
		name = slash + 1;
	}
	if (name[0] == '\0')
		return -EBUSY; /* the root itself */
	*ret_name = name;
	return fd_steal(&dir);
}

int rooted_open(const struct place *p, int flags)
{
	char path[PATH_MAX];
	const char *name = "";
	struct stat st;

	memcpy(path, p->path, sizeof(path));
	CLEANUP(fd_closep) int dir = rooted_parent(p, path, &name);
	if (dir < 0)
		return dir;
	CLEANUP(fd_closep)
	int fd = openat(dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return -EPERM;
	if ((flags & O_CREAT) != 0 && fchown(fd, p->user.pw.uid, p->user.pw.gid) < 0)
		return -errno;
	return fd_steal(&fd);
}

int rooted_mkdir(const struct place *p)
{
	char path[PATH_MAX];
	const char *name = "";

	memcpy(path, p->path, sizeof(path));
	CLEANUP(fd_closep) int dir = rooted_parent(p, path, &name);
	if (dir < 0)
		return dir;
	if (mkdirat(dir, name, 0755) < 0)
		return -errno;
	return fchownat(dir, name, p->user.pw.uid, p->user.pw.gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
											    : 0;
}
