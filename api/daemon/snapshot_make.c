/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot_make.c - how a snapshot is made. The sandbox stands still only while its VMM takes what
 * changed during the copying; what is written to the disk afterwards is the copy. One with a
 * scratch disk stands still until the jailer has copied that as well: memory and disk are of one
 * moment. Each step starts the next in its callback, and the making belongs to the snapshot, not to
 * who asked for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <vmm.pb-c.h>

#include "api/daemon/jailer.h"
#include "api/daemon/memory.h"
#include "api/daemon/origin.h"
#include "api/daemon/snapshot_internal.h"
#include "api/daemon/tenant.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#define RESERVE_MS  5000U
#define SNAPSHOT_MS 30000U
#define PAUSE_MS    20000U

static void release_parent(struct snapshot *p)
{
	struct sandbox *parent = sandboxes_find(p->all->table, p->sandbox);

	if (p->holds_parent && parent != NULL)
		parent->forking = false;
	p->holds_parent = false;
}

void snapshot_make_end(struct snapshot *p)
{
	struct rpc_pending *call = p->call;

	p->call = NULL;
	if (call != NULL)
		rpc_cancel(call);
	release_parent(p);
	memory_settle(&p->all->table->memory, &p->promised);
	origin_unref(p->origin);
	p->origin = NULL;
	p->done = NULL;
}

/* An older one of this name has it no longer; a layer is of no use without. */
static void take_name(struct snapshot *p)
{
	for (struct snapshot *o = p->next; o != NULL && p->name[0] != '\0'; o = o->next) {
		if (o->state != SNAPSHOT_WHOLE || o->tenant != p->tenant ||
		    strcmp(o->name, p->name) != 0)
			continue;
		if (layer_named(o->name)) {
			snapshot_delete(o);
			continue;
		}
		o->name[0] = '\0';
		if (snapshot_store(o) < 0)
			log_error("store.snapshot", "id=%s: keeps its name until then", o->id);
	}
}

/* It has come to what p->end says. */
static void conclude(struct snapshot *p)
{
	snapshot_done *done = p->done;
	void *arg = p->arg;

	snapshot_make_end(p);
	p->end.paused_ms = (double)p->paused_ns / 1e6;
	log_info("snapshot.made",
		 "id=%s sandbox=%s bytes=%" PRIu64 " paused_us=%" PRIu64 " took_us=%" PRIu64
		 " error=\"%s\"",
		 p->id, p->sandbox, p->bytes, p->paused_ns / 1000, (now_ns() - p->begin_ns) / 1000,
		 p->end.msg);
	if (p->end.status == 0) {
		if (done != NULL)
			done(p, &p->end, arg);
		return;
	}
	if (done != NULL)
		done(NULL, &p->end, arg);
	snapshot_discard(p); /* what has no file goes as well */
}

static void on_resumed(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct snapshot *p = arg;
	struct sandbox *parent;

	(void)out;
	(void)fds;
	if (p->call == NULL) /* we have ended it */
		return;
	p->call = NULL;
	p->paused_ns = now_ns() - p->stopped_ns;
	parent = sandboxes_find(p->all->table, p->sandbox);
	if (st->code != RPC_OK && parent != NULL && parent->state == SANDBOX_RUNNING) {
		/* It lies there in memory, and can be resumed or ended. */
		log_error("snapshot.resume", "id=%s error=\"%s\"", p->sandbox, st->msg);
		parent->rest = SANDBOX_RESTING;
		sandbox_touch(parent);
		sandbox_notify(parent);
	}
	conclude(p);
}

/* Whoever is told the end finds it running again. False: there is nothing to wait for. */
static bool resume_parent(struct snapshot *p)
{
	static const struct rpc_pending_ops ops = { .done = on_resumed };
	const Casemate__Vmm__V1__ResumeRequest req = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	const struct sandbox *parent = sandboxes_find(p->all->table, p->sandbox);

	if (!p->parent_paused || parent == NULL || parent->state != SANDBOX_RUNNING ||
	    parent->vmm == NULL)
		return false;
	return rpc_start(parent->vmm, &vmm_methods[VMM_RESUME], &req.base, NULL, PAUSE_MS, &ops, p,
			 &p->call) == 0;
}

