/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - heads and bodies of answers. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/web/server_internal.h"
#include "base/bug.h"
#include "base/json_text.h"

#define ANSWER_HEAD_MAX 8192

static const char *reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} reasons[] = {
		{ 200, "OK" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 499, "Client Closed Request" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Unknown";
}

static void give_up(struct web_conn *c)
{
	c->dead = true;
	web_conn_kick(c);
}

static void put(struct web_conn *c, const void *data, size_t len)
{
	if (!c->dead && buf_put(&c->out, data, len) < 0)
		give_up(c);
}

void web_begin(struct web_req *req, unsigned status, const char *type, const char *fields,
	       uint64_t length)
{
	struct web_conn *c = req->conn;
	char head[ANSWER_HEAD_MAX], framing[64] = "";
	int n;

	BUG_ON(!req->active || req->begun);
	req->begun = true;
	req->no_body = strcmp(req->head.method, "HEAD") == 0 || status == 204 || status == 304;
	req->chunked = length == WEB_LENGTH_UNKNOWN;
	req->left = req->chunked ? 0 : length;
	/* What of the body is still to come would have to be read before the next request. */
	c->close = c->close || c->state == CONN_BODY || req->head.close;
	if (req->chunked)
		(void)snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
	else if (status != 204 && status != 304)
		(void)snprintf(framing, sizeof(framing), "Content-Length: %" PRIu64 "\r\n", length);
	n = snprintf(head, sizeof(head), "HTTP/1.1 %u %s\r\n%s%s%s%s%s%s\r\n", status,
		     reason(status), framing, type != NULL ? "Content-Type: " : "",
		     type != NULL ? type : "", type != NULL ? "\r\n" : "", fields,
		     c->close ? "Connection: close\r\n" : "");
	BUG_ON(n < 0 || (size_t)n >= sizeof(head));
	put(c, head, (size_t)n);
}

/* A body's bytes, which needn't be kept if the client takes them now. */
static void put_through(struct web_conn *c, const void *data, size_t len)
{
	size_t sent = web_conn_send(c, data, len);

	put(c, (const uint8_t *)data + sent, len - sent);
}

static int send_chunk(struct web_conn *c, const void *data, size_t len)
{
	char size[24];
	int n = snprintf(size, sizeof(size), "%zx\r\n", len);

	if (buf_room(&c->out) < len + sizeof(size) + 2)
		return -ENOSPC;
	put(c, size, (size_t)n);
	put_through(c, data, len);
	put(c, "\r\n", 2);
	return 0;
}

int web_send(struct web_req *req, const void *data, size_t len)
{
	struct web_conn *c = req->conn;
	int r = 0;

	BUG_ON(!req->active || !req->begun);
	if (c->dead)
		return -EPIPE;
	if (len == 0 || req->no_body)
		return 0;
	if (req->chunked) {
		r = send_chunk(c, data, len);
	} else {
		BUG_ON(len > req->left);
		if (buf_room(&c->out) < len)
			return -ENOSPC;
		put_through(c, data, len);
		req->left -= len;
	}
	if (r == 0)
		web_conn_flush(c);
	return r;
}

bool web_writable(const struct web_req *req)
{
	struct web_conn *c = req->conn;

	if (!c->dead && buf_len(&c->out) <= WEB_OUT_HIGH)
		return true;
	c->congested = true;
	return c->dead;
}

bool web_begun(const struct web_req *req)
{
	return req->begun;
}

void web_end(struct web_req *req)
{
	struct web_conn *c = req->conn;

	BUG_ON(!req->active || !req->begun);
	if (req->chunked && !req->no_body)
		put(c, "0\r\n\r\n", 5);
	else if (req->left > 0 && !req->no_body)
		c->close = true;
	req->active = false;
	req->ops = NULL;
	web_conn_flush(c);
	web_conn_kick(c);
}

void web_answer(struct web_req *req, unsigned status, const char *type, const char *fields,
		const void *body, size_t len)
{
	web_begin(req, status, type, fields, len);
	if (web_send(req, body, len) < 0)
		give_up(req->conn);
	web_end(req);
}

void web_fail(struct web_req *req, unsigned status, const char *fmt, ...)
{
	struct web_conn *c = req->conn;
	char msg[512];
	struct buf json;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	buf_init(&json, 8192);
	if (json_printf(&json, "{\"code\":%u,\"message\":", status) < 0 ||
	    json_put_string(&json, msg, strlen(msg)) < 0 || buf_put(&json, "}", 1) < 0)
		give_up(c);
	web_answer(req, status, "application/json", "", buf_head(&json), buf_len(&json));
	buf_done(&json);
}
