/* SPDX-License-Identifier: Apache-2.0 */
/* listener.c - the Start and Connect calls that hear a process, and what they are told. */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/process_internal.h"
#include "base/bug.h"

typedef Casemate__Agent__V1__ProcessEvent event_pb;
typedef Casemate__Agent__V1__ProcessEvent__StartEvent start_pb;
typedef Casemate__Agent__V1__ProcessEvent__EndEvent end_pb;

/* The event and what it points to; not copied or moved. */
struct end_event {
	event_pb ev;
	end_pb end;
	char status[64];
};

/* Takes the listener out and frees it: its call is another's now, or over. */
static void listener_free(struct listener *l)
{
	struct process *p = l->process;
	struct listener **at = &p->listeners;

	while (*at != l) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = l->next;
	p->listeners_count--;
	free(l);
}

/* Somebody takes more, or is gone. */
static void go_on(struct process *p)
{
	if (!p->started)
		return;
	output_resume(&p->out[0]);
	output_resume(&p->out[1]);
	process_check_end(p);
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	struct listener *l = arg;
	struct process *p = l->process;

	(void)call;
	listener_free(l);
	go_on(p);
}

static void on_drained(struct rpc_call *call, void *arg)
{
	struct listener *l = arg;

	(void)call;
	go_on(l->process);
}

int listener_add(struct process *p, struct rpc_call *call)
{
	static const struct rpc_call_ops ops = { .cancelled = on_cancelled, .drained = on_drained };
	struct listener *l;

	if (p->listeners_count >= PROCESS_LISTENERS_MAX)
		return -EAGAIN;
	l = malloc(sizeof(*l));
	if (l == NULL)
		return -ENOMEM;
	*l = (struct listener){ .next = p->listeners, .process = p, .call = call };
	p->listeners = l;
	p->listeners_count++;
	rpc_call_watch(call, &ops, l);
	return 0;
}

bool listener_writable(const struct process *p)
{
	for (const struct listener *l = p->listeners; l != NULL; l = l->next)
		if (!rpc_call_writable(l->call))
			return false;
	return true;
}

static int send_one(struct rpc_call *call, event_pb *ev)
{
	Casemate__Agent__V1__StartResponse msg = CASEMATE__AGENT__V1__START_RESPONSE__INIT;

	msg.event = ev;
	return rpc_send(call, &msg.base);
}

void listener_send(struct process *p, event_pb *ev)
{
	struct listener *l = p->listeners, *next;

	for (; l != NULL; l = next) {
		int r = send_one(l->call, ev);
		next = l->next;
		/* A stream with a hole in it must not end as if it were whole. (-EPIPE: nobody
		 * hears it, and `cancelled` is on its way.) */
		if (r < 0 && r != -EPIPE) {
			rpc_fail(l->call, RPC_DATA_LOSS, "output was lost: %s",
				 strerrordesc_np(-r));
			listener_free(l);
		}
	}
}

static void make_start(pid_t pid, event_pb *ev, start_pb *start)
{
	casemate__agent__v1__process_event__init(ev);
	casemate__agent__v1__process_event__start_event__init(start);
	start->pid = (uint32_t)pid;
	ev->event_case = CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_START;
	ev->start = start;
}

int listener_send_start(struct rpc_call *call, pid_t pid)
{
	start_pb start;
	event_pb ev;
	int r;

	make_start(pid, &ev, &start);
	r = send_one(call, &ev);
	return r == -EPIPE ? 0 : r;
}

void listener_started(struct process *p)
{
	start_pb start;
	event_pb ev;

	make_start(p->pid, &ev, &start);
	listener_send(p, &ev);
}

/* As Go's os.ProcessState says it, because clients show it and some compare it: "signal: killed".
 */
static void signal_text(char *dst, size_t cap, int signo)
{
	const char *name = sigdescr_np(signo);

	if (name == NULL)
		(void)snprintf(dst, cap, "signal: signal %d", signo);
	else
		(void)snprintf(dst, cap, "signal: %c%s", tolower((unsigned char)name[0]), name + 1);
}

static void make_end(const struct process_end *e, struct end_event *ret)
{
	end_pb *end = &ret->end;

	casemate__agent__v1__process_event__init(&ret->ev);
	casemate__agent__v1__process_event__end_event__init(end);
	if (WIFSIGNALED(e->wait_status)) {
		signal_text(ret->status, sizeof(ret->status), WTERMSIG(e->wait_status));
		end->exit_code = -1;
		end->signal = (uint32_t)WTERMSIG(e->wait_status);
	} else {
		end->exited = 1;
		end->exit_code = WEXITSTATUS(e->wait_status);
		(void)snprintf(ret->status, sizeof(ret->status), "exit status %d", end->exit_code);
	}
	end->status = ret->status;
	if (end->exit_code != 0)
		end->error = ret->status;
	end->timed_out = e->timed_out;
	ret->ev.event_case = CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_END;
	ret->ev.end = end;
}

/* Answering one call leaves the other listeners alone: a client that has gone, gRPC's or HTTP's, is
 * found out in a later turn of the loop. */
void listener_ended(struct process *p)
{
	const struct process_end e = { .wait_status = p->wait_status, .timed_out = p->timed_out };
	struct end_event end;

	make_end(&e, &end);
	listener_send(p, &end.ev);
	for (struct listener *l = p->listeners, *next; l != NULL; l = next) {
		next = l->next;
		rpc_reply(l->call, NULL, NULL);
		listener_free(l);
	}
}

void listener_fail(struct process *p, enum rpc_code code, const char *why)
{
	for (struct listener *l = p->listeners, *next; l != NULL; l = next) {
		next = l->next;
		rpc_fail(l->call, code, "%s", why);
		listener_free(l);
	}
}

void listener_replay(struct rpc_call *call, const struct process_end *e)
{
	struct end_event end;
	int r = listener_send_start(call, e->pid);

	make_end(e, &end);
	if (r == 0)
		r = send_one(call, &end.ev);
	if (r < 0 && r != -EPIPE)
		rpc_fail(call, RPC_DATA_LOSS, "the end was lost: %s", strerrordesc_np(-r));
	else
		rpc_reply(call, NULL, NULL);
}
