/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"
#include "import/erofs_internal.h"

/* One for all images: nothing but their names tells them apart, and the same tree gives the same
 * bytes. */
static const uint8_t uuid[16] = { 0x63, 0x61, 0x73, 0x65, 0x6d, 0x61, 0x40, 0x74,
				  0x80, 0x65, 0x69, 0x6d, 0x70, 0x6f, 0x72, 0x74 };

static int write_at(int fd, uint64_t offset, const void *data, size_t len, struct err *err)
{
	int r = fd_pwrite_full(fd, data, len, offset);

	return r < 0 ? err_sys(err, r, "writing the image") : 0;
}

/* CRC-32C without the last inversion, as the kernel has it. */
static uint32_t crc32c(uint32_t crc, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int b = 0; b < 8; b++)
			crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0);
	}
	return crc;
}

static int write_super(const struct erofs *e, int fd, struct err *err)
{
	uint8_t block[EROFS_BLOCK] = { 0 };
	struct erofs_super s = {
		.magic = le32_put(SUPER_MAGIC),
		.feature_compat = le32_put(COMPAT_SB_CHKSUM),
		.blkszbits = 12,
		.root_nid = le16_put(ROOT_NID),
		.inos = le64_put(e->inodes_count),
		.blocks = le32_put((uint32_t)e->blocks),
	};

	memcpy(s.uuid, uuid, sizeof(uuid));
	memcpy(block + SUPER_OFFSET, &s, sizeof(s));
	s.checksum = le32_put(crc32c(UINT32_MAX, block + SUPER_OFFSET, EROFS_BLOCK - SUPER_OFFSET));
	memcpy(block + SUPER_OFFSET, &s, sizeof(s));
	return write_at(fd, 0, block, sizeof(block), err);
}

static size_t put_xattrs(const struct inode *i, uint8_t *at)
{
	struct erofs_xattr_header head = { .shared_count = 0 };
	size_t len = sizeof(head);

	if (i->xattrs == NULL)
		return 0;
	memcpy(at, &head, sizeof(head));
	for (const struct xattr *x = i->xattrs; x != NULL; x = x->next) {
		struct erofs_xattr_entry entry = { x->name_len, x->index, le16_put(x->value_len) };

		memcpy(at + len, &entry, sizeof(entry));
		memcpy(at + len + sizeof(entry), x->bytes, (size_t)x->name_len + x->value_len);
		len += align_up(sizeof(entry) + x->name_len + x->value_len, 4);
	}
	return len;
}

/* The inode, its attributes, and a link's target if it fits there. */
static int write_inode(const struct inode *i, uint32_t number, int fd, struct err *err)
{
	uint8_t out[sizeof(struct erofs_inode) + IMPORT_XATTR_MAX + EROFS_BLOCK] = { 0 };
	size_t xattrs = erofs_xattr_bytes(i), len = sizeof(struct erofs_inode);
	bool in = erofs_is_inline(i);
	struct erofs_inode d = {
		.format = le16_put(FORMAT_EXTENDED | (in ? FORMAT_INLINE : FORMAT_PLAIN)),
		.mode = le16_put(i->mode),
		.size = le64_put(i->size),
		.blkaddr = le32_put(i->block),
		.ino = le32_put(number + 1),
		.uid = le32_put(i->uid),
		.gid = le32_put(i->gid),
		.mtime = le64_put((uint64_t)i->mtime),
		.mtime_nsec = le32_put(i->mtime_nsec),
		.nlink = le32_put(S_ISDIR(i->mode) ? i->subdirs + 2 : i->names),
	};

	BUG_ON(xattrs > IMPORT_XATTR_MAX);
	if (xattrs > 0)
		d.xattr_icount =
			le16_put((uint16_t)((xattrs - sizeof(struct erofs_xattr_header)) / 4 + 1));
	memcpy(out, &d, sizeof(d));
	len += put_xattrs(i, out + len);
	if (S_ISLNK(i->mode)) {
		BUG_ON(i->size > IMPORT_PATH_MAX);
		if (!in) {
			int r = write_at(fd, (uint64_t)i->block * EROFS_BLOCK, i->target,
					 (size_t)i->size, err);
			if (r < 0)
				return r;
		} else {
			memcpy(out + len, i->target, (size_t)i->size);
			len += (size_t)i->size;
		}
	}
	return write_at(fd, i->nid * SLOT, out, len, err);
}

