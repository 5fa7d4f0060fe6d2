/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_table.c - all sandboxes of this daemon: the list, leases, records of the ended, and
 * settling with the jailer what is left when the connection to it is new.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/jailer.h"
#include "api/daemon/pool.h"
#include "api/daemon/sandbox_internal.h"
#include "api/proto/contract.h"
#include "base/bug.h"
#include "base/log.h"

#define LEASE_GRACE_MS 300U

/* FNV-1a. Ids are random and made by us: nobody can fill one bucket. */
static unsigned bucket_of(const char *id)
{
	uint32_t h = UINT32_C(2166136261);

	for (; *id != '\0'; id++)
		h = (h ^ (uint8_t)*id) * UINT32_C(16777619);
	return h % SANDBOX_BUCKETS;
}

static struct sandbox *find(const struct sandboxes *t, const char *id)
{
	for (struct sandbox *s = t->by_id[bucket_of(id)]; s != NULL; s = s->bucket_next)
		if (strcmp(s->id, id) == 0)
			return s;
	return NULL;
}

/* ---- The jailer's word --------------------------------------------------------------------- */

/* The exit status of the VMM, as api/proto/vmm.proto assigns it. */
static const char *exit_reason(int32_t status)
{
	switch (status) {
	case 0:
		return "power-off";
	case 10:
		return "reboot";
	case 11:
		return "panic";
	case 12:
		return "triple-fault";
	case 13:
		return "guest-error";
	case 14:
		return "stopped";
	default:
		return "host-error";
	}
}

static void on_jail_ended(const Casemate__Jailer__V1__EventsResponse *jail, void *arg)
{
	const Casemate__Jailer__V1__WaitResponse *w = jail->ended;
	struct sandbox *s = find(arg, jail->id);
	char detail[64];

	if (s == NULL || !sandbox_lives(s))
		return;
	(void)snprintf(detail, sizeof(detail), "VMM ended by %s %" PRId32,
		       w->exited ? "exit status" : "signal", w->status);
	sandbox_exit(s, w->oom ? "oom" : w->exited ? exit_reason(w->status) : "killed", detail);
}

static void on_jailer_up(struct rpc_conn *conn, bool resumed,
			 Casemate__Jailer__V1__JailInfo *const *jails, size_t count, void *arg)
{
	struct sandboxes *t = arg;

	sandboxes_reconcile(t, conn, resumed, jails, count);
	snapshots_settle(t->snapshots);
}

/* Without a hold, files of paused sandboxes end with the connection that they were made over. With
 * one, the next connection tells whether they are there. Whoever waits for one needn't wait for
 * the jailer. */
static void on_jailer_down(void *arg)
{
	struct sandboxes *t = arg;
	const bool held = jailer_holds(t->cfg.jailer);

	for (struct sandbox *s = t->first; s != NULL; s = s->next) {
		s->saved = s->saved && held;
		if (s->state != SANDBOX_PARKING && s->state != SANDBOX_PAUSED)
			continue;
		if (held) {
			sandbox_notify(s);
			continue;
		}
		s->reason[0] = '\0'; /* of a resume that failed for the same cause */
		sandbox_exit(s, "pause-lost", "the jailer no longer has its file");
	}
}

int sandboxes_new(const struct sandboxes_config *cfg, struct sandboxes **ret)
{
	static const struct jailer_watch_ops watch = { .up = on_jailer_up,
						       .ended = on_jail_ended,
						       .down = on_jailer_down };
	struct sandboxes *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->cfg = *cfg;
	if (cfg->pool_depth > 0 && pool_new(t, cfg->pool_depth, &t->pool) < 0) {
		free(t);
		return -ENOMEM;
	}
	jailer_watch(cfg->jailer, &watch, t);
	*ret = t;
	return 0;
}

void sandboxes_free(struct sandboxes *t)
{
	if (t == NULL)
		return;
	snapshots_stop(t->snapshots);
	while (t->first != NULL) {
		/* Callbacks of dropped calls do nothing then. */
		sandbox_become(t->first, t->first->kind, SANDBOX_STOPPING);
		sandbox_free(t->first);
	}
	snapshots_free(t->snapshots);
	pool_free(t->pool);
	free(t);
}

void sandboxes_link(struct sandboxes *t, struct sandbox *s)
{
	struct sandbox **bucket = &t->by_id[bucket_of(s->id)];

	s->next = t->first;
	if (t->first != NULL)
		t->first->prev = s;
	t->first = s;
	s->bucket_next = *bucket;
	*bucket = s;
	t->count[s->kind][s->state]++;
}

