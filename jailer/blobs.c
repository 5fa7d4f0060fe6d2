/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

bool blob_digest_ok(const char *s)
{
	size_t n = 0;

	for (; s[n] != '\0'; n++) {
		const bool hex = (s[n] >= '0' && s[n] <= '9') || (s[n] >= 'a' && s[n] <= 'f');
		if (n == BLOB_DIGEST_LEN || !hex)
			return false;
	}
	return n == BLOB_DIGEST_LEN;
}

void blob_digest_text(const uint8_t digest[BLOB_DIGEST_BYTES], char ret[BLOB_DIGEST_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < BLOB_DIGEST_BYTES; i++) {
		ret[2 * i] = hex[digest[i] >> 4];
		ret[2 * i + 1] = hex[digest[i] & 15];
	}
	ret[BLOB_DIGEST_LEN] = '\0';
}

int blobs_open(struct blobs *b, const struct store *s, uint64_t bytes_max, struct err *err)
{
	*b = (struct blobs){ .dir = -1, .bytes_max = bytes_max };
	return store_open_blobs(s, &b->dir, err);
}

void blobs_close(struct blobs *b)
{
	fd_closep(&b->dir);
}

/* ---- What there is ------------------------------------------------------------------------- */

int blobs_find(const struct blobs *b, const char *digest, struct blob_info *ret)
{
	struct statx st;

	if (statx(b->dir, digest, AT_SYMLINK_NOFOLLOW,
		  STATX_TYPE | STATX_SIZE | STATX_CTIME | STATX_MTIME, &st) < 0)
		return -errno;
	if (!S_ISREG(st.stx_mode))
		return -ENOENT;
	*ret = (struct blob_info){ .bytes = st.stx_size,
				   .stored_ms = st.stx_mtime.tv_sec * 1000 +
						st.stx_mtime.tv_nsec / 1000000,
				   .verity = (st.stx_attributes & STATX_ATTR_VERITY) != 0 };
	memcpy(ret->digest, digest, sizeof(ret->digest));
	return 0;
}

int blobs_list(const struct blobs *b, struct blob_info ret[BLOBS_MAX])
{
	int fd = openat(b->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL) {
		n = -errno;
		fd_closep(&fd);
		return n;
	}
	while (n < (int)BLOBS_MAX && (e = readdir(d)) != NULL)
		n += blob_digest_ok(e->d_name) && blobs_find(b, e->d_name, &ret[n]) == 0;
	(void)closedir(d);
	return n;
}

int blobs_room(const struct blobs *b, uint64_t bytes, uint64_t coming, struct err *err)
{
	static struct blob_info all[BLOBS_MAX]; /* one thread */
	uint64_t used = coming, room;
	struct statvfs vfs;
	int n;

	if (b->bytes_max == 0)
		return err_set(err, -EOPNOTSUPP, "this jailer keeps no images (--image-bytes)");
	if (bytes == 0 || bytes > BLOB_BYTES_MAX)
		return err_set(err, -ERANGE, "an image of %llu bytes: 1 byte to %llu GiB",
			       (unsigned long long)bytes,
			       (unsigned long long)(BLOB_BYTES_MAX / GIB));
	n = blobs_list(b, all);
	if (n < 0 || fstatvfs(b->dir, &vfs) < 0)
		return err_sys(err, n < 0 ? n : -errno, "the store's directory blobs");
	for (int i = 0; i < n; i++)
		used += all[i].bytes;
	if (n == (int)BLOBS_MAX || used > b->bytes_max || bytes > b->bytes_max - used)
		return err_set(err, -EDQUOT,
			       "%d images have %llu MiB of %llu; this one needs %llu: remove some",
			       n, (unsigned long long)(used / MIB),
			       (unsigned long long)(b->bytes_max / MIB),
			       (unsigned long long)(bytes / MIB));
	room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	if (room < STORE_FREE_MIN || bytes > room - STORE_FREE_MIN ||
	    coming > room - STORE_FREE_MIN - bytes)
		return err_set(err, -ENOSPC,
			       "the store's disk has %llu MiB free: not enough for an image of "
			       "%llu MiB",
			       (unsigned long long)(room / MIB), (unsigned long long)(bytes / MIB));
	return 0;
}

/* ---- Coming and going ---------------------------------------------------------------------- */

int blobs_create(const struct blobs *b, int *ret_write, int *ret_read, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = openat(b->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	char path[32];
	int ro;

	if (fd < 0)
		return err_sys(err, -errno, "the store's directory blobs");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	if (ro < 0)
		return err_sys(err, -errno, "a new image's file");
	*ret_read = ro;
	*ret_write = fd_steal(&fd);
	return 0;
}

int blobs_name(const struct blobs *b, int file, const char *digest, bool *ret_existed,
	       struct err *err)
{
	int r = 0;

	if (linkat(file, "", b->dir, digest, AT_EMPTY_PATH) < 0)
		r = -errno;
	*ret_existed = r == -EEXIST;
	if (r == -EEXIST)
		r = 0;
	/* The file's bytes are on the disk already (keeper.c); now its name. */
	if (r == 0 && fsync(b->dir) < 0)
		r = -errno;
	return r < 0 ? err_sys(err, r, "the store's blobs/%.16s...", digest) : 0;
}

int blobs_remove(const struct blobs *b, const char *digest)
{
	return unlinkat(b->dir, digest, 0) < 0 ? -errno : 0;
}
