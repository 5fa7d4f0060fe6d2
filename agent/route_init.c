/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_init.c - POST /init: identity by HTTP, for hosts that speak nothing else and for a sandbox
 * that gets another one (a fork). Never reachable for a tenant: casemated doesn't let it through,
 * and the loopback door has no such route.
 */
#include <agent.pb-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/access.h"
#include "agent/httpd_internal.h"
#include "agent/identity.h"
#include "agent/json/codec.h"
#include "base/buf.h"

#define INIT_BYTES_MAX (1024U * 1024U)

typedef Casemate__Agent__V1__InitRequest init_pb;

struct init {
	struct httpd *httpd;
	struct buf body;
	bool too_large;
};

static void init_free(struct init *i)
{
	buf_done(&i->body);
	free(i);
}

static void on_body(struct web_req *req, const uint8_t *data, size_t len, void *arg)
{
	struct init *i = arg;

	(void)req;
	i->too_large = i->too_large || buf_put(&i->body, data, len) < 0;
}

/* The host may always; elsewhere a token that is set must be known to be changed. */
static bool may(const struct init *i, const struct web_req *req, const init_pb *msg)
{
	const char *token = i->httpd->agent->access_token;

	return web_req_door(req) == HTTPD_DOOR_HOST ||
	       access_token_is(token, web_req_field(req, "x-access-token")) ||
	       (msg != NULL && access_token_is(token, msg->access_token));
}

static void answer(struct init *i, struct web_req *req, const init_pb *msg)
{
	struct err err;

	if (!may(i, req, msg))
		web_fail(req, 401, "access token validation failed");
	else if (identity_change(i->httpd->agent, msg, &err) < 0)
		web_fail(req, 400, "%s", err.msg);
	else
		web_answer(req, 204, NULL, "Cache-Control: no-store\r\n", NULL, 0);
}

static void on_body_end(struct web_req *req, void *arg)
{
	const ProtobufCMessageDescriptor *desc = &casemate__agent__v1__init_request__descriptor;
	struct init *i = arg;
	ProtobufCMessage *msg = NULL;
	struct buf wire;
	struct err err = { 0 };
	int r = i->too_large ? err_set(&err, -EMSGSIZE, "the body is too large") : 0;

	buf_init(&wire, INIT_BYTES_MAX);
	/* An empty body changes nothing. */
	if (r == 0 && buf_len(&i->body) > 0)
		r = json_decode(desc, (const char *)buf_head(&i->body), buf_len(&i->body), &wire,
				&err);
	if (r == 0) {
		msg = rpc_unpack(desc, buf_head(&wire), buf_len(&wire));
		if (msg == NULL)
			r = err_set(&err, -EINVAL, "malformed request");
	}
	if (r < 0)
		web_fail(req, 400, "%s", err.msg);
	else
		answer(i, req, (const init_pb *)(const void *)msg);
	if (msg != NULL)
		protobuf_c_message_free_unpacked(msg, NULL);
	buf_done(&wire);
	init_free(i);
}

static void on_gone(struct web_req *req, void *arg)
{
	(void)req;
	init_free(arg);
}

void route_init(struct httpd *h, struct web_req *req)
{
	static const struct web_req_ops ops = { .body = on_body,
						.body_end = on_body_end,
						.gone = on_gone };
	struct init *i = calloc(1, sizeof(*i));

	if (i == NULL) {
		web_fail(req, 503, "out of memory");
		return;
	}
	i->httpd = h;
	buf_init(&i->body, INIT_BYTES_MAX);
	web_req_watch(req, &ops, i);
}
