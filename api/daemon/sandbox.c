/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: sandbox_event() is the only place that changes a state. Entering STOPPING
 * drops the connections to the VMM and the agent (which cancels every call on them) and asks the
 * jailer to destroy the jail; only the jailer's word that the jail is gone ends STOPPING. While
 * the jailer is away, STOPPING lasts; when it is back, its List settles what is left
 * (sandboxes_reconcile), jails of an earlier life of the daemon included.
 */
#include "api/daemon/sandbox.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "api/daemon/jailer.h"
#include "api/daemon/origin.h"
#include "api/daemon/pool.h"
#include "api/daemon/profile.h"
#include "api/daemon/sandbox_internal.h"
#include "api/daemon/snapshot.h"
#include "api/daemon/tenant.h"
#include "api/proto/contract.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define DESTROY_RETRY_MS 1000U
#define FORK_POLL_MS	 100U /* until it can be paused after all */

static const char *const state_names[] = {
	[SANDBOX_CREATING] = "creating", [SANDBOX_SPARE] = "spare",
	[SANDBOX_RUNNING] = "running",	 [SANDBOX_PARKING] = "pausing",
	[SANDBOX_PAUSED] = "paused",	 [SANDBOX_STOPPING] = "stopping",
	[SANDBOX_ENDED] = "ended",	 [SANDBOX_FAILED] = "failed",
};
_Static_assert(ARRAY_SIZE(state_names) == SANDBOX_STATE_COUNT, "a name for each state");

#define NEXT(s) ((s) + 1) /* so that 0, what a table leaves out, means "can't happen" */
static const uint8_t transitions[SANDBOX_STATE_COUNT][SANDBOX_EVENT_COUNT] = {
	[SANDBOX_CREATING] = {
		[SANDBOX_EV_READY] = NEXT(SANDBOX_SPARE),
		[SANDBOX_EV_BOOTED] = NEXT(SANDBOX_RUNNING),
		[SANDBOX_EV_UNDONE] = NEXT(SANDBOX_PARKING),
		[SANDBOX_EV_FAULT] = NEXT(SANDBOX_STOPPING),
		[SANDBOX_EV_STOP] = NEXT(SANDBOX_STOPPING),
		[SANDBOX_EV_EXIT] = NEXT(SANDBOX_STOPPING),
	},
	[SANDBOX_SPARE] = {
		[SANDBOX_EV_CLAIM] = NEXT(SANDBOX_CREATING),
		[SANDBOX_EV_STOP] = NEXT(SANDBOX_STOPPING),
		[SANDBOX_EV_EXIT] = NEXT(SANDBOX_STOPPING),
	},
	[SANDBOX_RUNNING] = {
		[SANDBOX_EV_PARK] = NEXT(SANDBOX_PARKING),
		[SANDBOX_EV_STOP] = NEXT(SANDBOX_STOPPING),
		[SANDBOX_EV_EXIT] = NEXT(SANDBOX_STOPPING),
	},
	[SANDBOX_PARKING] = {
		[SANDBOX_EV_GONE] = NEXT(SANDBOX_PAUSED),
		[SANDBOX_EV_STOP] = NEXT(SANDBOX_STOPPING),
		[SANDBOX_EV_EXIT] = NEXT(SANDBOX_STOPPING),
	},
	[SANDBOX_PAUSED] = {
		[SANDBOX_EV_RESUME] = NEXT(SANDBOX_CREATING),
		[SANDBOX_EV_STOP] = NEXT(SANDBOX_STOPPING),
		[SANDBOX_EV_EXIT] = NEXT(SANDBOX_STOPPING),
	},
	[SANDBOX_STOPPING] = {
		[SANDBOX_EV_FAULT] = NEXT(SANDBOX_STOPPING),
		[SANDBOX_EV_STOP] = NEXT(SANDBOX_STOPPING),
		[SANDBOX_EV_EXIT] = NEXT(SANDBOX_STOPPING),
		[SANDBOX_EV_GONE] = NEXT(SANDBOX_ENDED),
		[SANDBOX_EV_VOID] = NEXT(SANDBOX_FAILED),
	},
	[SANDBOX_ENDED] = { [SANDBOX_EV_STOP] = NEXT(SANDBOX_ENDED) },
	[SANDBOX_FAILED] = { [SANDBOX_EV_STOP] = NEXT(SANDBOX_FAILED) },
};

