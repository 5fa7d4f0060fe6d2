/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - a request from its head to its end, and what a route may read of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "api/http/internal.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

/* ---- Life ---------------------------------------------------------------------------------- */

static struct http_req *req_new(struct http_conn *c)
{
	struct http_req *req = calloc(1, sizeof(*req));
	uint64_t n;

	if (req == NULL)
		return NULL;
	BUG_ON(getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n));
	(void)snprintf(req->id, sizeof(req->id), "%016" PRIx64, n);
	req->http = c->http;
	req->conn = c;
	req->begun_ns = now_ns();
	req->head = (struct http_head){ .method = "", .target = "", .minor = 1 };
	buf_init(&req->body, HTTP_BODY_MAX);
	c->req = req;
	c->http->counts.requests++;
	return req;
}

static int take_query(struct http_req *req)
{
	char *mark;
	int n;

	/* The target keeps its query for whoever it is relayed to; the copy is cut up. */
	req->query = strdup(req->head.target);
	if (req->query == NULL)
		return -ENOMEM;
	mark = strchr(req->query, '?');
	if (mark == NULL)
		return 0;
	*mark = '\0';
	n = http_query_parse(mark + 1, req->args);
	if (n < 0)
		return 400;
	req->args_count = (size_t)n;
	return 0;
}

int http_req_begin(struct http_conn *c, size_t len)
{
	struct http_req *req = req_new(c);
	unsigned status;

	if (req == NULL)
		return -ENOMEM;
	if (len == 0)
		return 0;
	req->text = malloc(len + 1);
	if (req->text == NULL)
		return -ENOMEM;
	memcpy(req->text, buf_head(&c->in), len);
	req->text[len] = '\0';
	buf_consume(&c->in, len);
	status = http_request_parse(req->text, len, &req->head);
	return status != 0 ? (int)status : take_query(req);
}

static void find_route(struct http_req *req)
{
	const struct http_config *cfg = &req->http->cfg;
	bool known = false;
	char shown[128];

	for (size_t t = 0; t < cfg->tables_count; t++) {
		for (const struct http_route *r = cfg->tables[t]; r->method != NULL; r++) {
			if (!http_path_matches(r->path, http_path(req), &req->params))
				continue;
			known = true;
			if (strcmp(r->method, req->head.method) != 0)
				continue;
			req->route = r;
			return;
		}
	}
	if (known) {
		http_error(req, 405, "method_not_allowed", "%s: not a method of this resource",
			   req->head.method);
		return;
	}
	(void)log_escape(shown, sizeof(shown), http_path(req), strlen(http_path(req)));
	http_error(req, 404, "not_found", "%s: no such resource", shown);
}

void http_req_admit(struct http_req *req)
{
	const struct http_config *cfg = &req->http->cfg;

	if (cfg->admit != NULL)
		cfg->admit(req, cfg->arg);
	if (req->phase == HTTP_READING)
		find_route(req);
}

void http_req_run(struct http_req *req)
{
	req->phase = HTTP_RUNNING;
	req->route->fn(req, req->http->cfg.arg);
	BUG_ON(req->phase == HTTP_RUNNING && req->gone == NULL);
}

void http_req_gone(struct http_req *req)
{
	void (*gone)(struct http_req *, void *) = req->flow != NULL ? req->flow->gone : req->gone;

	req->gone = NULL;
	req->phase = HTTP_DONE; /* answers go nowhere from now on */
	if (req->status == 0)
		req->status = 499;
	if (gone != NULL)
		gone(req, req->state);
}

static void log_request(const struct http_req *req)
{
	const bool quiet = req->status < 400 && strcmp(req->head.method, "GET") == 0;
	char shown[160];

	(void)log_escape(shown, sizeof(shown), http_path(req), strlen(http_path(req)));
	log_event(quiet || req->flow != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "http.request",
		  "request=%s method=%s path=%s status=%u us=%" PRIu64, req->id, req->head.method,
		  shown, req->status, (now_ns() - req->begun_ns) / 1000);
}

