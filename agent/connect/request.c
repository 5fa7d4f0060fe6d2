/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/connect/request.h"

#include <agent.pb-c.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "agent/json/base64.h"
#include "api/proto/contract.h"
#include "base/bug.h"
#include "base/num.h"

#define KEEPALIVE_DEFAULT_S 90
#define KEEPALIVE_MAX_S	    86400
#define TIMEOUT_MAX_MS	    UINT64_C(9999999999) /* ten digits, says the protocol */
#define AUTHORIZATION_MAX   512

typedef Casemate__Agent__V1__StartResponse process_pb;
typedef Casemate__Agent__V1__ProcessEvent event_pb;
typedef Casemate__Agent__V1__WatchDirResponse watch_pb;

static const ProtobufCMessage *keepalive_of(const struct rpc_method *m)
{
	static Casemate__Agent__V1__ProcessEvent__KeepAlive process_ping =
		CASEMATE__AGENT__V1__PROCESS_EVENT__KEEP_ALIVE__INIT;
	static Casemate__Agent__V1__WatchDirResponse__KeepAlive watch_ping =
		CASEMATE__AGENT__V1__WATCH_DIR_RESPONSE__KEEP_ALIVE__INIT;
	static event_pb event = {
		.base = PROTOBUF_C_MESSAGE_INIT(&casemate__agent__v1__process_event__descriptor),
		.event_case = CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_KEEPALIVE,
		.keepalive = &process_ping,
	};
	static const process_pb process = {
		.base = PROTOBUF_C_MESSAGE_INIT(&casemate__agent__v1__start_response__descriptor),
		.event = &event,
	};
	static const watch_pb watch = {
		.base = PROTOBUF_C_MESSAGE_INIT(
			&casemate__agent__v1__watch_dir_response__descriptor),
		.event_case = CASEMATE__AGENT__V1__WATCH_DIR_RESPONSE__EVENT_KEEPALIVE,
		.keepalive = &watch_ping,
	};

	if (m->out == process.base.descriptor)
		return &process.base;
	return m->out == watch.base.descriptor ? &watch.base : NULL;
}

/* "/SERVICE/METHOD" */
static const struct rpc_handler *find_handler(const struct connect *c, const char *path)
{
	const char *slash = path[0] == '/' ? strchr(path + 1, '/') : NULL;

	for (size_t i = 0; slash != NULL && i < c->handlers_count; i++) {
		const struct rpc_method *m = c->handlers[i].method;
		const size_t len = (size_t)(slash - path - 1);
		if (strlen(m->service) == len && memcmp(path + 1, m->service, len) == 0 &&
		    strcmp(slash + 1, m->name) == 0)
			return &c->handlers[i];
	}
	return NULL;
}

/* The type without its parameters: they could only name the one character set that there is. */
static bool type_is(const char *field, const char *type)
{
	const size_t len = strlen(type);

	return strncasecmp(field, type, len) == 0 &&
	       (field[len] == '\0' || field[len] == ';' || field[len] == ' ');
}

static bool parse_type(const char *field, struct connect_request *r)
{
	if (field == NULL)
		return false;
	r->json = type_is(field, r->stream ? "application/connect+json" : "application/json");
	return r->json ||
	       type_is(field, r->stream ? "application/connect+proto" : "application/proto");
}

static unsigned refuse(struct err *err, unsigned status, const char *why)
{
	(void)err_set(err, -EPROTO, "%s", why);
	return status;
}

int connect_user(const struct web_req *req, char *dst, size_t cap)
{
	const char *field = web_req_field(req, "authorization");
	uint8_t text[BASE64_BYTES(AUTHORIZATION_MAX) + 1];
	const char *colon;
	ssize_t n;

	dst[0] = '\0';
	if (field == NULL || strncasecmp(field, "Basic ", 6) != 0)
		return 0;
	if (strlen(field) > AUTHORIZATION_MAX)
		return -ENAMETOOLONG;
	n = base64_decode(field + 6, strlen(field + 6), text);
	if (n < 0 || memchr(text, '\0', (size_t)n) != NULL)
		return -EINVAL;
	text[n] = '\0';
	colon = strchr((const char *)text, ':');
	const size_t len = colon != NULL ? (size_t)(colon - (const char *)text) : (size_t)n;
	if (len >= cap)
		return -ENAMETOOLONG;
	memcpy(dst, text, len);
	dst[len] = '\0';
	return 0;
}

