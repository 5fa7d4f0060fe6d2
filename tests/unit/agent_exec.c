/* SPDX-License-Identifier: Apache-2.0 */
/* agent_exec.c - how a command starts, what it finds, how it ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent_fixture.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

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

TestSuite(agent_exec, .init = setup, .fini = teardown, .timeout = 120);

static enum rpc_code start_code(const struct agent_request *r)
{
	agent_run_done(&run);
	agent_run_start(&t, 0, &run, &r->req);
	agent_run_wait(&t, &run);
	if (run.st.code != RPC_OK) {
		cr_assert_eq(run.pid, 0, "an event before the failure");
		cr_assert_gt(strlen(run.st.msg), 0);
	}
	return run.st.code;
}

Test(agent_exec, stdout_and_stderr_come_apart)
{
	agent_run_script(&t, &run, "echo out; echo err >&2; echo out2");
	cr_assert(agent_run_is(&run.out, "out\nout2\n"));
	cr_assert(agent_run_is(&run.err, "err\n"));
	cr_assert(run.exited);
	cr_assert_eq(run.exit_code, 0);
	cr_assert_str_eq(run.status, "exit status 0");
}

Test(agent_exec, exit_status_is_told)
{
	agent_run_script(&t, &run, "exit 7");
	cr_assert(run.exited);
	cr_assert_eq(run.exit_code, 7);
	cr_assert_str_eq(run.status, "exit status 7");
}

Test(agent_exec, death_by_signal_is_told)
{
	agent_run_script(&t, &run, "kill -SEGV $$");
	cr_assert(!run.exited);
	cr_assert_eq(run.exit_code, -1);
	cr_assert_eq(run.signal, 11);
	cr_assert(!run.timed_out);
	cr_assert_str_eq(run.status, "signal: segmentation fault");
}

Test(agent_exec, missing_command)
{
	struct agent_request r;

	agent_request(&r, "no-such-command-here", NULL);
	cr_assert_eq(start_code(&r), RPC_NOT_FOUND);
	agent_request(&r, "/no/such/path", NULL);
	cr_assert_eq(start_code(&r), RPC_NOT_FOUND);
	agent_request(&r, "", NULL);
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
	r.req.process = NULL;
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
}

Test(agent_exec, not_executable)
{
	char path[] = "/tmp/agent-test-XXXXXX";
	struct agent_request r;
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	agent_request(&r, path, NULL);
	cr_assert_eq(start_code(&r), RPC_PERMISSION_DENIED);
	/* Executable, but of no known format: a shell would run it, exec doesn't. */
	cr_assert_eq(write(fd, "echo hi\n", 8), 8);
	cr_assert_eq(fchmod(fd, 0755), 0);
	close(fd);
	cr_assert_eq(start_code(&r), RPC_PERMISSION_DENIED);
	agent_request(&r, "/tmp", NULL);
	cr_assert_eq(start_code(&r), RPC_PERMISSION_DENIED);
	unlink(path);
}

Test(agent_exec, bad_directory_or_user)
{
	struct agent_request r;

	agent_request(&r, "true", NULL);
	r.config.cwd = STR("/no/such/directory");
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
	r.config.cwd = STR("no-such-directory");
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
	r.config.cwd = STR("~somebody");
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
	r.config.cwd = STR("..//");
	cr_assert_eq(start_code(&r), RPC_OK, "the directory of root's home");
	r.config.cwd = STR("");
	r.req.user = STR("no-such-user");
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
	r.req.user = STR(":");
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
}

Test(agent_exec, environment_is_what_was_asked_for)
{
	Casemate__Agent__V1__ProcessConfig__EnvsEntry e =
		CASEMATE__AGENT__V1__PROCESS_CONFIG__ENVS_ENTRY__INIT;
	Casemate__Agent__V1__ProcessConfig__EnvsEntry *list[] = { &e };
	struct agent_request r;

	agent_request(&r, "sh", "-c", "echo \"$A|$PATH|${CRITERION_TEST-none}\"; pwd", NULL);
	e.key = STR("A");
	e.value = STR("b=c d");
	r.config.envs = list;
	r.config.n_envs = 1;
	r.config.cwd = STR("/usr/bin");
	cr_assert_eq(start_code(&r), RPC_OK);
	cr_assert(agent_run_is(&run.out,
			       "b=c d|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|"
			       "none\n/usr/bin\n"));
	e.key = STR("A=B");
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
	e.key = STR("");
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
}

Test(agent_exec, command_is_searched_in_the_path_it_will_have)
{
	Casemate__Agent__V1__ProcessConfig__EnvsEntry e =
		CASEMATE__AGENT__V1__PROCESS_CONFIG__ENVS_ENTRY__INIT;
	Casemate__Agent__V1__ProcessConfig__EnvsEntry *list[] = { &e };
	struct agent_request r;

	agent_request(&r, "true", NULL);
	e.key = STR("PATH");
	e.value = STR("/nowhere");
	r.config.envs = list;
	r.config.n_envs = 1;
	cr_assert_eq(start_code(&r), RPC_NOT_FOUND);
	e.value = STR("/nowhere:/usr/bin");
	cr_assert_eq(start_code(&r), RPC_OK);
}

