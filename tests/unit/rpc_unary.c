/* SPDX-License-Identifier: Apache-2.0 */
/* Unary calls: answers, errors, limits, states, `once`, and how many at a time. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rpc_fixture.h"

static int echo(struct fx *f, const char *text, struct rpc_status *st, char *ret, size_t cap)
{
	Casemate__Agent__V1__IdentifyRequest req = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	char copy[8192];
	int r;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	req.hostname = copy;
	r = rpc_call_wait(f->loop, f->client, &fx_methods[FX_ECHO], &req.base, NULL, 2000, st, &out,
			  NULL);
	if (r == 0 && st->code == RPC_OK) {
		const Casemate__Agent__V1__IdentifyResponse *resp = (const void *)out;
		(void)snprintf(ret, cap, "%s", resp->agent_version);
		protobuf_c_message_free_unpacked(out, NULL);
	}
	return r;
}

Test(rpc_unary, echo)
{
	struct rpc_status st;
	char text[64] = "";
	struct fx f;

	fx_init(&f, false);
	for (int i = 0; i < 1000; i++) {
		char want[16];
		(void)snprintf(want, sizeof(want), "n%d", i);
		cr_assert_eq(echo(&f, want, &st, text, sizeof(text)), 0);
		cr_assert_eq(st.code, RPC_OK);
		cr_assert_str_eq(text, want);
	}
	cr_assert_eq(f.calls, 1000);
	fx_done(&f);
}

Test(rpc_unary, error_text_is_escaped)
{
	struct rpc_status st;
	char text[64];
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(echo(&f, "fail", &st, text, sizeof(text)), 0);
	cr_assert_eq(st.code, RPC_NOT_FOUND);
	cr_assert_str_eq(st.msg, "no \"x\"\\x0a");
	/* and the connection goes on */
	cr_assert_eq(echo(&f, "again", &st, text, sizeof(text)), 0);
	cr_assert_eq(st.code, RPC_OK);
	fx_done(&f);
}

Test(rpc_unary, unknown_method_is_an_answer)
{
	struct rpc_method m = fx_methods[FX_ONCE];
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	struct rpc_status st;
	uint64_t value;
	struct fx f;

	fx_init(&f, false);
	m.name = "Onc";
	cr_assert_eq(rpc_call_wait(f.loop, f.client, &m, &req.base, NULL, 2000, &st, NULL, NULL),
		     0);
	cr_assert_eq(st.code, RPC_UNIMPLEMENTED);
	m.name = "Once";
	m.service = "test.Fixture2";
	cr_assert_eq(rpc_call_wait(f.loop, f.client, &m, &req.base, NULL, 2000, &st, NULL, NULL),
		     0);
	cr_assert_eq(st.code, RPC_UNIMPLEMENTED);
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_OK);
	fx_done(&f);
}

Test(rpc_unary, state)
{
	struct fx_answer a = { 0 };
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	struct rpc_status st;
	uint64_t value;
	struct fx f;

	fx_init(&f, false);
	f.state = FX_STATE_CLOSED;
	cr_assert_eq(fx_call(&f, FX_LATE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_FAILED_PRECONDITION);
	cr_assert_eq(f.calls, 0);
	f.state = FX_STATE_OPEN;
	cr_assert_eq(rpc_start(f.client, &fx_methods[FX_LATE], &req.base, NULL, 0, &fx_answer_ops,
			       &a, NULL),
		     0);
	fx_settle(&f);
	cr_assert_eq(f.calls, 1);
	cr_assert_eq(a.count, 0);
	rpc_fail(f.late, RPC_ABORTED, "enough");
	fx_settle(&f);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_ABORTED);
	fx_done(&f);
}

Test(rpc_unary, once)
{
	struct rpc_status st;
	uint64_t value = 0;
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_OK);
	cr_assert_eq(value, 1);
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_FAILED_PRECONDITION);
	cr_assert_eq(f.calls, 1);
	fx_done(&f);
}

