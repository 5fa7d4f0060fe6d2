/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_fixture.h"

#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#define WAIT_MS 60000

typedef Casemate__Agent__V1__ProcessEvent event_pb;

/* ---- The agent --------------------------------------------------------------------------- */

static void exec_agent(const int *fds)
{
	char num[AGENT_TEST_CONNS][12];
	char *argv[2 * AGENT_TEST_CONNS + 2] = { STR("casemate-agent") };

	for (int i = 0; i < AGENT_TEST_CONNS; i++) {
		/* fds are close-on-exec; a duplicate isn't. */
		snprintf(num[i], sizeof(num[i]), "%d", dup(fds[i]));
		argv[2 * i + 1] = STR("--serve-fd");
		argv[2 * i + 2] = num[i];
	}
	/* A group that no command may inherit. */
	if (geteuid() == 0 && setgroups(1, (const gid_t[]){ 4711 }) < 0)
		_exit(126);
	execv(AGENT_BINARY, argv);
	_exit(127);
}

void agent_test_start(struct agent_test *t)
{
	const struct rpc_conn_config cfg = { 0 };
	int ours[AGENT_TEST_CONNS], theirs[AGENT_TEST_CONNS];

	memset(t, 0, sizeof(*t));
	cr_assert_eq(loop_new(&t->loop), 0);
	for (int i = 0; i < AGENT_TEST_CONNS; i++) {
		int sv[2];
		cr_assert_eq(fd_socketpair(sv, false), 0);
		ours[i] = sv[0];
		theirs[i] = sv[1];
	}
	t->pid = fork();
	if (t->pid == 0)
		exec_agent(theirs);
	cr_assert_gt(t->pid, 0);
	for (int i = 0; i < AGENT_TEST_CONNS; i++) {
		close(theirs[i]);
		cr_assert_eq(rpc_conn_new(t->loop, ours[i], &cfg, &t->conn[i]), 0);
	}
}

void agent_test_hang_up(struct agent_test *t, unsigned n)
{
	rpc_conn_free(t->conn[n]);
	t->conn[n] = NULL;
}

void agent_test_stop(struct agent_test *t)
{
	int status;

	for (unsigned i = 0; i < AGENT_TEST_CONNS; i++)
		agent_test_hang_up(t, i);
	if (t->pid > 0) {
		cr_assert_eq(waitpid(t->pid, &status, 0), t->pid);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "agent's wait status %#x",
			  status);
	}
	loop_free(t->loop);
	memset(t, 0, sizeof(*t));
}

void agent_test_idle(struct agent_test *t, uint64_t ms)
{
	uint64_t end = now_ms() + ms;

	for (uint64_t now = now_ms(); now < end; now = now_ms())
		cr_assert_eq(loop_step(t->loop, (int)(end - now)), 0);
}

enum rpc_code agent_test_call(struct agent_test *t, unsigned conn, enum agent_method m,
			      const ProtobufCMessage *in, struct rpc_status *st,
			      ProtobufCMessage **ret)
{
	struct rpc_status own;
	ProtobufCMessage *out = NULL;

	st = st != NULL ? st : &own;
	cr_assert_eq(rpc_call_wait(t->loop, t->conn[conn], &agent_methods[m], in, NULL, WAIT_MS, st,
				   &out, NULL),
		     0);
	if (ret != NULL && st->code == RPC_OK)
		*ret = out;
	else if (out != NULL)
		protobuf_c_message_free_unpacked(out, NULL);
	return st->code;
}

/* ---- A command --------------------------------------------------------------------------- */

void agent_request(struct agent_request *r, const char *cmd, ...)
{
	va_list ap;
	char *arg;

	memset(r, 0, sizeof(*r));
	casemate__agent__v1__start_request__init(&r->req);
	casemate__agent__v1__process_config__init(&r->config);
	casemate__agent__v1__pty__init(&r->pty);
	casemate__agent__v1__pty_size__init(&r->size);
	r->req.process = &r->config;
	r->pty.size = &r->size;
	r->config.cmd = (char *)cmd;
	r->config.args = r->args;
	va_start(ap, cmd);
	while ((arg = va_arg(ap, char *)) != NULL) {
		cr_assert_lt(r->config.n_args, 8);
		r->args[r->config.n_args++] = arg;
	}
	va_end(ap);
}

static void put(struct buf *b, const ProtobufCBinaryData *data)
{
	cr_assert_eq(buf_put(b, data->data, data->len), 0);
}

static void on_event(const ProtobufCMessage *msg, void *arg)
{
	const event_pb *ev = ((const Casemate__Agent__V1__StartResponse *)msg)->event;
	struct agent_run *run = arg;

	cr_assert_not_null(ev);
	cr_assert(!run->ended, "an event after the end event");
	if (ev->event_case == CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_START) {
		cr_assert_eq(run->pid, 0, "two start events");
		run->pid = ev->start->pid;
		cr_assert_gt(run->pid, 1);
		return;
	}
	cr_assert_gt(run->pid, 0, "the first event must be start");
	if (ev->event_case == CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_END) {
		run->ended = true;
		run->exit_code = ev->end->exit_code;
		run->exited = ev->end->exited;
		run->timed_out = ev->end->timed_out;
		run->signal = ev->end->signal;
		snprintf(run->status, sizeof(run->status), "%s", ev->end->status);
		return;
	}
	cr_assert_eq(ev->event_case, CASEMATE__AGENT__V1__PROCESS_EVENT__EVENT_DATA);
	if (ev->data->output_case == CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_PTY) {
		put(&run->pty, &ev->data->pty);
	} else if (ev->data->output_case ==
		   CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDERR) {
		put(&run->err, &ev->data->stderr);
	} else {
		cr_assert_eq(ev->data->output_case,
			     CASEMATE__AGENT__V1__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDOUT);
		cr_assert_leq(ev->data->stdout.len, 32768);
		put(&run->out, &ev->data->stdout);
	}
}

