/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/sandboxes/{id}/fork: answered when every child's agent has answered. */
#include <errno.h>
#include <string.h>

#include "api/daemon/fork.h"
#include "api/daemon/service.h"

struct forking {
	struct http_req *req;
	struct fork *fork; /* NULL once it is over */
};

static void forking_done(void *state)
{
	struct forking *w = state;

	fork_free(w->fork);
	w->fork = NULL;
}

/* Nobody has learnt the children's ids, so nobody would ever end them. */
static void on_client_gone(struct http_req *req, void *state)
{
	(void)req;
	forking_done(state);
}

static void on_forked(struct fork *f, void *arg)
{
	struct forking *w = arg;
	const char *code, *msg;
	unsigned status = fork_fault(f, &code, &msg);
	struct buf text;

	if (status != 0) {
		http_error(w->req, status, code, "%s", msg);
		return;
	}
	buf_init(&text, SPEC_FORK_MAX * SERVICE_VIEW_BYTES_MAX);
	http_answer_text(w->req, 201, fork_put_json(f, &text) < 0 ? NULL : &text);
	buf_done(&text);
}

static void refuse(struct http_req *req, int r, const struct err *err)
{
	if (r == -ESTALE)
		http_error(req, 409, "not_running", "%s", err->msg);
	else if (r == -EALREADY)
		http_error(req, 409, "busy", "%s", err->msg);
	else
		service_answer_refused(req, r, err->msg);
}

void service_fork(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct sandbox *s = service_find(req, sv);
	struct err err = { 0 };
	struct spec_fork q;
	struct forking *w;
	const void *lease = NULL;
	size_t len;
	const char *body = http_body(req, &len);
	int r;

	if (s == NULL)
		return;
	r = spec_parse_fork(body, len, &q, &err);
	if (r < 0) {
		refuse(req, r, &err);
		return;
	}
	w = http_set_state(req, sizeof(*w), forking_done);
	if (q.lease)
		lease = http_conn(req);
	if (w == NULL || (q.lease && lease == NULL)) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	w->req = req;
	r = fork_begin(s, q.count, lease, on_forked, w, &w->fork, &err);
	if (r < 0) {
		refuse(req, r, &err);
		return;
	}
	if (q.lease)
		http_keep_idle(req);
	http_hold(req, on_client_gone);
}
