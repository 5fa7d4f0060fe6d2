/* SPDX-License-Identifier: Apache-2.0 */
/* service_admit.c - what happens to a request before its route, and to the store when a sandbox
 * changes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/build_upload.h"
#include "api/daemon/credential.h"
#include "api/daemon/profile.h"
#include "api/daemon/proxy.h"
#include "api/daemon/route.h"
#include "api/daemon/service.h"
#include "api/daemon/upload.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

/* ---- For a sandbox --------------------------------------------------------------------------- */

static bool token_fits(const struct service *sv, const struct sandbox *s, enum credential_use use,
		       const char *given)
{
	char token[CREDENTIAL_TOKEN_LEN + 1];
	bool fits;

	if (given == NULL)
		return false;
	credential_token(store_secret(sv->store), use, sandbox_id(s), token);
	fits = credential_equal(token, given);
	explicit_bzero(token, sizeof(token));
	return fits;
}

/* Was the URL signed for this sandbox? */
static bool signature_fits(const struct service *sv, const struct http_req *req,
			   const struct sandbox *s)
{
	const char *given = http_query(req, "signature"), *path = http_query(req, "path");
	const char *user = http_query(req, "username");
	const struct credential_url u = {
		.path = path == NULL ? "" : path,
		.operation = strcmp(http_request_head(req)->method, "GET") == 0 ? "read" : "write",
		.user = user == NULL ? "" : user,
		.expiration = http_query(req, "signature_expiration"),
	};
	char token[CREDENTIAL_TOKEN_LEN + 1], want[CREDENTIAL_SIGNATURE_LEN + 1];
	bool fits;

	if (given == NULL)
		return false;
	credential_token(store_secret(sv->store), CREDENTIAL_ACCESS, sandbox_id(s), token);
	credential_sign(&u, token, want);
	fits = credential_equal(want, given);
	explicit_bzero(token, sizeof(token));
	return fits;
}

static bool signature_expired(const struct http_req *req)
{
	const char *text = http_query(req, "signature_expiration");
	uint64_t until = 0;

	return text != NULL && (parse_u64(text, 0, INT64_MAX, &until) < 0 ||
				until <= clock_ns(CLOCK_REALTIME) / UINT64_C(1000000000));
}

struct search {
	const struct service *sv;
	const struct http_req *req;
	enum route_kind kind;
	struct sandbox *found;
};

/* It runs, or a request is enough to let it go on. */
static bool reachable(const struct sandbox *s)
{
	const struct profile *p = sandbox_profile(s);

	if (sandbox_away(s))
		return p != NULL && p->auto_resume && !sandbox_files_only(s);
	return sandbox_state(s) == SANDBOX_RUNNING;
}

static bool try_one(struct sandbox *s, void *arg)
{
	struct search *q = arg;

	if (!reachable(s))
		return true;
	if (q->kind == ROUTE_TOKEN
		    ? token_fits(q->sv, s, CREDENTIAL_ACCESS, http_header(q->req, "X-Access-Token"))
		    : signature_fits(q->sv, q->req, s))
		q->found = s;
	return q->found == NULL;
}

/* What the agent would have answered, in its words alone: E2B's clients compare the whole of it. */
static void refuse_for_agent(struct http_req *req, const char *msg)
{
	json_t *body = json_pack("{s:i, s:s}", "code", 401, "message", msg);

	http_answer(req, 401, body);
}

/* Answers unless the request may go to the agent's port. */
static bool may_agent(const struct service *sv, struct http_req *req, const struct sandbox *s)
{
	const struct profile *p = sandbox_profile(s);
	const bool get = strcmp(http_request_head(req)->method, "GET") == 0;

	if (route_is_internal(http_path(req))) {
		http_error(req, 404, "not_found", "no such resource");
		return false;
	}
	if ((p != NULL && !p->secure) || (get && strcmp(http_path(req), "/health") == 0) ||
	    token_fits(sv, s, CREDENTIAL_ACCESS, http_header(req, "X-Access-Token")))
		return true;
	if (strcmp(http_path(req), "/files") == 0 && signature_fits(sv, req, s)) {
		if (!signature_expired(req))
			return true;
		refuse_for_agent(req, "signature is already expired");
		return false;
	}
	refuse_for_agent(req, "unauthorized access, please provide a valid access token or method "
			      "signing if supported");
	return false;
}

static bool may_port(const struct service *sv, struct http_req *req, const struct sandbox *s)
{
	const struct profile *p = sandbox_profile(s);

	if ((p != NULL && !p->private_traffic) ||
	    token_fits(sv, s, CREDENTIAL_TRAFFIC, http_header(req, "E2b-Traffic-Access-Token")))
		return true;
	http_error(req, 403, "forbidden",
		   "this sandbox's ports need its traffic token, as e2b-traffic-access-token");
	return false;
}

static struct sandbox *search_sandbox(const struct service *sv, struct http_req *req,
				      const struct route *r)
{
	struct search q = { .sv = sv, .req = req, .kind = r->kind };
	struct sandbox *s = NULL;

	if (r->kind == ROUTE_SANDBOX && r->id[0] != '\0')
		s = sandboxes_find(sv->sandboxes, r->id);
	if (s != NULL && reachable(s))
		return s;
	if (r->kind == ROUTE_SANDBOX) {
		http_error_with(req, 502, "sandbox_not_found", "The sandbox was not found",
				json_pack("{s:s}", "sandboxId", r->id));
		return NULL;
	}
	sandboxes_each(sv->sandboxes, try_one, &q);
	if (q.found == NULL)
		http_error(req, 401, "unauthorized", "the token or signature is no sandbox's");
	return q.found;
}

static void to_sandbox(const struct service *sv, struct http_req *req, const struct route *r)
{
	struct sandbox *s = search_sandbox(sv, req, r);

	if (s == NULL)
		return;
	if (r->port == ROUTE_AGENT_PORT ? may_agent(sv, req, s) : may_port(sv, req, s))
		proxy_begin(sv, req, s, r->port);
}

/* ---- For anybody ----------------------------------------------------------------------------- */

void service_admit(struct http_req *req, void *arg)
{
	const struct service *sv = arg;
	struct route r;

	route_find(http_request_head(req), http_path(req), &r);
	if (r.kind == ROUTE_CONTROL && build_upload_is(req)) {
		build_upload_begin(sv, req); /* its URL is its credential */
	} else if (r.kind == ROUTE_CONTROL) {
		if (!cors_admit(sv->cors, req))
			auth_admit(&sv->auth, req);
		if (http_principal(req) != NULL && upload_is(req) && auth_admin(req))
			upload_begin(sv, req);
	} else if (r.kind == ROUTE_MALFORMED) {
		http_error(req, 400, "bad_request",
			   "missing header: E2b-Sandbox-Id and E2b-Sandbox-Port go together");
	} else {
		to_sandbox(sv, req, &r);
	}
}