/* A record that is forgotten is mostly the first of the queue, and they are few. */
static void unlink_record(struct sandboxes *t, const struct sandbox *s)
{
	struct sandbox *before = NULL, *r = t->record_first;

	for (; r != NULL && r != s; r = r->record_next)
		before = r;
	if (r == NULL)
		return;
	if (before == NULL)
		t->record_first = s->record_next;
	else
		before->record_next = s->record_next;
	if (t->record_last == s)
		t->record_last = before;
	t->records--;
}

void sandboxes_unlink(struct sandboxes *t, struct sandbox *s)
{
	struct sandbox **at = &t->by_id[bucket_of(s->id)];

	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		t->first = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	while (*at != s)
		at = &(*at)->bucket_next;
	*at = s->bucket_next;
	t->count[s->kind][s->state]--;
	unlink_record(t, s);
}

static void link_record(struct sandboxes *t, struct sandbox *s)
{
	s->record_next = NULL;
	if (t->record_last == NULL)
		t->record_first = s;
	else
		t->record_last->record_next = s;
	t->record_last = s;
	t->records++;
}

void sandbox_become(struct sandbox *s, enum sandbox_kind kind, enum sandbox_state state)
{
	struct sandboxes *t = s->table;
	bool had_ended = sandbox_has_ended(s);

	t->count[s->kind][s->state]--;
	s->kind = kind;
	s->state = state;
	t->count[s->kind][s->state]++;
	if (!had_ended && sandbox_has_ended(s))
		link_record(t, s);
}

struct sandbox *sandboxes_find(const struct sandboxes *t, const char *id)
{
	struct sandbox *s = find(t, id);

	/* The pool's own are nobody's business. */
	return s != NULL && s->kind == SANDBOX_KIND_TENANT ? s : NULL;
}

size_t sandboxes_live(const struct sandboxes *t)
{
	return t->live;
}

size_t sandboxes_parked(const struct sandboxes *t)
{
	return t->parked;
}

static bool any_ends(const struct sandboxes *t)
{
	for (unsigned k = 0; k < SANDBOX_KIND_COUNT; k++)
		if (t->count[k][SANDBOX_STOPPING] > 0)
			return true;
	return false;
}

static void check_all_stopped(struct sandboxes *t)
{
	void (*fn)(void *) = t->stopped;

	if (fn == NULL)
		return;
	if (t->leaving ? any_ends(t) : t->live > 0 || t->parked > 0 || t->others > 0)
		return;
	t->stopped = NULL;
	fn(t->stopped_arg);
}

void sandboxes_stop_all(struct sandboxes *t, void (*fn)(void *arg), void *arg)
{
	t->stopping = true;
	t->stopped = fn;
	t->stopped_arg = arg;
	for (struct sandbox *s = t->first; s != NULL; s = s->next)
		sandbox_stop(s, "shutdown");
	check_all_stopped(t);
}

/* A VM that never ran ends with its control connection. */
void sandboxes_leave(struct sandboxes *t, void (*fn)(void *arg), void *arg)
{
	t->stopping = t->leaving = true;
	t->stopped = fn;
	t->stopped_arg = arg;
	for (struct sandbox *s = t->first; s != NULL; s = s->next)
		if (s->kind == SANDBOX_KIND_TENANT && (s->spec.lease || s->spec.cpu != NULL))
			sandbox_stop(s, "shutdown");
	check_all_stopped(t);
}

static void on_lease_over(void *arg)
{
	struct sandbox *s = arg;

	s->end_timer = NULL;
	sandbox_stop(s, "lease");
}

/* When a VMM dies it takes the leased connection along, and its own reason is the one to tell. */
static void end_lease(struct sandbox *s)
{
	s->lease = NULL;
	if (s->end_timer != NULL)
		return; /* ends anyway */
	if (!s->expect_end || s->state != SANDBOX_RUNNING ||
	    loop_timer_add(s->table->cfg.loop, LEASE_GRACE_MS, on_lease_over, s, &s->end_timer) < 0)
		sandbox_stop(s, "lease");
}

void sandboxes_lease_ended(struct sandboxes *t, const void *lease)
{
	for (struct sandbox *s = t->first; s != NULL; s = s->next)
		if (s->lease == lease)
			end_lease(s);
}

void sandbox_expect_end(struct sandbox *s)
{
	s->expect_end = true;
}

