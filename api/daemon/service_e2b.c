/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_e2b.c - the control plane as the E2B SDKs speak it: sandboxes, in the form of /v2 and in
 * the older one. docs/SPECIFICATION.md lists what there is and what answers 501.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/credential.h"
#include "api/daemon/e2b_view.h"
#include "api/daemon/profile.h"
#include "api/daemon/service.h"
#include "api/daemon/templates.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#define REFRESH_DEFAULT_S 60U
#define CONNECT_DEFAULT_S 300U

static int64_t unix_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
}

/* The running sandbox that the path names, or NULL: answered 404. Old SDKs write "id-client". */
static struct sandbox *find(struct http_req *req, const struct service *sv)
{
	char id[SANDBOX_ID_LEN + 1] = "";
	size_t len = strcspn(http_param(req), "-");
	struct sandbox *s = NULL;

	if (len == SANDBOX_ID_LEN) {
		memcpy(id, http_param(req), len);
		s = sandbox_id_valid(id) ? sandboxes_find(sv->sandboxes, id) : NULL;
	}
	if (s != NULL && sandbox_present(s) && service_owns(req, s))
		return s;
	http_error(req, 404, "not_found",
		   "sandbox \"%.64s\" doesn't exist or you don't have access to it",
		   http_param(req));
	return NULL;
}

/* The same, unless it is paused: then 409. */
static struct sandbox *find_awake(struct http_req *req, const struct service *sv)
{
	struct sandbox *s = find(req, sv);

	if (s == NULL || !sandbox_away(s))
		return s;
	http_error(req, 409, "conflict", "sandbox %s: is paused", sandbox_id(s));
	return NULL;
}

/* ---- Create -------------------------------------------------------------------------------- */

static void answer_not_made(struct http_req *req, const struct sandbox *s)
{
	const char *code, *msg;

	(void)sandbox_fault(s, &code, &msg);
	if (code != NULL && strcmp(code, "not_found") == 0)
		http_error(req, 404, "not_found", "template: %s", msg);
	else
		service_answer_failed(req, s);
}

static void on_create_progress(struct sandbox *s, void *arg)
{
	struct service_wait *w = arg;
	struct http_req *req = w->req;

	if (sandbox_state(s) == SANDBOX_CREATING)
		return;
	service_wait_end(w);
	if (sandbox_state(s) == SANDBOX_RUNNING)
		http_answer(req, 201, e2b_sandbox_json(w->sv, s));
	else
		answer_not_made(req, s);
}

static void create(struct http_req *req, struct service *sv, unsigned v)
{
	struct profile *profile = NULL;
	struct sandbox *s = NULL;
	struct err err = { 0 };
	struct service_wait *w;
	struct spec spec;
	size_t len;
	const char *body = http_body(req, &len);
	int r = profile_parse(body, len, v, &sv->limits, &spec, &profile, &err);

	if (r == 0) {
		spec.tenant = auth_principal(req)->tenant;
		r = templates_create(sv, profile->template, false, &spec, &s, &err);
		if (r == -ENOENT)
			r = service_create_e2b(sv, profile->template, &spec, &s, &err);
	}
	if (r < 0) {
		profile_free(profile);
		service_answer_refused(req, r, err.msg);
		return;
	}
	sandbox_set_profile(s, profile);
	w = service_wait(req, s, on_create_progress);
	if (w == NULL) {
		sandbox_stop(s, "no-memory");
		return;
	}
	w->sv = sv;
	http_hold(req, service_creator_gone);
}

static void create_v1(struct http_req *req, void *arg)
{
	create(req, arg, 1);
}

static void create_v2(struct http_req *req, void *arg)
{
	create(req, arg, 2);
}

/* ---- List ---------------------------------------------------------------------------------- */

struct listing {
	const struct http_req *req;
	const struct service *sv;
	const char *metadata; /* filters; NULL = none */
	const char *template;
	int64_t started_after;
	bool running, paused, ascending;
	struct sandbox **list;
	size_t count, cap;
};

static bool wanted(const struct listing *l, const struct sandbox *s)
{
	const struct profile *p = sandbox_profile(s);
	const char *template =
		p != NULL && p->template[0] != '\0' ? p->template : sandbox_spec(s)->image;

	/* Who ends all that is listed doesn't mean what templates are being built. */
	if (!sandbox_present(s) || !service_owns(l->req, s) || sandbox_build(s)[0] != '\0')
		return false;
	if (sandbox_away(s) ? !l->paused : !l->running)
		return false;
	if (l->metadata != NULL && !profile_matches(p, l->metadata))
		return false;
	if (l->template != NULL && strcmp(l->template, template) != 0)
		return false;
	return sandbox_created_unix_ms(s) >= l->started_after;
}