/* status 0: it is whole. */
static void finish(struct snapshot *p, unsigned status, const char *code)
{
	p->end = (struct snapshot_end){ .status = status, .code = code, .msg = p->msg };
	if (!resume_parent(p))
		conclude(p);
}

static void fail(struct snapshot *p, unsigned status, const char *code, const char *fmt, ...)
	PRINTF(4, 5);
static void fail(struct snapshot *p, unsigned status, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(p->msg, sizeof(p->msg), fmt, ap);
	va_end(ap);
	finish(p, status, code);
}

/* An answer that counts. */
static bool step_ok(struct snapshot *p, const struct rpc_status *st, const char *what)
{
	const bool gone = st->code == RPC_CANCELLED || st->code == RPC_UNAVAILABLE;

	if (p->call == NULL) /* we have ended it */
		return false;
	p->call = NULL;
	if (st->code == RPC_OK)
		return true;
	if (gone && what[0] == 'V')
		fail(p, 502, "sandbox_ended", "snapshot: sandbox %s ended meanwhile", p->sandbox);
	else if (gone)
		fail(p, 503, "unavailable", "snapshot: the jailer is gone");
	else if (st->code == RPC_RESOURCE_EXHAUSTED)
		fail(p, 507, "no_room", "snapshot: %s: %s", what, st->msg);
	else
		fail(p, 500, "snapshot_failed", "snapshot: %s: %s", what, st->msg);
	return false;
}

/* Is there room for it in the tenant's quota? It is counted already. */
static bool quota_ok(const struct snapshot *p)
{
	uint64_t count, bytes;

	if (layer_named(p->name)) /* others make room for it */
		return p->bytes <= layers_bytes_max(p->tenant);
	snapshots_used(p->all, p->tenant, &count, &bytes);
	return bytes <= p->tenant->limits.snapshot_bytes_max;
}

static void over_quota(struct snapshot *p)
{
	fail(p, 429, "quota",
	     "snapshots: its %" PRIu64 " MiB are more than tenant %s has left of %" PRIu64,
	     p->bytes / MIB, p->tenant->limits.name, p->tenant->limits.snapshot_bytes_max / MIB);
}

static void on_saved(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	const Casemate__Jailer__V1__SaveResponse *m = (const void *)out;
	struct snapshot *p = arg;
	int r;

	(void)fds;
	if (!step_ok(p, st, "jailer Save"))
		return;
	p->bytes = m->bytes; /* with the scratch disk, which only the jailer sees */
	if (!quota_ok(p)) {
		over_quota(p);
		return;
	}
	p->state = SNAPSHOT_WHOLE;
	r = snapshot_store(p);
	if (r < 0) {
		p->state = SNAPSHOT_MAKING;
		fail(p, 500, "internal", "snapshot: state: %s", strerror(-r));
		return;
	}
	take_name(p);
	finish(p, 0, NULL);
}

/* As the jailer counts it. */
static int count_bytes(struct snapshot *p)
{
	const int *fds = origin_fds(p->origin);
	struct stat state, memory;

	if (fstat(fds[0], &state) < 0 || fstat(fds[1], &memory) < 0)
		return -errno;
	p->bytes = (uint64_t)memory.st_blocks * 512 + (uint64_t)state.st_size;
	return 0;
}

static void save(struct snapshot *p)
{
	static const struct rpc_pending_ops ops = { .done = on_saved };
	Casemate__Jailer__V1__SaveRequest req = CASEMATE__JAILER__V1__SAVE_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(p->all->table->cfg.jailer);
	int r = origin_seal(p->origin);

	if (r == 0)
		r = count_bytes(p);
	if (r == 0 && !quota_ok(p)) {
		over_quota(p);
		return;
	}
	/* Before there can be a file. */
	if (r == 0)
		r = snapshot_store(p);
	req.id = p->sandbox;
	req.snapshot = p->id;
	if (r == 0)
		r = jailer == NULL
			    ? -ENOTCONN
			    : rpc_start(jailer, &jailer_methods[JAILER_SAVE], &req.base,
					origin_fds(p->origin), SNAPSHOT_COPY_MS, &ops, p, &p->call);
	if (r < 0)
		fail(p, 500, "internal", "snapshot: saving it: %s", strerror(-r));
}

