/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/exec_client.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/exec_internal.h"
#include "api/cli/term.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/num.h"

#define GUARD_SLACK_MS 500U   /* beyond --timeout, for the agent's own word */
#define START_MS       30000U /* without --timeout: for the first event */

static void ignore_answer(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			  void *arg)
{
	(void)st;
	(void)out;
	(void)fds;
	(void)arg;
}

void exec_call(struct exec_client *x, enum agent_method m, const ProtobufCMessage *in)
{
	static const struct rpc_pending_ops ops = { .done = ignore_answer };
	struct rpc_pending *p;

	/* A failure means that the connection is going: Start's end tells. */
	if (x->conn != NULL &&
	    rpc_start(x->conn, &agent_methods[m], in, NULL, EXEC_CALL_MS, &ops, NULL, &p) < 0)
		return;
}

static void finish(struct exec_client *x, enum exec_end end, uint32_t code)
{
	if (x->res->end != EXEC_RUNNING)
		return;
	x->res->end = end;
	x->res->code = code;
	x->res->end_ns = now_ns();
	loop_timer_del(x->guard);
	x->guard = NULL;
	exec_input_stop(x);
}

/* ---- Signals and sizes --------------------------------------------------------------------- */

static void select_process(Casemate__Agent__V1__ProcessSelector *sel, const struct exec_client *x)
{
	casemate__agent__v1__process_selector__init(sel);
	sel->selector_case = CASEMATE__AGENT__V1__PROCESS_SELECTOR__SELECTOR_PID;
	sel->pid = x->pid;
}

void exec_client_signal(struct exec_client *x, int signo)
{
	Casemate__Agent__V1__SendSignalRequest req = CASEMATE__AGENT__V1__SEND_SIGNAL_REQUEST__INIT;
	Casemate__Agent__V1__ProcessSelector sel;

	if (x->res->end != EXEC_RUNNING)
		return;
	if (x->pid == 0) {
		x->wanted_signal = signo;
		return;
	}
	select_process(&sel, x);
	req.process = &sel;
	req.number = (uint32_t)signo;
	exec_call(x, AGENT_PROCESS_SEND_SIGNAL, &req.base);
}

static void fill_pty(Casemate__Agent__V1__Pty *pty, Casemate__Agent__V1__PtySize *size)
{
	casemate__agent__v1__pty__init(pty);
	casemate__agent__v1__pty_size__init(size);
	term_size(&size->cols, &size->rows);
	pty->size = size;
}

void exec_client_resize(struct exec_client *x)
{
	Casemate__Agent__V1__UpdateRequest req = CASEMATE__AGENT__V1__UPDATE_REQUEST__INIT;
	Casemate__Agent__V1__ProcessSelector sel;
	Casemate__Agent__V1__PtySize size;
	Casemate__Agent__V1__Pty pty;

	if (!x->tty || x->pid == 0 || x->res->end != EXEC_RUNNING)
		return;
	select_process(&sel, x);
	fill_pty(&pty, &size);
	req.process = &sel;
	req.pty = &pty;
	exec_call(x, AGENT_PROCESS_UPDATE, &req.base);
}

/* ---- Output -------------------------------------------------------------------------------- */

static void update_pause(struct exec_client *x)
{
	bool full = output_full(&x->out) || output_full(&x->err);

	if (full == x->paused || x->conn == NULL)
		return;
	x->paused = full;
	rpc_conn_pause(x->conn, full);
}

/* Nobody reads our output: the command learns it as it would from a broken pipe of its own. */
static void check_pipe(struct exec_client *x)
{
	if (x->out.error == 0 || x->pipe_told)
		return;
	x->pipe_told = true;
	exec_client_signal(x, SIGPIPE);
}

static void on_output_changed(struct output *o, void *arg)
{
	struct exec_client *x = arg;

	(void)o;
	update_pause(x);
	check_pipe(x);
}

static void write_output(struct exec_client *x, struct output *o, const ProtobufCBinaryData *d)
{
	if (output_write(o, d->data, d->len) < 0) {
		(void)err_set(&x->res->err, -ENOSPC, "agent: sends output faster than it may");
		finish(x, EXEC_LOST, 0);
		return;
	}
	update_pause(x);
	check_pipe(x);
}