static uint8_t file_type(const struct inode *i)
{
	return S_ISREG(i->mode) ? 1 : S_ISDIR(i->mode) ? 2 : 7;
}

/* One block of a directory's entries: as many as fit, beginning with *n. Returns the bytes used;
 * false in *more when there are none left. */
static size_t put_block(struct erofs_cursor *c, struct erofs_name *n, bool *more,
			uint8_t block[EROFS_BLOCK])
{
	struct erofs_cursor ahead = *c;
	struct erofs_name name = *n;
	size_t count = 0, used = 0, nameoff;

	do {
		if (used + sizeof(struct erofs_dirent) + name.len > EROFS_BLOCK)
			break;
		used += sizeof(struct erofs_dirent) + name.len;
		count++;
	} while (erofs_cursor_next(&ahead, &name));
	memset(block, 0, EROFS_BLOCK);
	nameoff = count * sizeof(struct erofs_dirent);
	for (size_t k = 0; k < count; k++) {
		struct erofs_dirent d = { .nid = le64_put(n->inode->nid),
					  .nameoff = le16_put((uint16_t)nameoff),
					  .file_type = file_type(n->inode) };

		BUG_ON(!*more);
		memcpy(block + k * sizeof(d), &d, sizeof(d));
		memcpy(block + nameoff, n->name, n->len);
		nameoff += n->len;
		*more = erofs_cursor_next(c, n);
	}
	return used;
}

static int write_directory(const struct node *dir, int fd, struct err *err)
{
	const struct inode *i = dir->inode;
	uint8_t block[EROFS_BLOCK];
	struct erofs_cursor c;
	struct erofs_name n;
	uint64_t done = 0;
	bool more;

	erofs_cursor_init(&c, dir);
	more = erofs_cursor_next(&c, &n);
	while (more) {
		size_t used = put_block(&c, &n, &more, block);
		size_t len = more ? EROFS_BLOCK : used;
		uint64_t at = (uint64_t)i->block * EROFS_BLOCK + done;
		int r;

		if (done == i->size - i->size % EROFS_BLOCK && erofs_is_inline(i))
			at = i->nid * SLOT + sizeof(struct erofs_inode) + erofs_xattr_bytes(i);
		r = write_at(fd, at, block, len, err);
		if (r < 0)
			return r;
		done += len;
	}
	BUG_ON(done != i->size);
	return 0;
}

int erofs_write_metadata(const struct erofs *e, int fd, struct err *err)
{
	int r;

	if (ftruncate(fd, (off_t)(e->blocks * EROFS_BLOCK)) < 0)
		return err_sys(err, -errno, "the image's size");
	for (uint32_t k = 0; k < e->inodes_count; k++) {
		r = write_inode(e->inodes[k], k, fd, err);
		if (r < 0)
			return r;
	}
	for (uint32_t k = 0; k < e->dirs_count; k++) {
		r = write_directory(e->dirs[k], fd, err);
		if (r < 0)
			return r;
	}
	return write_super(e, fd, err);
}

int erofs_write_data(const struct inode *i, int fd, uint64_t offset, const void *data, size_t len,
		     struct err *err)
{
	if (!range_fits(offset, len, i->size))
		return err_set(err, -EINVAL, "more bytes than its size says");
	return write_at(fd, (uint64_t)i->block * EROFS_BLOCK + offset, data, len, err);
}
