/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/sandboxes/{id}/logs: what the guest wrote to its console, as lines of printable ASCII.
 * ?source=vmm gives the VMM's own log lines instead, ?follow=true goes on until the sandbox ends.
 * The VMM keeps the last 64 KiB of the console; following asks it again every FOLLOW_MS.
 */
#include <string.h>
#include <vmm.pb-c.h>

#include "api/daemon/service.h"
#include "api/proto/contract.h"
#include "base/buf.h"
#include "base/num.h"

#define FOLLOW_MS    250U
#define READ_MS	     5000U
#define LOGS_BUF_MAX (512U * 1024U) /* 64 KiB of console, each byte escaped, and some */

struct logs {
	struct http_req *req;
	struct loop *loop;
	struct sandbox *sandbox; /* NULL once it has ended */
	struct sandbox_watch watch;
	struct rpc_pending *call;
	struct loop_timer *timer;
	struct buf text; /* cleaned, to be sent */
	uint64_t from;
	bool follow;
	bool streaming;
	bool end;
};

static void ask(struct logs *l);

static void logs_done(void *state)
{
	struct logs *l = state;

	l->end = true;
	if (l->sandbox != NULL)
		sandbox_unwatch(l->sandbox, &l->watch);
	l->sandbox = NULL;
	if (l->call != NULL)
		rpc_cancel(l->call);
	loop_timer_del(l->timer);
	l->timer = NULL;
	buf_done(&l->text);
}

static ssize_t on_more(char *p, size_t max, void *state)
{
	struct logs *l = state;
	size_t n = MIN(max, buf_len(&l->text));

	if (n == 0)
		return l->end ? -1 : 0;
	memcpy(p, buf_head(&l->text), n);
	buf_consume(&l->text, n);
	return (ssize_t)n;
}

static void put_clean(struct logs *l, const uint8_t *data, size_t len)
{
	char block[4096];

	for (size_t at = 0; at < len; at += sizeof(block) / 4) {
		size_t take = MIN(len - at, sizeof(block) / 4);
		size_t n = service_clean_text(block, sizeof(block), (const char *)data + at, take);
		if (buf_put(&l->text, block, n) < 0)
			return; /* the reader is too slow: it loses what the VMM would drop too */
	}
}

/* There is more text, or the end: the client may have it. */
static void wake(struct logs *l)
{
	if (l->streaming) {
		http_more(l->req);
		return;
	}
	l->streaming = true;
	http_stream(l->req, NULL, on_more);
}

static void on_tick(void *arg)
{
	struct logs *l = arg;

	l->timer = NULL;
	ask(l);
}

static void on_console(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct logs *l = arg;

	(void)fds;
	l->call = NULL;
	if (l->end && l->sandbox == NULL)
		return;
	if (st->code == RPC_OK) {
		const Casemate__Vmm__V1__ReadConsoleResponse *c =
			(const Casemate__Vmm__V1__ReadConsoleResponse *)out;
		put_clean(l, c->data.data, c->data.len);
		l->from = c->from + c->data.len;
	}
	if (!l->follow || (st->code != RPC_OK && l->sandbox == NULL) ||
	    loop_timer_add(l->loop, FOLLOW_MS, on_tick, l, &l->timer) < 0)
		l->end = true;
	wake(l);
}

static void ask(struct logs *l)
{
	static const struct rpc_pending_ops ops = { .done = on_console };
	Casemate__Vmm__V1__ReadConsoleRequest req = CASEMATE__VMM__V1__READ_CONSOLE_REQUEST__INIT;
	struct rpc_conn *vmm = l->sandbox == NULL ? NULL : sandbox_vmm(l->sandbox);

	req.from = l->from;
	if (vmm != NULL && rpc_start(vmm, &vmm_methods[VMM_READ_CONSOLE], &req.base, NULL, READ_MS,
				     &ops, l, &l->call) == 0)
		return;
	l->end = true;
	wake(l);
}

/* The sandbox ends: what the daemon kept of its console is the last that can be had. */
static void on_state(struct sandbox *s, void *arg)
{
	struct logs *l = arg;

	if (sandbox_state(s) == SANDBOX_RUNNING || sandbox_state(s) == SANDBOX_CREATING)
		return;
	sandbox_unwatch(s, &l->watch);
	l->sandbox = NULL;
	l->end = true;
	wake(l);
}

static void on_client_gone(struct http_req *req, void *state)
{
	(void)req;
	logs_done(state);
}

static void answer_tail(struct http_req *req, const struct sandbox *s)
{
	char text[3 * SANDBOX_TAIL_MAX];
	size_t len;
	const char *raw = sandbox_console_tail(s, &len);

	http_text(req, NULL, text, service_clean_text(text, sizeof(text), raw, len));
}

void service_logs(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct sandbox *s = service_find(req, sv);
	const char *source = http_query(req, "source"), *follow = http_query(req, "follow");
	const char *raw;
	struct logs *l;
	size_t len;

	if (s == NULL)
		return;
	if (source != NULL && strcmp(source, "vmm") == 0) {
		raw = sandbox_vmm_log(s, &len);
		http_text(req, NULL, raw, len);
		return;
	}
	if (sandbox_vmm(s) == NULL) {
		answer_tail(req, s);
		return;
	}
	l = http_set_state(req, sizeof(*l), logs_done);
	if (l == NULL) {
		http_error(req, 500, "internal", "out of memory");
		return;
	}
	l->req = req;
	l->loop = sv->loop;
	l->sandbox = s;
	l->follow = follow != NULL && strcmp(follow, "true") == 0;
	buf_init(&l->text, LOGS_BUF_MAX);
	l->watch = (struct sandbox_watch){ .fn = on_state, .arg = l };
	sandbox_watch(s, &l->watch);
	http_hold(req, on_client_gone);
	ask(l);
}
