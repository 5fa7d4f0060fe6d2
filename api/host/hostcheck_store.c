/* SPDX-License-Identifier: Apache-2.0 */
/* hostcheck_store.c - the jailer's store and the directories above it, at their usual places. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "api/host/hostcheck_internal.h"
#include "base/fd.h"
#include "base/num.h"

#define STORE	 "var/lib/casemate"
#define FREE_MIN (UINT64_C(1) << 30)

static bool roots_alone(const struct stat *st)
{
	return st->st_uid == 0 && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Who may write to one of these may swap what the jailer opens, or its socket. */
static void check_parents(struct checkup *c)
{
	static const char *const paths[] = { "var", "var/lib", STORE, "run", "run/casemate" };
	struct words bad = { .len = 0 };
	unsigned seen = 0;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		if (fstatat(c->rootfd, paths[i], &st, 0) < 0)
			continue;
		seen++;
		if (!S_ISDIR(st.st_mode) || !roots_alone(&st))
			words_add(&bad, paths[i]);
	}
	if (seen == 0)
		checkup_found(c, HOSTCHECK_INFO, "unknown");
	else
		checkup_found(c, bad.len > 0 ? HOSTCHECK_FAIL : HOSTCHECK_OK, "%s",
			      bad.len > 0 ? bad.text : "root's alone");
}

struct files {
	unsigned count, unknown;
	struct words bad;
};

static void look_at(int dir, const char *name, const char *file, struct files *f)
{
	struct stat st;
	char path[160];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", name, file) >= sizeof(path) ||
	    fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		f->unknown += errno != ENOENT; /* a kernel may have no initrd */
		return;
	}
	f->count++;
	if (!roots_alone(&st))
		words_add(&f->bad, name);
}

static int look_below(const struct checkup *c, const char *path, const char *file, struct files *f)
{
	int fd = openat(c->rootfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL) {
		fd_closep(&fd);
		return -errno;
	}
	for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		/* As the jailer has it; "lost+found" is none. */
		if (e->d_name[0] != '.' &&
		    e->d_name[strspn(e->d_name, "abcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0')
			look_at(dirfd(d), e->d_name, file, f);
	(void)closedir(d);
	return 0;
}

static int look_at_store(const struct checkup *c, struct files *f)
{
	int r = look_below(c, STORE "/images", "root.erofs", f);

	if (r == 0)
		r = look_below(c, STORE "/kernels", "kernel", f);
	return r == 0 ? look_below(c, STORE "/kernels", "initrd", f) : r;
}

static void check_files(struct checkup *c)
{
	struct files f = { .count = 0 };
	int r = look_at_store(c, &f);

	if (r < 0)
		checkup_found(c, HOSTCHECK_INFO, "unknown: %s", strerror(-r));
	else if (f.bad.len == 0 && (f.unknown > 0 || f.count == 0))
		checkup_found(c, HOSTCHECK_INFO, "unknown: %u files can't be looked at", f.unknown);
	else
		checkup_found(c, f.bad.len > 0 ? HOSTCHECK_FAIL : HOSTCHECK_OK, "%s",
			      f.bad.len > 0 ? f.bad.text : "root's alone");
}

static void check_space(struct checkup *c)
{
	CLEANUP(fd_closep) int fd = openat(c->rootfd, STORE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statvfs v;
	uint64_t free_bytes;

	if (fd < 0 || fstatvfs(fd, &v) < 0) {
		checkup_found(c, HOSTCHECK_INFO, "unknown: %s", strerror(errno));
		return;
	}
	free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	checkup_found(c, free_bytes < FREE_MIN ? HOSTCHECK_FAIL : HOSTCHECK_OK, "%llu MiB are free",
		      (unsigned long long)(free_bytes / MIB));
}

static void check_flags(struct checkup *c)
{
	CLEANUP(fd_closep) int fd = openat(c->rootfd, STORE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statvfs v;
	bool good;

	if (fd < 0 || fstatvfs(fd, &v) < 0)
		return;
	good = (v.f_flag & ST_NOSUID) != 0 && (v.f_flag & ST_NODEV) != 0;
	checkup_found(c, good ? HOSTCHECK_OK : HOSTCHECK_INFO, "%s%s%s",
		      (v.f_flag & ST_NOSUID) != 0 ? "nosuid " : "",
		      (v.f_flag & ST_NODEV) != 0 ? "nodev" : "", good ? "" : "not both");
}

const struct check hostcheck_store[] = {
	{ "store-parents", check_parents,
	  "directories that only root may write: else a local user swaps what sandboxes are made "
	  "of",
	  "chown root and chmod go-w these directories" },
	{ "store-files", check_files, "kernels and images that only root may write",
	  "chown root and chmod go-w the files of these" },
	{ "store-space", check_space, "1 GiB or more: scratch disks are sparse files there",
	  "make room below /var/lib/casemate" },
	{ "store-mount", check_flags, "nosuid and nodev: nothing in it is a program or a device",
	  "put the store on a file system of its own, mounted with nosuid,nodev" },
	{ NULL, NULL, NULL, NULL },
};
