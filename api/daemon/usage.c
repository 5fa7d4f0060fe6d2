/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/usage.h"

#include <errno.h>
#include <jailer.pb-c.h>

#include "api/daemon/jailer.h"
#include "api/daemon/sandbox_internal.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/num.h"

#define USAGE_MS 3000U /* for one call */

static void link_wait(struct usage_wait **list, struct usage_wait *w)
{
	w->next = *list;
	w->link = list;
	if (w->next != NULL)
		w->next->link = &w->next;
	*list = w;
}

void usage_forget(struct usage_wait *w)
{
	if (w->link == NULL)
		return;
	*w->link = w->next;
	if (w->next != NULL)
		w->next->link = w->link;
	w->link = NULL;
	w->next = NULL;
}

/* Tells all who wait. What they do then may ask again, or end the sandbox: the list is taken off
 * first, and s isn't looked at afterwards. */
static void finish(struct sandbox *s, int code)
{
	const struct usage got = s->usage.last;
	struct usage_wait *list = s->usage.waits, *w;

	if (list != NULL)
		list->link = &list;
	s->usage.waits = NULL;
	while ((w = list) != NULL) {
		usage_forget(w);
		w->code = code;
		w->got = got;
		w->fn(w);
	}
}

double usage_percent(uint64_t cpu_us, uint64_t span_ns)
{
	return (double)cpu_us * 1000.0 * 100.0 / (double)MAX(span_ns, UINT64_C(1000));
}

static void keep(struct sandbox *s, const Casemate__Jailer__V1__UsageResponse *in)
{
	struct usage_meter *m = &s->usage;
	const uint64_t now = now_ns();
	/* A VM of the pool has used some time before it was anybody's: little, and long ago. */
	const uint64_t since = m->at_ns != 0 ? m->at_ns : s->time_ns[SANDBOX_T_BEGIN];
	const uint64_t used = in->cpu_usec - MIN(in->cpu_usec, m->last.cpu_us);

	m->last = (struct usage){
		.cpu_us = in->cpu_usec,
		.memory_bytes = in->memory_bytes,
		.memory_peak_bytes = in->memory_peak_bytes,
		.cpu_pct = usage_percent(used, now - since),
	};
	m->at_ns = now;
}

static void pump(struct sandboxes *t);

static int code_of(enum rpc_code code)
{
	return code == RPC_OK	       ? 0
	       : code == RPC_NOT_FOUND ? -ENOENT
	       : code == RPC_CANCELLED ? -ECANCELED
				       : -EIO;
}

static void on_usage(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct sandbox *s = arg;
	struct sandboxes *t = s->table;

	(void)fds;
	s->usage.call = NULL;
	BUG_ON(t->usage.calls == 0);
	t->usage.calls--;
	if (st->code == RPC_OK)
		keep(s, (const Casemate__Jailer__V1__UsageResponse *)out);
	finish(s, code_of(st->code));
	pump(t);
}

static void start(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_usage };
	Casemate__Jailer__V1__UsageRequest q = CASEMATE__JAILER__V1__USAGE_REQUEST__INIT;
	struct rpc_conn *jailer = jailer_conn(s->table->cfg.jailer);
	int r;

	q.id = s->id;
	r = jailer == NULL ? -ENOTCONN
			   : rpc_start(jailer, &jailer_methods[JAILER_USAGE], &q.base, NULL,
				       USAGE_MS, &ops, s, &s->usage.call);
	if (r < 0)
		finish(s, r);
	else
		s->table->usage.calls++;
}

static void enqueue(struct sandbox *s)
{
	struct usage_queue *q = &s->table->usage;

	s->usage.queued = true;
	s->usage.next = NULL;
	if (q->first == NULL)
		q->first = s;
	else
		q->last->usage.next = s;
	q->last = s;
}

static void dequeue(struct sandbox *s)
{
	struct usage_queue *q = &s->table->usage;
	struct sandbox *before = NULL;

	for (struct sandbox *x = q->first; x != s; x = x->usage.next) {
		BUG_ON(x == NULL);
		before = x;
	}
	if (before == NULL)
		q->first = s->usage.next;
	else
		before->usage.next = s->usage.next;
	if (q->last == s)
		q->last = before;
	s->usage.next = NULL;
	s->usage.queued = false;
}

static void pump(struct sandboxes *t)
{
	while (t->usage.first != NULL && t->usage.calls < USAGE_CALLS_MAX) {
		struct sandbox *s = t->usage.first;
		dequeue(s);
		start(s);
	}
}

static void answer_now(struct usage_wait *w, int code, const struct usage *got)
{
	w->code = code;
	w->got = *got;
	w->fn(w);
}

void usage_ask(struct sandbox *s, struct usage_wait *w)
{
	struct usage_meter *m = &s->usage;
	struct sandboxes *t = s->table;

	w->link = NULL;
	if (s->state != SANDBOX_RUNNING) {
		answer_now(w, -ENOENT, &m->last);
		return;
	}
	if (m->at_ns != 0 && now_ns() - m->at_ns < USAGE_FRESH_MS * UINT64_C(1000000)) {
		answer_now(w, 0, &m->last);
		return;
	}
	link_wait(&m->waits, w);
	if (m->call != NULL || m->queued)
		return;
	enqueue(s);
	pump(t);
}

void usage_done(struct sandbox *s)
{
	if (s->usage.queued)
		dequeue(s);
	if (s->usage.call != NULL)
		rpc_cancel(s->usage.call);
	else
		finish(s, -ECANCELED);
}
