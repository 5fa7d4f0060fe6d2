/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foreign.c - calls that came by another protocol. They have no connection of ours: deadlines,
 * limits and the client's disappearance are that protocol's business.
 */
#include <stdlib.h>

#include "api/rpc/internal.h"
#include "base/bug.h"

struct rpc_call *rpc_foreign_new(const struct rpc_method *m, const struct rpc_wire_ops *ops,
				 void *wire)
{
	struct rpc_call *call = calloc(1, sizeof(*call));

	BUG_ON(m->fds_in > 0 || m->fds_out > 0);
	if (call == NULL)
		return NULL;
	call->method = m;
	call->wire = ops;
	call->wire_arg = wire;
	return call;
}

void rpc_foreign_data(struct rpc_call *call, const ProtobufCMessage *msg)
{
	BUG_ON(call->wire == NULL || msg->descriptor != call->method->in);
	if (call->ops != NULL && call->ops->data != NULL)
		call->ops->data(call, msg, call->arg);
}

void rpc_foreign_half_close(struct rpc_call *call)
{
	BUG_ON(call->wire == NULL);
	if (call->ops != NULL && call->ops->half_closed != NULL)
		call->ops->half_closed(call, call->arg);
}

void rpc_foreign_drained(struct rpc_call *call)
{
	BUG_ON(call->wire == NULL);
	if (call->ops != NULL && call->ops->drained != NULL)
		call->ops->drained(call, call->arg);
}

void rpc_foreign_cancel(struct rpc_call *call)
{
	BUG_ON(call->wire == NULL || call->cancelled);
	call->wire = NULL; /* rpc_reply or rpc_fail will only free it */
	if (call->ops == NULL || call->ops->cancelled == NULL)
		return;
	call->cancelled = true;
	call->ops->cancelled(call, call->arg);
	free(call);
}
