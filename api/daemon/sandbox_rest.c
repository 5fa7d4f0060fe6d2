/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_rest.c - a sandbox that rests: its VM is paused where it is, or it is on the disk
 * (sandbox_disk.c). Where it is, it takes no processor time, its memory stays, its time to live
 * stands still, and for the rest of the daemon it runs.
 *
 * The call to the VMM belongs to the sandbox and not to the request that asked for it: a client
 * that goes away must not leave a VM of which nobody knows whether it is paused.
 */
#include <errno.h>
#include <vmm.pb-c.h>

#include "api/daemon/jailer.h"
#include "api/daemon/sandbox_internal.h"
#include "base/clock.h"
#include "base/log.h"

#define REST_CALL_MS 20000U

bool sandbox_rests(const struct sandbox *s)
{
	return s->state == SANDBOX_PAUSED ||
	       (s->state == SANDBOX_RUNNING && s->rest == SANDBOX_RESTING);
}

bool sandbox_rest_pending(const struct sandbox *s)
{
	return (s->state == SANDBOX_RUNNING &&
		(s->rest == SANDBOX_FALLING || s->rest == SANDBOX_RISING)) ||
	       s->state == SANDBOX_PARKING || (s->state == SANDBOX_CREATING && s->ran);
}

bool sandbox_stranded(const struct sandbox *s)
{
	return s->state == SANDBOX_PARKING && jailer_conn(s->table->cfg.jailer) == NULL;
}

bool sandbox_away(const struct sandbox *s)
{
	return sandbox_rests(s) || sandbox_rest_pending(s);
}

bool sandbox_present(const struct sandbox *s)
{
	return s->state == SANDBOX_RUNNING || s->state == SANDBOX_PAUSED || sandbox_rest_pending(s);
}

bool sandbox_resumed(const struct sandbox *s)
{
	return sandbox_from_disk(s) || s->recalled;
}

int sandbox_may_copy(const struct sandbox *s, struct err *err)
{
	if (s->table->stopping)
		return err_set(err, -ESHUTDOWN, "daemon: is shutting down");
	if (s->state != SANDBOX_RUNNING || s->vmm == NULL)
		return err_set(err, -ESTALE, "sandbox %s: is %s, not running", s->id,
			       sandbox_state_name(s->state));
	if (s->rest != SANDBOX_AWAKE)
		return err_set(err, -ESTALE, "sandbox %s: is paused; resume it first", s->id);
	if (s->forking)
		return err_set(err, -EALREADY, "sandbox %s: a fork or snapshot of it is under way",
			       s->id);
	return 0;
}

bool sandbox_files_only(const struct sandbox *s)
{
	return s->files_only;
}

unsigned sandbox_rest_fault(const struct sandbox *s, const char **ret_code, const char **ret_msg)
{
	*ret_code = s->rest_code;
	*ret_msg = s->rest_msg;
	return s->rest_status;
}

/* It couldn't be paused: its time goes on. When that is why it was to be, it ends. */
static void awake(struct sandbox *s)
{
	int64_t left = s->end_unix_ms - (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);

	s->rest = SANDBOX_AWAKE;
	if (s->overdue)
		sandbox_stop(s, "timeout");
	else if (s->end_unix_ms != 0 && s->life_timer == NULL)
		sandbox_set_timeout(s, left > 0 ? (uint64_t)left : 0);
}

/* It goes on, with a time limit whoever asked for it may have gone away without setting. */
static void risen(struct sandbox *s)
{
	s->rest = SANDBOX_AWAKE;
	if (s->spec.timeout_ms > 0)
		sandbox_set_timeout(s, s->spec.timeout_ms);
}

static void on_answer(struct sandbox *s, const struct rpc_status *st, bool pausing)
{
	if (s->state != SANDBOX_RUNNING)
		return; /* the call ended with the VM */
	if (st->code == RPC_OK) {
		log_info("sandbox.rest", "id=%s paused=%d", s->id, pausing);
		if (pausing)
			s->rest = SANDBOX_RESTING;
		else
			risen(s);
	} else {
		sandbox_rest_failed(s, 500, "vm_failed", "sandbox %s: its VM can't be %s: %s",
				    s->id, pausing ? "paused" : "resumed", st->msg);
		log_error("sandbox.rest", "id=%s error=\"%s\"", s->id, st->msg);
		if (pausing)
			awake(s);
		else
			s->rest = SANDBOX_RESTING;
	}
	sandbox_touch(s);
	sandbox_notify(s);
}