/* ---- Events -------------------------------------------------------------------------------- */

static void broken(struct exec_client *x, const char *what)
{
	(void)err_set(&x->res->err, -EPROTO, "agent: %s", what);
	finish(x, EXEC_LOST, 0);
}

static void on_start_event(struct exec_client *x,
			   const Casemate__Agent__V1__ProcessEvent__StartEvent *ev)
{
	if (x->pid != 0 || ev->pid == 0) {
		broken(x, "started the command twice, or as nothing");
		return;
	}
	x->pid = ev->pid;
	if (x->wanted_signal != 0)
		exec_client_signal(x, x->wanted_signal);
	exec_input_start(x);
}

static void on_data_event(struct exec_client *x,
			  const Casemate__Agent__V1__ProcessEvent__DataEvent *ev)
{
	switch ((int)ev->output_case) {
	case CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDOUT:
		write_output(x, &x->out, &ev->stdout);
		break;
	case CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDERR:
		write_output(x, &x->err, &ev->stderr);
		break;
	case CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_PTY:
		write_output(x, &x->out, &ev->pty);
		break;
	default:
		break; /* a kind of a later version: nothing for us */
	}
}

static void on_end_event(struct exec_client *x,
			 const Casemate__Agent__V1__ProcessEvent__EndEvent *ev)
{
	if (ev->timed_out)
		finish(x, EXEC_TIMED_OUT, 0);
	else if (ev->signal >= 1 && ev->signal <= 64)
		finish(x, EXEC_SIGNALLED, ev->signal);
	else if (ev->exit_code >= 0 && ev->exit_code <= 255)
		finish(x, EXEC_EXITED, (uint32_t)ev->exit_code);
	else
		broken(x, "ended the command without a status");
}

static void on_event(const ProtobufCMessage *msg, void *arg)
{
	const Casemate__Agent__V1__StartResponse *resp =
		(const Casemate__Agent__V1__StartResponse *)msg;
	const Casemate__Agent__V1__ProcessEvent *ev = resp->event;
	struct exec_client *x = arg;

	if (ev == NULL || x->res->end != EXEC_RUNNING)
		return;
	switch ((int)ev->event_case) {
	case CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_START:
		on_start_event(x, ev->start);
		break;
	case CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_DATA:
		on_data_event(x, ev->data);
		break;
	case CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_END:
		on_end_event(x, ev->end);
		break;
	default:
		break; /* keep-alive, or of a later version */
	}
}

static enum exec_end end_of_refusal(const struct exec_client *x, enum rpc_code code)
{
	if (code == RPC_UNAVAILABLE || code == RPC_CANCELLED || x->pid != 0)
		return EXEC_LOST;
	if (code == RPC_NOT_FOUND)
		return EXEC_NOT_FOUND;
	if (code == RPC_PERMISSION_DENIED)
		return EXEC_NOT_EXECUTABLE;
	return EXEC_REFUSED;
}

static void on_start_done(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			  void *arg)
{
	struct exec_client *x = arg;

	(void)out;
	(void)fds;
	x->start = NULL;
	if (x->res->end != EXEC_RUNNING)
		return;
	if (st->code == RPC_OK) {
		broken(x, "ended the stream without an end of the command");
		return;
	}
	(void)err_set(&x->res->err, -EREMOTEIO, "%s", st->msg);
	finish(x, end_of_refusal(x, st->code), 0);
}

static void on_guard(void *arg)
{
	struct exec_client *x = arg;

	x->guard = NULL;
	if (x->res->end != EXEC_RUNNING)
		return;
	(void)err_set(&x->res->err, -ETIMEDOUT, "agent: keeps silent");
	finish(x, EXEC_TIMED_OUT, 0);
	exec_client_abandon(x);
}

static void on_start_late(void *arg)
{
	struct exec_client *x = arg;

	x->guard = NULL;
	if (x->pid == 0)
		broken(x, "did not start the command in time");
}

/* ---- Begin and end ------------------------------------------------------------------------- */