static bool add_wanted(struct sandbox *s, void *arg)
{
	struct listing *l = arg;

	if (l->count < l->cap && wanted(l, s))
		l->list[l->count++] = s;
	return true;
}

static int by_start(const void *a, const void *b)
{
	const struct sandbox *x = *(struct sandbox *const *)a, *y = *(struct sandbox *const *)b;
	int64_t tx = sandbox_created_unix_ms(x), ty = sandbox_created_unix_ms(y);

	return tx != ty ? (tx < ty ? -1 : 1) : strcmp(sandbox_id(x), sandbox_id(y));
}

/* A token is where the last page ended: "MS.ID". */
struct page_token {
	uint64_t ms;
	const char *id;
};

static int parse_token(const char *s, struct page_token *ret)
{
	uint64_t ms;

	if (parse_u64_at(&s, 10, INT64_MAX, &ms) < 0 || *s != '.' || !sandbox_id_valid(s + 1))
		return -EINVAL;
	*ret = (struct page_token){ ms, s + 1 };
	return 0;
}

static size_t find_page(const struct listing *l, const struct page_token *token)
{
	const int64_t ms = (int64_t)token->ms;

	for (size_t i = 0; i < l->count; i++) {
		const struct sandbox *s = l->list[l->ascending ? i : l->count - 1 - i];
		int64_t t = sandbox_created_unix_ms(s);
		int c = t != ms ? (t < ms ? -1 : 1) : strcmp(sandbox_id(s), token->id);
		if (l->ascending ? c > 0 : c < 0)
			return i;
	}
	return l->count;
}

/* Of a token without an id: the first page. */
static void answer_page(struct http_req *req, struct listing *l, size_t limit,
			const struct page_token *token)
{
	json_t *page = json_array();
	size_t from = token->id == NULL ? 0 : find_page(l, token);
	char text[64];

	for (size_t i = from; i < l->count && i - from < limit; i++) {
		const struct sandbox *s = l->list[l->ascending ? i : l->count - 1 - i];
		(void)json_array_append_new(page, e2b_listed_json(l->sv, s));
		if (i - from + 1 == limit && i + 1 < l->count) {
			(void)snprintf(text, sizeof(text), "%" PRId64 ".%s",
				       sandbox_created_unix_ms(s), sandbox_id(s));
			http_add_field(req, "X-Next-Token", text);
		}
	}
	(void)snprintf(text, sizeof(text), "%zu", l->count);
	http_add_field(req, "X-Total-Running", text);
	http_answer(req, 200, page);
}

/* 0, or -EINVAL and *err. */
static int take_filters(struct http_req *req, struct listing *l, uint64_t *ret_limit,
			struct page_token *ret_token, struct err *err)
{
	const char *state = http_query(req, "state"), *order = http_query(req, "order");
	const char *limit = http_query(req, "limit"), *after = http_query(req, "startedAfter");
	const char *token = http_query(req, "nextToken");

	l->metadata = http_query(req, "metadata");
	l->template = http_query(req, "template");
	l->running = state == NULL || http_list_has(state, "running");
	/* The older form has never shown others. */
	l->paused = state == NULL ? strncmp(http_path(req), "/v2/", 4) == 0
				  : http_list_has(state, "paused");
	l->ascending = order != NULL && strcmp(order, "asc") == 0;
	*ret_limit = 100;
	*ret_token = (struct page_token){ 0, NULL };
	if (order != NULL && !l->ascending && strcmp(order, "desc") != 0)
		return err_set(err, -EINVAL, "order: must be asc or desc");
	if (limit != NULL && parse_u64(limit, 1, 100, ret_limit) < 0)
		return err_set(err, -EINVAL, "limit: must be from 1 to 100");
	if (token != NULL && parse_token(token, ret_token) < 0)
		return err_set(err, -EINVAL, "nextToken: is not one of ours");
	if (after != NULL && e2b_time_parse(after, &l->started_after) < 0)
		return err_set(err, -EINVAL, "startedAfter: must be a time as in RFC 3339");
	return 0;
}