Test(rpc_unary, too_large)
{
	struct rpc_method m = fx_methods[FX_ECHO];
	Casemate__Agent__V1__IdentifyRequest req = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;
	struct rpc_status st;
	char text[8192];
	struct fx f;

	fx_init(&f, false);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	req.hostname = text;
	/* The client checks by the contract... */
	cr_assert_eq(rpc_call_wait(f.loop, f.client, &m, &req.base, NULL, 2000, &st, NULL, NULL),
		     -EMSGSIZE);
	/* ...and the server does, too. */
	m.in_bytes_max = 100000;
	cr_assert_eq(rpc_call_wait(f.loop, f.client, &m, &req.base, NULL, 2000, &st, NULL, NULL),
		     0);
	cr_assert_eq(st.code, RPC_RESOURCE_EXHAUSTED);
	cr_assert_eq(f.calls, 0);
	cr_assert_eq(f.server_closed, 0);
	fx_done(&f);
}

/* An answer above the client's own limit ends the connection: its peer breaks the contract. */
Test(rpc_unary, answer_too_large)
{
	struct rpc_method m = fx_methods[FX_ECHO];
	Casemate__Agent__V1__IdentifyRequest req = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;
	char text[] = "more than ten bytes";
	struct rpc_status st;
	struct fx f;

	fx_init(&f, false);
	m.out_bytes_max = 10;
	req.hostname = text;
	cr_assert_eq(rpc_call_wait(f.loop, f.client, &m, &req.base, NULL, 2000, &st, NULL, NULL),
		     0);
	cr_assert_eq(st.code, RPC_UNAVAILABLE);
	cr_assert_eq(f.client_closed, 1);
	cr_assert_eq(f.client_reason, -EMSGSIZE);
	fx_done(&f);
}

Test(rpc_unary, many_at_once)
{
	static struct fx_answer a[RPC_STREAMS_MAX + 1];
	static struct rpc_pending *p[RPC_STREAMS_MAX + 1];
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	const struct rpc_method *m = &fx_methods[FX_LATE];
	struct rpc_status st;
	uint64_t value;
	struct fx f;

	fx_init(&f, false);
	for (unsigned i = 0; i < RPC_STREAMS_MAX; i++)
		cr_assert_eq(
			rpc_start(f.client, m, &req.base, NULL, 0, &fx_answer_ops, &a[i], &p[i]),
			0);
	cr_assert_eq(rpc_start(f.client, m, &req.base, NULL, 0, &fx_answer_ops, &a[RPC_STREAMS_MAX],
			       &p[RPC_STREAMS_MAX]),
		     -EBUSY);
	fx_settle(&f);
	cr_assert_eq(f.calls, RPC_STREAMS_MAX);
	/* A cancelled call still holds its place: the server is still working on it. */
	rpc_cancel(p[0]);
	cr_assert_eq(a[0].count, 1);
	cr_assert_eq(a[0].st.code, RPC_CANCELLED);
	cr_assert_eq(rpc_start(f.client, m, &req.base, NULL, 0, &fx_answer_ops, &a[RPC_STREAMS_MAX],
			       &p[RPC_STREAMS_MAX]),
		     -EBUSY);
	rpc_fail(f.late, RPC_ABORTED, "room");
	fx_settle(&f);
	cr_assert_eq(a[RPC_STREAMS_MAX - 1].count, 1);
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_OK);
	rpc_conn_free(f.server);
	f.server = NULL;
	cr_assert_eq(f.cancelled, RPC_STREAMS_MAX - 1);
	fx_settle(&f);
	cr_assert_eq(f.client_closed, 1);
	for (unsigned i = 0; i < RPC_STREAMS_MAX; i++)
		cr_assert_eq(a[i].count, 1, "call %u", i);
	cr_assert_eq(a[1].st.code, RPC_UNAVAILABLE);
	fx_done(&f);
}