const char *sandbox_state_name(enum sandbox_state s)
{
	BUG_ON(s >= SANDBOX_STATE_COUNT);
	return state_names[s];
}

int sandbox_next(enum sandbox_state s, enum sandbox_event ev)
{
	BUG_ON(s >= SANDBOX_STATE_COUNT || ev >= SANDBOX_EVENT_COUNT);
	return transitions[s][ev] == 0 ? -EINVAL : transitions[s][ev] - 1;
}

void sandbox_id_make(char id[SANDBOX_ID_LEN + 1])
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	size_t len = 0;

	id[len++] = 'i';
	while (len < SANDBOX_ID_LEN) {
		uint8_t b[32];
		BUG_ON(getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b));
		/* 252 = 7 * 36: beyond it a modulo would prefer some digits. */
		for (size_t i = 0; i < sizeof(b) && len < SANDBOX_ID_LEN; i++)
			if (b[i] < 252)
				id[len++] = digits[b[i] % 36];
	}
	id[len] = '\0';
}

bool sandbox_id_valid(const char *s)
{
	return strlen(s) == SANDBOX_ID_LEN && s[0] == 'i' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789") == SANDBOX_ID_LEN;
}

/* ---- Life and end -------------------------------------------------------------------------- */

static void close_vm(struct sandbox *s)
{
	/* Freeing a connection ends its calls, whose callbacks see the state and do nothing. */
	if (s->seal_call != NULL)
		rpc_cancel(s->seal_call);
	memory_settle(&s->table->memory, &s->promised);
	rpc_conn_free(s->agent);
	s->agent = NULL;
	fd_closep(&s->agent_fd);
	sandbox_quiet_end(s);
	rpc_conn_free(s->vmm);
	s->vmm = NULL;
	sandbox_network_close(s);
	vmlog_close(s->log);
	loop_timer_del(s->rest_timer);
	s->rest_timer = NULL;
}

/* Last user of what it was forked from? Then its parent's jail needs less. */
static void drop_origin(struct sandbox *s)
{
	struct origin *o = s->origin;

	struct snapshot *p = s->snapshot;

	s->origin = NULL;
	s->snapshot = NULL;
	origin_unref(o);
	snapshot_unuse(p);
	explicit_bzero(s->token, sizeof(s->token));
}

void sandbox_free(struct sandbox *s)
{
	usage_done(s);
	close_vm(s);
	drop_origin(s);
	fd_closep(&s->template_fds[0]);
	fd_closep(&s->template_fds[1]);
	loop_timer_del(s->boot_timer);
	loop_timer_del(s->life_timer);
	loop_timer_del(s->retry_timer);
	loop_timer_del(s->end_timer);
	vmlog_free(s->log);
	profile_free(s->profile);
	spec_done(&s->spec);
	sandboxes_unlink(s->table, s);
	free(s);
}

void sandbox_notify(struct sandbox *s)
{
	for (struct sandbox_watch *w = s->watches; w != NULL;) {
		struct sandbox_watch *next = w->next;
		w->fn(s, w->arg);
		w = next;
	}
}

void sandbox_touch(struct sandbox *s)
{
	const struct sandboxes_config *cfg = &s->table->cfg;

	if (cfg->touched != NULL && s->recorded)
		cfg->touched(s, cfg->changed_arg);
}

static void announce(struct sandbox *s)
{
	const struct sandboxes_config *cfg = &s->table->cfg;

	if (cfg->changed != NULL && s->kind == SANDBOX_KIND_TENANT)
		cfg->changed(s, cfg->changed_arg);
}

