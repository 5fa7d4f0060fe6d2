/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_disk.c - a sandbox that is paused on the disk, and back.
 *
 *     jailer Reserve -> VMM Pause -> VMM Snapshot, to memfds -> jailer Save -> PARKING: its jail is
 *     destroyed -> PAUSED -> jailer Load, to memfds -> boot.c from Restore on -> RUNNING -> Discard
 *
 * Until Save has been answered the sandbox runs, and a step that fails lets it go on. From then
 * until the agent has answered again the file is what there is of it: a resume that fails ends in
 * PAUSED, and can be tried again. The file belongs to our connection to the jailer.
 *
 * What goes on has another generation id, another token, fresh entropy and the right time, as what
 * comes from a template has (boot_agent.c); its connections from outside are gone.
 */
#include <errno.h>
#include <jailer.pb-c.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <vmm.pb-c.h>

#include "api/daemon/jailer.h"
#include "api/daemon/origin.h"
#include "api/daemon/pool.h"
#include "api/daemon/sandbox_internal.h"
#include "api/daemon/tenant.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define SHORT_CALL_MS 20000U
#define COPY_CALL_MS  300000U /* a memory, to or from a disk */

void sandbox_rest_failed(struct sandbox *s, unsigned status, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(s->rest_msg, sizeof(s->rest_msg), fmt, ap);
	va_end(ap);
	s->rest_status = status;
	s->rest_code = code;
}

static void close_files(struct sandbox *s)
{
	fd_closep(&s->template_fds[0]);
	fd_closep(&s->template_fds[1]);
}

/* ---- The file ------------------------------------------------------------------------------ */

static void on_discarded(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			 void *arg)
{
	(void)out;
	(void)fds;
	(void)arg;
	if (st->code != RPC_OK && st->code != RPC_CANCELLED && st->code != RPC_UNAVAILABLE)
		log_error("sandbox.discard", "error=\"%s\"", st->msg);
}

/* Nobody waits for it. Calls are answered in any order but begun in that of their coming, and a
 * Save or Load that we have cancelled is over by then. */
void sandbox_discard(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_discarded };
	Casemate__Jailer__V1__DiscardRequest req = CASEMATE__JAILER__V1__DISCARD_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(s->table->cfg.jailer);
	struct rpc_pending *p;

	if (!s->saved)
		return;
	s->saved = false;
	explicit_bzero(s->token_saved, sizeof(s->token_saved));
	req.id = s->id;
	/* Without the jailer there is no file either. */
	if (jailer != NULL && rpc_start(jailer, &jailer_methods[JAILER_DISCARD], &req.base, NULL,
					SHORT_CALL_MS, &ops, NULL, &p) < 0)
		log_error("sandbox.discard", "id=%s: can't ask for it", s->id);
}

/* ---- To the disk --------------------------------------------------------------------------- */

/* It stays; in memory, when it is all the same to who asked for it. */
void sandbox_stay(struct sandbox *s)
{
	const bool any = s->keep == SANDBOX_KEEP_ANY;

	log_warn("sandbox.park", "id=%s error=\"%s\"", s->id, s->rest_msg);
	close_files(s);
	sandbox_discard(s);
	origin_settle(s);
	sandbox_thaw(s);
	if (s->vm_paused && any) {
		s->rest = SANDBOX_RESTING;
		s->rest_status = 0;
		sandbox_touch(s);
		sandbox_notify(s);
	} else if (s->vm_paused) {
		sandbox_rise(s);
	} else {
		s->rest = SANDBOX_AWAKE;
		if (!any || sandbox_pause_here(s) < 0)
			sandbox_rise(s);
	}
	s->vm_paused = false;
}

/* An answer that counts. */
bool sandbox_step_ok(struct sandbox *s, const struct rpc_status *st, const char *step)
{
	if (s->state != SANDBOX_RUNNING)
		return false;
	if (st->code == RPC_OK)
		return true;
	sandbox_rest_failed(s, st->code == RPC_RESOURCE_EXHAUSTED ? 507 : 500,
			    st->code == RPC_RESOURCE_EXHAUSTED ? "no_room" : "pause_failed",
			    "sandbox %s: goes on running: %s: %s", s->id, step, st->msg);
	sandbox_stay(s);
	return false;
}

/* The VMM's answers: when it is gone, its end is on its way and has the better reason. */
bool sandbox_vmm_step_ok(struct sandbox *s, const struct rpc_status *st, const char *step)
{
	if (st->code == RPC_CANCELLED || st->code == RPC_UNAVAILABLE)
		return false;
	return sandbox_step_ok(s, st, step);
}

void sandbox_step_failed(struct sandbox *s, const char *step, int r)
{
	sandbox_rest_failed(s, 500, "pause_failed", "sandbox %s: goes on running: %s: %s", s->id,
			    step, strerror(-r));
	sandbox_stay(s);
}

