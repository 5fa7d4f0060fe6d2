/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recall.c - sandboxes that outlive their casemated.
 *
 * Each has a record (record.h) in the store from before its client hears of it until after its end.
 * The next casemated reads them at its start, before anybody can ask; the jailer, whom it tells the
 * same token (jailer.h), has kept the jails and files; and each jail's VMM gets another control
 * connection:
 *
 *     one that runs:      CREATING --jailer Adopt -> VMM Wait -> VMM Resume or Pause--> RUNNING
 *     one on the disk:    PARKING --its jail, if there still is one, is destroyed--> PAUSED
 *
 * What the last process had under way when it ended is undone or done again: a VM that it had
 * paused for a moment goes on, a file that it had written and not yet said so is discarded, one
 * that it was resuming from is still there. What no record names, the jailer destroys.
 */
#include <errno.h>
#include <jailer.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmm.pb-c.h>

#include "api/daemon/jailer.h"
#include "api/daemon/origin.h"
#include "api/daemon/record.h"
#include "api/daemon/sandbox_internal.h"
#include "api/daemon/tenant.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#define ADOPT_MS 10000U

_Static_assert(RECORD_TOKEN_BYTES == SANDBOX_TOKEN_BYTES, "a record has an agent's token");
_Static_assert(RECORD_IMAGE_BYTES == SANDBOX_IMAGE_BYTES, "and its image's name");

/* ---- The record ---------------------------------------------------------------------------- */

char *sandbox_record(const struct sandbox *s)
{
	const bool parked = s->state == SANDBOX_PARKING || s->state == SANDBOX_PAUSED;
	struct record rec = { .spec = s->spec,
			      .profile = s->profile,
			      .parked = parked,
			      .files_only = parked && s->files_only,
			      .resting = s->rest == SANDBOX_RESTING,
			      .end_unix_ms = s->end_unix_ms };
	char *text;

	(void)snprintf(rec.path, sizeof(rec.path), "%s", sandbox_path_name(s->path));
	memcpy(rec.parent, s->parent, sizeof(rec.parent));
	if (s->origin != NULL && !parked)
		rec.origin = origin_number(s->origin);
	memcpy(rec.token, parked ? s->token_saved : s->token, sizeof(rec.token));
	memcpy(rec.image, s->image_id, sizeof(rec.image));
	memcpy(rec.kernel_release, s->kernel_release, sizeof(rec.kernel_release));
	memcpy(rec.agent_version, s->agent_version, sizeof(rec.agent_version));
	_Static_assert(sizeof(rec.kernel_release) == sizeof(s->kernel_release), "the same");
	_Static_assert(sizeof(rec.agent_version) == sizeof(s->agent_version), "the same");
	text = record_write(&rec);
	explicit_bzero(rec.token, sizeof(rec.token));
	return text;
}

static void fill(struct sandbox *s, struct record *rec)
{
	s->spec = rec->spec;
	rec->spec = (struct spec){ 0 };
	s->profile = rec->profile;
	rec->profile = NULL;
	s->files_only = rec->files_only;
	s->rest = rec->resting ? SANDBOX_RESTING : SANDBOX_AWAKE;
	s->end_unix_ms = rec->end_unix_ms;
	s->origin_number = rec->origin;
	memcpy(s->parent, rec->parent, sizeof(s->parent));
	memcpy(rec->parked ? s->token_saved : s->token, rec->token, sizeof(rec->token));
	memcpy(s->image_id, rec->image, sizeof(s->image_id));
	memcpy(s->kernel_release, rec->kernel_release, sizeof(s->kernel_release));
	memcpy(s->agent_version, rec->agent_version, sizeof(s->agent_version));
}

/* At least so much that no sample seems to be there; at most what this machine has been up. */
static uint64_t age_ns(int64_t created_unix_ms)
{
	int64_t age_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000) - created_unix_ms;

	return MIN(now_ns() - 1, (uint64_t)MAX(age_ms, (int64_t)2000) * 1000000);
}

