/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams into a sandbox, each on a connection of its own: GET or POST /v1/sandboxes/{id}/agent
 * with "Upgrade: ttrpc" leads to its agent, GET /v1/sandboxes/{id}/tcp with "Upgrade: tcp" to the
 * agent's forwarder, which the client tells the port itself (docs/PROTOCOL.md, 6.2). The VMM gets
 * one end of a socketpair to join to the guest's port; once the guest has accepted, the other end
 * is relayed to the client, unread.
 */
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <vmm.pb-c.h>

#include "api/daemon/proxy.h"
#include "api/daemon/service.h"
#include "api/proto/contract.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/relay.h"

#define AGENT_CONNECT_MS 5000U

/* A way in: what the client calls it, and where in the guest it leads. */
struct door {
	const char *name, *protocol;
	uint32_t port;
	bool counted; /* among the sandbox's streams */
};
static const struct door agent_door = { "agent", "ttrpc", AGENT_PORT, false };
static const struct door tcp_door = { "tcp", "tcp", PROXY_FORWARD_PORT, true };

struct agent_link {
	struct http_req *req;
	struct loop *loop;
	struct rpc_pending *connect; /* the VMM's answer is awaited */
	struct relay *relay;
	int fd; /* our end towards the guest */
	struct sandboxes *sandboxes;
	const struct door *door;
	char id[SANDBOX_ID_LEN + 1];
};

static void link_done(void *state)
{
	struct agent_link *l = state;
	struct sandbox *s = sandboxes_find(l->sandboxes, l->id);

	if (l->door->counted && s != NULL)
		sandbox_stream_end(s);
	if (l->connect != NULL)
		rpc_cancel(l->connect);
	relay_free(l->relay);
	l->relay = NULL;
	fd_closep(&l->fd);
}

static void on_relay_ended(struct relay *r, void *arg)
{
	struct agent_link *l = arg;
	struct sandbox *s = sandboxes_find(l->sandboxes, l->id);

	if (s != NULL && l->door == &agent_door && relay_ended_by_b(r))
		sandbox_expect_end(s);
	relay_free(r);
	l->relay = NULL;
	fd_closep(&l->fd);
	http_upgrade_close(l->req);
}

static void on_up(struct http_req *req, int fd, const void *extra, size_t len, void *state)
{
	struct agent_link *l = state;
	int r = relay_new(l->loop, fd, l->fd, extra, len, on_relay_ended, l, &l->relay);

	if (r == 0)
		return;
	log_warn("agent.relay", "error=%d", r);
	fd_closep(&l->fd);
	http_upgrade_close(req);
}

static void on_connected(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			 void *arg)
{
	struct agent_link *l = arg;

	(void)out;
	(void)fds;
	l->connect = NULL;
	if (st->code == RPC_CANCELLED && l->fd < 0)
		return; /* the client has gone */
	if (st->code == RPC_OK)
		http_upgrade(l->req, l->door->protocol, NULL, 0, on_up);
	else
		http_error(l->req, 502, "agent_unreachable", "agent: %s", st->msg);
}

static void on_client_gone(struct http_req *req, void *state)
{
	struct agent_link *l = state;

	(void)req;
	fd_closep(&l->fd);
	if (l->connect != NULL)
		rpc_cancel(l->connect);
}

static int connect_agent(struct agent_link *l, struct rpc_conn *vmm)
{
	static const struct rpc_pending_ops ops = { .done = on_connected };
	Casemate__Vmm__V1__ConnectRequest req = CASEMATE__VMM__V1__CONNECT_REQUEST__INIT;
	CLEANUP(fd_closep) int theirs = -1;
	int sv[2], r = fd_socketpair(sv, true);

	if (r < 0)
		return r;
	l->fd = sv[0];
	theirs = sv[1];
	req.port = l->door->port;
	return rpc_start(vmm, &vmm_methods[VMM_CONNECT], &req.base, &theirs, AGENT_CONNECT_MS, &ops,
			 l, &l->connect);
}

/* NULL: answered. */
static struct sandbox *check(struct http_req *req, const struct service *sv,
			     const struct door *door)
{
	const char *upgrade = http_header(req, "Upgrade");
	struct sandbox *s = service_find(req, sv);

	if (s == NULL)
		return NULL;
	if (!http_request_head(req)->upgrade || strcasecmp(upgrade, door->protocol) != 0) {
		http_error(req, 426, "upgrade_required", "%s: needs \"Upgrade: %s\"", door->name,
			   door->protocol);
		return NULL;
	}
	if (sandbox_state(s) != SANDBOX_RUNNING || sandbox_vmm(s) == NULL) {
		http_error(req, 409, "not_running", "sandbox %s: is %s, not running", sandbox_id(s),
			   sandbox_state_name(sandbox_state(s)));
		return NULL;
	}
	return s;
}

static void begin(struct http_req *req, struct service *sv, const struct door *door)
{
	struct sandbox *s = check(req, sv, door);
	struct agent_link *l;

	if (s == NULL)
		return;
	if (door->counted && !sandbox_stream_begin(s, PROXY_PER_SANDBOX)) {
		http_error(req, 429, "too_many_streams", "sandbox: %u streams already",
			   PROXY_PER_SANDBOX);
		return;
	}
	l = http_set_state(req, sizeof(*l), link_done);
	if (l == NULL) {
		if (door->counted)
			sandbox_stream_end(s);
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	l->req = req;
	l->loop = sv->loop;
	l->fd = -1;
	l->sandboxes = sv->sandboxes;
	l->door = door;
	memcpy(l->id, sandbox_id(s), sizeof(l->id));
	if (connect_agent(l, sandbox_vmm(s)) < 0)
		http_error(req, 500, "internal", "%s: cannot ask the VMM for a connection",
			   door->name);
	else
		http_hold(req, on_client_gone);
}

void service_agent(struct http_req *req, void *arg)
{
	begin(req, arg, &agent_door);
}

void service_tcp(struct http_req *req, void *arg)
{
	begin(req, arg, &tcp_door);
}