static void on_paused(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	(void)out;
	(void)fds;
	on_answer(arg, st, true);
}

static void on_resumed(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	(void)out;
	(void)fds;
	on_answer(arg, st, false);
}

int sandbox_pause_here(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_paused };
	const Casemate__Vmm__V1__PauseRequest q = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	struct rpc_pending *p;
	int r = -EPIPE;

	if (s->vmm != NULL)
		r = rpc_start(s->vmm, &vmm_methods[VMM_PAUSE], &q.base, NULL, REST_CALL_MS, &ops, s,
			      &p);
	if (r == 0) {
		s->rest = SANDBOX_FALLING;
		s->rest_status = 0;
		loop_timer_del(s->life_timer); /* its time stands still */
		s->life_timer = NULL;
	}
	return r;
}

static int resume_here(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_resumed };
	const Casemate__Vmm__V1__ResumeRequest q = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	struct rpc_pending *p;
	int r = -EPIPE;

	if (s->vmm != NULL)
		r = rpc_start(s->vmm, &vmm_methods[VMM_RESUME], &q.base, NULL, REST_CALL_MS, &ops,
			      s, &p);
	if (r == 0)
		s->rest = SANDBOX_RISING;
	return r;
}

static void on_risen(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	if (s->state != SANDBOX_RUNNING)
		return;
	if (st->code == RPC_OK) {
		awake(s);
	} else { /* it lies there in memory, and can be resumed or ended */
		s->rest = SANDBOX_RESTING;
		log_error("sandbox.rest", "id=%s error=\"%s\"", s->id, st->msg);
	}
	sandbox_touch(s);
	sandbox_notify(s);
}

void sandbox_rise(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_risen };
	const Casemate__Vmm__V1__ResumeRequest q = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	struct rpc_pending *p;

	if (!s->vm_paused) {
		awake(s);
		sandbox_notify(s);
		return;
	}
	s->rest = SANDBOX_RISING;
	if (s->vmm == NULL || rpc_start(s->vmm, &vmm_methods[VMM_RESUME], &q.base, NULL,
					REST_CALL_MS, &ops, s, &p) < 0) {
		s->rest = SANDBOX_RESTING;
		sandbox_notify(s);
	}
}

int sandbox_pause(struct sandbox *s, enum sandbox_keep keep, struct err *err)
{
	bool disk = keep == SANDBOX_KEEP_DISK;
	struct err unused;
	int r;

	if (s->state != SANDBOX_RUNNING || s->vmm == NULL || s->rest != SANDBOX_AWAKE)
		return err_set(err, -EBUSY, "sandbox %s: can't be paused now", s->id);
	if (s->forking)
		return err_set(err, -EBUSY, "sandbox %s: a fork of it is under way", s->id);
	if (keep == SANDBOX_KEEP_FILES) {
		r = sandbox_may_keep_files(s, err);
		return r < 0 ? r : sandbox_park_files(s, err);
	}
	if (disk) {
		r = sandbox_may_park(s, err);
		if (r < 0)
			return r;
	} else if (keep == SANDBOX_KEEP_ANY) {
		disk = sandbox_may_park(s, &unused) == 0;
	}
	if (disk)
		return sandbox_park(s, keep, err);
	r = sandbox_pause_here(s);
	return r < 0 ? err_sys(err, r, "sandbox %s: VMM", s->id) : 0;
}

int sandbox_resume(struct sandbox *s, struct err *err)
{
	int r;

	if (s->state == SANDBOX_PAUSED)
		return sandbox_unpark(s, err);
	if (!sandbox_rests(s))
		return err_set(err, -EBUSY, "sandbox %s: isn't paused", s->id);
	r = resume_here(s);
	return r < 0 ? err_sys(err, r, "sandbox %s: VMM", s->id) : 0;
}
