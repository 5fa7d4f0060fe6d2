/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_internal.h - the layout on the disk, and what planning and writing share. */
#ifndef IMPORT_EROFS_INTERNAL_H
#define IMPORT_EROFS_INTERNAL_H

#include "base/le.h"
#include "import/erofs.h"

#define SUPER_OFFSET	 1024U
#define SUPER_MAGIC	 0xE0F5E1E2U
#define COMPAT_SB_CHKSUM 1U
#define SLOT		 32U /* a nid counts these */
#define ROOT_NID	 (EROFS_BLOCK / SLOT)

#define FORMAT_EXTENDED 1U
#define FORMAT_PLAIN	(0U << 1)
#define FORMAT_INLINE	(2U << 1)

struct erofs_super {
	le32_t magic, checksum, feature_compat;
	uint8_t blkszbits, sb_extslots;
	le16_t root_nid;
	le64_t inos, build_time;
	le32_t build_time_nsec, blocks, meta_blkaddr, xattr_blkaddr;
	uint8_t uuid[16], volume_name[16];
	le32_t feature_incompat;
	le16_t compr_algs, extra_devices, devt_slotoff;
	uint8_t reserved[38];
};
_Static_assert(sizeof(struct erofs_super) == 128, "the kernel's layout");

struct erofs_inode {
	le16_t format, xattr_icount, mode, reserved;
	le64_t size;
	le32_t blkaddr, ino, uid, gid;
	le64_t mtime;
	le32_t mtime_nsec, nlink;
	uint8_t reserved2[16];
};
_Static_assert(sizeof(struct erofs_inode) == 64, "the kernel's layout");

struct erofs_dirent {
	le64_t nid;
	le16_t nameoff;
	uint8_t file_type, reserved;
} PACKED;
_Static_assert(sizeof(struct erofs_dirent) == 12, "the kernel's layout");

struct erofs_xattr_header {
	le32_t name_filter;
	uint8_t shared_count, reserved[7];
};
_Static_assert(sizeof(struct erofs_xattr_header) == 12, "the kernel's layout");

struct erofs_xattr_entry {
	uint8_t name_len, name_index;
	le16_t value_size;
};
_Static_assert(sizeof(struct erofs_xattr_entry) == 4, "the kernel's layout");

/* Bytes of the inode's attributes on the disk; 0 without any. */
size_t erofs_xattr_bytes(const struct inode *i);
/* Where the bytes that fill no whole block lie: behind the inode, or in a block of their own. */
static inline bool erofs_is_inline(const struct inode *i)
{
	size_t tail = (size_t)(i->size % EROFS_BLOCK);

	return !S_ISREG(i->mode) && tail > 0 &&
	       sizeof(struct erofs_inode) + erofs_xattr_bytes(i) + tail <= EROFS_BLOCK;
}

/* A directory's entries in the order of the disk: "." and ".." are among them, by their names. */
struct erofs_cursor {
	const struct node *dir, *next;
	unsigned dots; /* of "." and "..", how many have been given */
};
struct erofs_name {
	const char *name;
	size_t len;
	const struct inode *inode;
};
void erofs_cursor_init(struct erofs_cursor *c, const struct node *dir);
/* False at the end. */
bool erofs_cursor_next(struct erofs_cursor *c, struct erofs_name *ret);

/* Byte order of names, as the kernel's binary search has it. */
int erofs_compare(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