/* Descriptors of the agent are connections to the host and other commands' pipes. */
Test(agent_exec, nothing_of_the_agent_leaks)
{
	agent_run_script(&t, &run, "ls /proc/self/fd | tr '\\n' ' '");
	cr_assert(agent_run_is(&run.out, "0 1 2 3 "), "3 is ls's own; got %.*s",
		  (int)buf_len(&run.out), (const char *)buf_head(&run.out));
	agent_run_done(&run);
	agent_run_script(&t, &run, "grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\t'");
	cr_assert(agent_run_is(&run.out, "SigBlk:0000000000000000\nSigIgn:0000000000000000\n"));
	agent_run_done(&run);
	agent_run_script(&t, &run, "cat /proc/self/oom_score_adj; umask");
	cr_assert(agent_run_is(&run.out, "100\n0022\n"));
}

Test(agent_exec, each_command_leads_a_session_of_its_own)
{
	char want[64];

	agent_run_script(&t, &run, "set -- $(cat /proc/$$/stat); echo $1 $5 $6");
	snprintf(want, sizeof(want), "%u %u %u\n", run.pid, run.pid, run.pid);
	cr_assert(agent_run_is(&run.out, want));
}

Test(agent_exec, no_stdin_is_dev_null)
{
	struct agent_request r;

	agent_request(&r, "cat", NULL);
	r.req.stdin_opt_case = CASEMATE__AGENT__V1__START_REQUEST__STDIN_OPT_STDIN;
	r.req.stdin = 0;
	cr_assert_eq(start_code(&r), RPC_OK);
	cr_assert_eq(buf_len(&run.out), 0);
	cr_assert_eq(run.exit_code, 0);
}

Test(agent_exec, user_changes_completely)
{
	struct agent_request r;

	if (geteuid() != 0)
		cr_skip_test("changing the user needs root");
	agent_request(
		&r, "sh", "-c",
		"id -u; id -g; id -G; echo $USER; grep CapEff /proc/self/status | tr -d '\\t'",
		NULL);
	r.req.user = STR("nobody");
	r.config.cwd = STR("/");
	cr_assert_eq(start_code(&r), RPC_OK);
	cr_assert(agent_run_is(&run.out, "65534\n65534\n65534\nnobody\nCapEff:0000000000000000\n"));
	r.req.user = STR("12345:54321");
	cr_assert_eq(start_code(&r), RPC_OK);
	cr_assert(agent_run_is(&run.out, "12345\n54321\n54321\n12345\nCapEff:0000000000000000\n"));
	/* A home that doesn't exist, or may not be entered, is no reason to fail. */
	r.config.cwd = STR("");
	r.req.user = STR("nobody");
	r.args[1] = STR("pwd");
	cr_assert_eq(start_code(&r), RPC_OK);
	cr_assert(agent_run_is(&run.out, "/\n"));
	/* Its own rights decide about the working directory. */
	r.config.cwd = STR("/root");
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
}

/* Gone, or a zombie that some other init has yet to reap. */
static bool is_dead(uint64_t pid)
{
	char path[32], text[512];
	const char *state;

	snprintf(path, sizeof(path), "/proc/%u/stat", (unsigned)pid);
	if (fd_read_file(-1, path, text, sizeof(text)) < 0)
		return true;
	state = strrchr(text, ')');
	return state == NULL || state[2] == 'Z' || state[2] == 'X';
}

Test(agent_exec, timeout_kills_the_group)
{
	struct agent_request r;
	uint64_t before = now_ms(), pid = 0;
	char text[16] = "";

	agent_request(&r, "sh", "-c", "sleep 60 & printf %s $!; wait", NULL);
	r.req.timeout_ms = 300;
	cr_assert_eq(start_code(&r), RPC_OK);
	cr_assert(run.timed_out);
	cr_assert_eq(run.signal, 9);
	cr_assert_eq(run.exit_code, -1);
	cr_assert_lt(now_ms() - before, 10000);
	cr_assert(buf_len(&run.out) > 0 && buf_len(&run.out) < sizeof(text));
	memcpy(text, buf_head(&run.out), buf_len(&run.out));
	cr_assert_eq(parse_u64(text, 2, INT32_MAX, &pid), 0);
	for (int i = 0; i < 100 && !is_dead(pid); i++)
		agent_test_idle(&t, 20);
	cr_assert(is_dead(pid));
}

Test(agent_exec, signal_reaches_the_group)
{
	struct agent_request r;

	agent_request(&r, "sh", "-c", "trap 'exit 3' USR1; sleep 60 & wait", NULL);
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait_start(&t, &run);
	agent_test_idle(&t, 300); /* the trap must be set */
	cr_assert_eq(agent_test_signal(&t, run.pid, 10), RPC_OK);
	agent_run_wait(&t, &run);
	cr_assert_eq(run.exit_code, 3);
	cr_assert_eq(agent_test_signal(&t, run.pid, 10), RPC_NOT_FOUND);
	cr_assert_eq(agent_test_signal(&t, 1, 9), RPC_NOT_FOUND, "not one of its own");
	cr_assert_eq(agent_test_signal(&t, (uint32_t)t.pid, 9), RPC_NOT_FOUND);
}

