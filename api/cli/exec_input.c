/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec_input.c - from our standard input to the command's. At most EXEC_INPUT_WINDOW chunks are
 * under way; an answer means that the command has taken one, so a command that doesn't read
 * holds us back, and we hold our own writer back.
 */
#include <errno.h>
#include <unistd.h>

#include "api/cli/exec_internal.h"

static void arm(struct exec_client *x);

static void select_process(Casemate__Agent__V1__ProcessSelector *sel, const struct exec_client *x)
{
	casemate__agent__v1__process_selector__init(sel);
	sel->selector_case = CASEMATE__AGENT__V1__PROCESS_SELECTOR__SELECTOR_PID;
	sel->pid = x->pid;
}

static void disarm(struct exec_input *in)
{
	loop_io_del(in->io);
	in->io = NULL;
	loop_timer_del(in->timer);
	in->timer = NULL;
}

void exec_input_stop(struct exec_client *x)
{
	disarm(&x->in);
	x->in.fd = -1;
	x->in.closed = true;
}

/* All bytes have been taken, and there are no more. */
static void close_input(struct exec_client *x)
{
	Casemate__Agent__V1__CloseStdinRequest req = CASEMATE__AGENT__V1__CLOSE_STDIN_REQUEST__INIT;
	Casemate__Agent__V1__ProcessSelector sel;

	if (x->in.closed)
		return;
	x->in.closed = true;
	select_process(&sel, x);
	req.process = &sel;
	exec_call(x, AGENT_PROCESS_CLOSE_STDIN, &req.base);
}

static void on_taken(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct exec_client *x = arg;

	(void)out;
	(void)fds;
	if (st->code == RPC_CANCELLED || st->code == RPC_UNAVAILABLE)
		return;
	x->in.unanswered--;
	if (st->code != RPC_OK)
		exec_input_stop(x); /* it doesn't read any more; its end is told by Start */
	else if (x->in.eof && x->in.unanswered == 0)
		close_input(x);
	else if (!x->in.eof && !x->in.closed)
		arm(x);
}

static int send_input(struct exec_client *x, uint8_t *data, size_t len)
{
	static const struct rpc_pending_ops ops = { .done = on_taken };
	Casemate__Agent__V1__SendInputRequest req = CASEMATE__AGENT__V1__SEND_INPUT_REQUEST__INIT;
	Casemate__Agent__V1__ProcessInput input = CASEMATE__AGENT__V1__PROCESS_INPUT__INIT;
	Casemate__Agent__V1__ProcessSelector sel;
	struct rpc_pending *p;

	select_process(&sel, x);
	req.process = &sel;
	req.input = &input;
	if (x->tty) {
		input.input_case = CASEMATE__AGENT__V1__PROCESS_INPUT__INPUT_PTY;
		input.pty = (ProtobufCBinaryData){ .len = len, .data = data };
	} else {
		input.input_case = CASEMATE__AGENT__V1__PROCESS_INPUT__INPUT_STDIN;
		input.stdin = (ProtobufCBinaryData){ .len = len, .data = data };
	}
	return rpc_start(x->conn, &agent_methods[AGENT_PROCESS_SEND_INPUT], &req.base, NULL, 0,
			 &ops, x, &p);
}

static void read_input(struct exec_client *x)
{
	uint8_t chunk[EXEC_INPUT_BYTES];
	ssize_t n = read(x->in.fd, chunk, sizeof(chunk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	disarm(&x->in);
	if (n <= 0) {
		uint8_t eot = 4; /* ^D: how a terminal says it */
		x->in.eof = true;
		if (x->tty && send_input(x, &eot, 1) == 0)
			x->in.unanswered++;
		if (x->in.unanswered == 0)
			close_input(x);
		return;
	}
	if (send_input(x, chunk, (size_t)n) < 0) {
		exec_input_stop(x);
		return;
	}
	x->in.unanswered++;
	arm(x);
}

static void on_readable(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	(void)io;
	(void)fd;
	(void)events;
	read_input(arg);
}

static void on_ready(void *arg)
{
	struct exec_client *x = arg;

	x->in.timer = NULL;
	read_input(x);
}

static void arm(struct exec_client *x)
{
	struct exec_input *in = &x->in;
	int r;

	if (in->fd < 0 || in->io != NULL || in->timer != NULL ||
	    in->unanswered >= EXEC_INPUT_WINDOW)
		return;
	r = loop_io_add(x->loop, in->fd, EPOLLIN, on_readable, x, &in->io);
	if (r == -EPERM) /* a regular file: always readable */
		r = loop_timer_add(x->loop, 0, on_ready, x, &in->timer);
	if (r < 0)
		exec_input_stop(x);
}

void exec_input_start(struct exec_client *x)
{
	if (x->in.fd >= 0)
		arm(x);
}
