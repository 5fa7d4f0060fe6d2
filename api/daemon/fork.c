/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/fork.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmm.pb-c.h>

#include "api/daemon/jailer.h"
#include "api/daemon/memory.h"
#include "api/daemon/origin.h"
#include "api/daemon/profile.h"
#include "api/daemon/sandbox_internal.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/num.h"

#define RESERVE_MS  5000U
#define SNAPSHOT_MS 30000U
#define PAUSE_MS    20000U
#define NS_PER_MS   UINT64_C(1000000)

struct child {
	struct fork *fork;
	struct sandbox *sandbox; /* NULL: not made yet, or no longer ours */
	struct sandbox_watch watch;
	bool runs;
};

struct fork {
	struct sandboxes *table;
	char parent[SANDBOX_ID_LEN + 1];
	bool holds_parent; /* its `forking` is ours */
	struct spec spec;
	struct profile *profile; /* what the children get of its parent's; NULL = none */
	const void *lease;
	struct origin *origin;
	uint64_t promised;	  /* of memory, until the snapshot is there */
	struct rpc_pending *call; /* Reserve, SnapshotSplit or Resume */
	enum { PARENT_RUNS, PARENT_PAUSED, PARENT_RESUMING } rest; /* of ours, for its disk */
	bool decided; /* what it has come to is known */
	struct child children[SPEC_FORK_MAX];
	unsigned count, made, running;
	uint64_t paused_ns, begin_ns, stopped_ns;
	bool over; /* done was called, or nobody wants to know */
	void (*done)(struct fork *f, void *arg);
	void *arg;
	unsigned status;
	const char *code; /* literal */
	char msg[2 * ERR_MSG_MAX];
};

/* ---- Its end ----------------------------------------------------------------------------- */

static void release_parent(struct fork *f)
{
	struct sandbox *parent = sandboxes_find(f->table, f->parent);

	if (f->holds_parent && parent != NULL)
		parent->forking = false;
	f->holds_parent = false;
}

/* Takes our watches off; children that aren't to stay are stopped. */
static void let_go(struct fork *f, bool stay)
{
	for (unsigned i = 0; i < f->made; i++) {
		struct sandbox *s = f->children[i].sandbox;
		if (s == NULL)
			continue;
		f->children[i].sandbox = stay ? s : NULL;
		sandbox_unwatch(s, &f->children[i].watch);
		if (!stay)
			sandbox_stop(s, "fork-failed");
	}
}

static void conclude(struct fork *f)
{
	f->over = true;
	release_parent(f);
	memory_settle(&f->table->memory, &f->promised);
	if (f->origin != NULL)
		origin_close_files(f->origin);
	let_go(f, f->status == 0);
	log_info("sandbox.fork",
		 "id=%s count=%u paused_us=%" PRIu64 " took_us=%" PRIu64 " error=\"%s\"", f->parent,
		 f->count, f->paused_ns / 1000, (now_ns() - f->begin_ns) / 1000,
		 f->status == 0 ? "" : f->msg);
	f->done(f, f->arg); /* the last: it may free f */
}

static void on_resumed(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct fork *f = arg;
	struct sandbox *parent;

	(void)out;
	(void)fds;
	f->call = NULL;
	if (f->over) /* fork_free */
		return;
	f->rest = PARENT_RUNS;
	f->paused_ns = now_ns() - f->stopped_ns;
	parent = sandboxes_find(f->table, f->parent);
	if (st->code != RPC_OK && parent != NULL && parent->state == SANDBOX_RUNNING) {
		/* It lies there in memory, and can be resumed or ended. */
		log_error("fork.resume", "id=%s error=\"%s\"", f->parent, st->msg);
		parent->rest = SANDBOX_RESTING;
		sandbox_touch(parent);
		sandbox_notify(parent);
	}
	release_parent(f);
	if (f->decided)
		conclude(f);
}

/* False: there is nothing to wait for. */
static bool resume_parent(struct fork *f)
{
	static const struct rpc_pending_ops ops = { .done = on_resumed };
	const Casemate__Vmm__V1__ResumeRequest req = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	const struct sandbox *parent = sandboxes_find(f->table, f->parent);

	if (f->rest == PARENT_RESUMING)
		return true;
	if (f->rest == PARENT_RUNS || parent == NULL || parent->state != SANDBOX_RUNNING ||
	    parent->vmm == NULL ||
	    rpc_start(parent->vmm, &vmm_methods[VMM_RESUME], &req.base, NULL, PAUSE_MS, &ops, f,
		      &f->call) < 0) {
		f->rest = PARENT_RUNS;
		return false;
	}
	f->rest = PARENT_RESUMING;
	return true;
}