static void on_done(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct agent_run *run = arg;

	(void)out;
	(void)fds;
	run->done = true;
	run->st = *st;
	run->pending = NULL;
}

static const struct rpc_pending_ops run_ops = { .data = on_event, .done = on_done };

void agent_run_start(struct agent_test *t, unsigned conn, struct agent_run *run,
		     const start_pb *req)
{
	memset(run, 0, sizeof(*run));
	buf_init(&run->out, 64 << 20);
	buf_init(&run->err, 64 << 20);
	buf_init(&run->pty, 64 << 20);
	cr_assert_eq(rpc_start(t->conn[conn], &agent_methods[AGENT_PROCESS_START], &req->base, NULL,
			       0, &run_ops, run, &run->pending),
		     0);
}

void agent_run_wait_start(struct agent_test *t, struct agent_run *run)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (run->pid == 0 && !run->done) {
		cr_assert_lt(now_ms(), end, "no start event");
		cr_assert_eq(loop_step(t->loop, 100), 0);
	}
}

void agent_run_wait(struct agent_test *t, struct agent_run *run)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (!run->done) {
		cr_assert_lt(now_ms(), end, "the command doesn't end");
		cr_assert_eq(loop_step(t->loop, 100), 0);
	}
	cr_assert_eq(run->ended, run->st.code == RPC_OK, "end event: %d, but: %s", run->ended,
		     run->st.msg);
}

void agent_run_done(struct agent_run *run)
{
	buf_done(&run->out);
	buf_done(&run->err);
	buf_done(&run->pty);
}

void agent_run_script(struct agent_test *t, struct agent_run *run, const char *script)
{
	struct agent_request r;

	agent_request(&r, "sh", "-c", script, NULL);
	agent_run_start(t, 0, run, &r.req);
	agent_run_wait(t, run);
}

bool agent_run_is(const struct buf *b, const char *text)
{
	return buf_len(b) == strlen(text) &&
	       (buf_len(b) == 0 || memcmp(buf_head(b), text, buf_len(b)) == 0);
}

/* ---- Calls about a command --------------------------------------------------------------- */

static void selector(Casemate__Agent__V1__ProcessSelector *s, uint32_t pid)
{
	casemate__agent__v1__process_selector__init(s);
	s->selector_case = CASEMATE__AGENT__V1__PROCESS_SELECTOR__SELECTOR_PID;
	s->pid = pid;
}

enum rpc_code agent_test_input(struct agent_test *t, uint32_t pid, bool pty, const void *data,
			       size_t len)
{
	Casemate__Agent__V1__SendInputRequest in = CASEMATE__AGENT__V1__SEND_INPUT_REQUEST__INIT;
	Casemate__Agent__V1__ProcessInput input = CASEMATE__AGENT__V1__PROCESS_INPUT__INIT;
	Casemate__Agent__V1__ProcessSelector s;
	ProtobufCBinaryData b = { .len = len, .data = (uint8_t *)data };

	selector(&s, pid);
	in.process = &s;
	in.input = &input;
	if (pty) {
		input.input_case = CASEMATE__AGENT__V1__PROCESS_INPUT__INPUT_PTY;
		input.pty = b;
	} else {
		input.input_case = CASEMATE__AGENT__V1__PROCESS_INPUT__INPUT_STDIN;
		input.stdin = b;
	}
	return agent_test_call(t, 1, AGENT_PROCESS_SEND_INPUT, &in.base, NULL, NULL);
}

enum rpc_code agent_test_signal(struct agent_test *t, uint32_t pid, uint32_t signo)
{
	Casemate__Agent__V1__SendSignalRequest in = CASEMATE__AGENT__V1__SEND_SIGNAL_REQUEST__INIT;
	Casemate__Agent__V1__ProcessSelector s;

	selector(&s, pid);
	in.process = &s;
	in.number = signo;
	return agent_test_call(t, 1, AGENT_PROCESS_SEND_SIGNAL, &in.base, NULL, NULL);
}

enum rpc_code agent_test_close_stdin(struct agent_test *t, uint32_t pid)
{
	Casemate__Agent__V1__CloseStdinRequest in = CASEMATE__AGENT__V1__CLOSE_STDIN_REQUEST__INIT;
	Casemate__Agent__V1__ProcessSelector s;

	selector(&s, pid);
	in.process = &s;
	return agent_test_call(t, 1, AGENT_PROCESS_CLOSE_STDIN, &in.base, NULL, NULL);
}
