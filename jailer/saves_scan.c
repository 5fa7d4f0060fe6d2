/* SPDX-License-Identifier: Apache-2.0 */
/* saves_scan.c - what a jailer that starts finds of the one before. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "jailer/saves_internal.h"

/* A file that stays would be in the way of its id; and it holds a tenant's memory. */
static int sweep(struct saves *ss, const char *name, const struct sealkey *k, struct err *err)
{
	(void)k;
	return unlinkat(ss->dir, name, 0) < 0
		       ? err_sys(err, -errno, "the store's paused/%.64s", name)
		       : 0;
}

/* A file of ours, as somebody else can't have made it. */
int saves_open_ours(int dir, const char *name, int *ret, struct stat *st, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, st) < 0)
		return err_sys(err, -errno, "it can't be opened");
	if (!S_ISREG(st->st_mode) || st->st_uid != 0 || (st->st_mode & 077) != 0)
		return err_set(err, -EINVAL, "it isn't a file that was written here");
	*ret = fd_steal(&fd);
	return 0;
}

/* Its disk's bytes on the disk. */
static int look_at_disk(int dir, const char *name, uint64_t bytes, uint64_t *ret_charge,
			struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	char disk[SAVES_DISK_NAME];
	struct stat st = { 0 };
	int r;

	saves_disk_name(name, disk);
	r = saves_open_ours(dir, disk, &fd, &st, err);
	if (r < 0)
		return err_wrap(err, "its scratch disk");
	if ((uint64_t)st.st_size != bytes)
		return err_set(err, -EINVAL, "its scratch disk isn't as long as its seal says");
	*ret_charge += (uint64_t)st.st_blocks * SAVES_BLOCK_BYTES;
	return 0;
}

/* Ours, whole, and of this host's key? 0 and what its seal says, or -errno. */
static int look_at(int dir, const char *name, const struct sealkey *k, struct snapseal *ret,
		   uint64_t *ret_charge, struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	uint8_t seal[SNAPSEAL_BYTES];
	struct snapseal s;
	struct stat st = { 0 };
	int r = saves_open_ours(dir, name, &fd, &st, err);

	if (r < 0)
		return r;
	if (st.st_size < (off_t)sizeof(seal))
		return err_set(err, -EINVAL, "it isn't a file that was written here");
	r = fd_pread_full(fd, seal, sizeof(seal), (uint64_t)st.st_size - sizeof(seal));
	if (r < 0)
		return err_sys(err, r, "it can't be read");
	r = snapseal_open(seal, sizeof(seal), k->bytes, &s, err);
	if (r < 0)
		return r;
	/* The seal is ours: two lengths that we once allowed. */
	if (s.memory_bytes + s.state_bytes + sizeof(seal) != (uint64_t)st.st_size)
		return err_set(err, -EINVAL, "it isn't as long as its seal says");
	*ret_charge = (uint64_t)st.st_blocks * SAVES_BLOCK_BYTES;
	*ret = s;
	return s.scratch_bytes == 0 ? 0 : look_at_disk(dir, name, s.scratch_bytes, ret_charge, err);
}

/* A disk gets its name first: one alone is of what was never whole. True: it is a disk. */
static bool take_disk(const struct saves *ss, const char *name)
{
	char main_name[REQUEST_NAME_MAX + 1];
	size_t len = strlen(name), id = len - (sizeof(SAVES_DISK_SUFFIX) - 1);

	if (len < sizeof(SAVES_DISK_SUFFIX) || len >= SAVES_DISK_NAME ||
	    strcmp(name + id, SAVES_DISK_SUFFIX) != 0)
		return false;
	memcpy(main_name, name, id);
	main_name[id] = '\0';
	if (faccessat(ss->dir, main_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		(void)unlinkat(ss->dir, name, 0);
	return true;
}

static int take_over(struct saves *ss, const char *name, const struct sealkey *k, struct err *err)
{
	struct err why = { 0 };
	uint64_t charge = 0;
	struct snapseal q = { 0 };
	struct save *s;

	if (take_disk(ss, name))
		return 0;
	if (!request_id_ok(name) || ss->count == SAVES_MAX ||
	    look_at(ss->dir, name, k, &q, &charge, &why) < 0) {
		/* It may be somebody's all the same: whose key is on another disk, say. */
		log_error("snapshot.unknown", "name=%.64s error=\"%s\"", name, why.msg);
		return 0;
	}
	s = saves_add(ss, saves_nobody(ss), name, q.memory_bytes, q.state_bytes, charge);
	if (s == NULL)
		return err_sys(err, -ENOMEM, "snapshots");
	s->scratch_bytes = q.scratch_bytes;
	s->whole = true;
	return 0;
}

static int each_file(struct saves *ss, const struct sealkey *k,
		     int (*fn)(struct saves *ss, const char *name, const struct sealkey *k,
			       struct err *err),
		     struct err *err)
{
	int fd = openat(ss->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL) {
		r = -errno;
		fd_closep(&fd);
		return err_sys(err, r, "the store's directory %s", saves_place(ss));
	}
	while (r == 0 && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = fn(ss, e->d_name, k, err);
	}
	(void)closedir(d);
	return r;
}

int saves_scan(struct saves *ss, const struct sealkey *k, struct err *err)
{
	return each_file(ss, k, ss->kind == SAVES_PAUSED ? sweep : take_over, err);
}
