/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_network.c - a sandbox's way to networks: its casemate-egress is there since the jail was
 * made and denies everything. Its control socket comes from the jailer while the VM is configured;
 * a policy goes there as soon as it is known whose sandbox it is, beside the steps of boot.c. One
 * that reaches networks counts as running when its policy is in force, and, where that brings a
 * certificate, the agent has it.
 */
#include <agent.pb-c.h>
#include <errno.h>
#include <jailer.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/jailer.h"
#include "api/daemon/network.h"
#include "api/daemon/sandbox_internal.h"
#include "base/fd.h"
#include "base/log.h"

#define OPEN_MS	 10000U
#define TRUST_MS 10000U

/* While it is being made that is its end; later it reaches what it could before, or nothing. */
static void network_failed(struct sandbox *s, unsigned status, const char *code, const char *why)
{
	(void)snprintf(s->network_fault, sizeof(s->network_fault), "network: %s", why);
	if (s->state == SANDBOX_CREATING)
		sandbox_fail(s, status, code, "%s", s->network_fault);
	else
		log_warn("network.failed", "id=%s error=\"%s\"", s->id, why);
}

/* ---- What the guest is to trust ------------------------------------------------------------ */

static void on_trusted(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct sandbox *s = arg;

	(void)out;
	(void)fds;
	s->trust_call = NULL;
	if (!sandbox_lives(s))
		return;
	s->trusts = st->code == RPC_OK;
	if (s->trusts && s->state == SANDBOX_CREATING)
		boot_identified(s);
	else if (!s->trusts)
		network_failed(s, 502, "agent_failed", st->msg);
	if (s->state != SANDBOX_CREATING)
		sandbox_notify(s);
}

/* True: the agent is asked, and its answer waited for. Without an agent, as after a restart of
 * casemated, the guest has it since before. */
static bool trust_begin(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_trusted };
	Casemate__Agent__V1__TrustRequest req = CASEMATE__AGENT__V1__TRUST_REQUEST__INIT;
	const char *certificate = s->network == NULL ? NULL : network_certificate(s->network);
	int r;

	if (certificate == NULL || s->trusts || s->agent == NULL)
		return false;
	if (s->trust_call != NULL)
		return true;
	memcpy(&req.certificate, &certificate,
	       sizeof(certificate)); /* the encoder changes nothing */
	r = rpc_start(s->agent, &agent_methods[AGENT_TRUST], &req.base, NULL, TRUST_MS, &ops, s,
		      &s->trust_call);
	if (r < 0)
		network_failed(s, 500, "internal", strerror(-r));
	return true;
}

/* ---- Its policy ----------------------------------------------------------------------------- */

static void on_in_force(void *arg, const char *why)
{
	struct sandbox *s = arg;

	if (s->network_queued) {
		s->network_queued = false;
		if (network_apply(s->network, s->network_next, on_in_force, s) == 0)
			return; /* what has become of the one before, it replaces */
		why = "casemate-egress takes no policy";
	}
	if (why == NULL && s->network_next != NULL) {
		free(s->spec.network);
		s->spec.network = s->network_next;
		sandbox_touch(s); /* or the next casemated would put the one before in force */
	} else {
		free(s->network_next);
	}
	s->network_next = NULL;
	if (why == NULL) {
		s->network_in_force = true;
		s->network_fault[0] = '\0';
	} else {
		network_failed(s, 400, "invalid_argument", why);
	}
	if (s->state == SANDBOX_CREATING) {
		if (why == NULL && s->identified)
			boot_identified(s);
	} else if (why != NULL || !trust_begin(s)) {
		sandbox_notify(s);
	}
}

void network_begin(struct sandbox *s)
{
	int r;

	if (s->kind != SANDBOX_KIND_TENANT || s->spec.network == NULL || s->network_call != NULL)
		return;
	r = s->network == NULL ? -EPIPE
			       : network_apply(s->network, s->spec.network, on_in_force, s);
	if (r < 0)
		network_failed(s, 500, "internal", strerror(-r));
}

static void on_opened(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct sandbox *s = arg;
	int r;

	(void)out;
	s->network_call = NULL;
	if (!sandbox_lives(s) || st->code == RPC_UNAVAILABLE || st->code == RPC_CANCELLED)
		return;
	if (st->code != RPC_OK) {
		network_failed(s, 501, "not_supported", st->msg);
		return;
	}
	r = network_new(s->table->cfg.loop, s->table->cfg.network, fd_steal(&fds[0]),
			fd_steal(&fds[1]), s->id, &s->network);
	if (r < 0)
		network_failed(s, 500, "internal", strerror(-r));
	else
		network_begin(s);
}

void boot_network(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_opened };
	Casemate__Jailer__V1__OpenNetworkRequest req =
		CASEMATE__JAILER__V1__OPEN_NETWORK_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(s->table->cfg.jailer);
	int r = -ENOTCONN;

	if (!s->spec.nic || s->kind == SANDBOX_KIND_MOULD || s->kind == SANDBOX_KIND_SCOUT)
		return;
	req.id = s->id;
	if (jailer != NULL)
		r = rpc_start(jailer, &jailer_methods[JAILER_OPEN_NETWORK], &req.base, NULL,
			      OPEN_MS, &ops, s, &s->network_call);
	if (r < 0)
		network_failed(s, 500, "internal", strerror(-r));
}

bool sandbox_network_ready(struct sandbox *s)
{
	if (s->spec.network == NULL)
		return true;
	return s->network_in_force && !trust_begin(s);
}

void sandbox_network_close(struct sandbox *s)
{
	rpc_cancelp(&s->network_call);
	rpc_cancelp(&s->trust_call);
	network_free(s->network);
	s->network = NULL;
	free(s->network_next);
	s->network_next = NULL;
	s->network_queued = false;
	s->network_in_force = false;
	s->identified = false;
	s->trusts = false;
}

int sandbox_set_network(struct sandbox *s, char *policy, struct err *err)
{
	int r = -ENOTSUP;

	if (!s->spec.nic || s->network == NULL)
		(void)err_set(err, -ESTALE, "sandbox %s: was made without a network", s->id);
	else if (s->network_next != NULL)
		(void)err_set(err, -ESTALE, "sandbox %s: its network is being changed", s->id);
	else
		r = network_apply(s->network, policy, on_in_force, s);
	if (r == -EBUSY) { /* its first, or that of the daemon before, sent again */
		s->network_queued = true;
		r = 0;
	}
	if (r < 0) {
		free(policy);
		return err->code != 0 ? err->code : err_sys(err, r, "sandbox %s: network", s->id);
	}
	s->network_fault[0] = '\0';
	s->network_next = policy;
	return 0;
}

bool sandbox_network_pending(const struct sandbox *s)
{
	return s->network_next != NULL || s->trust_call != NULL;
}

const char *sandbox_network_fault(const struct sandbox *s)
{
	return s->network_fault;
}