static void on_life_over(void *arg)
{
	struct sandbox *s = arg;
	struct err err;

	s->life_timer = NULL;
	if (s->spec.pause_on_timeout && s->forking &&
	    loop_timer_add(s->table->cfg.loop, FORK_POLL_MS, on_life_over, s, &s->life_timer) == 0)
		return; /* a fork has a deadline of its own */
	s->overdue = true;
	if (!s->spec.pause_on_timeout ||
	    sandbox_pause(s, s->spec.pause_files ? SANDBOX_KEEP_FILES : SANDBOX_KEEP_ANY, &err) < 0)
		sandbox_stop(s, "timeout");
}

void sandbox_set_timeout(struct sandbox *s, uint64_t ms)
{
	if (s->state != SANDBOX_RUNNING)
		return;
	loop_timer_del(s->life_timer);
	s->life_timer = NULL;
	s->overdue = false;
	s->end_unix_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000 + ms);
	if (loop_timer_add(s->table->cfg.loop, ms, on_life_over, s, &s->life_timer) < 0)
		sandbox_stop(s, "no-memory"); /* never without the limit that was asked for */
	else
		sandbox_touch(s);
}

static void enter_running(struct sandbox *s)
{
	s->ran = true;
	s->files_only = false;
	s->time_ns[SANDBOX_T_RUNNING] = now_ns();
	loop_timer_del(s->boot_timer);
	s->boot_timer = NULL;
	if (s->path == SANDBOX_PATH_DISK) {
		fd_closep(&s->template_fds[0]);
		fd_closep(&s->template_fds[1]);
	}
	if (s->adopting)
		recall_entered(s);
	else if (s->spec.timeout_ms > 0)
		sandbox_set_timeout(s, s->spec.timeout_ms);
}

/* Restored, and nobody waits for it: so there is no deadline either. */
static void enter_spare(struct sandbox *s)
{
	loop_timer_del(s->boot_timer);
	s->boot_timer = NULL;
}

static void on_retry(void *arg)
{
	struct sandbox *s = arg;

	s->retry_timer = NULL;
	sandbox_destroy_jail(s);
}

static void destroy_after(struct sandbox *s, uint64_t ms)
{
	if (s->retry_timer == NULL &&
	    loop_timer_add(s->table->cfg.loop, ms, on_retry, s, &s->retry_timer) < 0)
		BUG("no memory for one timer");
}

/* Both ways out of a VM; the jailer's word that the jail is gone ends the state. */
static void leave_vm(struct sandbox *s)
{
	loop_timer_del(s->boot_timer);
	loop_timer_del(s->life_timer);
	s->boot_timer = NULL;
	s->life_timer = NULL;
	loop_timer_del(s->end_timer);
	s->end_timer = NULL;
	close_vm(s);
	fd_closep(&s->template_fds[0]);
	fd_closep(&s->template_fds[1]);
	/* In a callback of its own: one event at a time. After a Create that is still under way
	 * its answer does this. */
	if (s->create_call == NULL)
		destroy_after(s, 0);
}

static void enter_parking(struct sandbox *s)
{
	s->rest = SANDBOX_AWAKE;
	s->vm_paused = false;
	leave_vm(s);
}

static void forget_jail(struct sandbox *s)
{
	BUG_ON(s->create_call != NULL || s->destroy_call != NULL);
	loop_timer_del(s->retry_timer);
	s->retry_timer = NULL;
}

static void enter_paused(struct sandbox *s)
{
	forget_jail(s);
	vmlog_free(s->log);
	s->log = NULL;
	s->pid = 0;
	s->uid = 0;
	s->cgroup[0] = s->label[0] = '\0';
	/* Its token stays: the agent in the file will ask for it. */
	origin_unref(s->origin);
	s->origin = NULL;
	snapshot_unuse(s->snapshot);
	s->snapshot = NULL;
	sandbox_parked(s);
}

