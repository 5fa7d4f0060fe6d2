/* SPDX-License-Identifier: Apache-2.0 */
/* agent_fixture.h - the real casemate-agent on socketpairs, and its clients. */
#ifndef TESTS_UNIT_AGENT_FIXTURE_H
#define TESTS_UNIT_AGENT_FIXTURE_H

#include <agent.pb-c.h>
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "api/proto/contract.h"
#include "api/rpc/rpc.h"
#include "base/buf.h"
#include "base/loop.h"

#define AGENT_TEST_CONNS 2

/* A literal for a message's string field, which lacks the const. */
#define STR(s) ((char *)(s))

struct agent_test {
	struct loop *loop;
	struct rpc_conn *conn[AGENT_TEST_CONNS];
	pid_t pid;
};

/* The agent's state is fresh in each test. stop fails the test unless the agent ends well; a
 * second stop does nothing. */
void agent_test_start(struct agent_test *t);
void agent_test_stop(struct agent_test *t);
/* Client n goes away without a word. */
void agent_test_hang_up(struct agent_test *t, unsigned n);
/* Runs the loop for some time. */
void agent_test_idle(struct agent_test *t, uint64_t ms);

/* A call that expects an answer of this type; the code is returned, *ret may be NULL. */
enum rpc_code agent_test_call(struct agent_test *t, unsigned conn, enum agent_method m,
			      const ProtobufCMessage *in, struct rpc_status *st,
			      ProtobufCMessage **ret);

/* One command and all that came from it. */
struct agent_run {
	struct rpc_pending *pending;
	uint32_t pid;
	struct buf out, err, pty;
	bool ended; /* the end event came */
	bool done;  /* the call is over, with st */
	struct rpc_status st;
	int exit_code;
	bool exited, timed_out;
	uint32_t signal;
	char status[64];
};

typedef Casemate__Agent__V1__StartRequest start_pb;
typedef Casemate__Agent__V1__ProcessConfig config_pb;

/* A request for `cmd args...` (NULL-terminated list) in the caller's memory. */
struct agent_request {
	start_pb req;
	config_pb config;
	Casemate__Agent__V1__Pty pty;
	Casemate__Agent__V1__PtySize size;
	char *args[8];
};
void agent_request(struct agent_request *r, const char *cmd, ...);

void agent_run_start(struct agent_test *t, unsigned conn, struct agent_run *run,
		     const start_pb *req);
/* Until the start event or the call's end; until the call's end. Fails the test after 60 s. */
void agent_run_wait_start(struct agent_test *t, struct agent_run *run);
void agent_run_wait(struct agent_test *t, struct agent_run *run);
void agent_run_done(struct agent_run *run);
/* All of it: starts `sh -c script` on connection 0 and waits. */
void agent_run_script(struct agent_test *t, struct agent_run *run, const char *script);
/* Is what came exactly this text? */
bool agent_run_is(const struct buf *b, const char *text);

/* SendInput, waiting for the answer. */
enum rpc_code agent_test_input(struct agent_test *t, uint32_t pid, bool pty, const void *data,
			       size_t len);
enum rpc_code agent_test_signal(struct agent_test *t, uint32_t pid, uint32_t signo);
enum rpc_code agent_test_close_stdin(struct agent_test *t, uint32_t pid);

#endif
