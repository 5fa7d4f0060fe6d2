/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. dirs[] maps the kernel's watch numbers to paths below the top, sorted by
 * number: the kernel hands out rising ones. A new directory can have been filled before its watch
 * is there, so it is read after; what that finds waits in found[] and is told before the kernel's
 * next event. A file may thus be told twice, never not at all.
 */
#include "agent/watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/bug.h"
#include "base/fd.h"

#define EVENT_MASK                                                                     \
	(IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | \
	 IN_DELETE_SELF | IN_MOVE_SELF)
#define READ_BYTES 16384
#define DEPTH_MAX  64
/* Not in linux/magic.h of every version. */
#define CIFS_MAGIC 0xff534d42UL
#define SMB2_MAGIC 0xfe534d42UL

struct dir {
	int wd;
	char *path; /* relative; "" = the top */
};

struct found {
	struct found *next;
	bool written; /* WRITE is to be told after CREATE */
	bool created; /* which has been told */
	char path[];
};

struct watch {
	struct place place;
	bool recursive;
	int fd;
	struct dir *dirs;
	size_t count, cap;
	struct found *found, **found_end;
	unsigned found_count;
	size_t len, at; /* of buf */
	_Alignas(struct inotify_event) char buf[READ_BYTES];
};

/* ---- The directories --------------------------------------------------------------------- */