static void enter_ended(struct sandbox *s)
{
	forget_jail(s);
	sandbox_discard(s);
	if (s->kind == SANDBOX_KIND_TENANT)
		*(s->parked ? &s->table->parked : &s->table->live) -= 1;
	if (s->kind == SANDBOX_KIND_TENANT && s->spec.tenant != NULL)
		tenant_release(s->spec.tenant, s->parked ? 0 : s->spec.memory_bytes,
			       s->parked ? 0 : s->spec.vcpus);
	if (s->kind != SANDBOX_KIND_TENANT)
		s->table->others--;
	if (s->kind == SANDBOX_KIND_MOULD && !s->cast)
		pool_cast(s->table->pool, &s->spec, NULL);
	if (s->kind == SANDBOX_KIND_SCOUT && !s->cast)
		pool_scouted(s->table->pool, &s->spec, NULL);
	if (s->kind == SANDBOX_KIND_SPARE && s->time_ns[SANDBOX_T_CONFIGURED] == 0)
		pool_spare_failed(s->table->pool, &s->spec);
	s->lease = NULL;
	profile_free(s->profile);
	s->profile = NULL;
	drop_origin(s);
	spec_done(&s->spec);
	log_info("sandbox.end", "id=%s state=%s reason=%s detail=\"%s\"", s->id,
		 state_names[s->state], s->reason, s->fault[0] != '\0' ? s->fault : s->detail);
}

/* Whatever became of it, it is no longer waited for. */
static void end_adopting(struct sandbox *s)
{
	const struct sandboxes_config *cfg = &s->table->cfg;

	if (!s->adopting)
		return;
	s->adopting = false;
	if (--s->table->adopting == 0 && cfg->settled != NULL)
		cfg->settled(cfg->changed_arg);
}

void sandbox_event(struct sandbox *s, enum sandbox_event ev)
{
	int next = sandbox_next(s->state, ev);
	enum sandbox_state old = s->state;

	BUG_ON(next < 0);
	if ((enum sandbox_state)next == old)
		return;
	sandbox_become(s, s->kind, (enum sandbox_state)next);
	s->recorded = false; /* until `changed` has seen the new state */
	log_debug("sandbox.state", "id=%s old=%s new=%s", s->id, state_names[old],
		  state_names[next]);
	switch (s->state) {
	case SANDBOX_RUNNING:
		enter_running(s);
		break;
	case SANDBOX_STOPPING:
		leave_vm(s);
		break;
	case SANDBOX_PARKING:
		enter_parking(s);
		break;
	case SANDBOX_PAUSED:
		enter_paused(s);
		break;
	case SANDBOX_ENDED:
	case SANDBOX_FAILED:
		enter_ended(s);
		announce(s);
		sandbox_notify(s);
		sandboxes_after_end(s->table, s);
		return;
	case SANDBOX_CREATING: /* claimed, or resumed */
		break;
	case SANDBOX_SPARE:
		enter_spare(s);
		break;
	case SANDBOX_STATE_COUNT:
		BUG("no way into this state");
	}
	announce(s);
	s->recorded = s->kind == SANDBOX_KIND_TENANT &&
		      (s->state == SANDBOX_RUNNING || s->state == SANDBOX_PARKING ||
		       s->state == SANDBOX_PAUSED);
	end_adopting(s);
	/* Not before it is known to run: whoever comes after us would have neither. */
	if (s->state == SANDBOX_RUNNING)
		sandbox_discard(s);
	sandbox_notify(s);
	if (s->table->pool != NULL)
		pool_poke(s->table->pool);
}

static void keep_reason(struct sandbox *s, const char *reason, const char *detail)
{
	if (s->reason[0] != '\0')
		return;
	(void)snprintf(s->reason, sizeof(s->reason), "%s", reason);
	(void)log_escape(s->detail, sizeof(s->detail), detail, strlen(detail));
}

