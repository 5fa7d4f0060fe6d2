/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_files.c - a sandbox that is paused on the disk without its memory: its scratch disk is
 * kept, on which everything is that it wrote, and it goes on by booting from that.
 *
 *     agent Freeze -> VMM Pause -> jailer SaveDisk -> PARKING, PAUSED as sandbox_disk.c has them ->
 *     boot.c from Create on, with this disk -> RUNNING -> Discard
 *
 * Frozen, because what lies in the guest's page cache is lost, and a file system in the middle of
 * a change is damaged. The agent thaws by itself after a minute (agent/freezer.h), so that a guest
 * whose casemated died goes on; who is slower than QUIET_MS has no frozen disk any more, perhaps,
 * and starts over. A guest that says that it is frozen and isn't damages its own files.
 */
#include <agent.pb-c.h>
#include <errno.h>
#include <inttypes.h>
#include <jailer.pb-c.h>
#include <string.h>
#include <vmm.pb-c.h>

#include "api/daemon/guest_link.h"
#include "api/daemon/jailer.h"
#include "api/daemon/sandbox_internal.h"
#include "base/clock.h"
#include "base/log.h"

#define FREEZE_MS 30000U /* all that is dirty is written meanwhile */
#define QUIET_MS  15000U /* from frozen to paused; the agent holds still for 60 s */
#define PAUSE_MS  20000U
#define THAW_MS	  60000U
#define COPY_MS	  300000U
#define NS_PER_MS UINT64_C(1000000)

int sandbox_may_keep_files(const struct sandbox *s, struct err *err)
{
	const struct jailer *j = s->table->cfg.jailer;

	if (s->spec.scratch_bytes == 0)
		return err_set(err, -ENOTSUP,
			       "sandbox %s: its files are in its memory and would be lost; make it "
			       "with a scratch disk (scratch_bytes, or autoPauseMemory false)",
			       s->id);
	if (jailer_conn(j) == NULL)
		return err_set(err, -ENOTCONN, "jailer: %s", jailer_problem(j));
	if (jailer_save_bytes_max(j) == 0)
		return err_set(err, -ENOTSUP,
			       "sandbox %s: the jailer keeps no paused sandboxes on the disk",
			       s->id);
	if (s->spec.lease)
		return err_set(err, -ENOTSUP,
			       "sandbox %s: one with a lease can't be paused on the disk", s->id);
	return 0;
}

/* ---- And if not ---------------------------------------------------------------------------- */

void sandbox_quiet_end(struct sandbox *s)
{
	struct guest_link *g = s->quiet;

	s->quiet = NULL;
	s->quiet_conn = NULL;
	guest_link_free(g);
}

static void on_thawed(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	(void)out;
	(void)fds;
	if (st->code != RPC_CANCELLED)
		sandbox_quiet_end(arg);
}

/* It gets it when its VM goes on. */
void sandbox_thaw(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_thawed };
	Casemate__Agent__V1__FreezeRequest req = CASEMATE__AGENT__V1__FREEZE_REQUEST__INIT;
	struct rpc_pending *p;

	req.thaw = true;
	if (s->quiet_conn == NULL || rpc_start(s->quiet_conn, &agent_methods[AGENT_FREEZE],
					       &req.base, NULL, THAW_MS, &ops, s, &p) < 0)
		sandbox_quiet_end(s);
}

/* The guest's side of it fails. */
static void not_frozen(struct sandbox *s, const char *why)
{
	char shown[ERR_MSG_MAX];

	(void)log_escape(shown, sizeof(shown), why, strlen(why));
	sandbox_rest_failed(s, 502, "agent_failed", "sandbox %s: goes on running: agent: %s", s->id,
			    shown);
	sandbox_stay(s);
}

/* ---- To the disk --------------------------------------------------------------------------- */

static void on_saved(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	s->seal_call = NULL;
	if (!sandbox_step_ok(s, st, "jailer"))
		return;
	s->files_only = true;
	log_info("sandbox.park", "id=%s files=1", s->id);
	sandbox_event(s, SANDBOX_EV_PARK);
}

static void on_paused(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_saved };
	Casemate__Jailer__V1__SaveDiskRequest req = CASEMATE__JAILER__V1__SAVE_DISK_REQUEST__INIT;
	struct sandbox *s = arg;
	int r;

	(void)out;
	(void)fds;
	if (!sandbox_vmm_step_ok(s, st, "VMM Pause"))
		return;
	s->vm_paused = true;
	if (now_ns() - s->quiet_ns > QUIET_MS * NS_PER_MS) {
		sandbox_step_failed(s, "the host was too slow for it", -ETIMEDOUT);
		return;
	}
	req.id = s->id;
	s->saved = true; /* or may be: a Discard too many does no harm */
	r = sandbox_ask_jailer(s, JAILER_SAVE_DISK, &req.base, NULL, COPY_MS, &ops);
	if (r < 0)
		sandbox_step_failed(s, "saving it", r);
}

static void on_frozen(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_paused };
	const Casemate__Vmm__V1__PauseRequest req = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	struct sandbox *s = arg;
	struct rpc_pending *p;
	int r;

	(void)out;
	(void)fds;
	if (st->code == RPC_CANCELLED || s->state != SANDBOX_RUNNING)
		return; /* the link is gone with what it was for */
	if (st->code != RPC_OK) {
		not_frozen(s, st->msg);
		return;
	}
	s->quiet_ns = now_ns();
	r = s->vmm == NULL ? -EPIPE
			   : rpc_start(s->vmm, &vmm_methods[VMM_PAUSE], &req.base, NULL, PAUSE_MS,
				       &ops, s, &p);
	if (r < 0)
		sandbox_step_failed(s, "VMM Pause", r);
}

static void on_up(struct rpc_conn *c, void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_frozen };
	const Casemate__Agent__V1__FreezeRequest req = CASEMATE__AGENT__V1__FREEZE_REQUEST__INIT;
	struct sandbox *s = arg;
	struct rpc_pending *p;

	s->quiet_conn = c;
	if (rpc_start(c, &agent_methods[AGENT_FREEZE], &req.base, NULL, FREEZE_MS, &ops, s, &p) < 0)
		not_frozen(s, "can't be asked");
}

/* Calls on it have been told, and have had their consequences. */
static void on_down(const char *why, void *arg)
{
	struct sandbox *s = arg;
	const bool asked = s->quiet_conn != NULL;

	sandbox_quiet_end(s);
	if (!asked)
		not_frozen(s, why);
}

int sandbox_park_files(struct sandbox *s, struct err *err)
{
	static const struct guest_link_ops ops = { .up = on_up, .down = on_down };
	int r;

	sandbox_quiet_end(s); /* of a try before this, if its thaw wasn't answered yet */
	r = guest_link_open(s->table->cfg.loop, s, &ops, s, &s->quiet);
	if (r < 0)
		return err_sys(err, r, "sandbox %s: a connection to its agent", s->id);
	sandbox_fall(s, SANDBOX_KEEP_FILES);
	return 0;
}
