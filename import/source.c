/* SPDX-License-Identifier: Apache-2.0 */
#include "import/source.h"

#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "import/digest.h"

#define BLOCK_BYTES (size_t)65536
#define BLOB_DIR    "blobs/sha256/"

/* A regular file in dir, never through a link: the caller's files are meant, not what they point
 * to. */
static int add_file(struct source *s, int dir, const char *name, const char *prefix,
		    struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	struct source_file *f = &s->file[s->count];
	struct stat st;

	BUG_ON(s->count == ARRAY_SIZE(s->file));
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, -errno, "%s%s", prefix, name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s%s: not a regular file", prefix, name);
	(void)snprintf(f->name, sizeof(f->name), "%s%s", prefix, name);
	f->fd = fd_steal(&fd);
	s->count++;
	return 0;
}

static int add_blobs(struct source *s, struct err *err)
{
	CLEANUP(fd_closep)
	int blobs = openat(s->fd, "blobs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r = 0, fd = -1;
	struct dirent *e;
	DIR *d;

	if (blobs >= 0)
		fd = openat(blobs, "sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(err, -errno, "blobs/sha256");
	d = fdopendir(fd);
	if (d == NULL) {
		r = err_sys(err, -errno, "blobs/sha256");
		fd_closep(&fd);
		return r;
	}
	while (r == 0 && (e = readdir(d)) != NULL) {
		struct digest unused;

		if (digest_parse_hex(e->d_name, &unused) < 0)
			continue;
		if (s->count == ARRAY_SIZE(s->file))
			r = err_set(err, -E2BIG, "more than %d blobs", IMPORT_BLOBS_MAX);
		else
			r = add_file(s, dirfd(d), e->d_name, BLOB_DIR, err);
	}
	(void)closedir(d);
	return r;
}

int source_open(struct source *s, int fd, struct err *err)
{
	struct stat st;
	int r;

	s->fd = fd;
	s->count = 0;
	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "the input");
	s->is_dir = S_ISDIR(st.st_mode);
	if (!s->is_dir && !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "the input is neither a file nor a directory");
	if (!s->is_dir)
		return 0;
	r = add_file(s, fd, "oci-layout", "", err);
	if (r == 0)
		r = add_file(s, fd, "index.json", "", err);
	if (r == 0)
		r = add_blobs(s, err);
	if (r < 0)
		source_close(s);
	return r < 0 ? err_wrap(err, "not an OCI layout") : 0;
}

void source_close(struct source *s)
{
	for (size_t i = 0; i < s->count; i++)
		fd_closep(&s->file[i].fd);
	s->count = 0;
}

static int fail(struct archive *a, struct err *err)
{
	const char *text = archive_error_string(a);

	return err_set(err, -EINVAL, "not a tar archive that can be read: %.160s",
		       text != NULL ? text : "unknown error");
}

/* The input as a tar, compressed or not, from its beginning. */
static int open_outer(const struct source *s, struct archive **ret, struct err *err)
{
	struct archive *a = archive_read_new();
	int r = 0;

	if (a == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	if (lseek(s->fd, 0, SEEK_SET) < 0)
		r = err_sys(err, -errno, "the input");
	else if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
		 archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
		 archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
		 archive_read_open_fd(a, s->fd, BLOCK_BYTES) != ARCHIVE_OK)
		r = fail(a, err);
	if (r < 0)
		(void)archive_read_free(a);
	else
		*ret = a;
	return r;
}

/* The next regular file's name, without "./" before it; NULL at the end. */
static int next_file(struct archive *a, uint32_t *left, const char **ret, struct err *err)
{
	struct archive_entry *e;
	int r;

	while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(e);

		if ((*left)-- == 0)
			return err_set(err, -E2BIG, "too many entries");
		if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) != NULL ||
		    name == NULL)
			continue;
		*ret = strncmp(name, "./", 2) == 0 ? name + 2 : name;
		return 0;
	}
	*ret = NULL;
	return r == ARCHIVE_EOF ? 0 : fail(a, err);
}

int source_detect(const struct source *s, const struct import_limits *limits,
		  enum source_format *ret, struct err *err)
{
	bool layout = false, index = false, manifest = false;
	uint32_t left = limits->entries;
	struct archive *a = NULL;
	const char *name = NULL;
	int r;

