/* SPDX-License-Identifier: Apache-2.0 */
/* casemate's exec client against the real agent over a socketpair. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent_fixture.h"
#include "api/cli/exec_client.h"
#include "base/clock.h"
#include "base/fd.h"

struct fixture {
	struct agent_test t;
	struct exec_client *x;
	struct exec_result res;
	int out[2], err[2]; /* pipes: [0] is ours */
	struct buf got_out, got_err;
};

static void set_up(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	(void)signal(SIGPIPE, SIG_IGN);
	agent_test_start(&f->t);
	cr_assert_eq(pipe2(f->out, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(f->err, O_CLOEXEC), 0);
	cr_assert_eq(fd_set_nonblock(f->out[0], true), 0);
	cr_assert_eq(fd_set_nonblock(f->err[0], true), 0);
	buf_init(&f->got_out, 32U << 20);
	buf_init(&f->got_err, 1U << 20);
}

static void start(struct fixture *f, struct exec_config *cfg)
{
	cfg->stdout_fd = f->out[1];
	cfg->stderr_fd = f->err[1];
	cr_assert_eq(exec_client_new(f->t.loop, f->t.conn[0], cfg, &f->res, &f->x), 0);
}

static void start_sh(struct fixture *f, const char *script, int stdin_fd, uint64_t timeout_ms)
{
	char *argv[] = { STR("/bin/sh"), STR("-c"), STR(script) };
	struct exec_config cfg = {
		.argv = argv, .argc = 3, .stdin_fd = stdin_fd, .timeout_ms = timeout_ms
	};

	start(f, &cfg);
}

static void drain(int fd, struct buf *b)
{
	char block[65536];

	for (ssize_t n = 1; n > 0;) {
		n = read(fd, block, sizeof(block));
		if (n > 0)
			cr_assert_eq(buf_put(b, block, (size_t)n), 0);
	}
}

static void wait_end(struct fixture *f)
{
	const uint64_t until = now_ms() + 30000;

	while (!exec_client_done(f->x)) {
		cr_assert_eq(loop_step(f->t.loop, 50), 0);
		drain(f->out[0], &f->got_out);
		drain(f->err[0], &f->got_err);
		cr_assert_lt(now_ms(), until, "the command does not end");
	}
	drain(f->out[0], &f->got_out);
	drain(f->err[0], &f->got_err);
}

static void tear_down(struct fixture *f)
{
	for (int i = 0; i < 2; i++) {
		fd_closep(&f->out[i]);
		fd_closep(&f->err[i]);
	}
	buf_done(&f->got_out);
	buf_done(&f->got_err);
	agent_test_hang_up(&f->t, 0);
	exec_client_free(f->x);
	agent_test_stop(&f->t);
}

static void expect_text(const struct buf *b, const char *text)
{
	cr_assert_eq(buf_len(b), strlen(text), "%.*s", (int)buf_len(b), (const char *)buf_head(b));
	if (buf_len(b) > 0)
		cr_assert_eq(memcmp(buf_head(b), text, buf_len(b)), 0);
}

Test(exec, status_and_streams, .timeout = 60)
{
	struct fixture f;

	set_up(&f);
	start_sh(&f, "echo out; echo err >&2; exit 7", -1, 0);
	wait_end(&f);
	cr_assert_eq(f.res.end, EXEC_EXITED);
	cr_assert_eq(f.res.code, 7);
	expect_text(&f.got_out, "out\n");
	expect_text(&f.got_err, "err\n");
	cr_assert_geq(f.res.end_ns, f.res.start_ns);
	tear_down(&f);
}

Test(exec, killed_by_a_signal, .timeout = 60)
{
	struct fixture f;

	set_up(&f);
	start_sh(&f, "kill -TERM $$", -1, 0);
	wait_end(&f);
	cr_assert_eq(f.res.end, EXEC_SIGNALLED);
	cr_assert_eq(f.res.code, SIGTERM);
	tear_down(&f);
}

Test(exec, not_found_and_not_executable, .timeout = 60)
{
	char *missing[] = { STR("no-such-command-here") }, *text[] = { STR("/etc/passwd") };
	struct exec_config cfg = { .argv = missing, .argc = 1, .stdin_fd = -1 };
	struct fixture f;

	set_up(&f);
	start(&f, &cfg);
	wait_end(&f);
	cr_assert_eq(f.res.end, EXEC_NOT_FOUND, "%d %s", (int)f.res.end, f.res.err.msg);
	struct exec_client *first = f.x;
	cfg.argv = text;
	start(&f, &cfg);
	wait_end(&f);
	cr_assert_eq(f.res.end, EXEC_NOT_EXECUTABLE, "%d %s", (int)f.res.end, f.res.err.msg);
	agent_test_hang_up(&f.t, 0);
	exec_client_free(first);
	tear_down(&f);
}

Test(exec, environment_and_directory, .timeout = 60)
{
	char *argv[] = { STR("/bin/sh"), STR("-c"), STR("echo \"$A $PWD\"") };
	struct run_env env = { .name = STR("A"), .value = "b c" };
	struct exec_config cfg = { .argv = argv,
				   .argc = 3,
				   .envs = &env,
				   .envs_count = 1,
				   .cwd = "/usr",
				   .stdin_fd = -1 };
	struct fixture f;

	set_up(&f);
	start(&f, &cfg);
	wait_end(&f);
	expect_text(&f.got_out, "b c /usr\n");
	tear_down(&f);
}

Test(exec, bad_directory_is_refused, .timeout = 60)
{
	char *argv[] = { STR("/bin/true") };
	struct exec_config cfg = {
		.argv = argv, .argc = 1, .cwd = "/no/such/directory", .stdin_fd = -1
	};
	struct fixture f;

	set_up(&f);
	start(&f, &cfg);
	wait_end(&f);
	cr_assert_eq(f.res.end, EXEC_REFUSED);
	cr_assert_not_null(strstr(f.res.err.msg, "/no/such/directory"));
	tear_down(&f);
}

/* A pipe as standard input, then its end. */
Test(exec, input_from_a_pipe, .timeout = 60)
{
	struct fixture f;
	int in[2];

	set_up(&f);
	cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
	start_sh(&f, "cat; echo end", in[0], 0);
	cr_assert_eq(write(in[1], "hello\n", 6), 6);
	close(in[1]);
	wait_end(&f);
	expect_text(&f.got_out, "hello\nend\n");
	close(in[0]);
	tear_down(&f);
}

/* A file (which epoll refuses) of a size that needs many windows, whole and in order. */
Test(exec, input_from_a_big_file, .timeout = 60)
{
	char path[] = "/tmp/casemate-input.XXXXXX", line[32];
	struct fixture f;
	struct buf want;
	int fd = mkstemp(path);

	set_up(&f);
	unlink(path);
	buf_init(&want, 16U << 20);
	for (int i = 0; i < 400000; i++) {
		int n = snprintf(line, sizeof(line), "line %d\n", i);
		cr_assert_eq(buf_put(&want, line, (size_t)n), 0);
	}
	cr_assert_eq(fd_write_full(fd, buf_head(&want), buf_len(&want)), 0);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	start_sh(&f, "sleep 0.2; cat", fd, 0);
	wait_end(&f);
	cr_assert_eq(buf_len(&f.got_out), buf_len(&want));
	cr_assert_eq(memcmp(buf_head(&f.got_out), buf_head(&want), buf_len(&want)), 0);
	buf_done(&want);
	close(fd);
	tear_down(&f);
}

Test(exec, no_input_is_dev_null, .timeout = 60)
{
	struct fixture f;

	set_up(&f);
	start_sh(&f, "cat; readlink /proc/self/fd/0", -1, 0);
	wait_end(&f);
	expect_text(&f.got_out, "/dev/null\n");
	tear_down(&f);
}

/* Ten megabytes through a reader that is slow at first. */
Test(exec, bulk_output, .timeout = 60)
{
	struct fixture f;

	set_up(&f);
	start_sh(&f, "i=0; head -c 10000000 /dev/zero | tr '\\0' x; echo; echo done", -1, 0);
	for (int i = 0; i < 30; i++) /* nobody reads: the loop must not block in write */
		cr_assert_eq(loop_step(f.t.loop, 10), 0);
	cr_assert_not(exec_client_done(f.x));
	wait_end(&f);
	cr_assert_eq(buf_len(&f.got_out), 10000006);
	cr_assert_eq(memcmp(buf_head(&f.got_out) + 10000000, "\ndone\n", 6), 0);
	tear_down(&f);
}

/* Nobody reads any more: the command is told by SIGPIPE, as in a pipeline. */
Test(exec, broken_pipe, .timeout = 60)
{
	struct fixture f;

	set_up(&f);
	start_sh(&f, "exec yes", -1, 0);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(loop_step(f.t.loop, 50), 0);
	fd_closep(&f.out[0]);
	for (int i = 0; i < 200 && !exec_client_done(f.x); i++)
		cr_assert_eq(loop_step(f.t.loop, 50), 0);
	cr_assert_eq(f.res.end, EXEC_SIGNALLED);
	cr_assert_eq(f.res.code, SIGPIPE);
	tear_down(&f);
}

Test(exec, signals_are_passed_on, .timeout = 60)
{
	struct fixture f;

	set_up(&f);
	start_sh(&f, "exec sleep 60", -1, 0);
	exec_client_signal(f.x, SIGINT); /* before it has started: kept until then */
	wait_end(&f);
	cr_assert_eq(f.res.end, EXEC_SIGNALLED);
	cr_assert_eq(f.res.code, SIGINT);
	tear_down(&f);
}

Test(exec, timeout_by_the_agent, .timeout = 60)
{
	const uint64_t begin = now_ms();
	struct fixture f;

	set_up(&f);
	start_sh(&f, "sleep 60", -1, 300);
	wait_end(&f);
	cr_assert_eq(f.res.end, EXEC_TIMED_OUT);
	cr_assert_lt(now_ms() - begin, 5000);
	tear_down(&f);
}

/* An agent that has stopped answering can't stretch the deadline. */
Test(exec, timeout_of_a_hung_agent, .timeout = 60)
{
	const uint64_t begin = now_ms();
	struct fixture f;

	set_up(&f);
	start_sh(&f, "sleep 60", -1, 400);
	cr_assert_eq(kill(f.t.pid, SIGSTOP), 0);
	wait_end(&f);
	cr_assert_eq(kill(f.t.pid, SIGCONT), 0);
	cr_assert_eq(f.res.end, EXEC_TIMED_OUT);
	cr_assert_lt(now_ms() - begin, 3000);
	tear_down(&f);
}

Test(exec, abandoned, .timeout = 60)
{
	struct fixture f;

	set_up(&f);
	start_sh(&f, "sleep 60", -1, 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(loop_step(f.t.loop, 50), 0);
	exec_client_abandon(f.x);
	cr_assert(exec_client_done(f.x));
	cr_assert_eq(f.res.end, EXEC_ABANDONED);
	tear_down(&f);
}

Test(exec, a_terminal, .timeout = 60)
{
	char *argv[] = { STR("/bin/sh"), STR("-c"), STR("test -t 0 && test -t 1 && stty size") };
	struct exec_config cfg = { .argv = argv, .argc = 3, .stdin_fd = -1, .tty = true };
	struct fixture f;

	set_up(&f);
	start(&f, &cfg);
	wait_end(&f);
	cr_assert_eq(f.res.end, EXEC_EXITED);
	cr_assert_eq(f.res.code, 0);
	expect_text(&f.got_out, "24 80\r\n"); /* our own standard input is no terminal */
	tear_down(&f);
}