static void list(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct listing l = { .req = req,
			     .sv = sv,
			     .cap = sandboxes_live(sv->sandboxes) +
				    sandboxes_parked(sv->sandboxes) };
	struct page_token token;
	uint64_t limit;
	struct err err = { 0 };

	if (take_filters(req, &l, &limit, &token, &err) < 0) {
		http_error(req, 400, "invalid_argument", "%s", err.msg);
		return;
	}
	l.list = calloc(l.cap + 1, sizeof(struct sandbox *));
	if (l.list == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	sandboxes_each(sv->sandboxes, add_wanted, &l);
	qsort(l.list, l.count, sizeof(struct sandbox *), by_start);
	answer_page(req, &l, (size_t)limit, &token);
	free(l.list);
}

/* ---- One of them --------------------------------------------------------------------------- */

static void show(struct http_req *req, void *arg)
{
	struct sandbox *s = find(req, arg);

	if (s != NULL)
		http_answer(req, 200, e2b_detail_json(arg, s));
}

static void on_kill_progress(struct sandbox *s, void *arg)
{
	struct service_wait *w = arg;

	if (sandbox_state(s) != SANDBOX_ENDED && sandbox_state(s) != SANDBOX_FAILED)
		return;
	service_wait_end(w);
	http_answer(w->req, 204, NULL);
}

static void destroy(struct http_req *req, void *arg)
{
	struct sandbox *s = find(req, arg);

	if (s == NULL || service_wait(req, s, on_kill_progress) == NULL)
		return;
	http_hold(req, service_deleter_gone);
	sandbox_stop(s, "deleted");
}

/* The body's `name` in ms, or false: answered 400. */
static bool take_seconds(struct http_req *req, const char *name, bool needed, uint64_t fallback_s,
			 uint64_t *ret_ms)
{
	struct err err = { 0 };
	size_t len;
	const char *body = http_body(req, &len);

	if (profile_parse_timeout(body, len, name, needed, fallback_s, ret_ms, &err) == 0)
		return true;
	http_error(req, 400, "invalid_argument", "%s", err.msg);
	return false;
}

static void set_timeout(struct http_req *req, void *arg)
{
	struct sandbox *s = find_awake(req, arg);
	uint64_t ms;

	if (s == NULL || !take_seconds(req, "timeout", true, 0, &ms))
		return;
	sandbox_set_timeout(s, ms);
	http_answer(req, 204, NULL);
}

/* Not sooner than it would end anyway. */
static void extend(struct sandbox *s, uint64_t ms)
{
	int64_t end = sandbox_end_unix_ms(s);

	if (end != 0 && unix_ms() + (int64_t)ms > end)
		sandbox_set_timeout(s, ms);
}

static void refresh(struct http_req *req, void *arg)
{
	struct sandbox *s = find_awake(req, arg);
	uint64_t ms;

	if (s == NULL || !take_seconds(req, "duration", false, REFRESH_DEFAULT_S, &ms))
		return;
	extend(s, ms);
	http_answer(req, 204, NULL);
}

/* ---- Pause and resume ---------------------------------------------------------------------- */

static void on_pause_progress(struct sandbox *s, void *arg)
{
	struct service_wait *w = arg;

	if (service_rest_over(s, w, true))
		http_answer(w->req, 204, NULL);
}

/* {"memory": true or false}, or nothing: 0 or -EINVAL. */
static int take_pause_body(const struct http_req *req, enum sandbox_keep *ret)
{
	size_t len;
	const char *body = http_body(req, &len);
	json_t *o = len == 0 ? json_object() : json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *memory = json_object_get(o, "memory");
	int r = json_is_object(o) && (memory == NULL || json_is_boolean(memory)) ? 0 : -EINVAL;

	*ret = json_is_false(memory) ? SANDBOX_KEEP_FILES : SANDBOX_KEEP_ANY;
	json_decref(o);
	return r;
}

static void pause_it(struct http_req *req, void *arg)
{
	struct sandbox *s = find_awake(req, arg);
	enum sandbox_keep keep;
	int r = take_pause_body(req, &keep);
	struct err err = { 0 };

	if (s == NULL)
		return;
	if (r < 0) {
		service_answer_refused(req, r, "body: must be an object whose memory is a boolean");
		return;
	}
	if (service_wait(req, s, on_pause_progress) == NULL)
		return;
	http_hold(req, service_deleter_gone);
	r = sandbox_pause(s, keep, &err);
	if (r < 0)
		service_rest_refused(req, r, &err);
}

static void on_resume_progress(struct sandbox *s, void *arg);

static void begin_resume(void *arg)
{
	struct service_wait *w = arg;
	struct sandbox *s = w->sandbox;
	struct err err = { 0 };
	int r;

	w->timer = NULL;
	w->asked = true;
	if (!sandbox_rests(s)) { /* somebody else was faster */
		on_resume_progress(s, w);
		return;
	}
	r = sandbox_resume(s, &err);
	if (r < 0) {
		service_wait_end(w);
		service_rest_refused(w->req, r, &err);
	}
}

static void on_resume_progress(struct sandbox *s, void *arg)
{
	struct service_wait *w = arg;

	/* Paused just now: whoever asked for that hears of it before it goes on. */
	if (sandbox_rests(s) && !w->asked && w->timer == NULL &&
	    loop_timer_add(w->sv->loop, 0, begin_resume, w, &w->timer) == 0)
		return;
	if (w->timer != NULL || !service_rest_over(s, w, false))
		return;
	sandbox_set_timeout(s, w->ms);
	http_answer(w->req, 201, e2b_sandbox_json(w->sv, s));
}

/* Lets a paused one go on, once it is, with this time to live; the answer comes when it does. */
static void wake(struct http_req *req, struct service *sv, struct sandbox *s, uint64_t ms)
{
	struct service_wait *w = service_wait(req, s, on_resume_progress);

	if (w == NULL)
		return;
	w->sv = sv;
	w->ms = ms;
	http_hold(req, service_deleter_gone);
	if (sandbox_rests(s))
		begin_resume(w);
}

static void connect_to(struct http_req *req, void *arg)
{
	struct sandbox *s = find(req, arg);
	uint64_t ms;

	if (s == NULL || !take_seconds(req, "timeout", false, CONNECT_DEFAULT_S, &ms))
		return;
	if (sandbox_away(s)) {
		wake(req, arg, s, ms);
		return;
	}
	extend(s, ms);
	http_answer(req, 200, e2b_sandbox_json(arg, s));
}

static void resume(struct http_req *req, void *arg)
{
	struct sandbox *s = find(req, arg);
	uint64_t ms;

	if (s == NULL || !take_seconds(req, "timeout", false, CONNECT_DEFAULT_S, &ms))
		return;
	if (sandbox_away(s))
		wake(req, arg, s, ms);
	else
		http_error(req, 409, "conflict", "sandbox %s: is running already", sandbox_id(s));
}

static void fork_it(struct http_req *req, void *arg)
{
	struct sandbox *s = find_awake(req, arg);

	if (s != NULL)
		e2b_fork(req, arg, s);
}

static void snapshot_it(struct http_req *req, void *arg)
{
	struct sandbox *s = find_awake(req, arg);

	if (s != NULL)
		service_e2b_snapshot(req, arg, s);
}

/* ---- The rest ------------------------------------------------------------------------------ */

static void health(struct http_req *req, void *arg)
{
	(void)arg;
	http_answer(req, 200, json_pack("{s:s}", "status", "ok"));
}

static void teams(struct http_req *req, void *arg)
{
	const char *name = auth_principal(req)->tenant->limits.name;

	(void)arg;
	http_answer(req, 200,
		    json_pack("[{s:s, s:s, s:s, s:b}]", "teamID", name, "name", name, "apiKey", "",
			      "isDefault", 1));
}

static void not_yet(struct http_req *req, void *arg)
{
	(void)arg;
	http_error(req, 501, "not_implemented", "%s %s: not implemented by this service",
		   http_request_head(req)->method, http_path(req));
}

#define NOT_YET(path)                                                                  \
	{ "GET", path, not_yet }, { "POST", path, not_yet }, { "PUT", path, not_yet }, \
		{ "PATCH", path, not_yet },                                            \
	{                                                                              \
		"DELETE", path, not_yet                                                \
	}

const struct http_route service_e2b_routes[] = {
	{ "POST", "/v2/sandboxes", create_v2 },
	{ "POST", "/sandboxes", create_v1 },
	{ "GET", "/v2/sandboxes", list },
	{ "GET", "/sandboxes", list },
	{ "GET", "/sandboxes/metrics", e2b_all_metrics },
	{ "GET", "/sandboxes/{}", show },
	{ "DELETE", "/sandboxes/{}", destroy },
	{ "POST", "/sandboxes/{}/timeout", set_timeout },
	{ "POST", "/sandboxes/{}/refreshes", refresh },
	{ "POST", "/sandboxes/{}/connect", connect_to },
	{ "POST", "/v2/sandboxes/{}/connect", connect_to },
	{ "POST", "/sandboxes/{}/resume", resume },
	{ "GET", "/sandboxes/{}/metrics", e2b_metrics },
	{ "GET", "/sandboxes/{}/logs", e2b_logs_v1 },
	{ "GET", "/v2/sandboxes/{}/logs", e2b_logs_v2 },
	{ "POST", "/sandboxes/{}/pause", pause_it },
	{ "POST", "/sandboxes/{}/fork", fork_it },
	{ "POST", "/sandboxes/{}/snapshots", snapshot_it },
	{ "PUT", "/sandboxes/{}/network", service_network_e2b },
	{ "GET", "/health", health },
	{ "GET", "/teams", teams },
	NOT_YET("/volumes"),
	NOT_YET("/volumes/*"),
	NOT_YET("/secrets"),
	NOT_YET("/secrets/*"),
	{ NULL, NULL, NULL },
};