	if (s->is_dir) {
		*ret = SOURCE_OCI;
		return 0;
	}
	r = open_outer(s, &a, err);
	if (r < 0)
		return r;
	while ((r = next_file(a, &left, &name, err)) == 0 && name != NULL) {
		layout = layout || strcmp(name, "oci-layout") == 0;
		index = index || strcmp(name, "index.json") == 0;
		manifest = manifest || strcmp(name, "manifest.json") == 0;
	}
	(void)archive_read_free(a);
	if (r < 0)
		return r;
	*ret = layout && index ? SOURCE_OCI : manifest ? SOURCE_DOCKER : SOURCE_TAR;
	return 0;
}

const char *source_format_name(enum source_format f)
{
	static const char *const names[SOURCE_FORMAT_COUNT] = {
		[SOURCE_TAR] = "tar",
		[SOURCE_DOCKER] = "docker-archive",
		[SOURCE_OCI] = "oci",
	};

	BUG_ON(f >= SOURCE_FORMAT_COUNT);
	return names[f];
}

static int find_in_archive(struct blob *b, const struct source *s, const char *name,
			   struct err *err)
{
	/* A bundle has few files; a tar that only looks like one may have many. */
	uint32_t left = 4 * IMPORT_BLOBS_MAX;
	const char *found;
	int r = open_outer(s, &b->outer, err);

	if (r < 0)
		return r;
	do {
		r = next_file(b->outer, &left, &found, err);
	} while (r == 0 && found != NULL && strcmp(found, name) != 0);
	if (r == 0 && found == NULL)
		r = err_set(err, -ENOENT, "%.128s: not in the archive", name);
	return r;
}

int blob_open(struct blob *b, const struct source *s, const char *name, struct err *err)
{
	int r;

	*b = (struct blob){ .fd = -1 };
	if (name == NULL || s->is_dir) {
		BUG_ON(name == NULL && s->is_dir);
		b->fd = name == NULL ? s->fd : -1;
		for (size_t i = 0; name != NULL && i < s->count; i++)
			if (strcmp(s->file[i].name, name) == 0)
				b->fd = s->file[i].fd;
		if (b->fd < 0)
			return err_set(err, -ENOENT, "%.128s: not in the directory", name);
		b->buffer = malloc(BLOCK_BYTES);
		return b->buffer == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
	}
	r = find_in_archive(b, s, name, err);
	if (r < 0)
		blob_close(b);
	return r;
}

void blob_close(struct blob *b)
{
	if (b->outer != NULL)
		(void)archive_read_free(b->outer);
	free(b->buffer);
	*b = (struct blob){ .fd = -1 };
}

int blob_read(struct blob *b, const void **ret, size_t *ret_len, struct err *err)
{
	int64_t offset;
	int r;

	if (b->fd >= 0) {
		ssize_t n = pread(b->fd, b->buffer, BLOCK_BYTES, (off_t)b->offset);

		if (n < 0)
			return err_sys(err, -errno, "reading the input");
		*ret = b->buffer;
		*ret_len = (size_t)n;
		b->offset += (size_t)n;
		return 0;
	}
	do {
		r = archive_read_data_block(b->outer, ret, ret_len, &offset);
	} while (r == ARCHIVE_OK && *ret_len == 0);
	if (r == ARCHIVE_EOF) {
		*ret_len = 0;
		return 0;
	}
	if (r != ARCHIVE_OK)
		return fail(b->outer, err);
	if (offset < 0 || (uint64_t)offset != b->offset)
		return err_set(err, -EINVAL, "a sparse file where a blob should be");
	b->offset += *ret_len;
	return 0;
}

int blob_read_all(struct blob *b, size_t max, char **ret, size_t *ret_len, struct err *err)
{
	char *all = malloc(max + 1);
	size_t len = 0, n = 0;
	const void *data;
	int r;

	if (all == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	while ((r = blob_read(b, &data, &n, err)) == 0 && n > 0) {
		if (n > max - len) {
			r = err_set(err, -EFBIG, "larger than %zu bytes", max);
			break;
		}
		memcpy(all + len, data, n);
		len += n;
	}
	if (r < 0) {
		free(all);
		return r;
	}
	all[len] = '\0';
	*ret = all;
	*ret_len = len;
	return 0;
}
