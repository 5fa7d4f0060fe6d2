/* SPDX-License-Identifier: Apache-2.0 */
/* exec_internal.h - what exec_client.c (the command) and exec_input.c (its input) share. */
#ifndef API_CLI_EXEC_INTERNAL_H
#define API_CLI_EXEC_INTERNAL_H

#include <agent.pb-c.h>

#include "api/cli/exec_client.h"
#include "api/cli/output.h"
#include "api/proto/contract.h"

#define EXEC_INPUT_BYTES  (12U * 1024U)
#define EXEC_INPUT_WINDOW 4U /* SendInput calls that may be unanswered */
#define EXEC_CALL_MS	  10000U

struct exec_input {
	int fd; /* -1 = none, or at its end */
	struct loop_io *io;
	struct loop_timer *timer; /* for files that epoll doesn't know */
	unsigned unanswered;
	bool eof;
	bool closed; /* CloseStdin has been sent, or the command takes no more */
};

struct exec_client {
	struct loop *loop;
	struct rpc_conn *conn;
	struct rpc_pending *start;
	struct exec_result *res;
	struct loop_timer *guard;
	struct output out;
	struct output err;
	struct exec_input in;
	uint32_t pid;	   /* 0 = not started */
	int wanted_signal; /* to be sent when it has started */
	bool tty;
	bool paused;
	bool pipe_told;
};

/* Begins to read when the command has started. */
void exec_input_start(struct exec_client *x);
void exec_input_stop(struct exec_client *x);
/* A call whose answer nobody needs. */
void exec_call(struct exec_client *x, enum agent_method m, const ProtobufCMessage *in);

#endif