static void parse_user(const struct connect *c, const struct web_req *req,
		       struct connect_request *r, struct err *err)
{
	int n = connect_user(req, r->user, sizeof(r->user));

	if (n < 0) {
		(void)err_set(err, -EACCES, "malformed authorization");
		return;
	}
	if (r->user[0] != '\0' && c->check_user != NULL && c->check_user(r->user, c->arg, err) < 0)
		return;
	*err = (struct err){ 0 };
}

unsigned connect_request_parse(const struct connect *c, const struct web_req *req,
			       struct connect_request *ret, struct err *err)
{
	const struct http_head *h = web_req_head(req);
	struct connect_request r = { .handler = find_handler(c, web_req_path(req)) };
	const char *version = web_req_field(req, "connect-protocol-version");
	const char *timeout = web_req_field(req, "connect-timeout-ms");
	const char *ping = web_req_field(req, "keepalive-ping-interval");
	const char *coding = web_req_field(req, "content-encoding");
	uint64_t seconds = KEEPALIVE_DEFAULT_S;

	if (r.handler == NULL)
		return 0;
	r.stream = r.handler->method->kind != RPC_UNARY;
	if (strcmp(h->method, "POST") != 0)
		return refuse(err, 405, "methods are called by POST");
	if (!parse_type(web_req_field(req, "content-type"), &r))
		return refuse(err, 415,
			      r.stream ? "application/connect+json or +proto"
				       : "application/json or application/proto");
	if (version != NULL && strcmp(version, "1") != 0)
		return refuse(err, 400, "connect-protocol-version must be 1");
	if (coding == NULL || r.stream)
		coding = web_req_field(req, "connect-content-encoding");
	if (coding != NULL && strcasecmp(coding, "identity") != 0)
		return refuse(err, 415, "compression is not supported");
	if (timeout != NULL && parse_u64(timeout, 0, TIMEOUT_MAX_MS, &r.timeout_ms) < 0)
		return refuse(err, 400, "connect-timeout-ms is not a number of ten digits");
	if (ping != NULL && parse_u64(ping, 1, KEEPALIVE_MAX_S, &seconds) < 0)
		seconds = KEEPALIVE_DEFAULT_S;
	r.keepalive = keepalive_of(r.handler->method);
	r.keepalive_ms = seconds * 1000;
	/* In JSON bytes grow by a third, and names, quotes and escapes come on top. */
	r.in_max = r.handler->method->in_bytes_max;
	if (r.json)
		r.in_max = r.in_max * 2 + 4096;
	parse_user(c, req, &r, err);
	*ret = r;
	return 200;
}

/* ---- Headers that are fields ------------------------------------------------------------- */

static size_t put_varint(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	do {
		p[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		v >>= 7;
	} while (v > 0);
	return n;
}

int connect_request_fields(const struct connect_request *r, struct buf *wire)
{
	const ProtobufCMessageDescriptor *d = r->handler->method->in;
	const ProtobufCFieldDescriptor *user =
		protobuf_c_message_descriptor_get_field_by_name(d, "user");
	const ProtobufCFieldDescriptor *timeout =
		protobuf_c_message_descriptor_get_field_by_name(d, "timeout_ms");
	uint8_t bytes[CONNECT_USER_MAX + 64];
	size_t n = 0;

	/* Of a field that stands twice the last one counts: these. */
	if (user != NULL && r->user[0] != '\0') {
		n += put_varint(bytes + n, (uint64_t)user->id << 3 | 2);
		n += put_varint(bytes + n, strlen(r->user));
		memcpy(bytes + n, r->user, strlen(r->user));
		n += strlen(r->user);
	}
	if (timeout != NULL && r->timeout_ms > 0) {
		n += put_varint(bytes + n, (uint64_t)timeout->id << 3);
		n += put_varint(bytes + n, r->timeout_ms);
	}
	return buf_put(wire, bytes, n);
}