/* The index of the first with a number >= wd. */
static size_t dir_index(const struct watch *w, int wd)
{
	size_t low = 0, high = w->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (w->dirs[mid].wd < wd)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int dir_grow(struct watch *w)
{
	size_t cap = w->cap > 0 ? w->cap * 2 : 16;
	struct dir *dirs;

	if (w->count < w->cap)
		return 0;
	if (w->count >= WATCH_DIRS_MAX)
		return -E2BIG;
	dirs = reallocarray(w->dirs, cap, sizeof(*dirs));
	if (dirs == NULL)
		return -ENOMEM;
	w->dirs = dirs;
	w->cap = cap;
	return 0;
}

/* Takes path. The same directory under a new name keeps its number. */
static int dir_put(struct watch *w, int wd, char *path)
{
	size_t i = dir_index(w, wd);

	if (i < w->count && w->dirs[i].wd == wd) {
		free(w->dirs[i].path);
		w->dirs[i].path = path;
		return 0;
	}
	int r = dir_grow(w);
	if (r < 0) {
		free(path);
		return r;
	}
	memmove(&w->dirs[i + 1], &w->dirs[i], (w->count - i) * sizeof(*w->dirs));
	w->dirs[i] = (struct dir){ .wd = wd, .path = path };
	w->count++;
	return 0;
}

static void dir_drop(struct watch *w, size_t i)
{
	free(w->dirs[i].path);
	w->count--;
	memmove(&w->dirs[i], &w->dirs[i + 1], (w->count - i) * sizeof(*w->dirs));
}

static char *join(const char *dir, const char *name)
{
	char *path;

	if (name[0] == '\0')
		return strdup(dir);
	if (asprintf(&path, "%s%s%s", dir, dir[0] != '\0' ? "/" : "", name) < 0)
		return NULL;
	return path;
}

/* Where a directory is, for the kernel. */
static char *full_path(const struct watch *w, const char *relative)
{
	return join(strcmp(w->place.path, "/") == 0 ? "" : w->place.path, relative);
}

/* It has gone elsewhere: what it and those below it do is no news any more. */
static void forget_tree(struct watch *w, const char *path)
{
	const size_t len = strlen(path);

	for (size_t i = w->count; i-- > 0;) {
		const char *p = w->dirs[i].path;
		if (strncmp(p, path, len) != 0 || (p[len] != '/' && p[len] != '\0'))
			continue;
		(void)inotify_rm_watch(w->fd, w->dirs[i].wd);
		dir_drop(w, i);
	}
}

/* ---- What was there before the watch ----------------------------------------------------- */

static int found_put(struct watch *w, const char *path, bool written)
{
	struct found *f;

	if (w->found_count >= WATCH_DIRS_MAX)
		return -ENOBUFS;
	f = malloc(sizeof(*f) + strlen(path) + 1);
	if (f == NULL)
		return -ENOMEM;
	f->next = NULL;
	f->written = written;
	f->created = false;
	memcpy(f->path, path, strlen(path) + 1);
	*w->found_end = f;
	w->found_end = &f->next;
	w->found_count++;
	return 0;
}

/* The first as an event, or as two: a file with something in it was also written to. */
static bool found_take(struct watch *w, struct watch_event *ret)
{
	struct found *f = w->found;

	if (f == NULL)
		return false;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", f->path);
	ret->type = f->created ? CASEMATE__AGENT__V1__EVENT_TYPE__EVENT_TYPE_WRITE
			       : CASEMATE__AGENT__V1__EVENT_TYPE__EVENT_TYPE_CREATE;
	if (f->written && !f->created) {
		f->created = true;
		return true;
	}
	w->found = f->next;
	if (w->found == NULL)
		w->found_end = &w->found;
	w->found_count--;
	free(f);
	return true;
}

static int add_tree(struct watch *w, const char *relative, bool tell, unsigned depth);

static int add_entry(struct watch *w, const char *dir, const char *name, bool tell, unsigned depth)
{
	char *relative = join(dir, name), *full = NULL;
	struct stat st;
	int r = 0;

	if (relative != NULL)
		full = full_path(w, relative);
	if (full == NULL)
		r = -ENOMEM;
	else if (lstat(full, &st) < 0)
		r = 1; /* gone again */
	if (r == 0 && tell)
		r = found_put(w, relative, S_ISREG(st.st_mode) && st.st_size > 0);
	if (r == 0 && S_ISDIR(st.st_mode))
		r = add_tree(w, relative, tell, depth + 1);
	free(full);
	free(relative);
	return r < 0 ? r : 0;
}

/* Watches a directory and, if asked, those in it. Of those it doesn't matter when one can't be
 * watched, because it has gone or isn't the user's. */
static int add_tree(struct watch *w, const char *relative, bool tell, unsigned depth)
{
	const uint32_t mask = EVENT_MASK | IN_ONLYDIR | (depth > 0 ? IN_DONT_FOLLOW : 0);
	char *full = full_path(w, relative), *path = strdup(relative);
	const struct dirent *e;
	DIR *d = NULL;
	int wd, r = full == NULL || path == NULL ? -ENOMEM : 0;

	wd = r == 0 ? inotify_add_watch(w->fd, full, mask) : -1;
	if (r == 0 && wd < 0)
		r = depth == 0 || errno == ENOSPC || errno == ENOMEM ? -errno : 1;
	if (r == 0) {
		r = dir_put(w, wd, path);
		path = NULL;
	}
	if (r == 0 && w->recursive && depth < DEPTH_MAX)
		d = opendir(full);
	while (r == 0 && d != NULL && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = add_entry(w, relative, e->d_name, tell, depth);
	if (d != NULL)
		(void)closedir(d);
	free(full);
	free(path);
	return r < 0 ? r : 0;
}

/* ---- Events ------------------------------------------------------------------------------ */

static Casemate__Agent__V1__EventType type_of(uint32_t mask)
{
	static const struct {
		uint32_t mask;
		Casemate__Agent__V1__EventType type;
	} types[] = {
		{ IN_CREATE | IN_MOVED_TO, CASEMATE__AGENT__V1__EVENT_TYPE__EVENT_TYPE_CREATE },
		{ IN_MODIFY, CASEMATE__AGENT__V1__EVENT_TYPE__EVENT_TYPE_WRITE },
		{ IN_DELETE | IN_DELETE_SELF, CASEMATE__AGENT__V1__EVENT_TYPE__EVENT_TYPE_REMOVE },
		{ IN_MOVED_FROM | IN_MOVE_SELF,
		  CASEMATE__AGENT__V1__EVENT_TYPE__EVENT_TYPE_RENAME },
		{ IN_ATTRIB, CASEMATE__AGENT__V1__EVENT_TYPE__EVENT_TYPE_CHMOD },
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((mask & types[i].mask) != 0)
			return types[i].type;
	return CASEMATE__AGENT__V1__EVENT_TYPE__EVENT_TYPE_UNSPECIFIED;
}

/* New and moved directories of a tree. */
static int follow(struct watch *w, const char *relative, uint32_t mask)
{
	struct err err;
	int r;

	if (!w->recursive || (mask & IN_ISDIR) == 0)
		return 0;
	if ((mask & IN_MOVED_FROM) != 0)
		forget_tree(w, relative);
	if ((mask & (IN_CREATE | IN_MOVED_TO)) == 0)
		return 0;
	r = place_enter(&w->place, &err);
	if (r < 0)
		return r;
	r = add_tree(w, relative, (mask & IN_CREATE) != 0, 1);
	user_leave_fs();
	return r;
}

/* One event of the kernel: 1 (it is one for the consumer), 0, -errno. */
static int translate(struct watch *w, const struct inotify_event *e, struct watch_event *ret)
{
	const size_t i = dir_index(w, e->wd);
	char *relative;
	int r;

	if ((e->mask & IN_Q_OVERFLOW) != 0)
		return -ENOBUFS;
	if (i == w->count || w->dirs[i].wd != e->wd)
		return 0; /* of a directory that we have forgotten */
	if ((e->mask & IN_IGNORED) != 0) {
		dir_drop(w, i);
		return 0;
	}
	/* A directory below the top is told by its parent. */
	if (w->dirs[i].path[0] != '\0' && e->len == 0)
		return 0;
	relative = join(w->dirs[i].path, e->len > 0 ? e->name : "");
	if (relative == NULL)
		return -ENOMEM;
	r = snprintf(ret->name, sizeof(ret->name), "%s", relative) < (int)sizeof(ret->name);
	ret->type = type_of(e->mask);
	if (r == 1) {
		r = follow(w, relative, e->mask);
		r = r < 0 ? r
			  : ret->type != CASEMATE__AGENT__V1__EVENT_TYPE__EVENT_TYPE_UNSPECIFIED;
	}
	free(relative);
	return r;
}

static int refill(struct watch *w)
{
	ssize_t n;

	do
		n = read(w->fd, w->buf, sizeof(w->buf));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	w->len = (size_t)n;
	w->at = 0;
	return n > 0;
}

int watch_next(struct watch *w, struct watch_event *ret)
{
	int r = 0;

	if (found_take(w, ret))
		return 1;
	while (r == 0) {
		const struct inotify_event *e;
		if (w->at == w->len) {
			r = refill(w);
			if (r <= 0)
				return r;
		}
		/* The kernel puts whole events there, each padded to the alignment. */
		e = (const struct inotify_event *)(const void *)(w->buf + w->at);
		w->at += sizeof(*e) + e->len;
		r = translate(w, e, ret);
	}
	return r;
}

/* ---- Life -------------------------------------------------------------------------------- */

static int check(const struct place *p, bool network, struct err *err)
{
	struct statfs fs;
	struct stat st;

	if (stat(p->path, &st) < 0)
		return errno == ENOENT
			       ? err_set(err, -ENOENT, "directory not found: %.160s", p->path)
			       : err_sys(err, -errno, "%.160s", p->path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "path %.160s is not a directory", p->path);
	if (network || statfs(p->path, &fs) < 0)
		return 0;
	switch ((unsigned long)fs.f_type & 0xffffffffUL) {
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case CIFS_MAGIC:
	case SMB2_MAGIC:
	case FUSE_SUPER_MAGIC:
		return err_set(err, -EINVAL, "%.160s is on a network file system", p->path);
	default:
		return 0;
	}
}

int watch_open(const struct place *p, bool recursive, bool network, struct watch **ret,
	       struct err *err)
{
	struct watch *w = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	w->place = *p;
	w->recursive = recursive;
	w->found_end = &w->found;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	r = w->fd < 0 ? err_sys(err, -errno, "inotify") : place_enter(p, err);
	if (r == 0) {
		r = check(p, network, err);
		if (r == 0) {
			r = add_tree(w, "", false, 0);
			if (r < 0)
				(void)err_sys(err, r, "watch %.160s", p->path);
		}
		user_leave_fs();
	}
	if (r < 0) {
		watch_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

void watch_close(struct watch *w)
{
	if (w == NULL)
		return;
	fd_closep(&w->fd);
	while (w->count > 0)
		dir_drop(w, w->count - 1);
	free(w->dirs);
	while (w->found != NULL) {
		struct found *f = w->found;
		w->found = f->next;
		free(f);
	}
	free(w);
}

int watch_fd(const struct watch *w)
{
	return w->fd;
}

const struct place *watch_place(const struct watch *w)
{
	return &w->place;
}
