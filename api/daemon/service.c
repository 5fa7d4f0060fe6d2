/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/service.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/num.h"

#define DELETE_WAIT_MS 30000U

/* A request that waits for a change of a sandbox. */
struct waiter {
	struct http_req *req;
	struct sandbox *sandbox; /* NULL once the wait is over */
	struct sandbox_watch watch;
	struct loop_timer *timer;
};

static void waiter_end(struct waiter *w)
{
	if (w->sandbox != NULL)
		sandbox_unwatch(w->sandbox, &w->watch);
	w->sandbox = NULL;
	loop_timer_del(w->timer);
	w->timer = NULL;
}

static void waiter_done(void *state)
{
	waiter_end(state);
}

static struct waiter *waiter_new(struct http_req *req, struct sandbox *s,
				 void (*fn)(struct sandbox *s, void *arg))
{
	struct waiter *w = http_set_state(req, sizeof(*w), waiter_done);

	if (w == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return NULL;
	}
	w->req = req;
	w->sandbox = s;
	w->watch = (struct sandbox_watch){ .fn = fn, .arg = w };
	sandbox_watch(s, &w->watch);
	return w;
}

size_t service_clean_text(char *dst, size_t cap, const char *src, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && cap - n >= 4; i++) {
		if (src[i] == '\r')
			continue;
		if (src[i] == '\n' || src[i] == '\t' || (src[i] >= 0x20 && src[i] < 0x7f)) {
			dst[n++] = src[i];
			continue;
		}
		static const char hex[] = "0123456789abcdef";
		dst[n++] = '\\';
		dst[n++] = 'x';
		dst[n++] = hex[((unsigned char)src[i]) >> 4];
		dst[n++] = hex[((unsigned char)src[i]) & 15];
	}
	return n;
}

struct sandbox *service_find(struct http_req *req, const struct service *sv)
{
	const char *id = http_param(req);
	struct sandbox *s = sandbox_id_valid(id) ? sandboxes_find(sv->sandboxes, id) : NULL;
	char shown[HTTP_PARAM_MAX * 4 + 1];

	if (s != NULL)
		return s;
	(void)log_escape(shown, sizeof(shown), id, strlen(id));
	http_error(req, 404, "not_found", "sandbox %s: no such sandbox", shown);
	return NULL;
}

/* ---- POST /v1/sandboxes -------------------------------------------------------------------- */

static void answer_failed(struct http_req *req, const struct sandbox *s)
{
	const char *code, *msg, *raw;
	char tail[SANDBOX_TAIL_MAX * 2];
	size_t len;
	unsigned status = sandbox_fault(s, &code, &msg);
	json_t *more = NULL, *view = NULL;
	char line[512];

	raw = sandbox_console_tail(s, &len);
	if (len > 0)
		more = json_pack("{s:s%}", "console_tail", tail,
				 service_clean_text(tail, sizeof(tail), raw, len));
	if (status != 0) {
		http_error_with(req, status, code, msg, more);
		return;
	}
	/* No step failed: the guest ended, or somebody stopped it. */
	view = sandbox_json(s);
	const json_t *end = json_object_get(view, "end");
	const char *reason = json_string_value(json_object_get(end, "reason"));
	const char *detail = json_string_value(json_object_get(end, "detail"));
	(void)snprintf(line, sizeof(line), "guest: ended before it was up: %s%s%s",
		       reason == NULL ? "unknown" : reason,
		       detail != NULL && detail[0] != '\0' ? ": " : "",
		       detail == NULL ? "" : detail);
	json_decref(view);
	http_error_with(req, 502, "guest_ended", line, more);
}

static void on_create_progress(struct sandbox *s, void *arg)
{
	struct waiter *w = arg;
	struct http_req *req = w->req;

	if (sandbox_state(s) == SANDBOX_CREATING)
		return;
	waiter_end(w);
	if (sandbox_state(s) == SANDBOX_RUNNING)
		http_answer(req, 201, sandbox_json(s));
	else
		answer_failed(req, s);
}

/* Nobody has learnt its id, so nobody would ever end it. */
static void on_creator_gone(struct http_req *req, void *state)
{
	struct waiter *w = state;
	struct sandbox *s = w->sandbox;

	(void)req;
	waiter_end(w);
	if (s != NULL)
		sandbox_stop(s, "client-gone");
}