int sandbox_ask_jailer(struct sandbox *s, enum jailer_method m, const ProtobufCMessage *in,
		       const int *fds, uint64_t ms, const struct rpc_pending_ops *ops)
{
	struct rpc_conn *jailer = jailer_conn(s->table->cfg.jailer);

	return jailer == NULL
		       ? -ENOTCONN
		       : rpc_start(jailer, &jailer_methods[m], in, fds, ms, ops, s, &s->seal_call);
}

static void on_saved(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	s->seal_call = NULL;
	if (!sandbox_step_ok(s, st, "jailer"))
		return;
	memcpy(s->token_saved, s->token, sizeof(s->token_saved));
	log_info("sandbox.park", "id=%s", s->id);
	sandbox_event(s, SANDBOX_EV_PARK);
}

static void on_snapshot(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_saved };
	Casemate__Jailer__V1__SaveRequest req = CASEMATE__JAILER__V1__SAVE_REQUEST__INIT;
	struct sandbox *s = arg;
	int r;

	(void)out;
	(void)fds;
	if (!sandbox_vmm_step_ok(s, st, "VMM Snapshot"))
		return;
	req.id = s->id;
	r = pool_freeze(s->template_fds, 2);
	if (r == 0) {
		s->saved = true; /* or may be: a Discard too many does no harm */
		r = sandbox_ask_jailer(s, JAILER_SAVE, &req.base, s->template_fds, COPY_CALL_MS,
				       &ops);
	}
	if (r < 0)
		sandbox_step_failed(s, "saving it", r);
}

static void on_paused(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_snapshot };
	Casemate__Vmm__V1__SnapshotRequest req = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	struct sandbox *s = arg;
	struct rpc_pending *p;
	int r;

	(void)out;
	(void)fds;
	if (!sandbox_vmm_step_ok(s, st, "VMM Pause"))
		return;
	s->vm_paused = true;
	r = rpc_start(s->vmm, &vmm_methods[VMM_SNAPSHOT], &req.base, s->template_fds, COPY_CALL_MS,
		      &ops, s, &p);
	if (r < 0)
		sandbox_step_failed(s, "VMM Snapshot", r);
}

static void on_reserved(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_paused };
	const Casemate__Vmm__V1__PauseRequest req = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	struct sandbox *s = arg;
	struct rpc_pending *p;
	int r;

	(void)out;
	(void)fds;
	s->seal_call = NULL;
	if (!sandbox_step_ok(s, st, "jailer"))
		return;
	r = s->vmm == NULL ? -EPIPE
			   : rpc_start(s->vmm, &vmm_methods[VMM_PAUSE], &req.base, NULL,
				       SHORT_CALL_MS, &ops, s, &p);
	if (r < 0)
		sandbox_step_failed(s, "VMM Pause", r);
}

int sandbox_may_park(const struct sandbox *s, struct err *err)
{
	const struct jailer *j = s->table->cfg.jailer;

	if (jailer_conn(j) == NULL)
		return err_set(err, -ENOTCONN, "jailer: %s", jailer_problem(j));
	if (jailer_save_bytes_max(j) == 0)
		return err_set(err, -ENOTSUP,
			       "sandbox %s: the jailer keeps no paused sandboxes on the disk",
			       s->id);
	if (s->spec.huge_pages != SPEC_PAGES_NONE)
		return err_set(err, -ENOTSUP,
			       "sandbox %s: one on huge pages can't be paused on the disk", s->id);
	if (s->spec.lease)
		return err_set(err, -ENOTSUP,
			       "sandbox %s: one with a lease can't be paused on the disk", s->id);
	if (s->origins >= ORIGIN_LIVE_MAX)
		return err_set(err, -EDQUOT, "sandbox %s: %u forks of it live; end one first",
			       s->id, s->origins);
	return 0;
}

void sandbox_fall(struct sandbox *s, enum sandbox_keep keep)
{
	s->keep = keep;
	s->rest = SANDBOX_FALLING;
	s->rest_status = 0;
	loop_timer_del(s->life_timer);
	s->life_timer = NULL;
}

int sandbox_park(struct sandbox *s, enum sandbox_keep keep, struct err *err)
{
	static const struct rpc_pending_ops ops = { .done = on_reserved };
	Casemate__Jailer__V1__ReserveRequest req = CASEMATE__JAILER__V1__RESERVE_REQUEST__INIT;
	int r = pool_files(&s->spec, s->template_fds);

	if (r < 0)
		return err_sys(err, r, "sandbox %s: files of its snapshot", s->id);
	req.id = s->id;
	req.snapshots = s->origins + 1;
	r = sandbox_ask_jailer(s, JAILER_RESERVE, &req.base, NULL, SHORT_CALL_MS, &ops);
	if (r < 0) {
		close_files(s);
		return err_sys(err, r, "jailer: Reserve");
	}
	sandbox_fall(s, keep);
	return 0;
}

