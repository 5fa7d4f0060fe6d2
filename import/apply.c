/* SPDX-License-Identifier: Apache-2.0 */
#include "import/apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"

#define WHITEOUT	".wh."
#define WHITEOUT_LEN	(sizeof(WHITEOUT) - 1)
#define META		".wh..wh." /* aufs' own; only the next means anything */
#define META_LEN	(sizeof(META) - 1)
#define OPAQUE		".wh..wh..opq"
#define CAPABILITY_ATTR "security.capability"

static bool starts(const struct path_part *p, const char *with, size_t len)
{
	return p->len >= len && memcmp(p->name, with, len) == 0;
}

/* True when the entry is a whiteout, which is then done. */
static bool whiteout(struct tree *t, uint32_t layer, struct path *p)
{
	struct path_part *last;

	if (p->count == 0)
		return false;
	last = &p->part[p->count - 1];
	if (!starts(last, WHITEOUT, WHITEOUT_LEN))
		return false;
	if (starts(last, META, META_LEN)) {
		p->count--;
		if (last->len == sizeof(OPAQUE) - 1 && starts(last, OPAQUE, last->len))
			tree_opaque(t, layer, p);
		return true;
	}
	last->name += WHITEOUT_LEN;
	last->len -= WHITEOUT_LEN;
	/* ".wh." alone, ".wh.." and ".wh...": of names that can't be there. */
	if (last->len > 0)
		tree_whiteout(t, layer, p);
	return true;
}

/* user.* is data; security.capability means something only inside the guest, where the program
 * runs. What else there is (labels, ACLs, trusted.*) was meant for the machine that it comes from.
 */
static const char *kept_xattr(const char *name, uint8_t *ret_index)
{
	if (strncmp(name, "user.", 5) == 0 && name[5] != '\0') {
		*ret_index = EROFS_XATTR_USER;
		return name + 5;
	}
	if (strcmp(name, CAPABILITY_ATTR) == 0) {
		*ret_index = EROFS_XATTR_SECURITY;
		return name + 9;
	}
	return NULL;
}

static int take_xattrs(struct tree *t, struct archive_entry *e, struct apply_counts *counts,
		       struct xattr **list, struct err *err)
{
	size_t total = 12; /* the header */
	const char *full;
	const void *value;
	size_t len;

	(void)archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &full, &value, &len) == ARCHIVE_OK) {
		uint8_t index = 0;
		const char *name = kept_xattr(full, &index);
		struct xattr *x;
		int r;

		if (name == NULL) {
			counts->xattrs_dropped++;
			continue;
		}
		if (len > IMPORT_XATTR_MAX || strlen(name) > IMPORT_NAME_MAX)
			return err_set(err, -E2BIG, "too large an extended attribute");
		total += align_up(4 + strlen(name) + len, 4);
		if (total > IMPORT_XATTR_MAX)
			return err_set(err, -E2BIG, "more than %d bytes of extended attributes",
				       IMPORT_XATTR_MAX);
		r = tree_account(t, sizeof(*x) + strlen(name) + len, err);
		if (r < 0)
			return r;
		x = malloc(sizeof(*x) + strlen(name) + len);
		if (x == NULL)
			return err_set(err, -ENOMEM, "out of memory");
		*x = (struct xattr){ .next = *list,
				     .index = index,
				     .name_len = (uint8_t)strlen(name),
				     .value_len = (uint16_t)len };
		memcpy(x->bytes, name, strlen(name));
		if (len > 0)
			memcpy(x->bytes + strlen(name), value, len);
		*list = x;
	}
	return 0;
}

static int take_target(struct tree *t, struct archive_entry *e, struct tree_attr *a,
		       struct err *err)
{
	const char *target = archive_entry_symlink(e);
	int r;

	if (target == NULL || target[0] == '\0' || strlen(target) > IMPORT_PATH_MAX)
		return err_set(err, -EINVAL, "a symbolic link to nothing, or to too long a path");
	r = tree_account(t, strlen(target) + 1, err);
	if (r < 0)
		return r;
	a->target = strdup(target);
	a->size = strlen(target);
	return a->target == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int take_attr(struct tree *t, struct archive_entry *e, struct apply_counts *counts,
		     struct tree_attr *a, struct err *err)
{
	int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e),
		size = archive_entry_size(e);
	mode_t type = archive_entry_filetype(e);
	int r;

