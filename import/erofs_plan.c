/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"
#include "import/erofs_internal.h"

int erofs_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int r = memcmp(a, b, MIN(a_len, b_len));

	if (r != 0)
		return r;
	return a_len < b_len ? -1 : a_len > b_len;
}

size_t erofs_xattr_bytes(const struct inode *i)
{
	size_t bytes = sizeof(struct erofs_xattr_header);

	if (i->xattrs == NULL)
		return 0;
	for (const struct xattr *x = i->xattrs; x != NULL; x = x->next)
		bytes += align_up(sizeof(struct erofs_xattr_entry) + x->name_len + x->value_len, 4);
	return bytes;
}

void erofs_cursor_init(struct erofs_cursor *c, const struct node *dir)
{
	*c = (struct erofs_cursor){ .dir = dir, .next = dir->child };
}

bool erofs_cursor_next(struct erofs_cursor *c, struct erofs_name *ret)
{
	const struct node *up = c->dir->parent != NULL ? c->dir->parent : c->dir;
	struct erofs_name dot = { "..", c->dots + 1U, c->dots == 0 ? c->dir->inode : up->inode };
	const struct node *n = c->next;

	/* Names such as "!" and "-" come before "." does. */
	if (c->dots < 2 &&
	    (n == NULL || erofs_compare(dot.name, dot.len, n->name, n->name_len) < 0)) {
		c->dots++;
		*ret = dot;
		return true;
	}
	if (n == NULL)
		return false;
	c->next = n->next;
	*ret = (struct erofs_name){ n->name, n->name_len, n->inode };
	return true;
}

static int compare_nodes(const void *a, const void *b)
{
	const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

	return erofs_compare(x->name, x->name_len, y->name, y->name_len);
}

/* Puts a directory's children in order; `list` has room for all nodes. */
static void sort_children(struct node *dir, struct node **list)
{
	size_t count = 0;
	struct node **at = &dir->child;

	for (struct node *n = dir->child; n != NULL; n = n->next)
		list[count++] = n;
	if (count > 0)
		qsort(list, count, sizeof(struct node *), compare_nodes);
	for (size_t i = 0; i < count; i++) {
		*at = list[i];
		list[i]->pprev = at;
		at = &list[i]->next;
	}
	*at = NULL;
}

/* Entries don't cross blocks; a block that isn't the last counts whole. */
static uint64_t directory_bytes(const struct node *dir)
{
	struct erofs_cursor c;
	struct erofs_name n;
	uint64_t bytes = 0;

	erofs_cursor_init(&c, dir);
	while (erofs_cursor_next(&c, &n)) {
		size_t need = sizeof(struct erofs_dirent) + n.len;

		if (bytes % EROFS_BLOCK + need > EROFS_BLOCK)
			bytes = align_up(bytes, EROFS_BLOCK);
		bytes += need;
	}
	return bytes;
}

static void add_inode(struct erofs *e, struct inode *i)
{
	if (i->nid != 0)
		return;
	i->nid = UINT64_MAX; /* has a number, not yet a place */
	e->inodes[e->inodes_count++] = i;
	if (S_ISREG(i->mode) && i->size > 0)
		e->files[e->files_count++] = i;
}

/* Numbers everything, breadth first. */
static void collect(struct erofs *e, struct tree *t, struct node **scratch)
{
	e->dirs[e->dirs_count++] = t->root;
	add_inode(e, t->root->inode);
	for (uint32_t d = 0; d < e->dirs_count; d++) {
		struct node *dir = e->dirs[d];

		sort_children(dir, scratch);
		dir->inode->size = directory_bytes(dir);
		dir->inode->subdirs = 0;
		for (struct node *n = dir->child; n != NULL; n = n->next) {
			add_inode(e, n->inode);
			if (S_ISDIR(n->inode->mode)) {
				dir->inode->subdirs++;
				e->dirs[e->dirs_count++] = n;
			}
		}
	}
}

static int compare_files(const void *a, const void *b)
{
	const struct inode *x = *(struct inode *const *)a, *y = *(struct inode *const *)b;

	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static uint64_t place_inodes(struct erofs *e)
{
	uint64_t at = EROFS_BLOCK;

	for (uint32_t k = 0; k < e->inodes_count; k++) {
		struct inode *i = e->inodes[k];
		uint64_t need = sizeof(struct erofs_inode) + erofs_xattr_bytes(i);

		/* An inode that begins at a multiple of its size crosses no block; nor may a tail.
		 */
		at = align_up(at, sizeof(struct erofs_inode));
		if (erofs_is_inline(i)) {
			need += i->size % EROFS_BLOCK;
			if (at % EROFS_BLOCK + need > EROFS_BLOCK)
				at = align_up(at, EROFS_BLOCK);
		}
		i->nid = at / SLOT;
		at += need;
	}
	return align_up(at, EROFS_BLOCK) / EROFS_BLOCK;
}

/* Sums of at most 2^32 sizes below 2^64 / 2^32: checked at each step against the limit. */
static int place_data(struct erofs *e, uint64_t max_blocks)
{
	for (uint32_t k = 0; k < e->inodes_count + e->files_count; k++) {
		bool file = k >= e->inodes_count;
		struct inode *i = file ? e->files[k - e->inodes_count] : e->inodes[k];
		uint64_t blocks;

		if (S_ISREG(i->mode) != file)
			continue;
		if (i->size / EROFS_BLOCK >= max_blocks)
			return -EFBIG;
		blocks =
			i->size / EROFS_BLOCK + (i->size % EROFS_BLOCK != 0 && !erofs_is_inline(i));
		i->block = (uint32_t)e->blocks;
		e->blocks += blocks;
		if (e->blocks > max_blocks)
			return -EFBIG;
	}
	return 0;
}

int erofs_plan(struct erofs *e, struct tree *t, struct err *err)
{
	size_t max = (size_t)t->nodes + 1;
	uint64_t max_blocks = MIN(t->limits.image_bytes / EROFS_BLOCK, (uint64_t)UINT32_MAX);
	struct node **scratch = calloc(max, sizeof(struct node *));
	int r = 0;

	*e = (struct erofs){ .tree = t,
			     .dirs = calloc(max, sizeof(struct node *)),
			     .inodes = calloc(max, sizeof(struct inode *)),
			     .files = calloc(max, sizeof(struct inode *)) };
	if (scratch == NULL || e->dirs == NULL || e->inodes == NULL || e->files == NULL) {
		free(scratch);
		erofs_done(e);
		return err_set(err, -ENOMEM, "out of memory");
	}
	collect(e, t, scratch);
	free(scratch);
	if (e->files_count > 0)
		qsort(e->files, e->files_count, sizeof(struct inode *), compare_files);
	e->blocks = place_inodes(e);
	BUG_ON(t->root->inode->nid != ROOT_NID);
	if (place_data(e, max_blocks) < 0) {
		r = err_set(err, -EFBIG, "the image would be larger than %llu bytes",
			    (unsigned long long)t->limits.image_bytes);
		erofs_done(e);
	}
	return r;
}

void erofs_done(struct erofs *e)
{
	free(e->dirs);
	free(e->inodes);
	free(e->files);
	*e = (struct erofs){ 0 };
}
