/* SPDX-License-Identifier: Apache-2.0 */
/* http_answer.c - what a route reads of its request, and the answers it may give. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/http_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"

#define HTTP_STREAM_BLOCK 16384U

const char *http_param(const struct http_req *req)
{
	return req->param;
}

const char *http_query(const struct http_req *req, const char *name)
{
	return MHD_lookup_connection_value(req->mhd, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(const struct http_req *req, const char *name)
{
	return MHD_lookup_connection_value(req->mhd, MHD_HEADER_KIND, name);
}

const char *http_body(const struct http_req *req, size_t *ret_len)
{
	*ret_len = buf_len(&req->body);
	return (const char *)buf_head(&req->body);
}

const void *http_conn(const struct http_req *req)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info == NULL ? NULL : info->socket_context;
}

void http_keep_idle(struct http_req *req)
{
	(void)MHD_set_connection_option(req->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
}

void *http_set_state(struct http_req *req, size_t size, void (*done)(void *state))
{
	BUG_ON(req->state != NULL);
	req->state = calloc(1, size);
	req->state_done = req->state == NULL ? NULL : done;
	return req->state;
}

/* Takes resp over. Answers a held request by letting libmicrohttpd ask again. */
static void give(struct http_req *req, unsigned status, struct MHD_Response *resp, const char *type)
{
	BUG_ON(req->phase != HTTP_RUNNING);
	BUG_ON(resp == NULL); /* a few hundred bytes: without them nothing can be said */
	if (type != NULL)
		(void)MHD_add_response_header(resp, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(resp, "X-Request-Id", req->id);
	req->resp = resp;
	req->status = status;
	req->phase = HTTP_ANSWERED;
	req->gone = NULL;
	http_resume(req);
}

void http_answer(struct http_req *req, unsigned status, json_t *body)
{
	char *text;

	if (status == MHD_HTTP_NO_CONTENT) {
		give(req, status, MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT),
		     NULL);
		return;
	}
	text = body == NULL ? NULL
			    : json_dumps(body,
					 JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
	json_decref(body);
	if (text == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	give(req, status,
	     MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE),
	     "application/json");
}

void http_error_with(struct http_req *req, unsigned status, const char *code, const char *msg,
		     json_t *more)
{
	static char last_resort[] =
		"{\"error\":{\"code\":\"internal\",\"message\":\"out of memory\"}}";
	char shown[4 * ERR_MSG_MAX];
	json_t *error, *body;
	char *text;

	(void)log_escape(shown, sizeof(shown), msg, strlen(msg));
	error = json_pack("{s:s, s:s}", "code", code, "message", shown);
	if (error != NULL && more != NULL)
		(void)json_object_update(error, more);
	json_decref(more);
	body = json_pack("{s:o, s:s}", "error", error, "request_id", req->id);
	text = body == NULL ? NULL
			    : json_dumps(body,
					 JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
	json_decref(body);
	log_debug("http.error", "request=%s status=%u code=%s message=\"%s\"", req->id, status,
		  code, shown);
	if (text == NULL)
		give(req, 500,
		     MHD_create_response_from_buffer(sizeof(last_resort) - 1, last_resort,
						     MHD_RESPMEM_PERSISTENT),
		     "application/json");
	else
		give(req, status,
		     MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE),
		     "application/json");
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

/* libmicrohttpd's copying constructors take a void *, though they don't write through it. */
static void *unconst(const void *p)
{
	void *q;

	memcpy(&q, &p, sizeof(q));
	return q;
}

void http_text(struct http_req *req, const char *text, size_t len)
{
	give(req, 200, MHD_create_response_from_buffer(len, unconst(text), MHD_RESPMEM_MUST_COPY),
	     "text/plain; charset=utf-8");
}

static ssize_t on_more(void *cls, uint64_t pos, char *p, size_t max)
{
	struct http_req *req = cls;
	ssize_t n;

	(void)pos;
	if (req->client_gone)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	n = req->http->stopping ? -1 : req->more(p, max, req->state);
	if (n < 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n == 0)
		http_suspend(req);
	return n;
}

void http_stream(struct http_req *req, ssize_t (*more)(char *p, size_t max, void *state))
{
	req->more = more;
	give(req, 200,
	     MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTP_STREAM_BLOCK, on_more, req,
					       NULL),
	     "text/plain; charset=utf-8");
}

void http_more(struct http_req *req)
{
	http_resume(req);
}

static void on_upgraded(void *cls, struct MHD_Connection *mhd, void *con_cls, const char *extra,
			size_t len, MHD_socket fd, struct MHD_UpgradeResponseHandle *urh)
{
	struct http_req *req = cls;

	(void)mhd;
	(void)con_cls;
	req->phase = HTTP_UPGRADED;
	req->urh = urh;
	req->up(req, fd, extra, len, req->state);
}

void http_upgrade(struct http_req *req, const char *protocol,
		  void (*up)(struct http_req *req, int fd, const char *extra, size_t len,
			     void *state))
{
	struct MHD_Response *resp = MHD_create_response_for_upgrade(on_upgraded, req);

	req->up = up;
	if (resp == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	(void)MHD_add_response_header(resp, MHD_HTTP_HEADER_UPGRADE, protocol);
	give(req, MHD_HTTP_SWITCHING_PROTOCOLS, resp, NULL);
}

void http_upgrade_close(struct http_req *req)
{
	if (req->phase != HTTP_UPGRADED)
		return;
	req->phase = HTTP_CLOSED;
	(void)MHD_upgrade_action(req->urh, MHD_UPGRADE_ACTION_CLOSE);
	http_kick(req->http);
}