static void on_snapshot(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			void *arg)
{
	struct snapshot *p = arg;

	(void)fds;
	memory_settle(&p->all->table->memory, &p->promised);
	if (!step_ok(p, st, "VMM Snapshot"))
		return;
	if (!p->parent_paused) {
		p->paused_ns =
			((const Casemate__Vmm__V1__SnapshotResponse *)(const void *)out)->paused_ns;
		release_parent(p);
	}
	save(p);
}

/* live: it runs, and is to. */
static void take(struct snapshot *p, bool live)
{
	static const struct rpc_pending_ops ops = { .done = on_snapshot };
	Casemate__Vmm__V1__SnapshotRequest req = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	const struct sandbox *parent = sandboxes_find(p->all->table, p->sandbox);

	req.live = live;
	if (parent == NULL || parent->state != SANDBOX_RUNNING || parent->vmm == NULL)
		fail(p, 502, "sandbox_ended", "snapshot: sandbox %s ended meanwhile", p->sandbox);
	else if (rpc_start(parent->vmm, &vmm_methods[VMM_SNAPSHOT], &req.base,
			   origin_fds(p->origin), SNAPSHOT_MS, &ops, p, &p->call) < 0)
		fail(p, 500, "internal", "snapshot: the VMM can't be asked");
}

static void on_paused(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct snapshot *p = arg;

	(void)out;
	(void)fds;
	if (!step_ok(p, st, "VMM Pause"))
		return;
	p->parent_paused = true;
	p->stopped_ns = now_ns();
	take(p, false);
}

static void on_reserved(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_paused };
	const Casemate__Vmm__V1__PauseRequest req = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	struct snapshot *p = arg;
	struct sandbox *parent;

	(void)out;
	(void)fds;
	if (!step_ok(p, st, "jailer Reserve"))
		return;
	if (p->rec.spec.scratch_bytes == 0) {
		take(p, true);
		return;
	}
	parent = sandboxes_find(p->all->table, p->sandbox);
	if (parent == NULL || parent->state != SANDBOX_RUNNING || parent->vmm == NULL)
		fail(p, 502, "sandbox_ended", "snapshot: sandbox %s ended meanwhile", p->sandbox);
	else if (rpc_start(parent->vmm, &vmm_methods[VMM_PAUSE], &req.base, NULL, PAUSE_MS, &ops, p,
			   &p->call) < 0)
		fail(p, 500, "internal", "snapshot: the VMM can't be asked");
}

/* ---- May it? ------------------------------------------------------------------------------- */

static int check_quota(const struct snapshots *ss, const struct tenant *t, const char *name,
		       struct err *err)
{
	uint64_t count, bytes;

	snapshots_used(ss, t, &count, &bytes);
	if (ss->count >= SNAPSHOTS_MAX)
		return err_set(err, -EDQUOT, "snapshots: there are %zu; delete one first",
			       ss->count);
	if (name != NULL && layer_named(name))
		return 0;
	if (count >= t->limits.snapshots_max || bytes >= t->limits.snapshot_bytes_max)
		return err_set(err, -EDQUOT,
			       "snapshots: tenant %s has %" PRIu64 " of %" PRIu64 ", %" PRIu64
			       " MiB of %" PRIu64 "; delete one first",
			       t->limits.name, count, t->limits.snapshots_max, bytes / MIB,
			       t->limits.snapshot_bytes_max / MIB);
	return 0;
}

static int check_shape(const struct sandbox *s, struct err *err)
{
	const struct spec *q = &s->spec;
	const char *what = q->huge_pages == SPEC_PAGES_HUGETLB ? "huge pages"
			   : q->cpu != NULL		       ? "a CPU template"
							       : NULL;

	if (what == NULL)
		return 0;
	return err_set(err, -ENOTSUP, "sandbox %s: there is no snapshot of one with %s", s->id,
		       what);
}

