/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - the file system that an image's layers make together, in memory: names, metadata, and
 * where each file's bytes are to be found; no file of the host is ever made from it.
 *
 * Layers are put in from the lowest to the highest. Symbolic links are data: a path that leads
 * through one is refused, so nothing can be written anywhere but where its name says. One thread.
 */
#ifndef IMPORT_TREE_H
#define IMPORT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/compiler.h"
#include "base/err.h"
#include "import/limits.h"
#include "import/path.h"

struct xattr {
	struct xattr *next;
	uint8_t index; /* EROFS's number of the prefix ("user.", "security.") */
	uint8_t name_len;
	uint16_t value_len;
	uint8_t bytes[]; /* name without the prefix, value */
};

struct inode {
	uint32_t names; /* directory entries that lead here; not counting "." and ".." */
	uint16_t mode;	/* S_IFREG, S_IFDIR or S_IFLNK, and 07777 */
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_nsec;
	uint64_t size; /* of a regular file or link */
	char *target;  /* of a symbolic link */
	struct xattr *xattrs;
	uint32_t layer,
		entry; /* where a regular file's bytes are: the entry's number in its layer */
	/* Filled by erofs_plan(). */
	uint64_t nid; /* 0: none yet */
	uint32_t block;
	uint32_t subdirs;
};

struct node {
	struct inode *inode;
	struct node *parent;	    /* NULL: the root */
	struct node *child;	    /* a directory's first */
	struct node *next, **pprev; /* its siblings */
	struct node *chain;	    /* of the hash table */
	uint32_t layer;		    /* that put it here last */
	uint8_t name_len;
	char name[];
};

struct tree {
	struct node *root;
	struct node **table;
	size_t buckets; /* a power of two */
	uint8_t key[16];
	uint32_t nodes;
	uint64_t metadata_bytes;
	struct import_limits limits;
};

/* What an entry says of itself. xattrs and target are taken over when tree_put() succeeds. */
struct tree_attr {
	uint16_t mode;
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_nsec;
	uint64_t size;
	char *target;
	struct xattr *xattrs;
	uint32_t entry;
};

/* 0, -ENOMEM. tree_done takes one that was only zeroed, too. */
MUST_USE int tree_init(struct tree *t, const struct import_limits *limits);
void tree_done(struct tree *t);

/* Frees a list; NULL is fine. */
void tree_free_xattrs(struct xattr *list);
/* Counts bytes that the caller will keep in the tree: 0, -E2BIG. */
MUST_USE int tree_account(struct tree *t, uint64_t bytes, struct err *err);

/*
 * A file, directory or link of layer `layer`. A directory over a directory changes its attributes;
 * all else replaces what was there. Missing parents become root's, 0755. -ENOTDIR: something else
 * than a directory is in the way; -E2BIG, -ENOMEM, -EINVAL.
 */
MUST_USE int tree_put(struct tree *t, uint32_t layer, const struct path *p, struct tree_attr *a,
		      struct err *err);
/* A second name for what is at `target`, which must be there and no directory. */
MUST_USE int tree_link(struct tree *t, uint32_t layer, const struct path *p,
		       const struct path *target, struct err *err);
/* Takes away what layers below `layer` have at p. Nothing there: nothing to do. */
void tree_whiteout(struct tree *t, uint32_t layer, const struct path *p);
/* Takes away what layers below `layer` have inside the directory p. */
void tree_opaque(struct tree *t, uint32_t layer, const struct path *p);

/* NULL: not there, or reached only through something that isn't a directory. */
struct node *tree_find(const struct tree *t, const struct path *p);

#endif
