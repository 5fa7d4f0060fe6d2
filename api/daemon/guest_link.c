/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/guest_link.h"

#include <errno.h>
#include <stdlib.h>
#include <vmm.pb-c.h>

#include "api/proto/contract.h"
#include "base/fd.h"

#define CONNECT_MS 5000U

struct guest_link {
	struct loop *loop;
	const struct guest_link_ops *ops;
	void *arg;
	struct rpc_pending *connect; /* the VMM's answer is awaited */
	int fd;			     /* our end until it is conn's */
	struct rpc_conn *conn;
};

static void on_closed(struct rpc_conn *c, int reason, void *arg)
{
	struct guest_link *g = arg;

	(void)reason;
	g->conn = NULL;
	rpc_conn_free(c);
	g->ops->down("the connection to its agent ended", g->arg);
}

static void on_drained(struct rpc_conn *c, void *arg)
{
	struct guest_link *g = arg;

	(void)c;
	if (g->ops->drained != NULL)
		g->ops->drained(g->arg);
}

static void on_connected(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			 void *arg)
{
	struct guest_link *g = arg;
	const struct rpc_conn_config cfg = { .closed = on_closed, .drained = on_drained, .arg = g };

	(void)out;
	(void)fds;
	g->connect = NULL;
	if (st->code == RPC_CANCELLED)
		return; /* by guest_link_free */
	if (st->code != RPC_OK)
		g->ops->down(st->msg, g->arg);
	else if (rpc_conn_new(g->loop, fd_steal(&g->fd), &cfg, &g->conn) < 0)
		g->ops->down("out of memory", g->arg);
	else
		g->ops->up(g->conn, g->arg);
}

static int ask_vmm(struct guest_link *g, struct rpc_conn *vmm)
{
	static const struct rpc_pending_ops ops = { .done = on_connected };
	Casemate__Vmm__V1__ConnectRequest req = CASEMATE__VMM__V1__CONNECT_REQUEST__INIT;
	CLEANUP(fd_closep) int theirs = -1;
	int sv[2], r = fd_socketpair(sv, true);

	if (r < 0)
		return r;
	g->fd = sv[0];
	theirs = sv[1];
	req.port = AGENT_PORT;
	return rpc_start(vmm, &vmm_methods[VMM_CONNECT], &req.base, &theirs, CONNECT_MS, &ops, g,
			 &g->connect);
}

int guest_link_open(struct loop *l, const struct sandbox *s, const struct guest_link_ops *ops,
		    void *arg, struct guest_link **ret)
{
	struct rpc_conn *vmm = sandbox_vmm(s);
	struct guest_link *g;
	int r;

	if (vmm == NULL || sandbox_state(s) != SANDBOX_RUNNING || sandbox_away(s))
		return -ESTALE;
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return -ENOMEM;
	*g = (struct guest_link){ .loop = l, .ops = ops, .arg = arg, .fd = -1 };
	r = ask_vmm(g, vmm);
	if (r < 0) {
		guest_link_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

void guest_link_free(struct guest_link *g)
{
	if (g == NULL)
		return;
	if (g->connect != NULL)
		rpc_cancel(g->connect);
	rpc_conn_free(g->conn);
	fd_closep(&g->fd);
	free(g);
}