void sandbox_stop(struct sandbox *s, const char *reason)
{
	if (!sandbox_lives(s) && s->state != SANDBOX_PARKING && s->state != SANDBOX_PAUSED)
		return;
	keep_reason(s, reason, "");
	sandbox_event(s, SANDBOX_EV_STOP);
}

/* It is being made of a file that will still be there. */
static bool resuming(const struct sandbox *s)
{
	return s->state == SANDBOX_CREATING && sandbox_from_disk(s) && s->saved && !s->adopting;
}

void sandbox_exit(struct sandbox *s, const char *reason, const char *detail)
{
	keep_reason(s, reason, detail);
	sandbox_event(s, resuming(s) ? SANDBOX_EV_UNDONE : SANDBOX_EV_EXIT);
}

void sandbox_fail(struct sandbox *s, unsigned status, const char *code, const char *fmt, ...)
{
	va_list ap;

	if (s->fault_status == 0) {
		va_start(ap, fmt);
		(void)vsnprintf(s->fault, sizeof(s->fault), fmt, ap);
		va_end(ap);
		s->fault_status = status;
		s->fault_code = code;
		keep_reason(s, code, "");
	}
	sandbox_event(s, resuming(s) ? SANDBOX_EV_UNDONE : SANDBOX_EV_FAULT);
}

void sandbox_keep_tail(struct sandbox *s, const uint8_t *data, size_t len)
{
	size_t skip = len > sizeof(s->tail) ? len - sizeof(s->tail) : 0;

	if (len == 0)
		return;
	memcpy(s->tail, data + skip, len - skip);
	s->tail_len = len - skip;
}

void sandbox_jail_gone(struct sandbox *s)
{
	s->jailed = false;
	sandbox_event(s, s->ran ? SANDBOX_EV_GONE : SANDBOX_EV_VOID);
}

static void on_destroyed(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			 void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	s->destroy_call = NULL;
	if (st->code == RPC_OK || st->code == RPC_NOT_FOUND) {
		sandbox_jail_gone(s);
		return;
	}
	if (st->code == RPC_CANCELLED || st->code == RPC_UNAVAILABLE)
		return; /* the jailer is away: reconcile asks again */
	log_error("sandbox.destroy", "id=%s error=\"%s\"", s->id, st->msg);
	destroy_after(s, DESTROY_RETRY_MS);
}

void sandbox_destroy_jail(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_destroyed };
	Casemate__Jailer__V1__DestroyRequest req = CASEMATE__JAILER__V1__DESTROY_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(s->table->cfg.jailer);

	if (!s->jailed) {
		sandbox_jail_gone(s);
		return;
	}
	if (jailer == NULL || s->destroy_call != NULL)
		return;
	req.id = s->id;
	if (rpc_start(jailer, &jailer_methods[JAILER_DESTROY], &req.base, NULL, SANDBOX_DESTROY_MS,
		      &ops, s, &s->destroy_call) < 0)
		destroy_after(s, DESTROY_RETRY_MS);
}

/* ---- Making one ---------------------------------------------------------------------------- */

static int may_create(const struct sandboxes *t, const struct spec *spec, enum sandbox_kind kind,
		      struct err *err)
{
	if (t->stopping)
		return err_set(err, -ESHUTDOWN, "daemon: is shutting down");
	if (kind == SANDBOX_KIND_TENANT && t->live >= t->cfg.max)
		return err_set(err, -EBUSY, "sandboxes: %zu of %zu in use; end one first", t->live,
			       t->cfg.max);
	if (jailer_conn(t->cfg.jailer) == NULL)
		return err_set(err, -ENOTCONN, "jailer: %s", jailer_problem(t->cfg.jailer));
	if (spec->pause_files && spec->scratch_bytes == 0)
		return err_set(err, -ENOTSUP,
			       "pausing without the memory: its files would be in its memory; "
			       "it wants a scratch disk");
	if (spec->tenant != NULL)
		return tenant_admit(spec->tenant, spec->memory_bytes, spec->vcpus, err);
	return 0;
}

