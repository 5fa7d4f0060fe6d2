/* SPDX-License-Identifier: Apache-2.0 */
/* fs_service.c - filesystem.Filesystem but for watching: Stat, MakeDir, Move, ListDir, Remove. */
#include <agent.pb-c.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/entry.h"
#include "agent/listing.h"
#include "agent/path.h"
#include "agent/place.h"
#include "agent/removal.h"
#include "agent/rooted.h"
#include "base/fd.h"

/* The message of a handler by its own type: base is its first member. */
#define REQUEST(type, in) ((const type *)(const void *)(in))

/* With the rights in force; the caller has taken them for p and gives them back. */
static int get_entry(const struct place *p, entry_pb **ret, struct err *err)
{
	struct entry_names names;
	int r;

	entry_names_init(&names);
	r = entry_get(p->path, &names, ret, err);
	entry_names_done(&names);
	return r;
}

/* What is at p now, with its rights. */
static int enter_entry(const struct place *p, entry_pb **ret, struct err *err)
{
	int r = place_enter(p, err);

	if (r < 0)
		return r;
	r = get_entry(p, ret, err);
	user_leave_fs();
	return r;
}

/* Answers a call whose only result is an entry in out, and frees that. */
static void answer_entry(struct rpc_call *call, int r, const struct err *err,
			 const ProtobufCMessage *out, entry_pb *entry)
{
	if (r < 0)
		rpc_fail_err(call, err);
	else
		rpc_reply(call, out, NULL);
	entry_free(entry);
}

/* ---- Stat -------------------------------------------------------------------------------- */

void service_fs_stat(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	Casemate__Agent__V1__StatResponse out = CASEMATE__AGENT__V1__STAT_RESPONSE__INIT;
	const Casemate__Agent__V1__StatRequest *req = REQUEST(Casemate__Agent__V1__StatRequest, in);
	struct place p;
	struct err err;
	int r = place_resolve(arg, req->user, req->path, &p, &err);

	(void)fds;
	if (r == 0)
		r = enter_entry(&p, &out.entry, &err);
	answer_entry(call, r, &err, &out.base, out.entry);
}

/* ---- MakeDir ----------------------------------------------------------------------------- */

static int make_dir(const struct place *p, struct err *err)
{
	char path[PATH_MAX];
	const char *name;
	struct stat st;

	if (stat(p->path, &st) == 0)
		return S_ISDIR(st.st_mode)
			       ? err_set(err, -EEXIST, "directory already exists: %.160s", p->path)
			       : err_set(err, -EINVAL, "%.160s is not a directory", p->path);
	(void)snprintf(path, sizeof(path), "%s", p->path);
	CLEANUP(fd_closep) int dir = path_open_parent(path, &name, err);
	if (dir < 0)
		return dir;
	return mkdirat(dir, name, 0755) < 0 ? err_sys(err, -errno, "%.160s", p->path) : 0;
}

void service_fs_make_dir(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	Casemate__Agent__V1__MakeDirResponse out = CASEMATE__AGENT__V1__MAKE_DIR_RESPONSE__INIT;
	const Casemate__Agent__V1__MakeDirRequest *req =
		REQUEST(Casemate__Agent__V1__MakeDirRequest, in);
	struct place p;
	struct err err;
	int r = place_resolve(arg, req->user, req->path, &p, &err);

	(void)fds;
	if (r == 0)
		r = place_enter(&p, &err);
	if (r == 0) {
		r = make_dir(&p, &err);
		user_leave_fs();
	}
	if (rooted_may(&p, r)) {
		r = rooted_mkdir(&p);
		if (r < 0)
			(void)err_sys(&err, r, "%.160s", p.path);
	}
	if (r == 0)
		r = enter_entry(&p, &out.entry, &err);
	answer_entry(call, r, &err, &out.base, out.entry);
}

/* ---- Move -------------------------------------------------------------------------------- */

static int move(const char *from, const struct place *to, struct err *err)
{
	char path[PATH_MAX];
	const char *name;
	struct stat st;

	if (lstat(from, &st) < 0)
		return err_sys(err, -errno, "%.160s", from);
	if (strcmp(to->path, "/") == 0)
		return err_set(err, -EINVAL, "the root can't be replaced");
	(void)snprintf(path, sizeof(path), "%s", to->path);
	CLEANUP(fd_closep) int dir = path_open_parent(path, &name, err);
	if (dir < 0)
		return dir;
	return renameat(AT_FDCWD, from, dir, name) < 0 ? err_sys(err, -errno, "%.160s", from) : 0;
}

void service_fs_move(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	Casemate__Agent__V1__MoveResponse out = CASEMATE__AGENT__V1__MOVE_RESPONSE__INIT;
	const Casemate__Agent__V1__MoveRequest *req = REQUEST(Casemate__Agent__V1__MoveRequest, in);
	const struct agent *a = arg;
	char from[PATH_MAX];
	struct place to;
	struct err err;
	int r = place_resolve(a, req->user, req->destination, &to, &err);

	(void)fds;
	if (r == 0)
		r = path_expand(req->source, to.user.pw.home, a->default_cwd, from, sizeof(from),
				&err);
	if (r == 0)
		r = place_enter(&to, &err);
	if (r == 0) {
		r = move(from, &to, &err);
		if (r == 0)
			r = get_entry(&to, &out.entry, &err);
		user_leave_fs();
	}
	answer_entry(call, r, &err, &out.base, out.entry);
}

/* ---- ListDir ----------------------------------------------------------------------------- */

void service_fs_list_dir(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	Casemate__Agent__V1__ListDirResponse out = CASEMATE__AGENT__V1__LIST_DIR_RESPONSE__INIT;
	const Casemate__Agent__V1__ListDirRequest *req =
		REQUEST(Casemate__Agent__V1__ListDirRequest, in);
	struct listing l = { 0 };
	struct place p;
	struct err err;
	int r = place_resolve(arg, req->user, req->path, &p, &err);

	(void)fds;
	if (r == 0)
		r = place_enter(&p, &err);
	if (r == 0) {
		r = listing_read(&l, p.path, req->depth, &err);
		user_leave_fs();
	}
	out.entries = l.entries;
	out.n_entries = l.count;
	if (r < 0)
		rpc_fail_err(call, &err);
	else
		rpc_reply(call, &out.base, NULL);
	listing_free(&l);
}

/* ---- Remove ------------------------------------------------------------------------------ */

void service_fs_remove(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Agent__V1__RemoveRequest *req =
		REQUEST(Casemate__Agent__V1__RemoveRequest, in);
	const struct agent *a = arg;
	struct place p;
	struct err err;

	(void)fds;
	if (place_resolve(a, req->user, req->path, &p, &err) < 0)
		rpc_fail_err(call, &err);
	else
		removal_start(a->removals, &p, call);
}
