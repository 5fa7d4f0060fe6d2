/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_network.c - PUT /v1/sandboxes/{id}/network and E2B's PUT /sandboxes/{id}/network: what a
 * running sandbox may reach from now on, as a whole. Answered when it is in force.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/daemon/network.h"
#include "api/daemon/profile.h"
#include "api/daemon/service.h"

static void on_changed(struct sandbox *s, void *arg)
{
	struct service_wait *w = arg;

	if (sandbox_state(s) == SANDBOX_RUNNING && sandbox_network_pending(s))
		return;
	service_wait_end(w);
	if (sandbox_state(s) != SANDBOX_RUNNING)
		http_error(w->req, 404, "not_found", "sandbox %s: has ended: %s", sandbox_id(s),
			   sandbox_reason(s));
	else if (sandbox_network_fault(s)[0] != '\0')
		http_error(w->req, 400, "invalid_argument", "%s", sandbox_network_fault(s));
	else
		http_answer(w->req, 204, NULL);
}

static int read_policy(const struct http_req *req, bool e2b, char **ret, struct err *err)
{
	size_t len;
	const char *body = http_body(req, &len);
	json_t *o = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	int r;

	if (!json_is_object(o))
		r = err_set(err, -EINVAL, "body: must be a JSON object");
	else if (e2b)
		r = profile_network(o, !json_is_false(json_object_get(o, "allow_internet_access")),
				    ret, err);
	else
		r = network_policy(o, ret, err);
	json_decref(o);
	return r;
}

static void set(struct http_req *req, void *arg, bool e2b)
{
	struct sandbox *s = service_find(req, arg);
	struct err err = { 0 };
	char *policy = NULL;
	int r;

	if (s == NULL)
		return;
	if (sandbox_state(s) != SANDBOX_RUNNING) {
		http_error(req, 409, "conflict", "sandbox %s: is %s, not running", sandbox_id(s),
			   sandbox_state_name(sandbox_state(s)));
		return;
	}
	r = read_policy(req, e2b, &policy, &err);
	if (r == 0)
		r = sandbox_set_network(s, policy, &err);
	if (r < 0) {
		service_answer_refused(req, r, err.msg);
		return;
	}
	if (service_wait(req, s, on_changed) != NULL)
		http_hold(req, service_deleter_gone);
}

void service_network(struct http_req *req, void *arg)
{
	set(req, arg, false);
}

void service_network_e2b(struct http_req *req, void *arg)
{
	set(req, arg, true);
}
