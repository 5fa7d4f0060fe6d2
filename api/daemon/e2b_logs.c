/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e2b_logs.c - GET /sandboxes/ID/logs and /v2/sandboxes/ID/logs: the guest's console, line by line.
 * Lines have no time of their own; they get that of the request. Hostile bytes are escaped.
 */
#include <string.h>
#include <vmm.pb-c.h>

#include "api/daemon/e2b_view.h"
#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/num.h"

#define READ_MS	   3000U
#define LINES_MAX  1000U
#define LINE_BYTES 512U

struct logs {
	struct http_req *req;
	struct rpc_pending *call;
	bool old; /* the form before /v2 */
};

static void logs_done(void *state)
{
	struct logs *l = state;

	rpc_cancelp(&l->call);
}

static void on_client_gone(struct http_req *req, void *state)
{
	(void)req;
	logs_done(state);
}

static json_t *line_json(const struct logs *l, const char *time, const char *text, size_t len)
{
	if (l->old)
		return json_pack("{s:s, s:s%}", "timestamp", time, "line", text, len);
	return json_pack("{s:s, s:s, s:s%, s:{}}", "timestamp", time, "level", "info", "message",
			 text, len, "fields");
}

static json_t *lines_json(const struct logs *l, const char *data, size_t len)
{
	char time[E2B_TIME_LEN + 1], line[LINE_BYTES];
	json_t *list = json_array();

	e2b_time((int64_t)(clock_ns(CLOCK_REALTIME) / 1000000), time);
	while (len > 0 && json_array_size(list) < LINES_MAX) {
		const char *nl = memchr(data, '\n', len);
		size_t n = nl == NULL ? len : (size_t)(nl - data);
		size_t shown = service_clean_text(line, sizeof(line), data, n);
		if (shown > 0)
			(void)json_array_append_new(list, line_json(l, time, line, shown));
		n += nl != NULL;
		data += n;
		len -= n;
	}
	return list;
}

static void on_console(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct logs *l = arg;

	(void)fds;
	l->call = NULL;
	if (st->code != RPC_OK) {
		http_error(l->req, 502, "vm_failed", "VMM ReadConsole: %s", st->msg);
		return;
	}
	const Casemate__Vmm__V1__ReadConsoleResponse *c =
		(const Casemate__Vmm__V1__ReadConsoleResponse *)out;
	http_answer(
		l->req, 200,
		json_pack("{s:o}", "logs", lines_json(l, (const char *)c->data.data, c->data.len)));
}

static void logs(struct http_req *req, void *arg, bool old)
{
	static const struct rpc_pending_ops ops = { .done = on_console };
	Casemate__Vmm__V1__ReadConsoleRequest q = CASEMATE__VMM__V1__READ_CONSOLE_REQUEST__INIT;
	struct sandbox *s = service_find(req, arg);
	struct logs *l;

	if (s == NULL)
		return;
	if (sandbox_vmm(s) == NULL || sandbox_state(s) != SANDBOX_RUNNING) {
		http_error(req, 409, "conflict", "sandbox %s: is not running", sandbox_id(s));
		return;
	}
	l = http_set_state(req, sizeof(*l), logs_done);
	if (l == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	l->req = req;
	l->old = old;
	if (rpc_start(sandbox_vmm(s), &vmm_methods[VMM_READ_CONSOLE], &q.base, NULL, READ_MS, &ops,
		      l, &l->call) < 0)
		http_error(req, 500, "internal", "VMM ReadConsole: can't be asked");
	else
		http_hold(req, on_client_gone);
}

void e2b_logs_v1(struct http_req *req, void *arg)
{
	logs(req, arg, true);
}

void e2b_logs_v2(struct http_req *req, void *arg)
{
	logs(req, arg, false);
}
