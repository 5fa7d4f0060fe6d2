/* SPDX-License-Identifier: Apache-2.0 */
/* Unary calls, their failures, limits, states, deadlines and ends. */
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
