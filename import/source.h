/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - what is imported: a tar of a root directory, a docker-save archive, an OCI layout as a
 * tar or as a directory; and the blobs in it, by name.
 *
 * A directory's files are all opened by source_open(), before the process locks itself in and
 * before a byte of them is read: from then on nothing is opened. One thread.
 */
#ifndef IMPORT_SOURCE_H
#define IMPORT_SOURCE_H

#include <archive.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "import/limits.h"

enum source_format {
	SOURCE_TAR, /* one layer, without whiteouts */
	SOURCE_DOCKER,
	SOURCE_OCI,
	SOURCE_FORMAT_COUNT
};

#define SOURCE_NAME_MAX \
	128 /* of a blob; "blobs/sha256/" and 64 digits are the longest of a layout */

struct source {
	int fd; /* the caller's: a regular file or a directory */
	bool is_dir;
	size_t count; /* a directory's files */
	struct source_file {
		char name[SOURCE_NAME_MAX];
		int fd;
	} file[IMPORT_BLOBS_MAX + 2];
};

/* fd stays the caller's and must outlive the source. Reads no file. */
MUST_USE int source_open(struct source *s, int fd, struct err *err);
void source_close(struct source *s);

/* Looks at the names in it. */
MUST_USE int source_detect(const struct source *s, const struct import_limits *limits,
			   enum source_format *ret, struct err *err);
const char *source_format_name(enum source_format f);

/* A blob's bytes, in order. */
struct blob {
	int fd;		       /* not owned; -1: from the archive */
	struct archive *outer; /* the archive it lies in, owned */
	uint64_t offset;
	uint8_t *buffer;
};

/* name NULL: the whole source, which is no directory. -ENOENT: no such file. */
MUST_USE int blob_open(struct blob *b, const struct source *s, const char *name, struct err *err);
void blob_close(struct blob *b);
/* *ret_len 0: the end. The bytes are valid until the next call. */
MUST_USE int blob_read(struct blob *b, const void **ret, size_t *ret_len, struct err *err);
/* All of it, at most max bytes, NUL added; freed by the caller. -EFBIG. */
MUST_USE int blob_read_all(struct blob *b, size_t max, char **ret, size_t *ret_len,
			   struct err *err);

#endif
