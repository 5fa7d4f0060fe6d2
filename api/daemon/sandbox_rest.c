/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_rest.c - a running sandbox that rests: its VM is paused where it is. It takes no
 * processor time, its memory stays, its time to live stands still. For the rest of the daemon it
 * runs.
 *
 * The call to the VMM belongs to the sandbox and not to the request that asked for it: a client
 * that goes away must not leave a VM of which nobody knows whether it is paused.
 */
#include <errno.h>
#include <vmm.pb-c.h>

#include "api/daemon/sandbox_internal.h"
#include "base/bug.h"
#include "base/log.h"

#define REST_CALL_MS 20000U

bool sandbox_rests(const struct sandbox *s)
{
	return s->state == SANDBOX_RUNNING && s->rest == SANDBOX_RESTING;
}

bool sandbox_rest_pending(const struct sandbox *s)
{
	return s->rest == SANDBOX_FALLING || s->rest == SANDBOX_RISING;
}

static void on_answer(struct sandbox *s, const struct rpc_status *st, enum sandbox_rest now,
		      enum sandbox_rest before)
{
	if (s->state != SANDBOX_RUNNING)
		return; /* the call ended with the VM */
	s->rest = st->code == RPC_OK ? now : before;
	if (st->code == RPC_OK)
		log_info("sandbox.rest", "id=%s paused=%d", s->id, now == SANDBOX_RESTING);
	else
		log_error("sandbox.rest", "id=%s error=\"%s\"", s->id, st->msg);
	if (s->rest == SANDBOX_RESTING) {
		loop_timer_del(s->life_timer);
		s->life_timer = NULL;
	}
	sandbox_notify(s);
}

static void on_paused(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	(void)out;
	(void)fds;
	on_answer(arg, st, SANDBOX_RESTING, SANDBOX_AWAKE);
}

static void on_resumed(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	(void)out;
	(void)fds;
	on_answer(arg, st, SANDBOX_AWAKE, SANDBOX_RESTING);
}

int sandbox_pause(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_paused };
	const Casemate__Vmm__V1__PauseRequest q = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	struct rpc_pending *p;
	int r;

	if (s->state != SANDBOX_RUNNING || s->vmm == NULL || s->rest != SANDBOX_AWAKE)
		return -EBUSY;
	r = rpc_start(s->vmm, &vmm_methods[VMM_PAUSE], &q.base, NULL, REST_CALL_MS, &ops, s, &p);
	if (r == 0)
		s->rest = SANDBOX_FALLING;
	return r;
}

int sandbox_resume(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_resumed };
	const Casemate__Vmm__V1__ResumeRequest q = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;
	struct rpc_pending *p;
	int r;

	if (s->state != SANDBOX_RUNNING || s->vmm == NULL || s->rest != SANDBOX_RESTING)
		return -EBUSY;
	r = rpc_start(s->vmm, &vmm_methods[VMM_RESUME], &q.base, NULL, REST_CALL_MS, &ops, s, &p);
	if (r == 0)
		s->rest = SANDBOX_RISING;
	return r;
}

void sandbox_set_auto_pause(struct sandbox *s, bool on)
{
	s->auto_pause = on;
}