/* Whoever is told the end finds the parent running again. */
static void finish(struct fork *f)
{
	f->decided = true;
	if (f->status != 0)
		let_go(f, false);
	if (!resume_parent(f))
		conclude(f);
}

static void fail(struct fork *f, unsigned status, const char *code, const char *fmt, ...)
	PRINTF(4, 5);
static void fail(struct fork *f, unsigned status, const char *code, const char *fmt, ...)
{
	va_list ap;

	if (f->over || f->decided)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(f->msg, sizeof(f->msg), fmt, ap);
	va_end(ap);
	f->status = status;
	f->code = code;
	finish(f);
}

static void on_resumed_unwatched(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
				 void *arg)
{
	(void)out;
	(void)fds;
	(void)arg;
	/* The parent may have ended meanwhile. */
	if (st->code != RPC_OK && st->code != RPC_CANCELLED && st->code != RPC_UNAVAILABLE)
		log_error("fork.resume", "error=\"%s\"", st->msg);
}

/* Nobody wants the children any more. The VMM answers in order: what is under way comes first. */
static void resume_unwatched(const struct fork *f)
{
	static const struct rpc_pending_ops ops = { .done = on_resumed_unwatched };
	const Casemate__Vmm__V1__ResumeRequest req = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	const struct sandbox *parent = sandboxes_find(f->table, f->parent);
	struct rpc_pending *p;

	if (parent != NULL && parent->state == SANDBOX_RUNNING && parent->vmm != NULL &&
	    rpc_start(parent->vmm, &vmm_methods[VMM_RESUME], &req.base, NULL, PAUSE_MS, &ops, NULL,
		      &p) < 0)
		log_error("fork.resume", "id=%s: can't ask the VMM", f->parent);
}

void fork_free(struct fork *f)
{
	if (f == NULL)
		return;
	if (!f->over) {
		f->over = true;
		let_go(f, false);
		if (f->rest == PARENT_PAUSED)
			resume_unwatched(f);
		release_parent(f);
	}
	if (f->call != NULL)
		rpc_cancel(f->call);
	memory_settle(&f->table->memory, &f->promised);
	origin_unref(f->origin);
	profile_free(f->profile);
	spec_done(&f->spec);
	free(f);
}

/* ---- Children ---------------------------------------------------------------------------- */

/* The parent's may change. */
static bool all_have_disks(const struct fork *f)
{
	if (f->rest != PARENT_PAUSED || f->made < f->count)
		return false;
	for (unsigned i = 0; i < f->made; i++)
		if (f->children[i].sandbox == NULL || f->children[i].sandbox->vmm == NULL)
			return false;
	return true;
}

static void on_child(struct sandbox *s, void *arg)
{
	struct child *c = arg;
	struct fork *f = c->fork;
	const char *code, *msg;
	unsigned status;

	switch (sandbox_state(s)) {
	case SANDBOX_CREATING:
		if (all_have_disks(f))
			(void)resume_parent(f); /* when it can't be asked, it is ending */
		return;
	case SANDBOX_RUNNING:
		c->runs = true;
		if (++f->running == f->count && !f->over)
			finish(f);
		return;
	case SANDBOX_STOPPING:
	case SANDBOX_ENDED:
	case SANDBOX_FAILED:
		break;
	case SANDBOX_SPARE:
	case SANDBOX_PARKING:
	case SANDBOX_PAUSED:
	case SANDBOX_STATE_COUNT:
		BUG("not a state of a child");
	}
	status = sandbox_fault(s, &code, &msg);
	if (status != 0)
		fail(f, status, code, "fork: child: %s", msg);
	else
		fail(f, 502, "guest_ended", "fork: child: ended before it was up: %s%s%s",
		     s->reason[0] != '\0' ? s->reason : "unknown", s->detail[0] != '\0' ? ": " : "",
		     s->detail);
}

