/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_template.c - what a mould does instead of being identified: when its agent answers, the
 * connection to it is closed, the guest gets a moment to come to rest, and what it is then becomes
 * a template. The mould itself is thrown away.
 */
#include <agent.pb-c.h>
#include <errno.h>
#include <jailer.pb-c.h>
#include <string.h>
#include <vmm.pb-c.h>

#include "api/daemon/jailer.h"
#include "api/daemon/pool.h"
#include "api/daemon/sandbox_internal.h"
#include "api/proto/contract.h"
#include "base/fd.h"
#include "base/log.h"

_Static_assert(POOL_IMAGE_BYTES == SANDBOX_IMAGE_BYTES, "the mould's is its template's");

#define REST_MS	    250U
#define PAUSE_MS    20000U
#define SNAPSHOT_MS 300000U /* a memory is copied, or read; nobody waits for it */

static bool moulding(struct sandbox *s, const char *step, const struct rpc_status *st)
{
	if (s->state != SANDBOX_CREATING)
		return false;
	if (st->code == RPC_OK)
		return true;
	sandbox_fail(s, 500, "template", "%s: %s", step, st->msg);
	return false;
}

static void on_sealed(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	const Casemate__Jailer__V1__SealResponse *m = (const void *)out;
	struct pool_template t = { .working_set.count = 0 };
	struct sandbox *s = arg;

	(void)fds;
	s->seal_call = NULL;
	if (!moulding(s, "jailer Seal", st))
		return;
	if (m->seal.len > sizeof(t.seal)) {
		sandbox_fail(s, 500, "template", "jailer Seal: a seal of %zu bytes", m->seal.len);
		return;
	}
	t.fds[0] = fd_steal(&s->template_fds[0]);
	t.fds[1] = fd_steal(&s->template_fds[1]);
	memcpy(t.seal, m->seal.data, m->seal.len);
	t.seal_len = m->seal.len;
	memcpy(t.image_id, s->image_id, sizeof(t.image_id));
	s->cast = true;
	pool_cast(s->table->pool, &s->spec, &t);
	sandbox_stop(s, "template");
}

static void on_snapshot(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_sealed };
	Casemate__Jailer__V1__SealRequest req = CASEMATE__JAILER__V1__SEAL_REQUEST__INIT;
	struct sandbox *s = arg;
	struct rpc_conn *jailer = jailer_conn(s->table->cfg.jailer);
	int r;

	(void)out;
	(void)fds;
	if (!moulding(s, "VMM Snapshot", st))
		return;
	req.id = s->id;
	r = pool_freeze(s->template_fds, 2);
	if (r == 0)
		r = jailer == NULL
			    ? -ENOTCONN
			    : rpc_start(jailer, &jailer_methods[JAILER_SEAL], &req.base,
					s->template_fds, SNAPSHOT_MS, &ops, s, &s->seal_call);
	if (r < 0)
		sandbox_fail(s, 500, "template", "sealing it: %s", strerror(-r));
}

static void on_paused(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_snapshot };
	Casemate__Vmm__V1__SnapshotRequest req = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	struct sandbox *s = arg;
	int r;

	(void)out;
	(void)fds;
	if (!moulding(s, "VMM Pause", st))
		return;
	r = pool_files(&s->spec, s->template_fds);
	if (r < 0)
		sandbox_fail(s, 500, "template", "memfd: %s", strerror(-r));
	else
		boot_vmm_call(s, VMM_SNAPSHOT, &req.base, s->template_fds, SNAPSHOT_MS, &ops);
}

static void on_rested(void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_paused };
	Casemate__Vmm__V1__PauseRequest req = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	struct sandbox *s = arg;

	s->rest_timer = NULL;
	boot_vmm_call(s, VMM_PAUSE, &req.base, NULL, PAUSE_MS, &ops);
}

static void on_health(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	if (s->state != SANDBOX_CREATING || st->code == RPC_CANCELLED ||
	    st->code == RPC_UNAVAILABLE)
		return;
	if (st->code != RPC_OK) {
		sandbox_fail(s, 502, "agent_failed", "agent: %s", st->msg);
		return;
	}
	rpc_conn_free(s->agent);
	s->agent = NULL;
	/* It has booted; what follows has deadlines of its own. */
	loop_timer_del(s->boot_timer);
	s->boot_timer = NULL;
	if (loop_timer_add(s->table->cfg.loop, REST_MS, on_rested, s, &s->rest_timer) < 0)
		sandbox_fail(s, 500, "internal", "out of memory");
}

int boot_template_begin(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_health };
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	struct rpc_pending *p;

	return rpc_start(s->agent, &agent_methods[AGENT_HEALTH], &req.base, NULL, 0, &ops, s, &p);
}