/* The oldest records make room for that of newest. */
static void trim_records(struct sandboxes *t, const struct sandbox *newest)
{
	for (struct sandbox *s = t->record_first, *next;
	     s != NULL && t->records > SANDBOX_RECORDS_MAX; s = next) {
		next = s->record_next;
		if (s != newest && s->watches == NULL)
			sandbox_forget(s);
	}
}

void sandbox_forget(struct sandbox *s)
{
	BUG_ON(!sandbox_has_ended(s) || s->watches != NULL);
	sandbox_free(s);
}

void sandboxes_after_end(struct sandboxes *t, struct sandbox *s)
{
	if (s->kind != SANDBOX_KIND_TENANT)
		sandbox_forget(s);
	else
		trim_records(t, s);
	if (t->pool != NULL)
		pool_poke(t->pool);
	check_all_stopped(t);
}

/* ---- The jailer is back -------------------------------------------------------------------- */

static void on_orphan_destroyed(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
				void *arg)
{
	(void)out;
	(void)fds;
	(void)arg;
	if (st->code != RPC_OK && st->code != RPC_NOT_FOUND)
		log_error("jail.orphan", "error=\"%s\"", st->msg);
}

static void destroy_orphan(struct rpc_conn *jailer, char *id)
{
	static const struct rpc_pending_ops ops = { .done = on_orphan_destroyed };
	Casemate__Jailer__V1__DestroyRequest req = CASEMATE__JAILER__V1__DESTROY_REQUEST__INIT;
	struct rpc_pending *p;

	log_warn("jail.orphan", "id=%s: nobody's jail, destroying it", id);
	req.id = id;
	if (rpc_start(jailer, &jailer_methods[JAILER_DESTROY], &req.base, NULL, SANDBOX_DESTROY_MS,
		      &ops, NULL, &p) < 0)
		log_error("jail.orphan", "id=%s: can't ask for its end", id);
}

static bool is_listed(const char *id, Casemate__Jailer__V1__JailInfo *const *jails, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(jails[i]->id, id) == 0)
			return true;
	return false;
}

/* One that lives, as far as we know. */
static void reconcile_live(struct sandbox *s, struct rpc_conn *jailer, bool listed)
{
	if (listed && s->adopting)
		recall_adopt(s, jailer);
	else if (!listed && s->adopting)
		sandbox_exit(s, "daemon-restart", "nobody kept its jail");
	else if (!listed)
		sandbox_exit(s, "jail-lost", "the jailer no longer knows its jail");
}

static void reconcile_gone(struct sandbox *s, bool listed)
{
	if (listed)
		sandbox_destroy_jail(s);
	else if (s->create_call == NULL)
		sandbox_jail_gone(s);
}

static void reconcile_one(struct sandbox *s, struct rpc_conn *jailer, bool resumed, bool listed)
{
	switch (s->state) {
	case SANDBOX_CREATING:
	case SANDBOX_SPARE:
	case SANDBOX_RUNNING:
		reconcile_live(s, jailer, listed);
		break;
	case SANDBOX_PARKING:
	case SANDBOX_PAUSED:
		if (!resumed)
			sandbox_exit(s, "pause-lost", "the jailer no longer has its file");
		else if (s->state == SANDBOX_PARKING)
			reconcile_gone(s, listed);
		break;
	case SANDBOX_STOPPING:
		reconcile_gone(s, listed);
		break;
	case SANDBOX_ENDED:
	case SANDBOX_FAILED:
		break;
	case SANDBOX_STATE_COUNT:
		BUG("not a state");
	}
}

void sandboxes_reconcile(struct sandboxes *t, struct rpc_conn *jailer, bool resumed,
			 Casemate__Jailer__V1__JailInfo *const *jails, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct sandbox *s = find(t, jails[i]->id);
		/* Another casemated's jails, or those of our own with another state, end by its
		 * hold. */
		if (jails[i]->yours && (s == NULL || sandbox_has_ended(s)))
			destroy_orphan(jailer, jails[i]->id);
	}
	/* Settling one may free records of others that have ended: none of those is kept as next.
	 */
	for (struct sandbox *s = t->first, *next; s != NULL; s = next) {
		next = s->next;
		while (next != NULL && sandbox_has_ended(next))
			next = next->next;
		if (!resumed)
			s->saved = false;
		reconcile_one(s, jailer, resumed, is_listed(s->id, jails, count));
	}
}
