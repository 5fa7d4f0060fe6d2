/* SPDX-License-Identifier: Apache-2.0 */
/* handle_hold.c - Hold and Adopt: a client that goes, and comes back as another process. */
#include <jailer.pb-c.h>

#include "base/fd.h"
#include "jailer/handlers.h"
#include "jailer/hold.h"

void handle_hold(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__HoldRequest *m = (const void *)in;
	Casemate__Jailer__V1__HoldResponse out = CASEMATE__JAILER__V1__HOLD_RESPONSE__INIT;
	struct session *s = arg;
	struct err err = { 0 };
	bool found = false;

	(void)fds;
	/* What is somebody's already doesn't change its owner. */
	if (s->hold != NULL || s->events != NULL || jails_owned(s->jails, s) > 0) {
		rpc_fail(call, RPC_FAILED_PRECONDITION,
			 "it has to come first on a connection, and once");
		return;
	}
	if (holds_take(s->holds, m->token.data, m->token.len, s->uid, m->seconds, &s->hold, &found,
		       &err) < 0) {
		refuse_call(call, &err);
		return;
	}
	out.resumed = found;
	rpc_reply(call, &out.base, NULL);
}

void handle_adopt(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__AdoptRequest *m = (const void *)in;
	Casemate__Jailer__V1__AdoptResponse out = CASEMATE__JAILER__V1__ADOPT_RESPONSE__INIT;
	Casemate__Jailer__V1__JailInfo info;
	struct session *s = arg;
	struct err err = { 0 };
	struct jail_ends ends;
	const struct jail *j;
	int pass[2];

	(void)fds;
	if (!request_id_ok(m->id)) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "not an id");
		return;
	}
	j = jail_find(s->jails, m->id);
	if (j == NULL || s->hold == NULL || j->owner != s->hold) {
		rpc_fail(call, RPC_NOT_FOUND, "no jail %s is held for this client", m->id);
		return;
	}
	if (jail_adopt(j, &ends, &err) < 0) {
		refuse_call(call, &err);
		return;
	}
	describe_jail(j, &info);
	out.jail = &info;
	pass[0] = ends.control;
	pass[1] = ends.log;
	rpc_reply(call, &out.base, pass);
	fd_closep(&ends.control);
	fd_closep(&ends.log);
}
