/* SPDX-License-Identifier: Apache-2.0 */
#include "import_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <locale.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "import/import.h"

#define BLOCK 4096U

static la_ssize_t append(struct archive *a, void *arg, const void *data, size_t len)
{
	struct bytes *b = arg;

	(void)a;
	b->data = realloc(b->data, b->len + len + 1);
	cr_assert_not_null(b->data);
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return (la_ssize_t)len;
}

void tar_begin(struct tar *t, enum tar_filter filter)
{
	cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
	*t = (struct tar){ .a = archive_write_new() };
	cr_assert_eq(archive_write_set_format_pax_restricted(t->a), ARCHIVE_OK);
	/* libarchive would pad what is compressed, not what is in it. */
	cr_assert_eq(archive_write_set_bytes_in_last_block(t->a, 1), ARCHIVE_OK);
	if (filter == TAR_GZIP)
		cr_assert_eq(archive_write_add_filter_gzip(t->a), ARCHIVE_OK);
	if (filter == TAR_ZSTD)
		cr_assert_eq(archive_write_add_filter_zstd(t->a), ARCHIVE_OK);
	cr_assert_eq(archive_write_open(t->a, &t->out, NULL, append, NULL), ARCHIVE_OK);
}

struct bytes tar_end(struct tar *t)
{
	cr_assert_eq(archive_write_close(t->a), ARCHIVE_OK);
	(void)archive_write_free(t->a);
	return t->out;
}

static struct archive_entry *entry(const char *path, unsigned type, unsigned perm)
{
	struct archive_entry *e = archive_entry_new();

	cr_assert_not_null(e);
	archive_entry_set_pathname(e, path);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, perm);
	archive_entry_set_uid(e, 1000);
	archive_entry_set_gid(e, 100);
	archive_entry_set_mtime(e, 1600000000, 0);
	archive_entry_set_size(e, 0);
	return e;
}

static void put(struct tar *t, struct archive_entry *e)
{
	cr_assert_eq(archive_write_header(t->a, e), ARCHIVE_OK, "%s", archive_error_string(t->a));
	archive_entry_free(e);
}

void tar_bytes(struct tar *t, const char *path, const void *data, size_t len)
{
	struct archive_entry *e = entry(path, AE_IFREG, 0644);

	archive_entry_set_size(e, (la_int64_t)len);
	put(t, e);
	cr_assert_eq(archive_write_data(t->a, data, len), (la_ssize_t)len);
}

void tar_file(struct tar *t, const char *path, const char *text)
{
	tar_bytes(t, path, text, strlen(text));
}

void tar_dir(struct tar *t, const char *path)
{
	put(t, entry(path, AE_IFDIR, 0755));
}

void tar_symlink(struct tar *t, const char *path, const char *target)
{
	struct archive_entry *e = entry(path, AE_IFLNK, 0777);

	archive_entry_set_symlink(e, target);
	put(t, e);
}

void tar_hardlink(struct tar *t, const char *path, const char *target)
{
	struct archive_entry *e = entry(path, AE_IFREG, 0644);

	archive_entry_set_hardlink(e, target);
	put(t, e);
}

void tar_type(struct tar *t, const char *path, unsigned type, unsigned perm)
{
	put(t, entry(path, type, perm));
}

void tar_xattr(struct tar *t, const char *path, const char *name, const void *value, size_t len)
{
	struct archive_entry *e = entry(path, AE_IFREG, 0644);

	archive_entry_xattr_add_entry(e, name, value, len);
	put(t, e);
}

struct digest sha256(struct bytes b)
{
	struct digest d;

	(void)crypto_hash_sha256(d.bytes, b.data, b.len);
	return d;
}

int bytes_fd(struct bytes b)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, b.data, b.len), 0);
	return fd;
}

struct imported import_fd(int fd, const char *ref, const struct import_limits *limits)
{
	static const struct import_limits standard = IMPORT_LIMITS_DEFAULT;
	struct source *s = calloc(1, sizeof(*s));
	struct import_request q = { .source = s, .ref = ref };
	struct imported i = { 0 };
	struct stat st;

	cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
	cr_assert_geq(sodium_init(), 0);
	q.limits = limits != NULL ? *limits : standard;
	q.output = memfd_create("image", MFD_CLOEXEC);
	cr_assert_geq(q.output, 0);
	i.result = source_open(s, fd, &i.err);
	if (i.result == 0) {
		i.result = import_run(&q, &i.report, &i.err);
		source_close(s);
	}
	cr_assert_eq(fstat(q.output, &st), 0);
	if (i.result == 0) {
		i.image.len = (size_t)st.st_size;
		i.image.data = malloc(i.image.len);
		cr_assert_eq(pread(q.output, i.image.data, i.image.len, 0), st.st_size);
	}
	(void)close(q.output);
	free(s);
	return i;
}