static int send_start(struct exec_client *x, const struct exec_config *cfg)
{
	static const struct rpc_pending_ops ops = { .data = on_event, .done = on_start_done };
	Casemate__Agent__V1__StartRequest req = CASEMATE__AGENT__V1__START_REQUEST__INIT;
	Casemate__Agent__V1__ProcessConfig proc = CASEMATE__AGENT__V1__PROCESS_CONFIG__INIT;
	Casemate__Agent__V1__ProcessConfig__EnvsEntry *entries[RUN_ENVS_MAX];
	Casemate__Agent__V1__PtySize size;
	Casemate__Agent__V1__Pty pty;
	char *cwd = NULL, *user = NULL;
	int r = -ENOMEM;
	Casemate__Agent__V1__ProcessConfig__EnvsEntry *space =
		calloc(cfg->envs_count + 1, sizeof(*space));

	BUG_ON(cfg->argc == 0 || cfg->envs_count > RUN_ENVS_MAX);
	cwd = strdup(cfg->cwd != NULL ? cfg->cwd : "");
	user = strdup(cfg->user != NULL ? cfg->user : "");
	if (space == NULL || cwd == NULL || user == NULL)
		goto out;
	for (size_t i = 0; i < cfg->envs_count; i++) {
		casemate__agent__v1__process_config__envs_entry__init(&space[i]);
		space[i].key = cfg->envs[i].name;
		/* The encoder does not write through it. */
		memcpy(&space[i].value, &cfg->envs[i].value, sizeof(char *));
		entries[i] = &space[i];
	}
	proc.cmd = cfg->argv[0];
	proc.args = cfg->argv + 1;
	proc.n_args = cfg->argc - 1;
	proc.envs = entries;
	proc.n_envs = cfg->envs_count;
	proc.cwd = cwd;
	req.process = &proc;
	req.user = user;
	req.timeout_ms = cfg->timeout_ms;
	req.stdin_opt_case = CASEMATE__AGENT__V1__START_REQUEST__STDIN_OPT_STDIN;
	req.stdin = cfg->stdin_fd >= 0;
	if (cfg->tty) {
		fill_pty(&pty, &size);
		req.pty = &pty;
	}
	x->res->start_ns = now_ns();
	r = rpc_start(x->conn, &agent_methods[AGENT_PROCESS_START], &req.base, NULL, 0, &ops, x,
		      &x->start);
out:
	free(space);
	free(cwd);
	free(user);
	return r;
}

int exec_client_new(struct loop *l, struct rpc_conn *conn, const struct exec_config *cfg,
		    struct exec_result *res, struct exec_client **ret)
{
	struct exec_client *x = calloc(1, sizeof(*x));
	int r;

	if (x == NULL)
		return -ENOMEM;
	*res = (struct exec_result){ .end = EXEC_RUNNING };
	x->loop = l;
	x->conn = conn;
	x->res = res;
	x->tty = cfg->tty;
	x->in.fd = cfg->stdin_fd;
	output_init(&x->out, l, cfg->stdout_fd, on_output_changed, x);
	output_init(&x->err, l, cfg->stderr_fd, on_output_changed, x);
	r = send_start(x, cfg);
	if (r == 0 && cfg->timeout_ms > 0)
		r = loop_timer_add(l, cfg->timeout_ms + GUARD_SLACK_MS, on_guard, x, &x->guard);
	else if (r == 0)
		r = loop_timer_add(l, START_MS, on_start_late, x, &x->guard);
	if (r < 0) {
		exec_client_free(x);
		return r;
	}
	*ret = x;
	return 0;
}

void exec_client_free(struct exec_client *x)
{
	if (x == NULL)
		return;
	if (x->start != NULL)
		rpc_cancel(x->start);
	exec_input_stop(x);
	loop_timer_del(x->guard);
	output_done(&x->out);
	output_done(&x->err);
	free(x);
}

bool exec_client_done(const struct exec_client *x)
{
	return x->res->end != EXEC_RUNNING && output_empty(&x->out) && output_empty(&x->err);
}

void exec_client_abandon(struct exec_client *x)
{
	finish(x, EXEC_ABANDONED, 0);
	buf_consume(&x->out.pending, buf_len(&x->out.pending));
	buf_consume(&x->err.pending, buf_len(&x->err.pending));
	update_pause(x);
}

void exec_client_conn_closed(struct exec_client *x)
{
	x->conn = NULL;
	if (x->res->end == EXEC_RUNNING)
		broken(x, "the connection ended");
}
