/* SPDX-License-Identifier: Apache-2.0 */
/* agent_io.c - bytes in and out of commands: whole, in order, bounded. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_limits.h"
#include "agent_fixture.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define TEN_MB ((size_t)10000000)

static struct agent_test t;
static struct agent_run run;

static void setup(void)
{
	agent_test_start(&t);
}

static void teardown(void)
{
	agent_run_done(&run);
	agent_test_stop(&t);
}

TestSuite(agent_io, .init = setup, .fini = teardown, .timeout = 120);

/* `seq -f %09.0f 0 N`: every ten bytes tell their place. */
static bool is_sequence(const struct buf *b, size_t bytes)
{
	const uint8_t *p = buf_head(b);
	char want[32];

	if (buf_len(b) != bytes)
		return false;
	for (size_t i = 0; i * 10 < bytes; i++) {
		snprintf(want, sizeof(want), "%09zu\n", i);
		if (memcmp(p + i * 10, want, 10) != 0)
			return false;
	}
	return true;
}

Test(agent_io, ten_megabytes_whole_and_in_order)
{
	agent_run_script(&t, &run, "seq -f %09.0f 0 999999");
	cr_assert_eq(run.exit_code, 0);
	cr_assert(is_sequence(&run.out, TEN_MB));
}

Test(agent_io, both_streams_at_once)
{
	agent_run_script(&t, &run, "seq -f %09.0f 0 199999 & seq -f %09.0f 0 199999 >&2; wait");
	cr_assert(is_sequence(&run.out, 2000000));
	cr_assert(is_sequence(&run.err, 2000000));
}

Test(agent_io, stdin_comes_back_and_half_close_ends_it)
{
	struct agent_request r;
	char *data = malloc(TEN_MB / 4 + 32);
	size_t total = TEN_MB / 4, off = 0;

	for (size_t i = 0; i * 10 < total; i++)
		snprintf(data + i * 10, 32, "%09zu\n", i);
	agent_request(&r, "cat", NULL);
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait_start(&t, &run);
	while (off < total) {
		size_t n = total - off < 65536 ? total - off : 65536;
		cr_assert_eq(agent_test_input(&t, run.pid, false, data + off, n), RPC_OK);
		off += n;
	}
	cr_assert(!run.done);
	cr_assert_eq(agent_test_close_stdin(&t, run.pid), RPC_OK);
	cr_assert_neq(agent_test_close_stdin(&t, run.pid), RPC_OK);
	agent_run_wait(&t, &run);
	cr_assert_eq(run.exit_code, 0);
	cr_assert(is_sequence(&run.out, total));
	cr_assert_eq(agent_test_input(&t, run.pid, false, "x", 1), RPC_NOT_FOUND);
	free(data);
}

Test(agent_io, input_after_the_reader_closed_is_an_error)
{
	struct agent_request r;

	agent_request(&r, "sh", "-c", "exec 0<&-; echo closed; sleep 60", NULL);
	agent_run_start(&t, 0, &run, &r.req);
	while (buf_len(&run.out) == 0)
		cr_assert_eq(loop_step(t.loop, 100), 0);
	cr_assert_eq(agent_test_input(&t, run.pid, false, "x", 1), RPC_FAILED_PRECONDITION);
	cr_assert_eq(agent_test_input(&t, run.pid, true, "x", 1), RPC_FAILED_PRECONDITION);
	cr_assert_eq(agent_test_signal(&t, run.pid, 9), RPC_OK);
	agent_run_wait(&t, &run);
}

struct answer {
	bool done;
	enum rpc_code code;
};

static void on_answer(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct answer *a = arg;

	(void)out;
	(void)fds;
	a->done = true;
	a->code = st->code;
}