static void charge(struct sandbox *s)
{
	if (s->spec.tenant != NULL)
		tenant_charge(s->spec.tenant, s->spec.memory_bytes, s->spec.vcpus);
}

/* The spare becomes the tenant's. */
static void claim(struct sandbox *s, struct spec *spec)
{
	s->spec = *spec;
	*spec = (struct spec){ 0 };
	sandbox_become(s, SANDBOX_KIND_TENANT, s->state);
	s->path = SANDBOX_PATH_POOL;
	s->table->others--;
	s->table->live++;
	charge(s);
	s->created_unix_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	sandbox_event(s, SANDBOX_EV_CLAIM);
	boot_claimed(s);
}

/* What it goes on from; neither = it boots, or is restored. */
struct source {
	struct origin *origin;
	struct snapshot *snapshot;
};

static int create(struct sandboxes *t, struct spec *spec, enum sandbox_kind kind,
		  struct source from, struct sandbox **ret, struct err *err)
{
	struct sandbox *s;
	int r = may_create(t, spec, kind, err);

	s = r < 0 ? NULL : calloc(1, sizeof(*s));
	if (s == NULL) {
		spec_done(spec);
		return r < 0 ? r : err_set(err, -ENOMEM, "out of memory");
	}
	s->table = t;
	s->kind = kind;
	s->agent_fd = s->template_fds[0] = s->template_fds[1] = -1;
	s->spec = *spec;
	*spec = (struct spec){ 0 };
	s->created_unix_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	sandbox_id_make(s->id);
	if (from.origin != NULL) {
		s->origin = origin_ref(from.origin);
		memcpy(s->parent, origin_parent(from.origin), sizeof(s->parent));
	}
	sandboxes_link(t, s);
	if (from.snapshot != NULL) {
		snapshot_give(from.snapshot, s);
		r = snapshot_begin(s, err);
	} else {
		r = boot_begin(s, jailer_conn(t->cfg.jailer));
		r = r < 0 ? err_sys(err, r, "jailer: Create") : 0;
	}
	if (r < 0) {
		sandbox_free(s);
		return r;
	}
	if (kind == SANDBOX_KIND_TENANT) {
		t->live++;
		charge(s);
	} else {
		t->others++;
	}
	*ret = s;
	return 0;
}

int sandbox_create_kind(struct sandboxes *t, struct spec *spec, enum sandbox_kind kind,
			struct sandbox **ret, struct err *err)
{
	return create(t, spec, kind, (struct source){ 0 }, ret, err);
}

int sandbox_create_child(struct sandboxes *t, struct spec *spec, struct origin *origin,
			 struct sandbox **ret, struct err *err)
{
	return create(t, spec, SANDBOX_KIND_TENANT, (struct source){ .origin = origin }, ret, err);
}

int sandbox_create_from(struct sandboxes *t, struct spec *spec, struct snapshot *p,
			struct sandbox **ret, struct err *err)
{
	return create(t, spec, SANDBOX_KIND_TENANT, (struct source){ .snapshot = p }, ret, err);
}

int sandbox_create(struct sandboxes *t, struct spec *spec, struct sandbox **ret, struct err *err)
{
	struct sandbox *spare = NULL;

	if (t->pool != NULL) {
		pool_want(t->pool, spec);
		spare = pool_spare(t->pool, spec);
	}
	if (spare == NULL || may_create(t, spec, SANDBOX_KIND_TENANT, err) < 0)
		return sandbox_create_kind(t, spec, SANDBOX_KIND_TENANT, ret, err);
	claim(spare, spec);
	*ret = spare;
	return 0;
}

/* ---- Watches -------------------------------------------------------------------------------- */

void sandbox_watch(struct sandbox *s, struct sandbox_watch *w)
{
	w->next = s->watches;
	s->watches = w;
}

void sandbox_unwatch(struct sandbox *s, struct sandbox_watch *w)
{
	struct sandbox_watch **at = &s->watches;

	while (*at != w) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = w->next;
}
