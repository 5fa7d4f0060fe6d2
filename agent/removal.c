/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/removal.h"

#include <agent.pb-c.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"

#define ENTRIES_PER_TURN 512

struct level {
	DIR *dir;
	char *name; /* in the level above; of the first: the whole path */
};

struct removal {
	struct removal_table *table;
	struct removal *prev, *next;
	struct rpc_call *call; /* NULL = its client is gone */
	struct loop_timer *again;
	struct place place;
	unsigned depth;
	struct level levels[REMOVAL_DEPTH_MAX];
};

struct removal_table {
	struct loop *loop;
	struct removal *removals;
	unsigned count;
};

static void level_pop(struct removal *r)
{
	struct level *l = &r->levels[--r->depth];

	(void)closedir(l->dir);
	free(l->name);
}

static void removal_free(struct removal *r)
{
	while (r->depth > 0)
		level_pop(r);
	loop_timer_del(r->again);
	if (r->prev != NULL)
		r->prev->next = r->next;
	else
		r->table->removals = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	r->table->count--;
	free(r);
}

/* The directory that name is in. */
static int parent(const struct removal *r)
{
	return r->depth > 0 ? dirfd(r->levels[r->depth - 1].dir) : AT_FDCWD;
}

static int level_push(struct removal *r, const char *name)
{
	struct level *l = &r->levels[r->depth];
	CLEANUP(fd_closep) int fd = -1;

	if (r->depth == REMOVAL_DEPTH_MAX)
		return -ELOOP;
	/* Not a symlink, whatever has happened since unlink said that it is a directory. */
	fd = openat(parent(r), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	l->name = strdup(name);
	l->dir = l->name != NULL ? fdopendir(fd) : NULL;
	if (l->dir == NULL) {
		free(l->name);
		return -ENOMEM;
	}
	(void)fd_steal(&fd);
	r->depth++;
	return 0;
}

/* Removes it, or goes into it. What is not there is removed. */
static int take(struct removal *r, const char *name)
{
	int error;

	if (unlinkat(parent(r), name, 0) == 0 || errno == ENOENT)
		return 0;
	/* EISDIR for root on Linux; POSIX says EPERM. */
	error = errno;
	if (error != EISDIR && error != EPERM)
		return -error;
	error = level_push(r, name);
	return error == -ENOTDIR || error == -ELOOP ? -EPERM : error;
}

/* All of a directory has gone: so does it. Something that was made in it meanwhile stays. */
static int leave(struct removal *r)
{
	char *name = r->levels[r->depth - 1].name;
	int e;

	r->levels[r->depth - 1].name = NULL;
	level_pop(r);
	e = unlinkat(parent(r), name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
	free(name);
	return e;
}

/* 1 = go on, 0 = all done, -errno. */
static int step(struct removal *r)
{
	const struct dirent *e;

	if (r->depth == 0)
		return 0;
	errno = 0;
	e = readdir(r->levels[r->depth - 1].dir);
	int error = e != NULL ? 0 : errno != 0 ? -errno : leave(r);
	if (e != NULL && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
		error = take(r, e->d_name);
	return error < 0 ? error : 1;
}

static void turn(void *arg);

static void finish(struct removal *r, int error)
{
	Casemate__Agent__V1__RemoveResponse ok = CASEMATE__AGENT__V1__REMOVE_RESPONSE__INIT;
	struct err err;

	if (r->call != NULL && error == 0) {
		rpc_reply(r->call, &ok.base, NULL);
	} else if (r->call != NULL) {
		(void)err_sys(&err, error, "remove %.160s", r->place.path);
		rpc_fail_err(r->call, &err);
	}
	removal_free(r);
}

static void turn(void *arg)
{
	struct removal *r = arg;
	struct err err;
	int error = 1;

	r->again = NULL;
	if (place_enter(&r->place, &err) < 0) {
		finish(r, err.code);
		return;
	}
	for (int i = 0; error > 0 && i < ENTRIES_PER_TURN; i++)
		error = step(r);
	user_leave_fs();
	if (error > 0)
		error = loop_timer_add(r->table->loop, 0, turn, r, &r->again) < 0 ? -ENOMEM : 1;
	if (error <= 0)
		finish(r, error);
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	struct removal *r = arg;

	(void)call;
	r->call = NULL;
}

void removal_start(struct removal_table *t, const struct place *p, struct rpc_call *call)
{
	static const struct rpc_call_ops ops = { .cancelled = on_cancelled };
	struct removal *r = t->count < REMOVALS_MAX ? calloc(1, sizeof(*r)) : NULL;
	struct err err;
	int error;

	if (r == NULL) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "too many removals at once");
		return;
	}
	*r = (struct removal){ .table = t, .next = t->removals, .call = call, .place = *p };
	if (t->removals != NULL)
		t->removals->prev = r;
	t->removals = r;
	t->count++;
	rpc_call_watch(call, &ops, r);
	error = strcmp(p->path, "/") == 0 ? -EBUSY : place_enter(p, &err);
	if (error == 0) {
		error = take(r, p->path);
		user_leave_fs();
	}
	if (error < 0)
		finish(r, error);
	else
		turn(r);
}

int removal_table_new(struct loop *l, struct removal_table **ret)
{
	struct removal_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->loop = l;
	*ret = t;
	return 0;
}

void removal_table_free(struct removal_table *t)
{
	if (t == NULL)
		return;
	for (struct removal *r = t->removals, *next; r != NULL; r = next) {
		next = r->next;
		finish(r, -ESHUTDOWN);
	}
	free(t);
}