/* SendInput of `len` bytes at `data`, without waiting for its answer. */
static void input_start(struct answer *a, const uint8_t *data, size_t len)
{
	static const struct rpc_pending_ops ops = { .done = on_answer };
	Casemate__Agent__V1__SendInputRequest in = CASEMATE__AGENT__V1__SEND_INPUT_REQUEST__INIT;
	Casemate__Agent__V1__ProcessInput input = CASEMATE__AGENT__V1__PROCESS_INPUT__INIT;
	Casemate__Agent__V1__ProcessSelector s = CASEMATE__AGENT__V1__PROCESS_SELECTOR__INIT;
	struct rpc_pending *p;

	s.selector_case = CASEMATE__AGENT__V1__PROCESS_SELECTOR__SELECTOR_PID;
	s.pid = run.pid;
	input.input_case = CASEMATE__AGENT__V1__PROCESS_INPUT__INPUT_STDIN;
	input.stdin = (ProtobufCBinaryData){ .len = len, .data = (uint8_t *)data };
	in.process = &s;
	in.input = &input;
	cr_assert_eq(rpc_start(t.conn[1], &agent_methods[AGENT_PROCESS_SEND_INPUT], &in.base, NULL,
			       0, &ops, a, &p),
		     0);
}

static void input_wait(const struct answer *a)
{
	while (!a->done)
		cr_assert_eq(loop_step(t.loop, 100), 0);
}

/* A command that doesn't read: its client is held, and can't make the agent hold more. */
Test(agent_io, input_waits_and_is_bounded)
{
	enum { N = 40 };
	struct answer answers[N] = { 0 };
	struct agent_request r;
	uint8_t *data = calloc(1, 65536);
	unsigned ok = 0, refused = 0, waiting = 0;

	agent_request(&r, "sleep", "60", NULL);
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait_start(&t, &run);
	for (int i = 0; i < N; i++)
		input_start(&answers[i], data, 65536);
	agent_test_idle(&t, 500);
	for (int i = 0; i < N; i++) {
		ok += answers[i].done && answers[i].code == RPC_OK;
		refused += answers[i].done && answers[i].code == RPC_RESOURCE_EXHAUSTED;
		waiting += !answers[i].done;
	}
	cr_assert_eq(ok, 1, "the pipe holds 64 KiB, got %u", ok);
	cr_assert_eq(waiting, 16);
	cr_assert_eq(refused, N - 17);
	cr_assert_eq(agent_test_signal(&t, run.pid, 9), RPC_OK);
	agent_run_wait(&t, &run);
	agent_test_idle(&t, 100);
	for (int i = 0; i < N; i++)
		cr_assert(answers[i].done);
	free(data);
}

/* A few large inputs are bounded by their bytes, to the byte; what was taken arrives, and then
 * there is room again. */
Test(agent_io, input_bytes_are_bounded)
{
	struct answer taken[3] = { 0 }, refused = { 0 };
	uint8_t *data = calloc(1, MIB);
	struct agent_request r;

	cr_assert_not_null(data);
	agent_request(&r, "wc", "-c", NULL);
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait_start(&t, &run);
	cr_assert_eq(agent_test_signal(&t, run.pid, SIGSTOP), RPC_OK);
	input_start(&taken[0], data, MIB);
	input_start(&taken[1], data, PROCESS_INPUT_BYTES - MIB);
	input_start(&refused, data, 1);
	input_wait(&refused);
	cr_expect_eq(refused.code, RPC_RESOURCE_EXHAUSTED);
	cr_expect(!taken[0].done && !taken[1].done);

	cr_assert_eq(agent_test_signal(&t, run.pid, SIGCONT), RPC_OK);
	input_wait(&taken[1]);
	input_start(&taken[2], data, MIB);
	input_wait(&taken[2]);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		cr_expect_eq(taken[i].code, RPC_OK);
	cr_assert_eq(agent_test_close_stdin(&t, run.pid), RPC_OK);
	agent_run_wait(&t, &run);
	cr_expect(agent_run_is(&run.out, "3145728\n"));
	free(data);
}