Test(agent_exec, signal_number_is_checked)
{
	struct agent_request r;

	agent_request(&r, "sleep", "60", NULL);
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait_start(&t, &run);
	cr_assert_eq(agent_test_signal(&t, run.pid, 0), RPC_INVALID_ARGUMENT);
	cr_assert_eq(agent_test_signal(&t, run.pid, 65), RPC_INVALID_ARGUMENT);
	cr_assert_eq(agent_test_signal(&t, run.pid, 15), RPC_OK);
	agent_run_wait(&t, &run);
	cr_assert_eq(run.signal, 15);
}

Test(agent_exec, list_shows_what_runs)
{
	Casemate__Agent__V1__ListRequest in = CASEMATE__AGENT__V1__LIST_REQUEST__INIT;
	Casemate__Agent__V1__ListResponse *out;
	ProtobufCMessage *msg;
	struct agent_request r;
	char *big = calloc(1, 100001);

	memset(big, 'x', 100000);
	agent_request(&r, "sh", "-c", "sleep 60", big, big, NULL);
	r.req.tag = STR("mine");
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait_start(&t, &run);
	cr_assert_eq(agent_test_call(&t, 1, AGENT_PROCESS_LIST, &in.base, NULL, &msg), RPC_OK);
	out = (Casemate__Agent__V1__ListResponse *)msg;
	cr_assert_eq(out->n_processes, 1);
	cr_assert_eq(out->processes[0]->pid, run.pid);
	cr_assert_str_eq(out->processes[0]->tag, "mine");
	cr_assert_str_eq(out->processes[0]->config->cmd, "sh");
	cr_assert_str_eq(out->processes[0]->config->args[1], "sleep 60");
	cr_assert_lt(protobuf_c_message_get_packed_size(msg), 5000, "a long command line is cut");
	protobuf_c_message_free_unpacked(msg, NULL);
	cr_assert_eq(agent_test_signal(&t, run.pid, 9), RPC_OK);
	agent_run_wait(&t, &run);
	free(big);
}

Test(agent_exec, too_large_an_argument_is_told_apart)
{
	struct agent_request r;
	char *big = calloc(1, 200001);

	memset(big, 'x', 200000); /* more than the kernel's 128 KiB for one string */
	agent_request(&r, "true", big, NULL);
	cr_assert_eq(start_code(&r), RPC_INVALID_ARGUMENT);
	free(big);
}

Test(agent_exec, many_at_once)
{
	enum { N = 60 };
	static struct agent_run runs[N];
	char script[N][64];
	struct agent_request r;

	for (int i = 0; i < N; i++) {
		snprintf(script[i], sizeof(script[i]), "sleep 0.3; echo %d; exit %d", i, i);
		agent_request(&r, "sh", "-c", script[i], NULL);
		agent_run_start(&t, i % 2, &runs[i], &r.req);
	}
	for (int i = 0; i < N; i++) {
		char want[16];
		agent_run_wait(&t, &runs[i]);
		snprintf(want, sizeof(want), "%d\n", i);
		cr_assert(agent_run_is(&runs[i].out, want));
		cr_assert_eq(runs[i].exit_code, i);
		agent_run_done(&runs[i]);
	}
}

Test(agent_exec, processes_are_limited)
{
	enum { N = 260 };
	static struct agent_run runs[N];
	struct agent_request r;
	unsigned refused = 0;

	agent_request(&r, "sleep", "60", NULL);
	for (int i = 0; i < N; i++)
		agent_run_start(&t, i % 2, &runs[i], &r.req);
	for (int i = 0; i < N; i++) {
		agent_run_wait_start(&t, &runs[i]);
		refused += runs[i].done && runs[i].st.code == RPC_RESOURCE_EXHAUSTED;
	}
	cr_assert_eq(refused, N - 256);
	for (int i = 0; i < N; i++) {
		if (!runs[i].done) {
			cr_assert_eq(agent_test_signal(&t, runs[i].pid, 9), RPC_OK);
			agent_run_wait(&t, &runs[i]);
		}
		agent_run_done(&runs[i]);
	}
	/* And all is free again. */
	cr_assert_eq(start_code((agent_request(&r, "true", NULL), &r)), RPC_OK);
}

/* With the agent go the commands: nothing keeps running on a developer's machine. */
Test(agent_exec, end_of_the_agent_ends_its_commands)
{
	struct agent_request r;

	agent_request(&r, "sleep", "60", NULL);
	agent_run_start(&t, 0, &run, &r.req);
	agent_run_wait_start(&t, &run);
	agent_test_stop(&t);
	char path[32];
	snprintf(path, sizeof(path), "/proc/%u/stat", run.pid);
	for (int i = 0; i < 100 && access(path, F_OK) == 0; i++)
		usleep(20000);
	cr_assert_neq(access(path, F_OK), 0);
}