static int may_make(const struct sandbox *s, const char *name, struct err *err)
{
	const struct sandboxes *t = s->table;
	int r;

	if (name != NULL && name[0] != '\0' && !snapshot_name_valid(name))
		return err_set(err, -EINVAL,
			       "name: 1 to %u of a-z 0-9 . _ -, the first a letter or digit",
			       SNAPSHOT_NAME_MAX);
	r = sandbox_may_copy(s, err);
	if (r == 0)
		r = check_shape(s, err);
	if (r < 0)
		return r;
	if (t->snapshots == NULL)
		return err_set(err, -ENOTSUP,
			       "snapshots: there is no state to remember them (casemated --state)");
	if (jailer_conn(t->cfg.jailer) == NULL)
		return err_set(err, -ENOTCONN, "jailer: %s", jailer_problem(t->cfg.jailer));
	if (jailer_snapshot_bytes_max(t->cfg.jailer) == 0)
		return err_set(err, -ENOTSUP, "snapshots: the jailer keeps none");
	BUG_ON(s->spec.tenant == NULL);
	return check_quota(t->snapshots, s->spec.tenant, name, err);
}

/* ---- Begin --------------------------------------------------------------------------------- */

/* What whoever goes on from it needs to know of it. */
static int describe(struct snapshot *p, const struct sandbox *s)
{
	struct record *rec = &p->rec;
	int r = spec_copy(&s->spec, &rec->spec);

	if (r < 0)
		return r;
	rec->spec.lease = false;
	rec->spec.huge_pages = SPEC_PAGES_NONE; /* a restored VM's memory is a file */
	rec->spec.hostname[0] = '\0';
	if (s->profile != NULL) {
		rec->profile = profile_copy(s->profile);
		if (rec->profile == NULL)
			return -ENOMEM;
	}
	(void)snprintf(rec->path, sizeof(rec->path), "snapshot");
	memcpy(rec->token, s->token, sizeof(rec->token));
	memcpy(rec->image, s->image_id, sizeof(rec->image));
	memcpy(rec->kernel_release, s->kernel_release, sizeof(rec->kernel_release));
	memcpy(rec->agent_version, s->agent_version, sizeof(rec->agent_version));
	memcpy(p->sandbox, s->id, sizeof(p->sandbox));
	return 0;
}

static int begin(struct snapshot *p, struct sandbox *s, struct err *err)
{
	static const struct rpc_pending_ops ops = { .done = on_reserved };
	Casemate__Jailer__V1__ReserveRequest req = CASEMATE__JAILER__V1__RESERVE_REQUEST__INIT;
	int r = describe(p, s);

	if (r < 0)
		return err_set(err, r, "out of memory");
	r = memory_promise(&s->table->memory, s->spec.memory_bytes, &p->promised, err);
	if (r < 0)
		return r;
	r = origin_new(s, &p->origin);
	if (r == -EDQUOT)
		return err_set(err, r, "sandbox %s: %u forks of it live; end one first", s->id,
			       ORIGIN_LIVE_MAX);
	if (r < 0)
		return err_sys(err, r, "snapshot's files");
	req.id = s->id;
	req.snapshots = s->origins;
	r = rpc_start(jailer_conn(s->table->cfg.jailer), &jailer_methods[JAILER_RESERVE], &req.base,
		      NULL, RESERVE_MS, &ops, p, &p->call);
	return r < 0 ? err_sys(err, r, "jailer: Reserve") : 0;
}

int snapshot_make(struct sandbox *s, const char *name, snapshot_done *done, void *arg,
		  struct err *err)
{
	struct snapshots *ss = s->table->snapshots;
	struct snapshot *p;
	int r = may_make(s, name, err);

	if (r < 0)
		return r;
	p = snapshot_add(ss, s->spec.tenant);
	if (p == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	p->begin_ns = now_ns();
	p->used_ms = now_ms();
	if (name != NULL)
		memcpy(p->name, name, strlen(name) + 1);
	r = begin(p, s, err);
	if (r < 0) {
		snapshot_make_end(p);
		p->state = SNAPSHOT_GONE;
		snapshot_poke(p);
		return r;
	}
	s->forking = p->holds_parent = true;
	p->done = done;
	p->arg = arg;
	return 0;
}

void snapshot_unwatch(struct snapshots *ss, const void *arg)
{
	for (struct snapshot *p = ss == NULL ? NULL : ss->first; p != NULL; p = p->next)
		if (p->arg == arg)
			p->done = NULL;
}