static uint64_t agent_rss_bytes(void)
{
	char path[32], text[256];
	uint64_t pages = 0;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)t.pid);
	cr_assert_gt(fd_read_file(-1, path, text, sizeof(text)), 0);
	/* The second number of the line. */
	char *rss = strchr(text, ' ') + 1;
	*strchr(rss, ' ') = '\0';
	cr_assert_eq(parse_u64(rss, 1, UINT32_MAX, &pages), 0);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A client that doesn't read holds the command, not the agent's memory. */
Test(agent_io, slow_reader_holds_the_writer)
{
	struct agent_request r;
	uint64_t before;

	agent_request(&r, "sh", "-c", "seq -f %09.0f 0 4999999; echo end >&2", NULL);
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait_start(&t, &run);
	before = agent_rss_bytes();
	rpc_conn_pause(t.conn[0], true);
	agent_test_idle(&t, 1000);
	cr_assert_lt(agent_rss_bytes(), before + 4 * MIB);
	cr_assert_lt(buf_len(&run.out), 5 * TEN_MB);
	/* Others aren't held. */
	cr_assert_eq(agent_test_signal(&t, run.pid, 18), RPC_OK);
	rpc_conn_pause(t.conn[0], false);
	agent_run_wait(&t, &run);
	cr_assert(is_sequence(&run.out, 5 * TEN_MB));
	cr_assert(agent_run_is(&run.err, "end\n"));
}

Test(agent_io, grandchild_does_not_hold_the_end)
{
	uint64_t before = now_ms();

	agent_run_script(&t, &run, "sleep 20 & echo hi; exit 4");
	cr_assert_lt(now_ms() - before, 10000);
	cr_assert(agent_run_is(&run.out, "hi\n"));
	cr_assert_eq(run.exit_code, 4);
}

/*
 * What was written before the end arrives, even if a grandchild keeps the pipe open and the client
 * is away for longer than the grace: `flood` has the connection full when the command ends.
 */
Test(agent_io, grandchild_does_not_cost_output)
{
	struct agent_request r;
	struct agent_run flood;

	agent_request(&r, "sh", "-c", "read x; sleep 20 & seq -f %09.0f 0 5999", NULL);
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait_start(&t, &run);
	agent_request(&r, "yes", NULL);
	agent_run_start(&t, 0, &flood, &r.req);
	agent_run_wait_start(&t, &flood);
	rpc_conn_pause(t.conn[0], true);
	agent_test_idle(&t, 300);
	cr_assert_eq(agent_test_input(&t, run.pid, false, "\n", 1), RPC_OK);
	agent_test_idle(&t, 1000);
	cr_assert_eq(buf_len(&run.out), 0);
	cr_assert_eq(agent_test_signal(&t, flood.pid, 9), RPC_OK);
	rpc_conn_pause(t.conn[0], false);
	agent_run_wait(&t, &run);
	agent_run_wait(&t, &flood);
	cr_assert(is_sequence(&run.out, 60000));
	agent_run_done(&flood);
}

Test(agent_io, command_survives_its_client)
{
	char path[] = "/tmp/agent-test-XXXXXX", script[128], text[16] = "";
	struct agent_request r;
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	snprintf(script, sizeof(script), "seq 0 400000; echo done >%s", path);
	agent_request(&r, "sh", "-c", script, NULL);
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait_start(&t, &run);
	/* Its output is held back at this moment. */
	rpc_conn_pause(t.conn[0], true);
	agent_test_idle(&t, 500);
	agent_test_hang_up(&t, 0);
	for (int i = 0; i < 500 && pread(fd, text, sizeof(text) - 1, 0) < 5; i++)
		agent_test_idle(&t, 20);
	cr_assert_str_eq(text, "done\n");
	/* And nothing of it stays. */
	Casemate__Agent__V1__HealthRequest in = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	Casemate__Agent__V1__HealthResponse *out;
	ProtobufCMessage *msg;
	agent_test_idle(&t, 500);
	cr_assert_eq(agent_test_call(&t, 1, AGENT_HEALTH, &in.base, NULL, &msg), RPC_OK);
	out = (Casemate__Agent__V1__HealthResponse *)msg;
	cr_assert_eq(out->processes, 0);
	cr_assert_gt(out->uptime_ms, 0);
	protobuf_c_message_free_unpacked(msg, NULL);
	close(fd);
	unlink(path);
}

