/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes from a peer, against a server of all three real contracts, or against a client with calls
 * of each kind under way. The first byte chooses the role and how the handlers behave.
 */
#include <stdlib.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "api/rpc/internal.h"
#include "base/bug.h"
#include "base/num.h"

#define HANDLERS_MAX 64U
#define LATE_MAX     8U

struct world {
	struct rpc_conn *conn;
	struct rpc_call *late[LATE_MAX];
	size_t late_count;
	uint8_t mode;
	unsigned served;
	unsigned ended; /* client: how often done was called */
};

static void forget(struct rpc_call *call, void *arg)
{
	struct world *w = arg;

	for (size_t i = 0; i < w->late_count; i++)
		if (w->late[i] == call)
			w->late[i] = w->late[--w->late_count];
}

static void answer(struct rpc_call *call)
{
	static const int fds[FD_PASS_MAX]; /* descriptor 0, again and again */
	ProtobufCMessage *out;

	if (call->method->kind == RPC_SERVER_STREAM) {
		rpc_reply(call, NULL, NULL);
		return;
	}
	out = calloc(1, call->method->out->sizeof_message);
	BUG_ON(out == NULL);
	protobuf_c_message_init(call->method->out, out);
	rpc_reply(call, out, fds);
	free(out);
}

static void on_data(struct rpc_call *call, const ProtobufCMessage *msg, void *arg)
{
	struct world *w = arg;

	BUG_ON(!protobuf_c_message_check(msg));
	if ((w->mode & 8) != 0) {
		forget(call, arg);
		rpc_fail(call, RPC_ABORTED, "no more");
	}
}

static void on_half_closed(struct rpc_call *call, void *arg)
{
	forget(call, arg);
	answer(call);
}

static void handle(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	static const struct rpc_call_ops ops = { .data = on_data,
						 .half_closed = on_half_closed,
						 .cancelled = forget };
	struct world *w = arg;

	(void)fds;
	BUG_ON(in != NULL && !protobuf_c_message_check(in));
	BUG_ON(in == NULL && call->method->kind != RPC_CLIENT_STREAM);
	w->served++;
	if ((w->mode & 2) != 0 && w->late_count < LATE_MAX) {
		w->late[w->late_count++] = call;
		rpc_call_watch(call, &ops, w);
		return;
	}
	if ((w->mode & 4) != 0 && w->served == 3) {
		rpc_conn_free(w->conn);
		w->conn = NULL;
	}
	answer(call);
}

static size_t make_handlers(struct rpc_handler *h)
{
	static const struct {
		const struct rpc_method *m;
		size_t count;
	} tables[] = { { agent_methods, AGENT_METHOD_COUNT },
		       { vmm_methods, VMM_METHOD_COUNT },
		       { jailer_methods, JAILER_METHOD_COUNT } };
	size_t n = 0;

	for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
		for (size_t i = 0; i < tables[t].count; i++)
			h[n++] = (struct rpc_handler){ .method = &tables[t].m[i],
						       .fn = handle,
						       .once = i == 0 };
	BUG_ON(n > HANDLERS_MAX);
	return n;
}

static void on_client_data(const ProtobufCMessage *msg, void *arg)
{
	(void)arg;
	BUG_ON(!protobuf_c_message_check(msg));
}

static void on_client_done(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			   void *arg)
{
	struct world *w = arg;

	(void)fds;
	BUG_ON(out != NULL && (st->code != RPC_OK || !protobuf_c_message_check(out)));
	w->ended++;
	if ((w->mode & 4) != 0 && w->ended == 2) {
		rpc_conn_free(w->conn);
		w->conn = NULL;
	}
}

static unsigned make_calls(struct world *w)
{
	static const struct rpc_pending_ops ops = { .data = on_client_data,
						    .done = on_client_done };
	static const struct rpc_method *const calls[] = {
		&agent_methods[AGENT_IDENTIFY],
		&agent_methods[AGENT_PROCESS_START],
		&agent_methods[AGENT_WRITE_FILE],
		&agent_methods[AGENT_PROCESS_LIST],
		&vmm_methods[VMM_WAIT],
		&jailer_methods[JAILER_STATUS],
		&agent_methods[AGENT_PROCESS_START],
	};
	struct rpc_pending *p = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		ProtobufCMessage *in = calloc(1, calls[i]->in->sizeof_message);
		BUG_ON(in == NULL);
		protobuf_c_message_init(calls[i]->in, in);
		BUG_ON(rpc_start(w->conn, calls[i], in, NULL, 0, &ops, w, &p) != 0);
		free(in);
	}
	if ((w->mode & 2) != 0)
		rpc_cancel(p); /* the last: what still comes for it is skipped */
	return ARRAY_SIZE(calls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rpc_handler handlers[HANDLERS_MAX];
	struct world w = { 0 };
	struct rpc_conn_config cfg = { .arg = &w };
	unsigned calls = 0;
	struct loop *l;
	int sv[2];

	if (size < 1)
		return 0;
	w.mode = data[0];
	BUG_ON(loop_new(&l) != 0 || fd_socketpair(sv, true) != 0);
	if ((w.mode & 1) == 0) {
		cfg.handlers = handlers;
		cfg.handlers_count = make_handlers(handlers);
	}
	BUG_ON(rpc_conn_new(l, sv[0], &cfg, &w.conn) != 0);
	if ((w.mode & 1) != 0)
		calls = make_calls(&w);
	rpc_conn_feed(w.conn, data + 1, size - 1);
	rpc_conn_free(w.conn);
	BUG_ON(w.late_count != 0);
	BUG_ON(w.ended != calls);
	loop_free(l);
	(void)close(sv[1]);
	return 0;
}
