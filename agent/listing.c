/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/listing.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int add(struct listing *l, entry_pb *e)
{
	if (l->count == l->cap) {
		size_t cap = l->cap > 0 ? l->cap * 2 : 64;
		entry_pb **list;

		if (l->count >= LISTING_ENTRIES_MAX)
			return -E2BIG;
		list = reallocarray(l->entries, cap, sizeof(*list));
		if (list == NULL)
			return -ENOMEM;
		l->entries = list;
		l->cap = cap;
	}
	l->entries[l->count++] = e;
	return 0;
}

struct names {
	char **list;
	size_t count, cap;
};

static void names_free(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->list[i]);
	free(n->list);
}

static int names_add(struct names *n, const char *name)
{
	if (n->count == n->cap) {
		size_t cap = n->cap > 0 ? n->cap * 2 : 64;
		char **list;

		if (n->count >= LISTING_ENTRIES_MAX)
			return -E2BIG;
		list = reallocarray(n->list, cap, sizeof(*list));
		if (list == NULL)
			return -ENOMEM;
		n->list = list;
		n->cap = cap;
	}
	n->list[n->count] = strdup(name);
	return n->list[n->count++] == NULL ? -ENOMEM : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(const char *path, struct names *n)
{
	DIR *d = opendir(path);
	const struct dirent *e;
	int r = 0;

	if (d == NULL)
		return -errno;
	while (r == 0 && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = names_add(n, e->d_name);
	(void)closedir(d);
	if (r == 0 && n->count > 0)
		qsort(n->list, n->count, sizeof(*n->list), by_name);
	return r;
}

static int read_dir(struct listing *l, const char *path, uint32_t depth, struct entry_names *names,
		    bool top);

static int read_one(struct listing *l, const char *dir, const char *name, uint32_t depth,
		    struct entry_names *names)
{
	char *path;
	entry_pb *e;
	struct stat st;
	int r;

	if (asprintf(&path, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name) < 0)
		return -ENOMEM;
	r = entry_get(path, names, &e, NULL);
	if (r == 0) {
		r = add(l, e);
		if (r < 0)
			entry_free(e);
	} else if (r != -ENOMEM) {
		r = 1; /* it has gone meanwhile, or its path is too long for the kernel */
	}
	if (r == 0 && depth > 1 && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
		r = read_dir(l, path, depth - 1, names, false);
	free(path);
	return r < 0 ? r : 0;
}

static int read_dir(struct listing *l, const char *path, uint32_t depth, struct entry_names *names,
		    bool top)
{
	struct names n = { 0 };
	int r = read_names(path, &n);

	if (r < 0 && r != -ENOMEM && r != -E2BIG && !top)
		r = 0;
	for (size_t i = 0; r == 0 && i < n.count; i++)
		r = read_one(l, path, n.list[i], depth, names);
	names_free(&n);
	return r;
}

int listing_read(struct listing *l, const char *path, uint32_t depth, struct err *err)
{
	struct entry_names names;
	int r;

	*l = (struct listing){ 0 };
	if (depth > LISTING_DEPTH_MAX)
		depth = LISTING_DEPTH_MAX;
	entry_names_init(&names);
	r = read_dir(l, path, depth > 0 ? depth : 1, &names, true);
	entry_names_done(&names);
	if (r == -E2BIG)
		return err_set(err, r, "%.160s: more than %d entries", path, LISTING_ENTRIES_MAX);
	if (r == -ENOENT)
		return err_set(err, r, "directory not found: %.160s", path);
	if (r == -ENOTDIR)
		return err_set(err, r, "path is not a directory: %.160s", path);
	return r < 0 ? err_sys(err, r, "%.160s", path) : 0;
}

void listing_free(struct listing *l)
{
	for (size_t i = 0; i < l->count; i++)
		entry_free(l->entries[i]);
	free(l->entries);
	*l = (struct listing){ 0 };
}