/* ---- Terminals --------------------------------------------------------------------------- */

static bool pty_has(const char *text)
{
	return buf_len(&run.pty) > 0 &&
	       memmem(buf_head(&run.pty), buf_len(&run.pty), text, strlen(text)) != NULL;
}

static void wait_pty(const char *text)
{
	uint64_t end = now_ms() + 20000;

	while (!pty_has(text)) {
		cr_assert(!run.done && now_ms() < end, "no '%s' in '%.*s'", text,
			  (int)buf_len(&run.pty), (const char *)buf_head(&run.pty));
		cr_assert_eq(loop_step(t.loop, 100), 0);
	}
}

Test(agent_io, terminal_is_one)
{
	Casemate__Agent__V1__UpdateRequest up = CASEMATE__AGENT__V1__UPDATE_REQUEST__INIT;
	Casemate__Agent__V1__ProcessSelector s = CASEMATE__AGENT__V1__PROCESS_SELECTOR__INIT;
	struct agent_request r;

	agent_request(&r, "sh", "-c",
		      "test -t 0 && test -t 1 && test -t 2 && stty size && read x && stty size && "
		      "echo \"got $x\" >/dev/tty && exit 5",
		      NULL);
	r.req.pty = &r.pty;
	r.size.cols = 100;
	r.size.rows = 30;
	agent_run_start(&t, 0, &run, &r.req);
	wait_pty("30 100\r\n");
	s.selector_case = CASEMATE__AGENT__V1__PROCESS_SELECTOR__SELECTOR_PID;
	s.pid = run.pid;
	r.size.cols = 111;
	r.size.rows = 44;
	up.process = &s;
	up.pty = &r.pty;
	cr_assert_eq(agent_test_call(&t, 1, AGENT_PROCESS_UPDATE, &up.base, NULL, NULL), RPC_OK);
	r.size.cols = 70000;
	cr_assert_eq(agent_test_call(&t, 1, AGENT_PROCESS_UPDATE, &up.base, NULL, NULL),
		     RPC_INVALID_ARGUMENT);
	cr_assert_eq(agent_test_input(&t, run.pid, false, "x\n", 2), RPC_FAILED_PRECONDITION);
	cr_assert_eq(agent_test_input(&t, run.pid, true, "word\n", 5), RPC_OK);
	agent_run_wait(&t, &run);
	cr_assert(pty_has("44 111\r\n"));
	cr_assert(pty_has("got word\r\n"));
	cr_assert_eq(run.exit_code, 5);
	cr_assert_eq(buf_len(&run.out) + buf_len(&run.err), 0);
}

Test(agent_io, terminal_sends_control_c)
{
	struct agent_request r;

	agent_request(&r, "sh", "-c", "echo ready; exec sleep 60", NULL);
	r.req.pty = &r.pty;
	agent_run_start(&t, 0, &run, &r.req);
	wait_pty("ready");
	cr_assert_eq(agent_test_input(&t, run.pid, true, "\x03", 1), RPC_OK);
	agent_run_wait(&t, &run);
	cr_assert_eq(run.signal, 2);
}

Test(agent_io, terminal_output_is_whole)
{
	struct agent_request r;

	agent_request(&r, "sh", "-c", "stty raw; seq -f %09.0f 0 99999", NULL);
	r.req.pty = &r.pty;
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait(&t, &run);
	cr_assert(is_sequence(&run.pty, 1000000), "%zu bytes", buf_len(&run.pty));
}
