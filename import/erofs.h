/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs.h - writes a tree as an EROFS image: uncompressed, 4 KiB blocks, the same bytes for the
 * same tree.
 *
 * Source of the format: Linux fs/erofs/erofs_fs.h. Extended inodes (64 bytes); the data of files
 * lies in whole blocks, so that a guest can map it (DAX); that of directories and links lies behind
 * the inode where it fits. The image is:
 *
 *     block 0         superblock at byte 1024
 *     block 1 ...     inodes, each with its extended attributes and its tail; the root's is the
 * first then            whole blocks of directories then            files, in the order of their
 * layers, so that they are written from front to back
 *
 * mkfs.erofs of Debian 12 takes a directory only. To make one of an archive, with its owners, would
 * need privileges and a file system that the archive's names are written to; this needs one
 * descriptor.
 */
#ifndef IMPORT_EROFS_H
#define IMPORT_EROFS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "import/tree.h"

#define EROFS_BLOCK	     4096U
#define EROFS_XATTR_USER     1
#define EROFS_XATTR_SECURITY 6

struct erofs {
	const struct tree *tree; /* must not change while this lives */
	struct node **dirs;	 /* all directories, parents first */
	uint32_t dirs_count;
	struct inode **inodes; /* all, by number */
	uint32_t inodes_count;
	struct inode **files; /* regular ones that have bytes, by layer and entry */
	uint32_t files_count;
	uint64_t blocks; /* of the image */
};

/* Decides where everything goes. Sorts the tree's directories. -EFBIG: larger than the limit. */
MUST_USE int erofs_plan(struct erofs *e, struct tree *t, struct err *err);
void erofs_done(struct erofs *e);

/* Everything but the files' bytes, into an empty file; which gets its size: holes are zeroes. */
MUST_USE int erofs_write_metadata(const struct erofs *e, int fd, struct err *err);
/* A part of a file's bytes: beyond the file's size it is -EINVAL. */
MUST_USE int erofs_write_data(const struct inode *i, int fd, uint64_t offset, const void *data,
			      size_t len, struct err *err);

#endif
