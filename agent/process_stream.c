/* SPDX-License-Identifier: Apache-2.0 */
/* process_stream.c - process.Process: Connect and StreamInput. */
#include <agent.pb-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/bug.h"

typedef Casemate__Agent__V1__StreamInputRequest stream_pb;

/* The message of a handler by its own type: base is its first member. */
#define REQUEST(type, in) ((const type *)(const void *)(in))

void service_process_connect(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Agent__V1__ProcessSelector *s =
		REQUEST(Casemate__Agent__V1__ConnectRequest, in)->process;
	const struct agent *a = arg;
	bool tag;

	(void)fds;
	if (s == NULL ||
	    s->selector_case == CASEMATE__AGENT__V1__PROCESS_SELECTOR__SELECTOR__NOT_SET) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "no process was named");
		return;
	}
	tag = s->selector_case == CASEMATE__AGENT__V1__PROCESS_SELECTOR__SELECTOR_TAG;
	if (process_connect(a->processes, tag ? 0 : s->pid, tag ? s->tag : NULL, call))
		return;
	if (tag)
		rpc_fail(call, RPC_NOT_FOUND, "no process with tag %.64s", s->tag);
	else
		rpc_fail(call, RPC_NOT_FOUND, "no process %u", s->pid);
}

/* ---- StreamInput ------------------------------------------------------------------------- */

/* The process is looked up for each message: it may end between two. */
struct stream {
	const struct agent *agent;
	pid_t pid; /* 0 = not named yet */
};

/* 0, or the call has been refused. */
static int take_start(struct stream *s, const stream_pb *msg, struct rpc_call *call)
{
	struct process *p;

	if (s->pid != 0) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "only the first message names the process");
		return -EINVAL;
	}
	p = service_select_process(s->agent, msg->start->process, call);
	if (p == NULL)
		return -ENOENT;
	s->pid = process_pid(p);
	return 0;
}

static int take_data(const struct stream *s, const stream_pb *msg, struct rpc_call *call)
{
	struct process *p = s->pid != 0 ? process_by_pid(s->agent->processes, s->pid) : NULL;
	const ProtobufCBinaryData *b;
	int r;

	if (p == NULL) {
		rpc_fail(call, s->pid != 0 ? RPC_NOT_FOUND : RPC_INVALID_ARGUMENT, "%s",
			 s->pid != 0 ? "the process has ended" : "the first message is `start`");
		return -ESRCH;
	}
	b = service_input_bytes(p, msg->data->input, call);
	if (b == NULL)
		return -EINVAL;
	r = process_put_input(p, b->data, b->len);
	if (r == -EPIPE)
		rpc_fail(call, RPC_FAILED_PRECONDITION, "stdin is closed");
	else if (r < 0)
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "too much input is waiting");
	return r;
}

/* 0, or the call has ended. */
static int take(struct stream *s, const stream_pb *msg, struct rpc_call *call)
{
	switch (msg->event_case) {
	case CASEMATE__AGENT__V1__STREAM_INPUT_REQUEST__EVENT_START:
		return take_start(s, msg, call);
	case CASEMATE__AGENT__V1__STREAM_INPUT_REQUEST__EVENT_DATA:
		return take_data(s, msg, call);
	case CASEMATE__AGENT__V1__STREAM_INPUT_REQUEST__EVENT_KEEPALIVE:
	case CASEMATE__AGENT__V1__STREAM_INPUT_REQUEST__EVENT__NOT_SET:
	case _CASEMATE__AGENT__V1__STREAM_INPUT_REQUEST__EVENT__CASE_IS_INT_SIZE:
		break;
	}
	return 0;
}

static void on_data(struct rpc_call *call, const ProtobufCMessage *msg, void *arg)
{
	struct stream *s = arg;

	if (take(s, REQUEST(stream_pb, msg), call) < 0)
		free(s);
}

static void on_half_closed(struct rpc_call *call, void *arg)
{
	Casemate__Agent__V1__StreamInputResponse out =
		CASEMATE__AGENT__V1__STREAM_INPUT_RESPONSE__INIT;

	free(arg);
	rpc_reply(call, &out.base, NULL);
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	(void)call;
	free(arg);
}

void service_process_stream_input(struct rpc_call *call, const ProtobufCMessage *in, int *fds,
				  void *arg)
{
	static const struct rpc_call_ops ops = {
		.data = on_data,
		.half_closed = on_half_closed,
		.cancelled = on_cancelled,
	};
	struct stream *s = calloc(1, sizeof(*s));

	(void)fds;
	if (s == NULL) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	s->agent = arg;
	if (in != NULL && take(s, REQUEST(stream_pb, in), call) < 0) {
		free(s);
		return;
	}
	rpc_call_watch(call, &ops, s);
}
