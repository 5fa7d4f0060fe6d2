/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e2b_fork.c - POST /sandboxes/ID/fork: children of a running sandbox, with its template, metadata
 * and secrecy. Either all of them come to run or none.
 */
#include <string.h>

#include "api/daemon/e2b_view.h"
#include "api/daemon/fork.h"
#include "api/daemon/profile.h"

#define TIMEOUT_DEFAULT_S 15U

struct forking {
	struct http_req *req;
	struct service *sv;
	struct fork *fork;
	struct profile *profile; /* of the parent, copied */
	uint64_t timeout_ms;
};

static void forking_done(void *state)
{
	struct forking *f = state;

	fork_free(f->fork);
	f->fork = NULL;
	profile_free(f->profile);
	f->profile = NULL;
}

static void on_client_gone(struct http_req *req, void *state)
{
	(void)req;
	forking_done(state);
}

/* Makes a child what its parent is to clients: its object in the answer. */
static json_t *adopt(struct forking *f, struct sandbox *s)
{
	struct profile *p = profile_copy(f->profile);

	if (p == NULL)
		return NULL;
	sandbox_set_profile(s, p);
	sandbox_set_timeout(s, f->timeout_ms);
	return json_pack("{s:o}", "sandbox", e2b_sandbox_json(f->sv, s));
}

static void on_forked(struct fork *fork, void *arg)
{
	struct forking *f = arg;
	const char *code, *msg;
	unsigned status = fork_fault(fork, &code, &msg);
	struct sandbox *child;
	json_t *answer;

	if (status != 0) {
		http_error(f->req, status, code, "%s", msg);
		return;
	}
	answer = json_array();
	for (unsigned i = 0; (child = fork_child(fork, i)) != NULL; i++)
		(void)json_array_append_new(answer, adopt(f, child));
	http_answer(f->req, 201, answer);
}

void e2b_fork(struct http_req *req, struct service *sv, struct sandbox *s)
{
	struct err err = { 0 };
	struct forking *f;
	uint64_t ms = 0, count = 0;
	size_t len;
	const char *body = http_body(req, &len);
	int r = profile_parse_timeout(body, len, "timeout", false, TIMEOUT_DEFAULT_S, &ms, &err);

	if (r == 0) /* a number like the other: in thousandths here */
		r = profile_parse_timeout(body, len, "count", false, 1, &count, &err);
	if (r < 0 || ms == 0 || count < 1000 || count > SPEC_FORK_MAX * UINT64_C(1000)) {
		http_error(req, 400, "invalid_argument", "%s",
			   r < 0 ? err.msg : "timeout, count: out of range");
		return;
	}
	f = http_set_state(req, sizeof(*f), forking_done);
	if (f == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	f->req = req;
	f->sv = sv;
	f->timeout_ms = ms;
	f->profile = profile_copy(sandbox_profile(s));
	if (f->profile == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	if (sandbox_profile(s) == NULL) /* one of /v1: closed */
		f->profile->secure = f->profile->private_traffic = true;
	r = fork_begin(s, (unsigned)(count / 1000), NULL, on_forked, f, &f->fork, &err);
	if (r < 0)
		service_answer_refused(req, r, err.msg);
	else
		http_hold(req, on_client_gone);
}
