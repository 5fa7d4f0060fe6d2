/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle_events.c - one stream that tells the ends of all jails of a connection: a Wait for each
 * would be a stream for each, and a connection has RPC_STREAMS_MAX of those.
 */
#include <errno.h>
#include <jailer.pb-c.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/log.h"
#include "jailer/handlers.h"

struct events {
	struct jails_watch watch;
	struct rpc_call *call;
	struct session *session;
};

static bool on_ended(struct jails_watch *w, const struct jail *j)
{
	struct events *e = CONTAINER_OF(w, struct events, watch);
	Casemate__Jailer__V1__EventsResponse out = CASEMATE__JAILER__V1__EVENTS_RESPONSE__INIT;
	Casemate__Jailer__V1__WaitResponse how = CASEMATE__JAILER__V1__WAIT_RESPONSE__INIT;
	int r;

	how.exited = j->how.exited;
	how.status = j->how.status;
	how.oom = j->oom;
	out.id = (char *)(size_t)j->req.id;
	out.ended = &how;
	r = rpc_send(e->call, &out.base);
	if (r == -EPIPE)
		return false; /* it is being cancelled */
	if (r < 0)
		log_error("jail.event", "id=%s error=%d", j->req.id, -r);
	return r == 0;
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	struct events *e = arg;

	(void)call;
	jails_unwatch(e->session->jails, &e->watch);
	e->session->events = NULL;
	free(e);
}

void handle_events(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	static const struct rpc_call_ops ops = { .cancelled = on_cancelled };
	struct session *s = arg;
	struct events *e;

	(void)in;
	(void)fds;
	if (s->events != NULL) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "events are being told already");
		return;
	}
	e = calloc(1, sizeof(*e));
	if (e == NULL) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "the jailer is out of memory");
		return;
	}
	*e = (struct events){ .watch = { .owner = session_owner(s), .ended = on_ended },
			      .call = call,
			      .session = s };
	s->events = e;
	rpc_call_watch(call, &ops, e);
	jails_watch(s->jails, &e->watch);
}