static void make_children(struct fork *f)
{
	struct err err = { 0 };

	while (f->made < f->count) {
		struct child *c = &f->children[f->made];
		struct spec spec;
		int r = spec_copy(&f->spec, &spec);
		if (r == 0)
			r = sandbox_create_child(f->table, &spec, f->origin, &c->sandbox, &err);
		else
			(void)err_set(&err, r, "out of memory");
		if (r < 0) {
			bool limit = r == -EBUSY || r == -EDQUOT || r == -EAGAIN;
			fail(f, limit ? 429 : 503, limit ? "too_many_sandboxes" : "unavailable",
			     "fork: child: %s", err.msg);
			return;
		}
		*c = (struct child){ .fork = f,
				     .sandbox = c->sandbox,
				     .watch = { .fn = on_child, .arg = c } };
		sandbox_watch(c->sandbox, &c->watch);
		sandbox_set_lease(c->sandbox, f->lease);
		f->made++;
		if (f->profile == NULL)
			continue;
		/* Who may talk to it is in there: never without. */
		struct profile *p = profile_copy(f->profile);
		if (p == NULL) {
			fail(f, 503, "unavailable", "fork: child: out of memory");
			return;
		}
		sandbox_set_profile(c->sandbox, p);
	}
}

/* ---- The parent -------------------------------------------------------------------------- */

/* An answer that counts; else f may be gone. */
static bool step_ok(struct fork *f, const struct rpc_status *st, const char *what)
{
	f->call = NULL;
	if (f->over)
		return false;
	if (st->code == RPC_OK)
		return true;
	if (st->code == RPC_CANCELLED || st->code == RPC_UNAVAILABLE)
		fail(f, 502, "parent_ended", "fork: sandbox %s ended meanwhile", f->parent);
	else
		fail(f, st->code == RPC_RESOURCE_EXHAUSTED ? 503 : 500, "fork_failed",
		     "fork: %s: %s", what, st->msg);
	return false;
}

static void on_snapshot(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			void *arg)
{
	struct fork *f = arg;
	int r;

	(void)fds;
	memory_settle(&f->table->memory, &f->promised);
	/* A deadline says nothing: it may be paused, or be about to. */
	if (st->code != RPC_OK && st->code != RPC_DEADLINE_EXCEEDED)
		f->rest = PARENT_RUNS;
	if (!step_ok(f, st, "VMM Snapshot"))
		return;
	f->paused_ns =
		((const Casemate__Vmm__V1__SnapshotSplitResponse *)(const void *)out)->paused_ns;
	f->stopped_ns = now_ns() - f->paused_ns;
	r = origin_seal(f->origin);
	if (r < 0) { /* the VMM has kept a way to write to them */
		fail(f, 500, "fork_failed", "fork: sealing the snapshot: %s", strerror(-r));
		return;
	}
	if (f->rest == PARENT_RUNS)
		release_parent(f);
	make_children(f);
}

/* With a disk it is paused at the moment of the snapshot, and stays so. */
static void take(struct fork *f, const struct sandbox *parent)
{
	static const struct rpc_pending_ops ops = { .done = on_snapshot };
	Casemate__Vmm__V1__SnapshotSplitRequest req =
		CASEMATE__VMM__V1__SNAPSHOT_SPLIT_REQUEST__INIT;

	req.stay_paused = f->spec.scratch_bytes > 0;
	/* From now on: it may be before the answer says so. */
	f->rest = req.stay_paused ? PARENT_PAUSED : PARENT_RUNS;
	if (rpc_start(parent->vmm, &vmm_methods[VMM_SNAPSHOT_SPLIT], &req.base,
		      origin_fds(f->origin), SNAPSHOT_MS, &ops, f, &f->call) < 0) {
		f->rest = PARENT_RUNS;
		fail(f, 500, "internal", "fork: the VMM can't be asked");
	}
}

/* NULL: it has failed. */
static const struct sandbox *parent_that_runs(struct fork *f)
{
	const struct sandbox *parent = sandboxes_find(f->table, f->parent);

	if (parent != NULL && parent->state == SANDBOX_RUNNING && parent->vmm != NULL)
		return parent;
	fail(f, 502, "parent_ended", "fork: sandbox %s ended meanwhile", f->parent);
	return NULL;
}

static void on_reserved(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			void *arg)
{
	const struct sandbox *parent;
	struct fork *f = arg;

	(void)out;
	(void)fds;
	if (!step_ok(f, st, "jailer Reserve"))
		return;
	parent = parent_that_runs(f);
	if (parent != NULL)
		take(f, parent);
}