void sandbox_parked(struct sandbox *s)
{
	if (s->fault_status != 0)
		sandbox_rest_failed(s, s->fault_status, s->fault_code, "%s", s->fault);
	else if (s->reason[0] != '\0')
		sandbox_rest_failed(s, 502, "guest_ended", "guest: ended before it was up: %s%s%s",
				    s->reason, s->detail[0] != '\0' ? ": " : "", s->detail);
	s->fault_status = 0;
	s->fault_code = NULL;
	s->fault[0] = s->reason[0] = s->detail[0] = '\0';
	s->parked = true;
	s->table->live--;
	s->table->parked++;
	if (s->spec.tenant != NULL)
		tenant_park(s->spec.tenant, s->spec.memory_bytes, s->spec.vcpus);
}

/* ---- And back ------------------------------------------------------------------------------ */

static void on_loaded(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	const Casemate__Jailer__V1__LoadResponse *m = (const void *)out;
	struct sandbox *s = arg;
	struct rpc_conn *jailer;
	int r;

	(void)fds;
	s->seal_call = NULL;
	memory_settle(&s->table->memory, &s->promised);
	if (s->state != SANDBOX_CREATING)
		return;
	if (st->code != RPC_OK) {
		sandbox_fail(s, 500, "resume_failed", "%s", st->msg);
		return;
	}
	jailer = jailer_conn(s->table->cfg.jailer);
	r = m->seal.len > sizeof(s->disk_seal) ? -EPROTO : pool_freeze(s->template_fds, 2);
	if (r == 0) {
		memcpy(s->disk_seal, m->seal.data, m->seal.len);
		s->disk_seal_len = m->seal.len;
		r = jailer == NULL ? -ENOTCONN : boot_begin(s, jailer);
	}
	if (r < 0)
		sandbox_fail(s, 500, "resume_failed", "jailer Restore: %s", strerror(-r));
}

static int may_unpark(struct sandbox *s, struct err *err)
{
	const struct sandboxes *t = s->table;

	if (t->stopping)
		return err_set(err, -ESHUTDOWN, "daemon: is shutting down");
	if (t->live >= t->cfg.max)
		return err_set(err, -EBUSY, "sandboxes: %zu of %zu in use; end one first", t->live,
			       t->cfg.max);
	if (jailer_conn(t->cfg.jailer) == NULL)
		return err_set(err, -ENOTCONN, "jailer: %s", jailer_problem(t->cfg.jailer));
	return 0;
}

/* Room for it, with its tenant and on the host: what is copied stays in memory. */
static int take_room(struct sandbox *s, struct err *err)
{
	struct memory *m = &s->table->memory;
	int r = s->files_only ? 0 : memory_promise(m, s->spec.memory_bytes, &s->promised, err);

	if (r < 0 || s->spec.tenant == NULL)
		return r;
	r = tenant_unpark(s->spec.tenant, s->spec.memory_bytes, s->spec.vcpus, err);
	if (r < 0)
		memory_settle(m, &s->promised);
	return r;
}

/* With its memory, or by booting from its disk: 0 or -errno. */
static int begin_again(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_loaded };
	Casemate__Jailer__V1__LoadRequest req = CASEMATE__JAILER__V1__LOAD_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(s->table->cfg.jailer);
	int r;

	s->path = s->files_only ? SANDBOX_PATH_REBOOT : SANDBOX_PATH_DISK;
	if (s->files_only)
		return jailer == NULL ? -ENOTCONN : boot_begin(s, jailer);
	req.id = s->id;
	r = pool_files(&s->spec, s->template_fds);
	if (r == 0)
		r = sandbox_ask_jailer(s, JAILER_LOAD, &req.base, s->template_fds, COPY_CALL_MS,
				       &ops);
	return r;
}

int sandbox_unpark(struct sandbox *s, struct err *err)
{
	int r = may_unpark(s, err);

	if (r == 0)
		r = take_room(s, err);
	if (r < 0)
		return r;
	memset(s->time_ns, 0, sizeof(s->time_ns));
	r = begin_again(s);
	if (r < 0) {
		close_files(s);
		memory_settle(&s->table->memory, &s->promised);
		if (s->spec.tenant != NULL)
			tenant_park(s->spec.tenant, s->spec.memory_bytes, s->spec.vcpus);
		return err_sys(err, r, "sandbox %s: jailer", s->id);
	}
	s->parked = false;
	s->table->parked--;
	s->table->live++;
	s->rest_status = 0;
	sandbox_event(s, SANDBOX_EV_RESUME);
	return 0;
}
