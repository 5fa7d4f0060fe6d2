/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_service.c - casemate.agent.v1.Sandbox, and the table of all methods. */
#include <agent.pb-c.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/trust.h"
#include "api/proto/contract.h"

static void identify(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Agent__V1__IdentifyRequest *q = (const void *)in;
	Casemate__Agent__V1__IdentifyResponse out;
	char version[] = CASEMATE_VERSION;
	struct agent *a = arg;
	struct utsname un;
	struct err err;

	(void)fds;
	/* Once for the sandbox, not once a connection: its tenant must not become another. What is
	 * forked from it gets an identity of its own, and only casemated has the token for that. */
	if (!identity_may_change(a, q)) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "the sandbox has its identity already");
		return;
	}
	if (identity_apply(a, q, &err) < 0) {
		rpc_fail_err(call, &err);
		return;
	}
	casemate__agent__v1__identify_response__init(&out);
	out.agent_version = version;
	if (uname(&un) == 0)
		out.kernel_release = un.release;
	out.uptime_ms = a->ready_ms;
	rpc_reply(call, &out.base, NULL);
}

static void health(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	Casemate__Agent__V1__HealthResponse out = CASEMATE__AGENT__V1__HEALTH_RESPONSE__INIT;
	const struct agent *a = arg;

	(void)in;
	(void)fds;
	out.uptime_ms = agent_uptime_ms();
	out.processes = (uint32_t)process_count(a->processes);
	rpc_reply(call, &out.base, NULL);
}

static void write_file(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const struct agent *a = arg;

	(void)fds;
	file_write(a->files, call, in, a->default_user);
}

static void read_file(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const struct agent *a = arg;

	(void)fds;
	file_read(a->files, call, in, a->default_user);
}

static void shut_down(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Agent__V1__ShutdownRequest *req =
		(const Casemate__Agent__V1__ShutdownRequest *)(const void *)in;
	Casemate__Agent__V1__ShutdownResponse out = CASEMATE__AGENT__V1__SHUTDOWN_RESPONSE__INIT;
	struct rpc_conn *c = rpc_call_conn(call);

	(void)fds;
	rpc_reply(call, &out.base, NULL);
	agent_shut_down(arg, c, req->reboot ? AGENT_END_REBOOT : AGENT_END_POWER_OFF);
}

static void freeze(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Agent__V1__FreezeRequest *req = (const void *)in;
	const Casemate__Agent__V1__FreezeResponse out = CASEMATE__AGENT__V1__FREEZE_RESPONSE__INIT;
	const struct agent *a = arg;

	(void)fds;
	if (!req->thaw) {
		freezer_freeze(a->freezer, call);
		return;
	}
	freezer_thaw(a->freezer);
	rpc_reply(call, &out.base, NULL);
}

static void trust(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Agent__V1__TrustRequest *req = (const void *)in;
	Casemate__Agent__V1__TrustResponse out = CASEMATE__AGENT__V1__TRUST_RESPONSE__INIT;
	struct err err = { 0 };

	(void)fds;
	if (trust_apply(arg, req->certificate, &err) < 0)
		rpc_fail_err(call, &err);
	else
		rpc_reply(call, &out.base, NULL);
}

#define HANDLER(method_, fn_)                                  \
	{                                                      \
		.method = &agent_methods[method_], .fn = (fn_) \
	}

const struct rpc_handler agent_handlers[] = {
	HANDLER(AGENT_IDENTIFY, identify),
	HANDLER(AGENT_HEALTH, health),
	HANDLER(AGENT_WRITE_FILE, write_file),
	HANDLER(AGENT_READ_FILE, read_file),
	HANDLER(AGENT_SHUTDOWN, shut_down),
	HANDLER(AGENT_FREEZE, freeze),
	HANDLER(AGENT_TRUST, trust),
	HANDLER(AGENT_PROCESS_START, service_process_start),
	HANDLER(AGENT_PROCESS_LIST, service_process_list),
	HANDLER(AGENT_PROCESS_UPDATE, service_process_update),
	HANDLER(AGENT_PROCESS_SEND_INPUT, service_process_send_input),
	HANDLER(AGENT_PROCESS_SEND_SIGNAL, service_process_send_signal),
	HANDLER(AGENT_PROCESS_CLOSE_STDIN, service_process_close_stdin),
	HANDLER(AGENT_PROCESS_CONNECT, service_process_connect),
	HANDLER(AGENT_PROCESS_STREAM_INPUT, service_process_stream_input),
	HANDLER(AGENT_FS_STAT, service_fs_stat),
	HANDLER(AGENT_FS_MAKE_DIR, service_fs_make_dir),
	HANDLER(AGENT_FS_MOVE, service_fs_move),
	HANDLER(AGENT_FS_LIST_DIR, service_fs_list_dir),
	HANDLER(AGENT_FS_REMOVE, service_fs_remove),
	HANDLER(AGENT_FS_WATCH_DIR, service_fs_watch_dir),
	HANDLER(AGENT_FS_CREATE_WATCHER, service_fs_create_watcher),
	HANDLER(AGENT_FS_GET_WATCHER_EVENTS, service_fs_get_watcher_events),
	HANDLER(AGENT_FS_REMOVE_WATCHER, service_fs_remove_watcher),
};
/* Those of Sandbox come first. */
#define OWN_HANDLERS 7
const struct rpc_handler *const agent_tenant_handlers = &agent_handlers[OWN_HANDLERS];
const size_t agent_tenant_handlers_count = ARRAY_SIZE(agent_handlers) - OWN_HANDLERS;
_Static_assert(AGENT_PROCESS_START == OWN_HANDLERS, "the table is in the contract's order");
_Static_assert(ARRAY_SIZE(agent_handlers) == AGENT_METHOD_COUNT, "a handler for each method");
const size_t agent_handlers_count = ARRAY_SIZE(agent_handlers);