static int reserve(struct fork *f, const struct sandbox *parent, struct err *err)
{
	static const struct rpc_pending_ops ops = { .done = on_reserved };
	Casemate__Jailer__V1__ReserveRequest req = CASEMATE__JAILER__V1__RESERVE_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(f->table->cfg.jailer);
	int r = -ENOTCONN;

	req.id = f->parent;
	req.snapshots = parent->origins;
	if (jailer != NULL)
		r = rpc_start(jailer, &jailer_methods[JAILER_RESERVE], &req.base, NULL, RESERVE_MS,
			      &ops, f, &f->call);
	return r < 0 ? err_sys(err, r, "jailer: Reserve") : 0;
}

/* ---- May it? ----------------------------------------------------------------------------- */

static int may_fork(const struct sandbox *s, unsigned count, struct err *err)
{
	const struct sandboxes *t = s->table;
	int r = sandbox_may_copy(s, err);

	if (r < 0)
		return r;
	if (s->spec.huge_pages == SPEC_PAGES_HUGETLB)
		return err_set(err, -ENOTSUP, "sandbox %s: one on huge pages can't be forked",
			       s->id);
	if (t->live + count > t->cfg.max)
		return err_set(err, -EBUSY, "sandboxes: %zu of %zu in use; %u more are too many",
			       t->live, t->cfg.max, count);
	return 0;
}

static int begin(struct fork *f, struct sandbox *parent, struct err *err)
{
	/* The most that the snapshot can take; children take what they write. */
	int r = memory_promise(&f->table->memory, f->spec.memory_bytes, &f->promised, err);

	if (r < 0)
		return r;
	r = origin_new(parent, &f->origin);
	if (r == -EDQUOT)
		return err_set(err, r, "sandbox %s: %u forks of it live already; end one first",
			       parent->id, ORIGIN_LIVE_MAX);
	if (r < 0)
		return err_sys(err, r, "snapshot's files");
	return reserve(f, parent, err);
}

int fork_begin(struct sandbox *parent, unsigned count, const void *lease,
	       void (*done)(struct fork *f, void *arg), void *arg, struct fork **ret,
	       struct err *err)
{
	struct fork *f;
	int r = may_fork(parent, count, err);

	BUG_ON(count < 1 || count > SPEC_FORK_MAX);
	if (r < 0)
		return r;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	f->over = true; /* until it has begun */
	f->table = parent->table;
	r = spec_copy(&parent->spec, &f->spec);
	if (r == 0 && parent->profile != NULL) {
		f->profile = profile_copy(parent->profile);
		r = f->profile == NULL ? -ENOMEM : 0;
	}
	if (r < 0) {
		fork_free(f);
		return err_set(err, r, "out of memory");
	}
	memcpy(f->parent, parent->id, sizeof(f->parent));
	f->spec.lease = lease != NULL;
	f->spec.huge_pages = SPEC_PAGES_NONE; /* a restored VM's memory is a file */
	f->spec.hostname[0] = '\0';	      /* the child's id: two of one name confuse */
	f->lease = lease;
	f->count = count;
	f->done = done;
	f->arg = arg;
	f->begin_ns = now_ns();
	r = begin(f, parent, err);
	if (r < 0) {
		fork_free(f);
		return r;
	}
	f->over = false;
	parent->forking = f->holds_parent = true;
	*ret = f;
	return 0;
}

/* ---- What became of it ------------------------------------------------------------------- */

unsigned fork_fault(const struct fork *f, const char **ret_code, const char **ret_msg)
{
	*ret_code = f->code;
	*ret_msg = f->msg;
	return f->status;
}

struct sandbox *fork_child(const struct fork *f, unsigned i)
{
	return i < f->count ? f->children[i].sandbox : NULL;
}

int fork_put_json(const struct fork *f, struct buf *out)
{
	int r = json_printf(out, "{\"sandboxes\":[");

	for (unsigned i = 0; r == 0 && i < f->count; i++) {
		r = i > 0 ? json_printf(out, ",") : 0;
		/* It ran when done was called, in this very turn of the loop. */
		if (r == 0)
			r = sandbox_put_json(f->children[i].sandbox, out);
	}
	return r < 0 ? r
		     : json_printf(out, "],\"parent_paused_ms\":%" PRIu64 ".%06" PRIu64 "}",
				   f->paused_ns / NS_PER_MS, f->paused_ns % NS_PER_MS);
}