void http_req_free(struct http_req *req)
{
	log_request(req);
	if (req->status >= 500)
		req->http->counts.errors++;
	if (req->state_done != NULL)
		req->state_done(req->state);
	free(req->state);
	for (size_t i = 0; i < req->extra_count; i++) {
		char *value;
		memcpy(&value, &req->extra[i].value, sizeof(value)); /* ours: see answer.c */
		free(value);
	}
	buf_done(&req->body);
	free(req->query);
	free(req->text);
	free(req);
}

/* ---- What it says -------------------------------------------------------------------------- */

enum http_door http_door(const struct http_req *req)
{
	return req->conn->door;
}

const char *http_id(const struct http_req *req)
{
	return req->id;
}

const struct http_head *http_request_head(const struct http_req *req)
{
	return &req->head;
}

const char *http_path(const struct http_req *req)
{
	return req->query == NULL ? "" : req->query;
}

const char *http_param(const struct http_req *req)
{
	return req->params.text[0];
}

const char *http_param2(const struct http_req *req)
{
	return req->params.text[1];
}

const char *http_query(const struct http_req *req, const char *name)
{
	for (size_t i = 0; i < req->args_count; i++)
		if (strcmp(req->args[i].name, name) == 0)
			return req->args[i].value;
	return NULL;
}

const char *http_header(const struct http_req *req, const char *name)
{
	return http_head_field(&req->head, name);
}

const char *http_body(const struct http_req *req, size_t *ret_len)
{
	*ret_len = buf_len(&req->body);
	return (const char *)buf_head(&req->body);
}

const void *http_conn(const struct http_req *req)
{
	return req->conn;
}

void http_keep_idle(struct http_req *req)
{
	req->conn->idle_ok = true;
}

void http_set_principal(struct http_req *req, const void *who)
{
	req->principal = who;
}

const void *http_principal(const struct http_req *req)
{
	return req->principal;
}

void *http_set_state(struct http_req *req, size_t size, void (*done)(void *state))
{
	BUG_ON(req->state != NULL);
	req->state = calloc(1, size);
	req->state_done = req->state == NULL ? NULL : done;
	return req->state;
}

static void nobody_cares(struct http_req *req, void *state)
{
	(void)req;
	(void)state;
}

void http_hold(struct http_req *req, void (*gone)(struct http_req *req, void *state))
{
	BUG_ON(req->phase != HTTP_RUNNING);
	req->gone = gone != NULL ? gone : nobody_cares;
}

/* ---- Taken --------------------------------------------------------------------------------- */

/* Drops len bytes of the client's. Where reading had stopped there may be room again. */
static void consume(struct http_conn *c, size_t len)
{
	buf_consume(&c->in, len);
	if (!c->stepping && (c->events & EPOLLIN) == 0)
		http_conn_wake(c);
}

void http_take(struct http_req *req, const struct http_flow_ops *ops)
{
	BUG_ON(req->phase != HTTP_READING);
	req->flow = ops;
	req->phase = HTTP_RUNNING;
}

ssize_t http_peek(struct http_req *req, const void **ret_data)
{
	struct http_conn *c = req->conn;

	while (c->shown == 0 && !c->body.done) {
		const void *data;
		size_t len;
		ssize_t used =
			http_body_take(&c->body, buf_head(&c->in), buf_len(&c->in), &data, &len);
		if (used < 0 || (used == 0 && c->eof)) {
			c->http->counts.malformed++;
			c->close = true;
			return -EPROTO;
		}
		if (used == 0)
			return -EAGAIN;
		/* Framing, and then data. */
		consume(c, (size_t)used - len);
		c->shown = len;
	}
	*ret_data = buf_head(&c->in);
	return (ssize_t)c->shown;
}

void http_skip(struct http_req *req, size_t len)
{
	struct http_conn *c = req->conn;

	BUG_ON(len > c->shown);
	c->shown -= len;
	consume(c, len);
}

ssize_t http_pull(struct http_req *req, void *p, size_t max)
{
	const void *data;
	ssize_t n = http_peek(req, &data);

	if (n <= 0)
		return n;
	n = MIN(n, (ssize_t)max);
	memcpy(p, data, (size_t)n);
	http_skip(req, (size_t)n);
	return n;
}