	if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK)
		return err_set(err, -EINVAL, "neither a file, a directory nor a link");
	/* 2^32 - 1 is nobody's: "unchanged" for chown(). */
	if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
		return err_set(err, -EINVAL, "an owner out of range");
	if (size < 0)
		return err_set(err, -EINVAL, "a negative size");
	*a = (struct tree_attr){
		.mode = (uint16_t)(type | (archive_entry_perm(e) & 07777)),
		.uid = (uint32_t)uid,
		.gid = (uint32_t)gid,
		.mtime = archive_entry_mtime(e),
		.mtime_nsec = (uint32_t)archive_entry_mtime_nsec(e) % 1000000000U,
		.size = type == AE_IFREG ? (uint64_t)size : 0,
		.entry = counts->entries,
	};
	if (a->size > t->limits.image_bytes)
		return err_set(err, -EFBIG, "larger than the image may be");
	r = type == AE_IFLNK ? take_target(t, e, a, err) : 0;
	if (r == 0)
		r = take_xattrs(t, e, counts, &a->xattrs, err);
	return r;
}

static int apply_link(struct tree *t, uint32_t number, const struct path *p, const char *target,
		      struct err *err)
{
	struct path to;
	int r = path_parse(target, &to, err);

	if (r < 0)
		return err_wrap(err, "a hard link to");
	return tree_link(t, number, p, &to, err);
}

static int apply_entry(struct tree *t, uint32_t number, struct archive_entry *e, bool whiteouts,
		       struct apply_counts *counts, struct err *err)
{
	const char *name = archive_entry_pathname(e), *target;
	struct tree_attr a = { 0 };
	struct path p;
	int r;

	if (name == NULL)
		return err_set(err, -EINVAL, "an entry without a name");
	r = path_parse(name, &p, err);
	if (r < 0)
		return r;
	if (whiteouts && whiteout(t, number, &p))
		return 0;
	target = archive_entry_hardlink(e);
	if (target != NULL) {
		r = archive_entry_size(e) > 0
			    ? err_set(err, -EINVAL, "a hard link with bytes of its own")
			    : apply_link(t, number, &p, target, err);
	} else {
		r = take_attr(t, e, counts, &a, err);
		if (r == 0)
			r = tree_put(t, number, &p, &a, err);
		tree_free_xattrs(a.xattrs);
		free(a.target);
	}
	return r < 0 ? err_wrap(err, "%.120s", name) : 0;
}

int apply_names(struct tree *t, struct layer *l, uint32_t number, bool whiteouts,
		struct apply_counts *counts, struct err *err)
{
	struct archive_entry *e;
	int r;

	while ((r = layer_next(l, &e, err)) > 0) {
		if (counts->entries >= t->limits.entries)
			return err_set(err, -E2BIG, "more than %u entries", t->limits.entries);
		r = apply_entry(t, number, e, whiteouts, counts, err);
		if (r < 0)
			return r;
		counts->entries++;
	}
	return r;
}

static int copy_file(struct layer *l, const struct inode *i, int fd, struct err *err)
{
	const void *data;
	uint64_t offset;
	size_t len;
	int r;

	while ((r = layer_data(l, &data, &len, &offset, err)) > 0) {
		r = len > 0 ? erofs_write_data(i, fd, offset, data, len, err) : 0;
		if (r < 0)
			break;
	}
	return r;
}

int apply_bytes(const struct erofs *e, struct layer *l, uint32_t number, struct apply_cursor *c,
		int fd, struct err *err)
{
	struct archive_entry *head;
	int r;

	while ((r = layer_next(l, &head, err)) > 0) {
		const struct inode *i = c->file < e->files_count ? e->files[c->file] : NULL;

		if (i != NULL && i->layer == number && i->entry == c->entry) {
			r = copy_file(l, i, fd, err);
			if (r < 0)
				return r;
			c->file++;
		}
		c->entry++;
	}
	if (r == 0 && c->file < e->files_count && e->files[c->file]->layer == number)
		return err_set(err, -EINVAL, "the input changed while it was read");
	return r;
}
