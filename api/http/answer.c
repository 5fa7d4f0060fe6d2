/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c - the answers that a request may get. All of them go into the connection's buffer, and
 * the connection is woken to send it. A request whose client has gone (HTTP_DONE before any answer)
 * swallows what is still said to it: callbacks of cancelled calls need not ask.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/http/internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/log.h"
#include "base/num.h"

#define STREAM_BLOCK 16384U
#define JSON_FLAGS   (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9))

/* ---- Bytes --------------------------------------------------------------------------------- */

/* Out of memory, or an answer beyond all bounds: the client sees the connection break. */
static void break_off(struct http_req *req)
{
	req->phase = HTTP_DONE;
	req->conn->state = HTTP_CONN_OVER;
	http_conn_wake(req->conn);
}

static void put(struct http_req *req, const void *data, size_t len)
{
	if (req->conn->state != HTTP_CONN_OVER && buf_put(&req->conn->out, data, len) < 0)
		break_off(req);
}

PRINTF(2, 3) static void putf(struct http_req *req, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	BUG_ON(n < 0 || (size_t)n >= sizeof(line));
	put(req, line, (size_t)n);
}

static void put_field(struct http_req *req, const char *name, const char *value)
{
	put(req, name, strlen(name));
	put(req, ": ", 2);
	put(req, value, strlen(value));
	put(req, "\r\n", 2);
}

static void put_date(struct http_req *req)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm) != NULL)
		putf(req, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday],
		     tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		     tm.tm_sec);
}

