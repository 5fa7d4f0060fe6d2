/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/sandboxes/{id}/pause and /resume: answered when it is paused, or runs. */
#include <errno.h>

#include "api/daemon/service.h"

bool service_rest_over(struct sandbox *s, struct service_wait *w, bool paused)
{
	const char *code, *msg;
	unsigned status;

	if (sandbox_rest_pending(s) && !sandbox_stranded(s))
		return false;
	service_wait_end(w);
	status = sandbox_rest_fault(s, &code, &msg);
	if (sandbox_stranded(s))
		http_error(
			w->req, 503, "unavailable",
			"sandbox %s: the jailer has gone meanwhile; what became of it is known when that is back",
			sandbox_id(s));
	else if (!sandbox_present(s))
		http_error(w->req, 404, "not_found", "sandbox %s: has ended: %s", sandbox_id(s),
			   sandbox_reason(s));
	else if (sandbox_rests(s) == paused)
		return true;
	else if (status != 0)
		http_error(w->req, status, code, "%s", msg);
	else
		http_error(w->req, 409, "conflict", "sandbox %s: its state has changed meanwhile",
			   sandbox_id(s));
	return false;
}

void service_rest_refused(struct http_req *req, int r, const struct err *err)
{
	if (r == -EBUSY)
		http_error(req, 409, "conflict", "%s", err->msg);
	else
		service_answer_refused(req, r, err->msg);
}

static void on_paused(struct sandbox *s, void *arg)
{
	struct service_wait *w = arg;

	if (service_rest_over(s, w, true))
		service_answer_sandbox(w->req, 200, s);
}

static void on_resumed(struct sandbox *s, void *arg)
{
	struct service_wait *w = arg;

	if (service_rest_over(s, w, false))
		service_answer_sandbox(w->req, 200, s);
}

/* {"disk": true or false}, {"memory": false}, or nothing: 0 or -EINVAL. */
static int take_keep(const struct http_req *req, enum sandbox_keep *ret)
{
	size_t len;
	const char *body = http_body(req, &len);
	json_t *o = len == 0 ? json_object() : json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *disk = json_object_get(o, "disk"), *memory = json_object_get(o, "memory");
	const size_t known = (disk != NULL ? 1U : 0U) + (memory != NULL ? 1U : 0U);
	int r = json_is_object(o) && json_object_size(o) == known &&
				(disk == NULL || json_is_boolean(disk)) &&
				(memory == NULL || json_is_boolean(memory)) &&
				!(json_is_false(disk) && json_is_false(memory))
			? 0
			: -EINVAL;

	*ret = json_is_false(memory) ? SANDBOX_KEEP_FILES
	       : disk == NULL	     ? SANDBOX_KEEP_ANY
	       : json_is_true(disk)  ? SANDBOX_KEEP_DISK
				     : SANDBOX_KEEP_MEMORY;
	json_decref(o);
	return r;
}

static bool running(struct http_req *req, const struct sandbox *s)
{
	if (sandbox_state(s) == SANDBOX_RUNNING && !sandbox_rests(s) && !sandbox_rest_pending(s))
		return true;
	http_error(req, 409, "not_running", "sandbox %s: is %s, not running", sandbox_id(s),
		   sandbox_rests(s) ? "paused" : sandbox_state_name(sandbox_state(s)));
	return false;
}

void service_pause(struct http_req *req, void *arg)
{
	struct sandbox *s = service_find(req, arg);
	enum sandbox_keep keep;
	struct err err = { 0 };
	int r;

	if (s == NULL)
		return;
	if (take_keep(req, &keep) < 0) {
		http_error(req, 400, "invalid_argument",
			   "body: may have \"disk\" and \"memory\", booleans, not both false");
		return;
	}
	if (!running(req, s) || service_wait(req, s, on_paused) == NULL)
		return;
	http_hold(req, service_deleter_gone);
	r = sandbox_pause(s, keep, &err);
	if (r < 0)
		service_rest_refused(req, r, &err);
}

void service_resume(struct http_req *req, void *arg)
{
	struct sandbox *s = service_find(req, arg);
	struct err err = { 0 };
	int r;

	if (s == NULL)
		return;
	if (!sandbox_rests(s)) {
		http_error(req, 409, "not_paused", "sandbox %s: is %s, not paused", sandbox_id(s),
			   sandbox_state_name(sandbox_state(s)));
		return;
	}
	if (service_wait(req, s, on_resumed) == NULL)
		return;
	http_hold(req, service_deleter_gone);
	r = sandbox_resume(s, &err);
	if (r < 0)
		service_rest_refused(req, r, &err);
}
