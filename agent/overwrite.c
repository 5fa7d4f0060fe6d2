/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/overwrite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/path.h"
#include "agent/rooted.h"
#include "base/fd.h"

#define FLAGS (O_WRONLY | O_CREAT)

static int open_as_user(const struct place *p)
{
	char path[PATH_MAX];
	const char *name;
	struct err err;

	memcpy(path, p->path, sizeof(path));
	CLEANUP(fd_closep) int dir = path_open_parent(path, &name, &err);
	if (dir < 0)
		return dir;
	if (name[0] == '\0')
		return -EISDIR;
	/* A FIFO would stop the agent, and a terminal become its own. */
	int fd = openat(dir, name, FLAGS | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

/*
 * It becomes the user's, as far as the user may give it to itself: root takes over what it
 * overwrites, others change nothing. That is said anew of a file that was theirs before, too:
 * E2B's agent does so with each upload, and its clients count the CHMOD that watchers are told.
 */
static void own(const struct place *p, int fd)
{
	struct stat st;
	int r = fstat(fd, &st);

	if (r == 0 && S_ISREG(st.st_mode))
		r = fchown(fd, p->user.pw.uid, p->user.pw.gid);
	(void)r; /* who may not leaves it as it is */
}

int overwrite_open(const struct place *p, struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	struct stat st;
	int r = place_enter(p, err);

	if (r < 0)
		return r;
	fd = open_as_user(p);
	if (fd >= 0)
		own(p, fd);
	user_leave_fs();
	if (rooted_may(p, fd))
		fd = rooted_open(p, FLAGS);
	if (fd == -EISDIR)
		return err_set(err, fd, "path is a directory: %.160s", p->path);
	if (fd < 0)
		return err_sys(err, fd, "%.160s", p->path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%.160s: not a regular file", p->path);
	/* Not O_TRUNC: that comes before one can look at what it is. */
	if (ftruncate(fd, 0) < 0)
		return err_sys(err, -errno, "%.160s", p->path);
	return fd_steal(&fd);
}