static unsigned status_of_errno(int code)
{
	switch (-code) {
	case EINVAL:
		return 400;
	case EBUSY:
		return 429;
	case ENOTCONN:
	case ESHUTDOWN:
		return 503;
	default:
		return 500;
	}
}

static const char *code_of_errno(int code)
{
	switch (-code) {
	case EINVAL:
		return "invalid_argument";
	case EBUSY:
		return "too_many_sandboxes";
	case ENOTCONN:
	case ESHUTDOWN:
		return "unavailable";
	default:
		return "internal";
	}
}

static void create(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct err err = { 0 };
	struct sandbox *s = NULL;
	struct spec spec;
	bool lease = false;
	size_t len;
	const char *body = http_body(req, &len);
	int r = spec_parse(body, len, &sv->limits, &spec, &err);

	if (r == 0) {
		lease = spec.lease;
		r = sandbox_create(sv->sandboxes, &spec, &s, &err);
	}
	if (r < 0) {
		http_error(req, status_of_errno(r), code_of_errno(r), "%s", err.msg);
		return;
	}
	if (lease && http_conn(req) == NULL) {
		sandbox_stop(s, "no-memory");
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	if (lease) {
		sandbox_set_lease(s, http_conn(req));
		http_keep_idle(req);
	}
	if (waiter_new(req, s, on_create_progress) == NULL)
		sandbox_stop(s, "no-memory");
	else
		http_hold(req, on_creator_gone);
}

/* ---- The others ---------------------------------------------------------------------------- */

static void list(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	const char *all = http_query(req, "all");

	http_answer(
		req, 200,
		json_pack("{s:o}", "sandboxes",
			  sandboxes_json(sv->sandboxes, all != NULL && strcmp(all, "true") == 0)));
}

static void show(struct http_req *req, void *arg)
{
	struct sandbox *s = service_find(req, arg);

	if (s != NULL)
		http_answer(req, 200, sandbox_json(s));
}

static void on_delete_progress(struct sandbox *s, void *arg)
{
	struct waiter *w = arg;

	if (sandbox_state(s) != SANDBOX_ENDED && sandbox_state(s) != SANDBOX_FAILED)
		return;
	waiter_end(w);
	http_answer(w->req, 204, NULL);
}

static void on_delete_late(void *arg)
{
	struct waiter *w = arg;

	w->timer = NULL;
	waiter_end(w);
	http_error(w->req, 504, "still_stopping",
		   "sandbox: not gone yet; it will be once the jailer answers");
}

static void on_deleter_gone(struct http_req *req, void *state)
{
	(void)req;
	waiter_end(state);
}

static void destroy(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct sandbox *s = service_find(req, sv);
	struct waiter *w;

	if (s == NULL)
		return;
	if (sandbox_state(s) == SANDBOX_ENDED || sandbox_state(s) == SANDBOX_FAILED) {
		http_answer(req, 204, NULL);
		return;
	}
	w = waiter_new(req, s, on_delete_progress);
	if (w == NULL)
		return;
	if (loop_timer_add(sv->loop, DELETE_WAIT_MS, on_delete_late, w, &w->timer) < 0)
		w->timer = NULL; /* waits for as long as it takes */
	http_hold(req, on_deleter_gone);
	sandbox_stop(s, "deleted");
}

const struct http_route service_routes[] = {
	{ "GET", "/v1/status", service_status },
	{ "POST", "/v1/sandboxes", create },
	{ "GET", "/v1/sandboxes", list },
	{ "GET", "/v1/sandboxes/{}", show },
	{ "DELETE", "/v1/sandboxes/{}", destroy },
	{ "GET", "/v1/sandboxes/{}/logs", service_logs },
	{ "GET", "/v1/sandboxes/{}/metrics", service_metrics },
	{ "GET", "/v1/sandboxes/{}/jail", service_jail },
	{ "GET", "/v1/sandboxes/{}/agent", service_agent },
	{ "POST", "/v1/sandboxes/{}/agent", service_agent },
	{ NULL, NULL, NULL },
};
