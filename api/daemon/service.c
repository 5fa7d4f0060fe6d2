/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/service.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/num.h"

#define DELETE_WAIT_MS 30000U

void service_wait_end(struct service_wait *w)
{
	if (w->sandbox != NULL)
		sandbox_unwatch(w->sandbox, &w->watch);
	w->sandbox = NULL;
	loop_timer_del(w->timer);
	w->timer = NULL;
}

static void wait_done(void *state)
{
	service_wait_end(state);
}

struct service_wait *service_wait(struct http_req *req, struct sandbox *s,
				  void (*fn)(struct sandbox *s, void *arg))
{
	struct service_wait *w = http_set_state(req, sizeof(*w), wait_done);

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

bool service_owns(const struct http_req *req, const struct sandbox *s)
{
	const struct principal *p = auth_principal(req);

	return p->admin || p->tenant == sandbox_tenant(s);
}

struct sandbox *service_find(struct http_req *req, const struct service *sv)
{
	const char *id = http_param(req);
	struct sandbox *s = sandbox_id_valid(id) ? sandboxes_find(sv->sandboxes, id) : NULL;
	char shown[HTTP_PARAM_MAX * 4 + 1];

	/* Another tenant's is as good as none: nobody learns that it exists. */
	if (s != NULL && service_owns(req, s))
		return s;
	(void)log_escape(shown, sizeof(shown), id, strlen(id));
	http_error(req, 404, "not_found", "sandbox %s: no such sandbox", shown);
	return NULL;
}

/* ---- POST /v1/sandboxes -------------------------------------------------------------------- */

void service_answer_sandbox(struct http_req *req, unsigned status, const struct sandbox *s)
{
	struct buf text;

	buf_init(&text, SERVICE_VIEW_BYTES_MAX);
	http_answer_text(req, status, sandbox_put_json(s, &text) < 0 ? NULL : &text);
	buf_done(&text);
}

void service_answer_failed(struct http_req *req, const struct sandbox *s)
{
	const char *code, *msg, *raw, *reason, *detail;
	char tail[SANDBOX_TAIL_MAX * 2];
	size_t len;
	unsigned status = sandbox_fault(s, &code, &msg);
	json_t *more = NULL;
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
	reason = sandbox_reason(s);
	detail = reason[0] != '\0' ? sandbox_detail(s) : "";
	(void)snprintf(line, sizeof(line), "guest: ended before it was up: %s%s%s",
		       reason[0] != '\0' ? reason : "unknown", detail[0] != '\0' ? ": " : "",
		       detail);
	http_error_with(req, 502, "guest_ended", line, more);
}

static void on_create_progress(struct sandbox *s, void *arg)
{
	struct service_wait *w = arg;
	struct http_req *req = w->req;

	if (sandbox_state(s) == SANDBOX_CREATING)
		return;
	service_wait_end(w);
	if (sandbox_state(s) == SANDBOX_RUNNING)
		service_answer_sandbox(req, 201, s);
	else
		service_answer_failed(req, s);
}

/* Nobody has learnt its id, so nobody would ever end it. */
void service_creator_gone(struct http_req *req, void *state)
{
	struct service_wait *w = state;
	struct sandbox *s = w->sandbox;

	(void)req;
	service_wait_end(w);
	if (s != NULL)
		sandbox_stop(s, "client-gone");
}

static unsigned status_of_errno(int code)
{
	switch (-code) {
	case EINVAL:
		return 400;
	case ENOENT:
		return 404;
	case ENOTSUP:
		return 501;
	case ESTALE:
	case EALREADY:
		return 409;
	case EBUSY:
	case EDQUOT:
	case EAGAIN:
		return 429;
	case ENOTCONN:
	case ESHUTDOWN:
	case ENOMEM:
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
	case ENOENT:
		return "not_found";
	case ENOTSUP:
		return "not_supported";
	case ESTALE:
	case EALREADY:
		return "conflict";
	case EBUSY:
		return "too_many_sandboxes";
	case EDQUOT:
		return "quota";
	case EAGAIN:
		return "too_fast";
	case ENOTCONN:
	case ESHUTDOWN:
	case ENOMEM:
		return "unavailable";
	default:
		return "internal";
	}
}

void service_answer_refused(struct http_req *req, int code, const char *msg)
{
	if (code == -EAGAIN)
		http_add_field(req, "Retry-After", "1");
	http_error(req, status_of_errno(code), code_of_errno(code), "%s", msg);
}

/* Where a sandbox lies in the host is the operator's business. */
static int check_placement(const struct http_req *req, const struct spec *spec, struct err *err)
{
	const bool placed = spec->cpuset_cpus[0] != '\0' || spec->cpuset_mems[0] != '\0' ||
			    spec->huge_pages == SPEC_PAGES_HUGETLB;

	if (!placed || auth_principal(req)->admin)
		return 0;
	return err_set(err, -EINVAL,
		       "cpuset_cpus, cpuset_mems, hugetlb: are the operator's to use");
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
		r = check_placement(req, &spec, &err);
		if (r < 0)
			spec_done(&spec);
	}
	if (r == 0) {
		lease = spec.lease;
		spec.tenant = auth_principal(req)->tenant;
		r = service_create(sv, &spec, &s, &err);
	}
	if (r < 0) {
		service_answer_refused(req, r, err.msg);
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
	if (service_wait(req, s, on_create_progress) == NULL)
		sandbox_stop(s, "no-memory");
	else
		http_hold(req, service_creator_gone);
}

/* ---- The others ---------------------------------------------------------------------------- */

#define LIST_BYTES_MAX (16U << 20) /* more than that no answer holds (api/http) */

struct listing {
	const struct http_req *req;
	struct buf text;
	bool all, any;
	int r;
};

static int put(struct buf *b, const char *text)
{
	return buf_put(b, text, strlen(text));
}

static bool add_listed(struct sandbox *s, void *arg)
{
	struct listing *l = arg;
	const bool over = sandbox_state(s) == SANDBOX_ENDED || sandbox_state(s) == SANDBOX_FAILED;

	if ((over && !l->all) || !service_owns(l->req, s))
		return true;
	l->r = l->any ? put(&l->text, ",") : 0;
	if (l->r == 0)
		l->r = sandbox_put_json(s, &l->text);
	l->any = true;
	return l->r == 0;
}

static void list(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	const char *all = http_query(req, "all");
	struct listing l = { .req = req, .all = all != NULL && strcmp(all, "true") == 0 };

	buf_init(&l.text, LIST_BYTES_MAX);
	l.r = put(&l.text, "{\"sandboxes\":[");
	if (l.r == 0)
		sandboxes_each(sv->sandboxes, add_listed, &l);
	if (l.r == 0)
		l.r = put(&l.text, "]}");
	http_answer_text(req, 200, l.r < 0 ? NULL : &l.text);
	buf_done(&l.text);
}

struct recalled {
	struct http_req *req;
	bool answered;
};

/* What the store remembers of one that this daemon never had, or has forgotten. */
static void on_recalled(const struct store_sandbox *b, void *arg)
{
	struct recalled *r = arg;
	const struct principal *p = auth_principal(r->req);

	if (!p->admin && strcmp(p->tenant->limits.name, b->tenant) != 0)
		return;
	r->answered = true;
	http_answer(r->req, 200,
		    json_pack("{s:s, s:s, s:I, s:I, s:{s:s, s:s}}", "id", b->id, "state", "ended",
			      "created_unix_ms", (json_int_t)b->created_ms, "ended_unix_ms",
			      (json_int_t)b->ended_ms, "end", "reason", b->reason, "detail", ""));
}

static void show(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct recalled r = { .req = req };
	struct sandbox *s;

	if (sandbox_id_valid(http_param(req)) &&
	    sandboxes_find(sv->sandboxes, http_param(req)) == NULL &&
	    store_sandbox_find(sv->store, http_param(req), on_recalled, &r) == 0 && r.answered)
		return;
	s = service_find(req, sv);
	if (s != NULL)
		service_answer_sandbox(req, 200, s);
}

static void on_delete_progress(struct sandbox *s, void *arg)
{
	struct service_wait *w = arg;

	if (sandbox_state(s) != SANDBOX_ENDED && sandbox_state(s) != SANDBOX_FAILED)
		return;
	service_wait_end(w);
	http_answer(w->req, 204, NULL);
}

static void on_delete_late(void *arg)
{
	struct service_wait *w = arg;

	w->timer = NULL;
	service_wait_end(w);
	http_error(w->req, 504, "still_stopping",
		   "sandbox: not gone yet; it will be once the jailer answers");
}

void service_deleter_gone(struct http_req *req, void *state)
{
	(void)req;
	service_wait_end(state);
}

static void destroy(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct sandbox *s = service_find(req, sv);
	struct service_wait *w;

	if (s == NULL)
		return;
	if (sandbox_state(s) == SANDBOX_ENDED || sandbox_state(s) == SANDBOX_FAILED) {
		http_answer(req, 204, NULL);
		return;
	}
	w = service_wait(req, s, on_delete_progress);
	if (w == NULL)
		return;
	if (loop_timer_add(sv->loop, DELETE_WAIT_MS, on_delete_late, w, &w->timer) < 0)
		w->timer = NULL; /* waits for as long as it takes */
	http_hold(req, service_deleter_gone);
	sandbox_stop(s, "deleted");
}

const struct http_route service_routes[] = {
	{ "GET", "/v1/status", service_status },
	{ "GET", "/v1/events", service_events },
	{ "GET", "/v1/usage", service_usage },
	{ "GET", "/metrics", service_prometheus },
	{ "POST", "/v1/sandboxes", create },
	{ "GET", "/v1/sandboxes", list },
	{ "GET", "/v1/sandboxes/{}", show },
	{ "DELETE", "/v1/sandboxes/{}", destroy },
	{ "POST", "/v1/sandboxes/{}/fork", service_fork },
	{ "POST", "/v1/sandboxes/{}/pause", service_pause },
	{ "POST", "/v1/sandboxes/{}/resume", service_resume },
	{ "PUT", "/v1/sandboxes/{}/network", service_network },
	{ "GET", "/v1/sandboxes/{}/logs", service_logs },
	{ "GET", "/v1/sandboxes/{}/metrics", service_metrics },
	{ "GET", "/v1/sandboxes/{}/jail", service_jail },
	{ "GET", "/v1/sandboxes/{}/agent", service_agent },
	{ "POST", "/v1/sandboxes/{}/agent", service_agent },
	{ "GET", "/v1/sandboxes/{}/tcp", service_tcp },
	{ NULL, NULL, NULL },
};
