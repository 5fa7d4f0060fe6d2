/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h - the agent's services, on any number of connections: what a sandbox's host talks to.
 *
 * Theory of operation: one thread, one loop. A session is one ttrpc connection; all see the same
 * processes, and a process outlives the session that started it. The agent knows nothing of
 * vsock or booting (vsock.h, boot.h): it is given connected descriptors.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/agent_limits.h"
#include "agent/env.h"
#include "agent/file.h"
#include "agent/passwd.h"
#include "agent/process.h"
#include "api/rpc/rpc.h"
#include "base/compiler.h"
#include "base/loop.h"

/* Why agent_run returned. */
enum agent_end {
	AGENT_END_POWER_OFF,
	AGENT_END_REBOOT,
	AGENT_END_ALONE, /* stand-alone mode: the last session has ended */
};

struct agent {
	struct loop *loop;
	struct process_table *processes;
	struct file_table *files;
	struct session *sessions;
	unsigned sessions_count;
	/* PID 1 of a sandbox: it may set the machine's clock, name and entropy, and runs without
	 * a session. Otherwise it is a test on somebody's machine and leaves that alone. */
	bool is_init;
	uint64_t ready_ms;	   /* uptime when the services were ready */
	struct rpc_conn *farewell; /* whose last answer is being sent; compared only */
	enum agent_end ending;
	/* Identity. */
	bool identified;
	uint8_t token[AGENT_TOKEN_MAX]; /* who has it may identify again */
	size_t token_len;		/* 0: nobody may */
	struct env envs;
	char default_user[PASSWD_NAME_MAX * 2];
	char *default_cwd; /* NULL = the user's home */
};

/* Sets up loop, signals and tables; the caller runs it with agent_run. */
MUST_USE int agent_init(struct agent *a, bool is_init);
void agent_done(struct agent *a);
/* Serves fd, which it owns in every case. -EAGAIN: too many sessions. */
MUST_USE int agent_serve(struct agent *a, int fd);
/* Until a client or a signal ends it: enum agent_end, or -errno. */
MUST_USE int agent_run(struct agent *a);
uint64_t agent_uptime_ms(void);
/* Sends what is queued on c, closes it and ends the agent; soon in any case. */
void agent_shut_down(struct agent *a, struct rpc_conn *c, enum agent_end how);

/* The handlers of agent.proto: arg is the session's agent. */
extern const struct rpc_handler agent_handlers[];
extern const size_t agent_handlers_count;

/* process_service.c */
rpc_handler_fn service_process_start, service_process_list, service_process_update;
rpc_handler_fn service_process_send_input, service_process_send_signal;
rpc_handler_fn service_process_close_stdin;

#endif
