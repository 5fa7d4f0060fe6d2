/* SPDX-License-Identifier: Apache-2.0 */
#include "import/tree.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

#define BUCKETS_MIN (size_t)1024

_Static_assert(crypto_shorthash_KEYBYTES == 16, "struct tree's key");

/* SipHash of the name, keyed: an archive can't choose names that all fall into one bucket. */
static size_t bucket_of(const struct tree *t, const struct node *parent, const char *name,
			size_t len)
{
	uint8_t in[sizeof(void *) + IMPORT_NAME_MAX], out[crypto_shorthash_BYTES];
	uint64_t h;

	BUG_ON(len > IMPORT_NAME_MAX);
	memcpy(in, (const void *)&parent, sizeof(void *));
	memcpy(in + sizeof(void *), name, len);
	(void)crypto_shorthash(out, in, sizeof(void *) + len, t->key);
	memcpy(&h, out, sizeof(h));
	return (size_t)h & (t->buckets - 1);
}

static struct node *child_of(const struct tree *t, const struct node *dir, const char *name,
			     size_t len)
{
	struct node *n = t->table[bucket_of(t, dir, name, len)];

	while (n != NULL &&
	       (n->parent != dir || n->name_len != len || memcmp(n->name, name, len) != 0))
		n = n->chain;
	return n;
}

/* Twice as many buckets when there are as many nodes. Without memory the chains just get longer. */
static void grow(struct tree *t)
{
	struct node **old = t->table, **table;
	size_t count = t->buckets;

	if (t->nodes < count)
		return;
	table = calloc(count * 2, sizeof(struct node *));
	if (table == NULL)
		return;
	t->table = table;
	t->buckets = count * 2;
	for (size_t i = 0; i < count; i++)
		for (struct node *n = old[i], *next; n != NULL; n = next) {
			size_t b = bucket_of(t, n->parent, n->name, n->name_len);

			next = n->chain;
			n->chain = table[b];
			table[b] = n;
		}
	free(old);
}

int tree_account(struct tree *t, uint64_t bytes, struct err *err)
{
	if (bytes > t->limits.metadata_bytes - t->metadata_bytes)
		return err_set(err, -E2BIG, "more than %llu bytes of names and attributes",
			       (unsigned long long)t->limits.metadata_bytes);
	t->metadata_bytes += bytes;
	return 0;
}

void tree_free_xattrs(struct xattr *list)
{
	while (list != NULL) {
		struct xattr *next = list->next;

		free(list);
		list = next;
	}
}

static void inode_drop(struct inode *i)
{
	BUG_ON(i->names == 0);
	if (--i->names > 0)
		return;
	tree_free_xattrs(i->xattrs);
	free(i->target);
	free(i);
}

static bool is_dir(const struct node *n)
{
	return S_ISDIR(n->inode->mode);
}

/* Adds a name in dir for `inode`, which gets one reference more. */
static int node_add(struct tree *t, struct node *dir, uint32_t layer, const struct path_part *part,
		    struct inode *inode, struct node **ret, struct err *err)
{
	struct node *n;
	size_t b;
	int r;

	if (t->nodes >= t->limits.entries) {
		(void)err_set(err, -E2BIG, "more than %u files and directories", t->limits.entries);
		return -E2BIG;
	}
	r = tree_account(t, sizeof(*n) + part->len, err);
	if (r != 0)
		return r;
	n = malloc(sizeof(*n) + part->len);
	if (n == NULL) {
		(void)err_set(err, -ENOMEM, "out of memory");
		return -ENOMEM;
	}
	grow(t);
	*n = (struct node){ .inode = inode, .parent = dir, .layer = layer };
	n->name_len = (uint8_t)part->len;
	memcpy(n->name, part->name, part->len);
	n->next = dir->child;
	n->pprev = &dir->child;
	if (n->next != NULL)
		n->next->pprev = &n->next;
	dir->child = n;
	b = bucket_of(t, dir, n->name, n->name_len);
	n->chain = t->table[b];
	t->table[b] = n;
	t->nodes++;
	inode->names++;
	*ret = n;
	return 0;
}

static void node_remove(struct tree *t, struct node *n)
{
	struct node **at = &t->table[bucket_of(t, n->parent, n->name, n->name_len)];

	BUG_ON(n->child != NULL);
	while (*at != n)
		at = &(*at)->chain;
	*at = n->chain;
	*n->pprev = n->next;
	if (n->next != NULL)
		n->next->pprev = n->pprev;
	inode_drop(n->inode);
	free(n);
	t->nodes--;
}

/* Takes away what is below n and older than `layer`, and then n, if it is older and empty. Depth is
 * bounded by path_parse(). */
static void prune(struct tree *t, struct node *n, uint32_t layer, bool itself)
{
	for (struct node *c = n->child, *next; c != NULL; c = next) {
		next = c->next;
		prune(t, c, layer, true);
	}
	if (itself && n->child == NULL && n->layer < layer)
		node_remove(t, n);
}

static struct inode *inode_new(const struct tree_attr *a)
{
	struct inode *i = calloc(1, sizeof(*i));

	if (i != NULL)
		*i = (struct inode){ .mode = a->mode,
				     .uid = a->uid,
				     .gid = a->gid,
				     .mtime = a->mtime,
				     .mtime_nsec = a->mtime_nsec };
	return i;
}

/* The inode takes over what the attributes own. */
static void inode_fill(struct inode *i, uint32_t layer, struct tree_attr *a)
{
	tree_free_xattrs(i->xattrs);
	i->mode = a->mode;
	i->uid = a->uid;
	i->gid = a->gid;
	i->mtime = a->mtime;
	i->mtime_nsec = a->mtime_nsec;
	i->size = a->size;
	i->target = a->target;
	i->xattrs = a->xattrs;
	i->layer = layer;
	i->entry = a->entry;
	a->target = NULL;
	a->xattrs = NULL;
}

