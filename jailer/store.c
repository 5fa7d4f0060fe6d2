/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "jailer/blobs.h"
#include "jailer/request.h"

#define STORE_PATH_MAX 160  /* "kernels/" name "/kernel" and room */
#define BLOCK_BYTES    512U /* of st_blocks */

static int check_owner(int fd, const char *path, mode_t type, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", path);
	if ((st.st_mode & S_IFMT) != type)
		return err_set(err, -EINVAL, "%s is not a %s", path,
			       type == S_IFDIR ? "directory" : "regular file");
	if (st.st_uid != 0)
		return err_set(err, -EPERM, "%s belongs to uid %u instead of root", path,
			       (unsigned)st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return err_set(err, -EPERM, "%s may be written by others than root (mode %04o)",
			       path, (unsigned)(st.st_mode & 07777));
	return 0;
}

int store_open(struct store *s, const char *path, struct err *err)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_sys(err, -errno, "the store %s", path);
	r = check_owner(fd, path, S_IFDIR, err);
	if (r < 0)
		return r;
	/* Now, not with the first scratch disk: that is made under a sandbox's own label. */
	if (mkdirat(fd, "scratch", 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "the store %s: scratch directory", path);
	if (mkdirat(fd, "paused", 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "the store %s: directory of paused sandboxes", path);
	if (mkdirat(fd, "snapshots", 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "the store %s: directory of snapshots", path);
	if (mkdirat(fd, "blobs", 0700) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "the store %s: directory of stored images", path);
	/* The new process mounts its root over its working directory, in its own namespace. */
	if (fchdir(fd) < 0)
		return err_sys(err, -errno, "the store %s", path);
	s->dir = fd_steal(&fd);
	return 0;
}

void store_close(struct store *s)
{
	fd_closep(&s->dir);
}

int store_open_trusted(const char *path, int *ret, struct err *err)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	r = check_owner(fd, path, S_IFREG, err);
	if (r < 0)
		return r;
	*ret = fd_steal(&fd);
	return 0;
}

/* Nothing but real directories and files below the store; a FIFO must not block us. */
static int open_below(int dir, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* what: how a person names the file, for example "image debian". */
static int check_content(int fd, const char *what, struct err *err)
{
	struct stat st;
	uint64_t bytes;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", what);
	if (S_ISREG(st.st_mode)) {
		bytes = (uint64_t)st.st_size;
	} else if (S_ISBLK(st.st_mode)) {
		if (ioctl(fd, BLKGETSIZE64, &bytes) < 0)
			return err_sys(err, -errno, "%s: size of the device", what);
	} else {
		return err_set(err, -EINVAL, "%s is neither a file nor a block device", what);
	}
	/* A node's group may write the device (Debian's "disk"); a file has no such reader. */
	if (st.st_uid != 0 ||
	    (st.st_mode & (S_ISREG(st.st_mode) ? S_IWGRP | S_IWOTH : S_IWOTH)) != 0)
		return err_set(err, -EPERM,
			       "%s may be written by others than root (uid %u, mode %04o)", what,
			       (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
	if (bytes == 0)
		return err_set(err, -ENODATA, "%s is empty (0 bytes)", what);
	return fd_set_nonblock(fd, false);
}

static int open_content(const struct store *s, const char *path, const char *what, int *ret,
			struct err *err)
{
	CLEANUP(fd_closep) int fd = open_below(s->dir, path, O_RDONLY);
	int r;

	if (fd == -ENOENT)
		return err_set(err, -ENOENT, "%s doesn't exist (no %s in the store)", what, path);
	if (fd == -ELOOP)
		return err_set(err, -ELOOP, "%s is behind a symbolic link: the store has none",
			       what);
	if (fd < 0)
		return err_sys(err, fd, "%s", what);
	r = check_content(fd, what, err);
	if (r < 0)
		return r;
	*ret = fd_steal(&fd);
	return 0;
}

int store_open_kernel(const struct store *s, const char *name, int *ret_kernel, int *ret_initrd,
		      struct err *err)
{
	CLEANUP(fd_closep) int kernel = -1;
	CLEANUP(fd_closep) int initrd = -1;
	char path[STORE_PATH_MAX], what[REQUEST_NAME_MAX + 32];
	int r;

	(void)snprintf(path, sizeof(path), "kernels/%s/kernel", name);
	(void)snprintf(what, sizeof(what), "kernel %s", name);
	r = open_content(s, path, what, &kernel, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "kernels/%s/initrd", name);
	(void)snprintf(what, sizeof(what), "initrd of kernel %s", name);
	r = open_content(s, path, what, &initrd, err);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_kernel = fd_steal(&kernel);
	*ret_initrd = fd_steal(&initrd);
	return 0;
}

int store_open_image(const struct store *s, const char *name, int *ret, struct err *err)
{
	char path[STORE_PATH_MAX], what[REQUEST_NAME_MAX + 32];

	/* A digest's form is its own name space: no operator's directory is looked for. */
	(void)snprintf(path, sizeof(path),
		       blob_digest_ok(name) ? "blobs/%s" : "images/%s/root.erofs", name);
	(void)snprintf(what, sizeof(what), "image %s", name);
	return open_content(s, path, what, ret, err);
}

int store_open_scratch(const struct store *s, uint64_t bytes, int *ret, struct err *err)
{
	CLEANUP(fd_closep) int dir = -1;
	CLEANUP(fd_closep) int fd = -1;
	struct statvfs vfs;

	dir = open_below(s->dir, "scratch", O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return err_sys(err, dir, "scratch directory of the store");
	if (fstatvfs(dir, &vfs) < 0)
		return err_sys(err, -errno, "scratch directory of the store");
	/* It is sparse, so this is no promise; but a store that is full already stays usable. */
	if ((uint64_t)vfs.f_bavail * vfs.f_frsize < STORE_FREE_MIN)
		return err_set(err, -ENOSPC,
			       "scratch disk: less than %llu MiB are free in the store",
			       (unsigned long long)(STORE_FREE_MIN / MIB));
	fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd < 0)
		return err_sys(err, -errno, "scratch disk");
	if (ftruncate(fd, (off_t)bytes) < 0)
		return err_sys(err, -errno, "scratch disk of %llu MiB",
			       (unsigned long long)(bytes / MIB));
	*ret = fd_steal(&fd);
	return 0;
}

int store_check_room(int scratch, int from, struct err *err)
{
	struct statvfs vfs;
	struct stat st;
	uint64_t room, need;

	if (fstatvfs(scratch, &vfs) < 0 || fstat(from, &st) < 0)
		return err_sys(err, -errno, "scratch disk");
	room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	need = (uint64_t)st.st_blocks * BLOCK_BYTES;
	if (room >= STORE_FREE_MIN && need <= room - STORE_FREE_MIN)
		return 0;
	return err_set(err, -ENOSPC,
		       "scratch disk: the store has %llu MiB free: not enough for a copy of %llu "
		       "MiB and leave %llu",
		       (unsigned long long)(room / MIB), (unsigned long long)(need / MIB),
		       (unsigned long long)(STORE_FREE_MIN / MIB));
}

static int open_directory(const struct store *s, const char *name, int *ret, struct err *err)
{
	CLEANUP(fd_closep) int dir = open_below(s->dir, name, O_RDONLY | O_DIRECTORY);
	int r;

	if (dir < 0)
		return err_sys(err, dir, "the store's directory %s", name);
	r = check_owner(dir, name, S_IFDIR, err);
	if (r < 0)
		return err_wrap(err, "the store's directory");
	*ret = fd_steal(&dir);
	return 0;
}

int store_open_paused(const struct store *s, int *ret, struct err *err)
{
	return open_directory(s, "paused", ret, err);
}

int store_open_snapshots(const struct store *s, int *ret, struct err *err)
{
	return open_directory(s, "snapshots", ret, err);
}

int store_open_blobs(const struct store *s, int *ret, struct err *err)
{
	return open_directory(s, "blobs", ret, err);
}

static int by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

size_t store_list(const struct store *s, const char *kind, char *names[STORE_LIST_MAX])
{
	int fd = open_below(s->dir, kind, O_RDONLY | O_DIRECTORY);
	size_t n = 0;
	struct dirent *e;
	DIR *d;

	if (fd < 0)
		return 0;
	d = fdopendir(fd);
	if (d == NULL) {
		fd_closep(&fd);
		return 0;
	}
	while (n < STORE_LIST_MAX && (e = readdir(d)) != NULL) {
		if (!request_name_ok(e->d_name))
			continue;
		names[n] = strdup(e->d_name);
		if (names[n] == NULL)
			break;
		n++;
	}
	(void)closedir(d);
	qsort(names, n, sizeof(names[0]), by_name);
	return n;
}