static const char *reason_of(unsigned status)
{
	static const struct {
		unsigned status;
		const char *reason;
	} reasons[] = {
		{ 101, "Switching Protocols" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 421, "Misdirected Request" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}

static void put_framing(struct http_req *req, enum http_body_kind kind, uint64_t length)
{
	struct http_conn *c = req->conn;

	if (kind == HTTP_BODY_UNTIL_CLOSE || (kind == HTTP_BODY_CHUNKED && req->head.minor == 0)) {
		/* A client of HTTP/1.1 must be able to tell the end from a break. */
		kind = req->head.minor == 0 ? HTTP_BODY_UNTIL_CLOSE : HTTP_BODY_CHUNKED;
	}
	c->close = c->close || req->head.minor == 0 || c->http->stopping;
	if (kind == HTTP_BODY_CHUNKED)
		putf(req, "Transfer-Encoding: chunked\r\n");
	if (kind == HTTP_BODY_LENGTH || (kind == HTTP_BODY_NONE && req->status >= 200 &&
					 req->status != 204 && req->status != 304))
		putf(req, "Content-Length: %" PRIu64 "\r\n", length);
	if (c->close)
		putf(req, "Connection: close\r\n");
	req->kind = strcmp(req->head.method, "HEAD") == 0 ? HTTP_BODY_NONE : kind;
	req->left = req->kind == HTTP_BODY_LENGTH ? length : 0;
}

/* False: nobody is left to answer. */
static bool begin(struct http_req *req, unsigned status, const char *reason,
		  const struct http_field *fields, size_t count)
{
	const struct http_config *cfg = &req->http->cfg;

	if (req->phase == HTTP_DONE)
		return false;
	BUG_ON(req->phase > HTTP_RUNNING);
	req->phase = HTTP_REPLYING;
	req->status = status;
	req->gone = NULL;
	if (cfg->decorate != NULL)
		cfg->decorate(req, cfg->arg);
	putf(req, "HTTP/1.1 %u %.128s\r\n", status, reason != NULL ? reason : reason_of(status));
	put_date(req);
	putf(req, "X-Request-Id: %s\r\n", req->id);
	for (size_t i = 0; i < count; i++)
		put_field(req, fields[i].name, fields[i].value);
	for (size_t i = 0; i < req->extra_count; i++)
		put_field(req, req->extra[i].name, req->extra[i].value);
	return true;
}

void http_add_field(struct http_req *req, const char *name, const char *value)
{
	char *copy = req->extra_count < HTTP_EXTRA_MAX ? strdup(value) : NULL;

	if (copy != NULL)
		req->extra[req->extra_count++] = (struct http_field){ .name = name, .value = copy };
}

/* ---- Whole answers ------------------------------------------------------------------------- */

static void give(struct http_req *req, unsigned status, const char *type, const void *data,
		 size_t len)
{
	const struct http_field f = { .name = "Content-Type", .value = type };

	if (!begin(req, status, NULL, &f, type != NULL ? 1 : 0))
		return;
	put_framing(req, len > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE, len);
	put(req, "\r\n", 2);
	if (req->kind == HTTP_BODY_LENGTH)
		put(req, data, len);
	req->phase = HTTP_DONE;
	http_conn_wake(req->conn);
}

void http_answer(struct http_req *req, unsigned status, json_t *body)
{
	char *text;

	if (status == 204) {
		give(req, status, NULL, NULL, 0);
		return;
	}
	text = body == NULL ? NULL : json_dumps(body, JSON_FLAGS);
	json_decref(body);
	if (text == NULL)
		http_error(req, 500, "internal", "out of memory");
	else
		give(req, status, "application/json", text, strlen(text));
	free(text);
}

void http_answer_text(struct http_req *req, unsigned status, const struct buf *body)
{
	if (body == NULL)
		http_error(req, 500, "internal", "out of memory");
	else
		give(req, status, "application/json", buf_head(body), buf_len(body));
}

void http_error_with(struct http_req *req, unsigned status, const char *code, const char *msg,
		     json_t *more)
{
	static const char last_resort[] =
		"{\"code\":500,\"error\":\"internal\",\"message\":\"out of memory\"}";
	char shown[4 * ERR_MSG_MAX];
	json_t *body;
	char *text;

	(void)log_escape(shown, sizeof(shown), msg, strlen(msg));
	body = json_pack("{s:i, s:s, s:s, s:s}", "code", (int)status, "error", code, "message",
			 shown, "request_id", req->id);
	if (body != NULL && more != NULL)
		(void)json_object_update(body, more);
	json_decref(more);
	text = body == NULL ? NULL : json_dumps(body, JSON_FLAGS);
	json_decref(body);
	log_debug("http.error", "request=%s status=%u code=%s message=\"%s\"", req->id, status,
		  code, shown);
	if (text == NULL)
		give(req, 500, "application/json", last_resort, sizeof(last_resort) - 1);
	else
		give(req, status, "application/json", text, strlen(text));
	free(text);
}

void http_error(struct http_req *req, unsigned status, const char *code, const char *fmt, ...)
{
	char msg[2 * ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	http_error_with(req, status, code, msg, NULL);
}

void http_text(struct http_req *req, const char *type, const char *text, size_t len)
{
	give(req, 200, type != NULL ? type : "text/plain; charset=utf-8", text, len);
}

/* ---- Growing answers ----------------------------------------------------------------------- */

void http_reply(struct http_req *req, unsigned status, const char *reason,
		const struct http_field *fields, size_t fields_count, enum http_body_kind kind,
		uint64_t length)
{
	if (!begin(req, status, reason, fields, fields_count))
		return;
	put_framing(req, kind, length);
	put(req, "\r\n", 2);
	http_conn_wake(req->conn);
}

bool http_replied(const struct http_req *req)
{
	return req->phase >= HTTP_REPLYING;
}

size_t http_reply_room(const struct http_req *req)
{
	size_t used = buf_len(&req->conn->out);

	return req->phase != HTTP_REPLYING || used >= HTTP_ROOM ? 0 : HTTP_ROOM - used;
}

/* A body's bytes, which needn't be kept if the client takes them now. */
static void put_through(struct http_req *req, const void *data, size_t len)
{
	struct http_conn *c = req->conn;
	size_t queued = buf_len(&c->out), sent = 0;

	if (c->state != HTTP_CONN_OVER) {
		ssize_t n = http_conn_send(c, data, len);
		/* That it is gone is found out by whoever sends what is kept. */
		sent = n > 0 && (size_t)n > queued ? (size_t)n - queued : 0;
	}
	put(req, (const char *)data + sent, len - sent);
}

void http_reply_put(struct http_req *req, const void *data, size_t len)
{
	if (req->phase != HTTP_REPLYING || len == 0 || req->kind == HTTP_BODY_NONE)
		return;
	if (req->kind == HTTP_BODY_LENGTH) {
		BUG_ON(len > req->left);
		req->left -= len;
	}
	if (req->kind == HTTP_BODY_CHUNKED)
		putf(req, "%zx\r\n", len);
	put_through(req, data, len);
	if (req->kind == HTTP_BODY_CHUNKED)
		put(req, "\r\n", 2);
	req->want_writable = true;
	http_conn_wake(req->conn);
}

void http_reply_end(struct http_req *req, bool whole)
{
	if (req->phase != HTTP_REPLYING)
		return;
	whole = whole && req->left == 0;
	if (whole && req->kind == HTTP_BODY_CHUNKED)
		put(req, "0\r\n\r\n", 5);
	if (!whole || req->kind == HTTP_BODY_UNTIL_CLOSE)
		req->conn->close = true;
	req->phase = HTTP_DONE;
	http_conn_wake(req->conn);
}

void http_req_feed(struct http_req *req)
{
	char block[STREAM_BLOCK / 2];

	req->more_due = false;
	while (http_reply_room(req) > sizeof(block)) {
		ssize_t n = req->more(block, sizeof(block), req->state);
		if (n == 0)
			return; /* http_more comes */
		if (n < 0) {
			http_reply_end(req, true);
			return;
		}
		http_reply_put(req, block, (size_t)n);
	}
	req->more_due = true;
}

void http_stream(struct http_req *req, const char *type,
		 ssize_t (*more)(char *p, size_t max, void *state))
{
	const struct http_field f = { .name = "Content-Type",
				      .value = type != NULL ? type : "text/plain; charset=utf-8" };

	req->more = more;
	req->more_due = true;
	http_reply(req, 200, NULL, &f, 1, HTTP_BODY_CHUNKED, 0);
}

void http_more(struct http_req *req)
{
	req->more_due = true;
	http_conn_wake(req->conn);
}

/* ---- Upgrade ------------------------------------------------------------------------------- */

void http_upgrade(struct http_req *req, const char *protocol, const struct http_field *fields,
		  size_t fields_count,
		  void (*up)(struct http_req *req, int fd, const void *extra, size_t len,
			     void *state))
{
	if (!begin(req, 101, NULL, fields, fields_count))
		return;
	put_field(req, "Connection", "Upgrade");
	put_field(req, "Upgrade", protocol);
	put(req, "\r\n", 2);
	req->up = up;
	req->phase = HTTP_UPGRADED;
	http_conn_wake(req->conn);
}

void http_upgrade_close(struct http_req *req)
{
	if (req->phase != HTTP_UPGRADED)
		return;
	req->phase = HTTP_DONE;
	req->conn->state = HTTP_CONN_OVER;
	http_conn_wake(req->conn);
}