/* A new inode with one name in dir. */
static int make(struct tree *t, struct node *dir, uint32_t layer, const struct path_part *part,
		const struct tree_attr *a, struct node **ret, struct err *err)
{
	struct inode *i;
	int r = tree_account(t, sizeof(*i), err);

	if (r != 0)
		return r;
	i = inode_new(a);
	if (i == NULL) {
		(void)err_set(err, -ENOMEM, "out of memory");
		return -ENOMEM;
	}
	r = node_add(t, dir, layer, part, i, ret, err);
	if (r != 0)
		free(i);
	return r;
}

/* The directory that p's last component goes into, made if it isn't there. */
static int parent_of(struct tree *t, uint32_t layer, const struct path *p, struct node **ret,
		     struct err *err)
{
	static const struct tree_attr plain = { .mode = S_IFDIR | 0755 };
	struct node *dir = t->root;

	for (size_t i = 0; i + 1 < p->count; i++) {
		const struct path_part *part = &p->part[i];
		struct node *n = child_of(t, dir, part->name, part->len);
		int r;

		if (n == NULL) {
			r = make(t, dir, layer, part, &plain, &n, err);
			if (r != 0)
				return r;
			BUG_ON(n == NULL);
		}
		if (!is_dir(n)) {
			(void)err_set(err, -ENOTDIR, "%s %.*s is in its way",
				      S_ISLNK(n->inode->mode) ? "the symbolic link" : "the file",
				      (int)part->len, part->name);
			return -ENOTDIR;
		}
		dir = n;
	}
	*ret = dir;
	return 0;
}

/* Frees the place of p's last component for something that isn't a directory over a directory. */
static int replace(struct tree *t, uint32_t layer, const struct path *p, struct node **ret_dir,
		   struct err *err)
{
	const struct path_part *last;
	struct node *old;
	int r;

	if (p->count == 0) {
		(void)err_set(err, -EINVAL, "the root is not a directory");
		return -EINVAL;
	}
	r = parent_of(t, layer, p, ret_dir, err);
	if (r != 0)
		return r;
	last = &p->part[p->count - 1];
	old = child_of(t, *ret_dir, last->name, last->len);
	if (old != NULL)
		prune(t, old, UINT32_MAX, true);
	return 0;
}

int tree_put(struct tree *t, uint32_t layer, const struct path *p, struct tree_attr *a,
	     struct err *err)
{
	struct node *n = tree_find(t, p), *dir;
	int r;

	if (n == NULL || !is_dir(n) || !S_ISDIR(a->mode)) {
		r = replace(t, layer, p, &dir, err);
		if (r != 0)
			return r;
		r = make(t, dir, layer, &p->part[p->count - 1], a, &n, err);
		if (r != 0)
			return r;
	}
	inode_fill(n->inode, layer, a);
	n->layer = layer;
	return 0;
}

int tree_link(struct tree *t, uint32_t layer, const struct path *p, const struct path *target,
	      struct err *err)
{
	struct node *to = tree_find(t, target), *at = tree_find(t, p), *dir, *n;
	struct inode *i;
	int r;

	if (to == NULL)
		return err_set(err, -ENOENT, "a hard link to what isn't there");
	if (is_dir(to))
		return err_set(err, -EISDIR, "a hard link to a directory");
	i = to->inode;
	if (at == to || (at != NULL && at->inode == i)) {
		at->layer = layer;
		return 0;
	}
	i->names++; /* making room for the new name may take away the old one */
	r = replace(t, layer, p, &dir, err);
	if (r == 0)
		r = node_add(t, dir, layer, &p->part[p->count - 1], i, &n, err);
	inode_drop(i);
	return r;
}

void tree_whiteout(struct tree *t, uint32_t layer, const struct path *p)
{
	struct node *n = tree_find(t, p);

	if (n != NULL)
		prune(t, n, layer, n != t->root);
}

void tree_opaque(struct tree *t, uint32_t layer, const struct path *p)
{
	struct node *n = tree_find(t, p);

	if (n != NULL)
		prune(t, n, layer, false);
}

struct node *tree_find(const struct tree *t, const struct path *p)
{
	struct node *n = t->root;

	for (size_t i = 0; n != NULL && i < p->count; i++)
		n = is_dir(n) ? child_of(t, n, p->part[i].name, p->part[i].len) : NULL;
	return n;
}

int tree_init(struct tree *t, const struct import_limits *limits)
{
	static const struct tree_attr plain = { .mode = S_IFDIR | 0755 };

	*t = (struct tree){ .buckets = BUCKETS_MIN, .limits = *limits };
	randombytes_buf(t->key, sizeof(t->key));
	t->table = calloc(t->buckets, sizeof(struct node *));
	t->root = calloc(1, sizeof(*t->root));
	if (t->root != NULL)
		t->root->inode = inode_new(&plain);
	if (t->table == NULL || t->root == NULL || t->root->inode == NULL) {
		if (t->root != NULL)
			free(t->root->inode);
		free(t->root);
		free(t->table);
		*t = (struct tree){ 0 };
		return -ENOMEM;
	}
	t->root->inode->names = 1;
	return 0;
}

void tree_done(struct tree *t)
{
	if (t->root == NULL)
		return;
	prune(t, t->root, UINT32_MAX, false);
	BUG_ON(t->nodes != 0);
	inode_drop(t->root->inode);
	free(t->root);
	free(t->table);
	*t = (struct tree){ 0 };
}
