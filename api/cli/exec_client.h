/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec_client.h - runs one command through an agent: process.Process Start with its output to
 * fds of ours, its input from one, signals and window sizes passed on. Everything that the agent
 * says is hostile: sizes, order and texts are checked, and no deadline depends on it.
 */
#ifndef API_CLI_EXEC_CLIENT_H
#define API_CLI_EXEC_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "api/cli/run_opts.h"
#include "api/rpc/rpc.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

struct exec_config {
	char **argv; /* the command and its arguments, count >= 1 */
	size_t argc;
	const struct run_env *envs;
	size_t envs_count;
	const char *cwd;  /* NULL = the sandbox's default */
	const char *user; /* the same */
	uint64_t timeout_ms;
	int stdin_fd; /* -1 = none: the command reads /dev/null */
	int stdout_fd;
	int stderr_fd;
	bool tty; /* a terminal of the size of ours; output goes to stdout_fd */
};

enum exec_end {
	EXEC_RUNNING,
	EXEC_EXITED,	/* code */
	EXEC_SIGNALLED, /* code = the signal */
	EXEC_TIMED_OUT, /* by the agent, or by our own guard when it keeps silent */
	EXEC_NOT_FOUND, /* no such command */
	EXEC_NOT_EXECUTABLE,
	EXEC_LOST,     /* the agent is gone, or broke the protocol: err */
	EXEC_REFUSED,  /* the agent would not start it: err */
	EXEC_ABANDONED /* by exec_client_abandon */
};

struct exec_result {
	enum exec_end end;
	uint32_t code;
	uint64_t start_ns; /* monotonic: Start sent, */
	uint64_t end_ns;   /* its end known */
	struct err err;
};

struct exec_client;

/* Starts it. cfg's strings must outlive the call only; *res is filled in at the end. */
MUST_USE int exec_client_new(struct loop *l, struct rpc_conn *conn, const struct exec_config *cfg,
			     struct exec_result *res, struct exec_client **ret);
/* After its connection has been freed: calls may be under way until then. NULL is fine. */
void exec_client_free(struct exec_client *x);
/* Has it ended, and has all its output been written? */
bool exec_client_done(const struct exec_client *x);
/* Sends the command a signal, once it has started. */
void exec_client_signal(struct exec_client *x, int signo);
/* Our window's size has changed. */
void exec_client_resize(struct exec_client *x);
/* Ends the waiting without an end of the command; pending output is dropped. */
void exec_client_abandon(struct exec_client *x);
/* The owner's rpc_conn has closed (its `closed` callback). */
void exec_client_conn_closed(struct exec_client *x);

#endif