int sandbox_recall(struct sandboxes *t, const char *id, struct tenant *tenant,
		   int64_t created_unix_ms, struct record *rec)
{
	struct sandbox *s;
	enum sandbox_path path;

	if (!sandbox_id_valid(id) || sandbox_path_find(rec->path, &path) < 0)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->table = t;
	memcpy(s->id, id, sizeof(s->id));
	s->kind = SANDBOX_KIND_TENANT;
	s->path = path;
	s->agent_fd = s->template_fds[0] = s->template_fds[1] = -1;
	s->created_unix_ms = created_unix_ms;
	s->ran = s->jailed = s->recalled = true;
	fill(s, rec);
	s->spec.tenant = tenant;
	/* The first sample is the mean since it was made. */
	s->usage.at_ns = now_ns() - age_ns(created_unix_ms);
	s->saved = true; /* one that isn't parked may have a file nobody waits for */
	s->state = rec->parked ? SANDBOX_PARKING : SANDBOX_CREATING;
	s->adopting = !rec->parked;
	t->adopting += s->adopting;
	t->live++;
	if (tenant != NULL)
		tenant_charge(tenant, s->spec.memory_bytes, s->spec.vcpus);
	sandboxes_link(t, s);
	return 0;
}

void sandboxes_recalled(struct sandboxes *t)
{
	for (struct sandbox *s = t->first; s != NULL; s = s->next) {
		if (s->origin_number == 0 || s->parent[0] == '\0')
			continue;
		s->origin = origin_revive(t, s->parent, s->origin_number);
		if (s->origin == NULL)
			log_error("sandbox.recall", "id=%s: no memory for its origin", s->id);
	}
}

size_t sandboxes_adopting(const struct sandboxes *t)
{
	return t->adopting;
}

/* ---- Its jail ------------------------------------------------------------------------------ */

/* It is as its record says: so it was, or is now. */
static void on_settled(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	if (s->state != SANDBOX_CREATING || st->code == RPC_UNAVAILABLE ||
	    st->code == RPC_CANCELLED)
		return; /* its end is on its way */
	if (st->code != RPC_OK && st->code != RPC_FAILED_PRECONDITION) {
		sandbox_exit(s, "vmm-lost", st->msg);
		return;
	}
	sandbox_event(s, SANDBOX_EV_BOOTED);
	if (s->state != SANDBOX_RUNNING)
		return;
	log_info("sandbox.adopted", "id=%s pid=%d paused=%d", s->id, (int)s->pid,
		 s->rest == SANDBOX_RESTING);
	origin_settle(s); /* a pause or fork that was under way may have reserved more */
}

static void settle(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_settled };
	const Casemate__Vmm__V1__PauseRequest pause = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	const Casemate__Vmm__V1__ResumeRequest resume = CASEMATE__VMM__V1__RESUME_REQUEST__INIT;

	boot_watch_vm(s);
	if (s->state != SANDBOX_CREATING)
		return;
	if (s->rest == SANDBOX_RESTING)
		boot_vmm_call(s, VMM_PAUSE, &pause.base, NULL, ADOPT_MS, &ops);
	else
		boot_vmm_call(s, VMM_RESUME, &resume.base, NULL, ADOPT_MS, &ops);
}

static void on_adopted(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	const Casemate__Jailer__V1__AdoptResponse *m = (const void *)out;
	struct sandbox *s = arg;
	int r;

	s->create_call = NULL;
	if (s->state != SANDBOX_CREATING) {
		sandbox_destroy_jail(s);
		return;
	}
	if (st->code == RPC_UNAVAILABLE || st->code == RPC_CANCELLED)
		return; /* again, when the jailer is back */
	if (st->code != RPC_OK) {
		sandbox_exit(s, "jail-lost", st->msg);
		return;
	}
	r = boot_attach(s, m->jail, fds);
	if (r < 0) {
		sandbox_exit(s, "jail-lost", strerror(-r));
		return;
	}
	boot_network(s);
	settle(s);
}

void recall_adopt(struct sandbox *s, struct rpc_conn *jailer)
{
	static const struct rpc_pending_ops ops = { .done = on_adopted };
	Casemate__Jailer__V1__AdoptRequest req = CASEMATE__JAILER__V1__ADOPT_REQUEST__INIT;

	if (s->create_call != NULL || s->vmm != NULL)
		return;
	req.id = s->id;
	if (rpc_start(jailer, &jailer_methods[JAILER_ADOPT], &req.base, NULL, ADOPT_MS, &ops, s,
		      &s->create_call) < 0)
		sandbox_exit(s, "jail-lost", "the jailer can't be asked for it");
}

/* Its time to live has gone on without us, unless it rests. */
void recall_entered(struct sandbox *s)
{
	const int64_t end = s->end_unix_ms;
	int64_t left = end - (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);

	if (end == 0 || s->rest == SANDBOX_RESTING)
		return;
	sandbox_set_timeout(s, left > 0 ? (uint64_t)left : 0);
	s->end_unix_ms = end;
}
