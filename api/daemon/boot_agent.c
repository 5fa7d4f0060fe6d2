/* SPDX-License-Identifier: Apache-2.0 */
/* boot_agent.c - the last step of making a sandbox: the agent in it gets its identity. */
#include <agent.pb-c.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "api/daemon/origin.h"
#include "api/daemon/sandbox_internal.h"
#include "api/proto/contract.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#define BOOT_ENTROPY 64U

static void on_agent_closed(struct rpc_conn *c, int reason, void *arg)
{
	struct sandbox *s = arg;

	rpc_conn_free(c);
	s->agent = NULL;
	log_info("agent.lost", "id=%s error=%d", s->id, reason);
	/* While booting, the guest's end is on its way, and has the better reason; if it stays
	 * away, the boot's deadline tells. */
}

void boot_identified(struct sandbox *s)
{
	s->identified = true;
	if (!sandbox_network_ready(s))
		return;
	sandbox_event(s, SANDBOX_EV_BOOTED);
	if (s->state == SANDBOX_RUNNING)
		log_info("sandbox.running",
			 "id=%s pid=%" PRId32 " uid=%" PRIu32 " boot_us=%" PRIu64 " path=%s", s->id,
			 s->pid, s->uid,
			 (s->time_ns[SANDBOX_T_RUNNING] - s->time_ns[SANDBOX_T_BEGIN]) / 1000,
			 sandbox_path_name(s->path));
}

static void on_identified(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			  void *arg)
{
	struct sandbox *s = arg;

	(void)fds;
	if (s->state != SANDBOX_CREATING || st->code == RPC_UNAVAILABLE ||
	    st->code == RPC_CANCELLED)
		return;
	if (st->code != RPC_OK) {
		sandbox_fail(s, st->code == RPC_INVALID_ARGUMENT ? 400 : 502, "agent_failed",
			     "agent: %s", st->msg);
		return;
	}
	const Casemate__Agent__V1__IdentifyResponse *id =
		(const Casemate__Agent__V1__IdentifyResponse *)out;
	(void)log_escape(s->agent_version, sizeof(s->agent_version), id->agent_version,
			 strlen(id->agent_version));
	(void)log_escape(s->kernel_release, sizeof(s->kernel_release), id->kernel_release,
			 strlen(id->kernel_release));
	if (s->kind == SANDBOX_KIND_SCOUT)
		boot_scout_identified(s);
	else
		boot_identified(s);
}

static int send_identity(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_identified };
	Casemate__Agent__V1__IdentifyRequest req = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;
	Casemate__Agent__V1__IdentifyRequest__EnvsEntry entry[SPEC_ENVS_MAX];
	Casemate__Agent__V1__IdentifyRequest__EnvsEntry *entries[SPEC_ENVS_MAX];
	uint8_t entropy[BOOT_ENTROPY], before[ORIGIN_TOKEN_BYTES];
	struct rpc_pending *p;
	int r;

	BUG_ON(getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy));
	BUG_ON(s->spec.envs_count > SPEC_ENVS_MAX);
	for (size_t i = 0; i < s->spec.envs_count; i++) {
		casemate__agent__v1__identify_request__envs_entry__init(&entry[i]);
		entry[i].key = s->spec.envs[i].name;
		entry[i].value = s->spec.envs[i].value;
		entries[i] = &entry[i];
	}
	req.envs = entries;
	req.n_envs = s->spec.envs_count;
	req.hostname = s->spec.hostname[0] != '\0' ? s->spec.hostname : s->id;
	req.entropy = (ProtobufCBinaryData){ .len = sizeof(entropy), .data = entropy };
	req.unix_time_ns = (int64_t)clock_ns(CLOCK_REALTIME);
	req.default_user = s->spec.user;
	req.default_cwd = s->spec.cwd;
	req.same_machine = s->path == SANDBOX_PATH_DISK;
	BUG_ON(getrandom(s->token, sizeof(s->token), 0) != (ssize_t)sizeof(s->token));
	req.token = (ProtobufCBinaryData){ .len = sizeof(s->token), .data = s->token };
	if (s->origin != NULL || s->path == SANDBOX_PATH_DISK || s->path == SANDBOX_PATH_SNAPSHOT) {
		memcpy(before, s->origin != NULL ? origin_token(s->origin) : s->token_saved,
		       sizeof(before));
		req.token_before = (ProtobufCBinaryData){ .len = sizeof(before), .data = before };
	}
	r = rpc_start(s->agent, &agent_methods[AGENT_IDENTIFY], &req.base, NULL, 0, &ops, s, &p);
	explicit_bzero(entropy, sizeof(entropy));
	explicit_bzero(before, sizeof(before));
	return r;
}

void boot_identify(struct sandbox *s)
{
	struct rpc_conn_config cfg = { .closed = on_agent_closed, .arg = s };
	int r = rpc_conn_new(s->table->cfg.loop, fd_steal(&s->agent_fd), &cfg, &s->agent);

	if (r == 0)
		r = s->kind == SANDBOX_KIND_MOULD ? boot_template_begin(s) : send_identity(s);
	if (r < 0)
		sandbox_fail(s, 500, "internal", "agent's connection: %s", strerror(-r));
}