struct imported import_bytes(struct bytes archive, const char *ref,
			     const struct import_limits *limits)
{
	int fd = bytes_fd(archive);
	struct imported i = import_fd(fd, ref, limits);

	(void)close(fd);
	return i;
}

void imported_done(struct imported *i)
{
	free(i->image.data);
	json_decref(i->report);
}

static uint64_t le(struct bytes b, uint64_t at, unsigned bytes)
{
	uint64_t v = 0;

	cr_assert(at <= b.len && bytes <= b.len - at, "outside of the image");
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)b.data[at + i] << (8 * i);
	return v;
}

static struct file load(struct bytes b, uint64_t nid)
{
	uint64_t at = nid * 32, format = le(b, at, 2), icount = le(b, at + 2, 2), tail;
	uint64_t block = le(b, at + 16, 4) * BLOCK;
	struct file f = { .nid = nid,
			  .mode = (uint16_t)le(b, at + 4, 2),
			  .size = le(b, at + 8, 8),
			  .uid = (uint32_t)le(b, at + 24, 4),
			  .gid = (uint32_t)le(b, at + 28, 4),
			  .nlink = (uint32_t)le(b, at + 44, 4),
			  .xattrs = icount == 0 ? 0 : 12 + (icount - 1) * 4 };
	uint64_t whole = f.size;

	cr_assert((format & 1) == 1 && ((format >> 1) == 0 || (format >> 1) == 2));
	tail = at + 64 + f.xattrs;
	if ((format >> 1) == 2) {
		whole = f.size / BLOCK * BLOCK;
		/* The kernel refuses a tail that crosses a block. */
		cr_assert_leq(tail % BLOCK + (f.size - whole), BLOCK);
		(void)le(b, tail, 0);
		cr_assert_leq(f.size - whole, b.len - tail);
	}
	cr_assert(whole == 0 || (block <= b.len && whole <= b.len - block));
	f.text = calloc(1, f.size + 1);
	cr_assert_not_null(f.text);
	if (whole > 0)
		memcpy(f.text, b.data + block, whole);
	if (f.size > whole)
		memcpy(f.text + whole, b.data + tail, f.size - whole);
	return f;
}

/* Walks a directory; finds `name` if not NULL. */
static size_t scan(const struct file *dir, const char *name, size_t name_len, uint64_t *ret_nid)
{
	struct bytes b = { (uint8_t *)dir->text, dir->size };
	char last[256] = "", now[256];
	size_t names = 0;

	for (uint64_t block = 0; block < b.len; block += BLOCK) {
		uint64_t end = block + BLOCK < b.len ? block + BLOCK : b.len;
		uint64_t count = le(b, block + 8, 2) / 12;

		for (uint64_t k = 0; k < count; k++) {
			uint64_t from = block + le(b, block + k * 12 + 8, 2);
			uint64_t to = k + 1 < count ? block + le(b, block + k * 12 + 20, 2) : end;
			size_t len = strnlen((char *)b.data + from, to - from);

			cr_assert(from < to && to <= end && len < sizeof(now));
			memcpy(now, b.data + from, len);
			now[len] = '\0';
			cr_assert(names == 0 || strcmp(last, now) < 0, "%s before %s", last, now);
			memcpy(last, now, sizeof(last));
			names++;
			if (name != NULL && len == name_len && memcmp(now, name, len) == 0)
				*ret_nid = le(b, block + k * 12, 8);
		}
	}
	return names;
}

bool image_find(struct bytes image, const char *path, struct file *ret)
{
	struct file f;

	cr_assert_eq(le(image, 1024, 4), 0xE0F5E1E2U);
	cr_assert_eq(image.len, le(image, 1024 + 36, 4) * BLOCK);
	f = load(image, le(image, 1024 + 14, 2));
	while (*path != '\0') {
		size_t len = strcspn(path, "/");
		uint64_t nid = 0;

		if (!S_ISDIR(f.mode)) {
			file_done(&f);
			return false;
		}
		(void)scan(&f, path, len, &nid);
		file_done(&f);
		if (nid == 0)
			return false;
		f = load(image, nid);
		path += len;
		path += *path == '/';
	}
	*ret = f;
	return true;
}

size_t image_count(struct bytes image, const char *path)
{
	struct file f;
	size_t n;

	cr_assert(image_find(image, path, &f), "%s", path);
	n = scan(&f, NULL, 0, NULL);
	file_done(&f);
	return n;
}

void file_done(struct file *f)
{
	free(f->text);
}
