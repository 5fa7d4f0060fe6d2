/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/sandboxes/{id}/jail: what the kernel says about the sandbox's process, as the jailer
 * reads it at this moment. Nothing of it is from our own records.
 */
#include <jailer.pb-c.h>
#include <string.h>

#include "api/daemon/jailer.h"
#include "api/daemon/service.h"
#include "api/proto/contract.h"
#include "base/log.h"

#define INSPECT_MS 3000U

typedef Casemate__Jailer__V1__InspectResponse inspect_response;
typedef Casemate__Jailer__V1__InspectResponse__Fact inspect_fact;

struct jail_view {
	struct http_req *req;
	struct rpc_pending *call;
};

static json_t *text_json(const char *s)
{
	char shown[512];

	(void)log_escape(shown, sizeof(shown), s, strlen(s));
	return json_string(shown);
}

static json_t *facts_json(inspect_fact *const *list, size_t count)
{
	json_t *o = json_object();

	for (size_t i = 0; i < count; i++) {
		char name[64];
		(void)log_escape(name, sizeof(name), list[i]->name, strlen(list[i]->name));
		(void)json_object_set_new(o, name, text_json(list[i]->value));
	}
	return o;
}

static json_t *threads_json(const inspect_response *in)
{
	json_t *list = json_array();

	for (size_t i = 0; i < in->n_threads; i++)
		(void)json_array_append_new(
			list, json_pack("{s:i, s:o, s:i, s:i}", "tid", (int)in->threads[i]->tid,
					"name", text_json(in->threads[i]->name), "seccomp_mode",
					(int)in->threads[i]->seccomp_mode, "seccomp_filters",
					(int)in->threads[i]->seccomp_filters));
	return list;
}

static json_t *namespaces_json(const inspect_response *in)
{
	json_t *o = json_object();

	for (size_t i = 0; i < in->n_namespaces; i++)
		(void)json_object_set_new(
			o, in->namespaces[i]->name,
			json_pack("{s:I, s:I}", "inode", (json_int_t)in->namespaces[i]->inode,
				  "host_inode", (json_int_t)in->namespaces[i]->host_inode));
	return o;
}

static json_t *descriptors_json(const inspect_response *in)
{
	json_t *list = json_array();

	for (size_t i = 0; i < in->n_descriptors; i++)
		(void)json_array_append_new(list,
					    json_pack("{s:i, s:o, s:o}", "number",
						      (int)in->descriptors[i]->number, "kind",
						      text_json(in->descriptors[i]->kind), "mode",
						      text_json(in->descriptors[i]->mode)));
	return list;
}

static void answer(struct http_req *req, const inspect_response *in)
{
	json_t *o =
		json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "pid",
			  in->jail == NULL ? 0 : (int)in->jail->pid, "label", text_json(in->label),
			  "status", facts_json(in->status, in->n_status), "rlimits",
			  facts_json(in->rlimits, in->n_rlimits), "cgroup_path",
			  text_json(in->jail == NULL ? "" : in->jail->cgroup), "cgroup",
			  facts_json(in->cgroup, in->n_cgroup), "threads", threads_json(in),
			  "namespaces", namespaces_json(in), "descriptors", descriptors_json(in));

	http_answer(req, 200, o);
}

static void on_inspected(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			 void *arg)
{
	struct jail_view *v = arg;

	(void)fds;
	v->call = NULL;
	if (st->code == RPC_OK)
		answer(v->req, (const inspect_response *)out);
	else
		http_error(v->req, st->code == RPC_NOT_FOUND ? 409 : 502, "not_inspected",
			   "jailer: %s", st->msg);
}

static void view_done(void *state)
{
	struct jail_view *v = state;

	if (v->call != NULL)
		rpc_cancel(v->call);
}

static void on_client_gone(struct http_req *req, void *state)
{
	(void)req;
	view_done(state);
}

void service_jail(struct http_req *req, void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_inspected };
	Casemate__Jailer__V1__InspectRequest in = CASEMATE__JAILER__V1__INSPECT_REQUEST__INIT;
	struct service *sv = arg;
	struct sandbox *s = service_find(req, sv);
	struct rpc_conn *jailer = jailer_conn(sv->jailer);
	struct jail_view *v;

	if (s == NULL)
		return;
	if (jailer == NULL) {
		http_error(req, 503, "unavailable", "jailer: %s", jailer_problem(sv->jailer));
		return;
	}
	v = http_set_state(req, sizeof(*v), view_done);
	if (v == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	v->req = req;
	in.id = (char *)(uintptr_t)sandbox_id(s);
	if (rpc_start(jailer, &jailer_methods[JAILER_INSPECT], &in.base, NULL, INSPECT_MS, &ops, v,
		      &v->call) < 0)
		http_error(req, 500, "internal", "cannot ask the jailer");
	else
		http_hold(req, on_client_gone);
}
