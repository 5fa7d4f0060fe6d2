/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_rig.h - archives made in memory, imported, and the image read back by a reader that shares
 * nothing with the writer but the format's numbers.
 */
#ifndef TESTS_UNIT_IMPORT_RIG_H
#define TESTS_UNIT_IMPORT_RIG_H

#include <archive.h>
#include <archive_entry.h>
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "import/digest.h"
#include "import/limits.h"

struct bytes {
	uint8_t *data;
	size_t len;
};

/* A tar that grows. */
struct tar {
	struct archive *a;
	struct bytes out;
};
enum tar_filter { TAR_PLAIN, TAR_GZIP, TAR_ZSTD };
void tar_begin(struct tar *t, enum tar_filter filter);
/* The finished archive; freed by the caller. */
struct bytes tar_end(struct tar *t);

void tar_file(struct tar *t, const char *path, const char *text);
void tar_bytes(struct tar *t, const char *path, const void *data, size_t len);
void tar_dir(struct tar *t, const char *path);
void tar_symlink(struct tar *t, const char *path, const char *target);
void tar_hardlink(struct tar *t, const char *path, const char *target);
/* Any type, without bytes. */
void tar_type(struct tar *t, const char *path, unsigned type, unsigned perm);
void tar_xattr(struct tar *t, const char *path, const char *name, const void *value, size_t len);

struct digest sha256(struct bytes b);

struct imported {
	int result; /* of import_run */
	struct err err;
	struct bytes image;
	json_t *report;
};
/* Runs the whole import in this process, without confinement. limits NULL: the default. */
struct imported import_bytes(struct bytes archive, const char *ref,
			     const struct import_limits *limits);
struct imported import_fd(int fd, const char *ref, const struct import_limits *limits);
void imported_done(struct imported *i);

/* A memfd with these bytes. */
int bytes_fd(struct bytes b);

struct file {
	uint16_t mode;
	uint32_t uid, gid, nlink;
	uint64_t nid, size;
	char *text; /* content, target, or a directory's raw blocks; NUL added */
	size_t xattrs;
};
/* A path in the image: false when it isn't there. Links are not followed. */
bool image_find(struct bytes image, const char *path, struct file *ret);
void file_done(struct file *f);
/* How many names a directory has, with "." and "..". All are in order, or the test fails. */
size_t image_count(struct bytes image, const char *path);

#endif
