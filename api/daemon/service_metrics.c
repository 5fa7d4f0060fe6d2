/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/sandboxes/{id}/metrics: what the sandbox's VMM has counted, as one object of names and
 * numbers. The VMM is asked each time; nothing is kept. What it answers is held to the form of
 * docs/PROTOCOL.md, because a guest may have taken it over; names that begin with "jail." are the
 * kernel's figures (usage.h), and not the VMM's to give.
 */
#include <errno.h>
#include <string.h>
#include <vmm.pb-c.h>

#include "api/daemon/service.h"
#include "api/daemon/usage.h"
#include "api/proto/contract.h"
#include "base/num.h"

#define METRICS_MS	 5000U
#define METRICS_MAX	 1024U
#define METRICS_NAME_MAX 64U
#define JAIL_PREFIX	 "jail."

struct metrics {
	struct http_req *req;
	struct rpc_pending *call;
	char id[SANDBOX_ID_LEN + 1];
	const struct service *sv;
	json_t *list;
	struct usage_wait usage;
};

static void metrics_done(void *state)
{
	struct metrics *m = state;

	rpc_cancelp(&m->call);
	usage_forget(&m->usage);
	json_decref(m->list);
	m->list = NULL;
}

static void on_client_gone(struct http_req *req, void *state)
{
	(void)req;
	metrics_done(state);
}

static bool is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_.");

	return n > 0 && n <= METRICS_NAME_MAX && s[n] == '\0' &&
	       strncmp(s, JAIL_PREFIX, strlen(JAIL_PREFIX)) != 0;
}

/* NULL when the answer isn't in the form, or out of memory. */
static json_t *to_json(const Casemate__Vmm__V1__GetMetricsResponse *out)
{
	json_t *list = json_object();
	int r = out->n_metrics > METRICS_MAX ? -1 : 0;

	for (size_t i = 0; i < out->n_metrics && r == 0; i++) {
		const Casemate__Vmm__V1__Metric *m = out->metrics[i];
		json_int_t v = m->value > INT64_MAX ? INT64_MAX : (json_int_t)m->value;
		r = is_name(m->name) ? json_object_set_new(list, m->name, json_integer(v)) : -1;
	}
	if (r == 0)
		return list;
	json_decref(list);
	return NULL;
}

static void put(json_t *list, const char *name, uint64_t value)
{
	(void)json_object_set_new(list, name,
				  json_integer((json_int_t)MIN(value, (uint64_t)INT64_MAX)));
}

static void on_usage(struct usage_wait *w)
{
	struct metrics *m = CONTAINER_OF(w, struct metrics, usage);
	json_t *list = m->list;

	m->list = NULL;
	if (w->code < 0) {
		json_decref(list);
		if (w->code == -ENOENT)
			http_error(m->req, 409, "not_running", "sandbox: it is not running");
		else
			http_error(m->req, 503, "unavailable", "jailer Usage: no answer");
		return;
	}
	put(list, JAIL_PREFIX "cpu_us", w->got.cpu_us);
	put(list, JAIL_PREFIX "memory_bytes", w->got.memory_bytes);
	put(list, JAIL_PREFIX "memory_peak_bytes", w->got.memory_peak_bytes);
	http_answer(m->req, 200, json_pack("{s:o}", "metrics", list));
}

static void on_metrics(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct metrics *m = arg;
	struct sandbox *s;

	(void)fds;
	m->call = NULL;
	if (st->code != RPC_OK) {
		http_error(m->req, 502, "vm_failed", "VMM GetMetrics: %s", st->msg);
		return;
	}
	m->list = to_json((const Casemate__Vmm__V1__GetMetricsResponse *)out);
	s = sandboxes_find(m->sv->sandboxes, m->id);
	if (m->list == NULL)
		http_error(m->req, 502, "vm_failed", "VMM GetMetrics: not in its form");
	else if (s == NULL)
		http_error(m->req, 409, "not_running", "sandbox: it is not running");
	else
		usage_ask(s, &m->usage);
}

void service_metrics(struct http_req *req, void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_metrics };
	const Casemate__Vmm__V1__GetMetricsRequest q = CASEMATE__VMM__V1__GET_METRICS_REQUEST__INIT;
	struct sandbox *s = service_find(req, arg);
	struct metrics *m;

	if (s == NULL)
		return;
	if (sandbox_vmm(s) == NULL || sandbox_state(s) != SANDBOX_RUNNING) {
		http_error(req, 409, "not_running", "sandbox: it is not running");
		return;
	}
	m = http_set_state(req, sizeof(*m), metrics_done);
	if (m == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	m->req = req;
	m->sv = arg;
	m->usage.fn = on_usage;
	memcpy(m->id, sandbox_id(s), sizeof(m->id));
	http_hold(req, on_client_gone);
	if (rpc_start(sandbox_vmm(s), &vmm_methods[VMM_GET_METRICS], &q.base, NULL, METRICS_MS,
		      &ops, m, &m->call) < 0)
		http_error(req, 500, "internal", "VMM GetMetrics: can't be asked");
}
