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

#include <agent.pb-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/agent_limits.h"
#include "agent/env.h"
#include "agent/file.h"
#include "agent/freezer.h"
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
	struct removal_table *removals;
	struct watcher_table *watchers;
	struct forward_table *forwards;
	struct freezer *freezer;
	struct httpd *httpd;
	struct session *sessions;
	unsigned sessions_count;
	/* PID 1 of a sandbox: it may set the machine's clock, name and entropy, and runs without
	 * a session. Otherwise it is a test on somebody's machine and leaves that alone. */
	bool is_init;
	uint64_t ready_ms;	   /* uptime when the services were ready */
	bool lasting;		   /* stand-alone: goes on without a session */
	struct rpc_conn *farewell; /* whose last answer is being sent; compared only */
	enum agent_end ending;
	/* Identity. */
	bool identified;
	uint8_t token[AGENT_TOKEN_MAX]; /* who has it may identify again */
	size_t token_len;		/* 0: nobody may */
	struct env envs;
	char default_user[PASSWD_NAME_MAX * 2];
	char *default_cwd;			   /* NULL = the user's home */
	char access_token[AGENT_ACCESS_TOKEN_MAX]; /* that HTTP requests must carry; "" = none */
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
/* The part of them that a tenant may call: not Identify, Shutdown and the like. */
extern const struct rpc_handler *const agent_tenant_handlers;
extern const size_t agent_tenant_handlers_count;

/* process_service.c */
rpc_handler_fn service_process_start, service_process_list, service_process_update;
rpc_handler_fn service_process_send_input, service_process_send_signal;
rpc_handler_fn service_process_close_stdin;
/* process_stream.c */
rpc_handler_fn service_process_connect, service_process_stream_input;
/* fs_service.c, watcher.c */
rpc_handler_fn service_fs_stat, service_fs_make_dir, service_fs_move, service_fs_list_dir;
rpc_handler_fn service_fs_remove, service_fs_watch_dir, service_fs_create_watcher;
rpc_handler_fn service_fs_get_watcher_events, service_fs_remove_watcher;

/* For those: the process meant, and the bytes for it. NULL after the call has been refused. */
struct process *service_select_process(const struct agent *a,
				       const Casemate__Agent__V1__ProcessSelector *s,
				       struct rpc_call *call);
const ProtobufCBinaryData *service_input_bytes(const struct process *p,
					       const Casemate__Agent__V1__ProcessInput *input,
					       struct rpc_call *call);

#endif
