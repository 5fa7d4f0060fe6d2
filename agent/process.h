/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - the commands that the agent runs for its clients.
 *
 * A process is named by its pid (or tag) from the start event until its end event. Its output
 * goes to the Start call that made it and to the Connect calls that joined, its pipes are read
 * only while all of them take more, and when no call is left the output is read and dropped. It
 * ends, for the client, when it was reaped and all that it wrote has been sent; a descendant that
 * keeps a pipe open delays that by PROCESS_GRACE_MS at most. One thread.
 */
#ifndef AGENT_PROCESS_H
#define AGENT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/spawn.h"
#include "api/rpc/rpc.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

struct process;
struct process_table;

MUST_USE int process_table_new(struct loop *l, struct process_table **ret);
/* Kills what still runs and frees everything. NULL is fine. */
void process_table_free(struct process_table *t);
size_t process_count(const struct process_table *t);
/* Called for each, in no order. */
void process_each(const struct process_table *t, void (*fn)(struct process *p, void *arg),
		  void *arg);

/* Starts a command; events go to call, which is ended by this module in every case. */
void process_start(struct process_table *t, const struct spawn_plan *plan, const char *tag,
		   uint64_t timeout_ms, struct rpc_call *call);

/* The call joins the listeners of a process, named by its tag or (tag == NULL) pid; of one that
 * ended a moment ago it gets the start and end events. This module ends the call. False: no such
 * process, the call is untouched. */
bool process_connect(const struct process_table *t, uint32_t pid, const char *tag,
		     struct rpc_call *call);

/* The process that a client means; NULL when there is none or it has ended. */
struct process *process_by_pid(const struct process_table *t, pid_t pid);
struct process *process_by_tag(const struct process_table *t, const char *tag);

pid_t process_pid(const struct process *p);
const char *process_tag(const struct process *p);
const char *process_cwd(const struct process *p);
/* The beginning of its command line: argv, cut after PROCESS_LISTED_BYTES. */
char *const *process_argv(const struct process *p, size_t *ret_count);
bool process_has_pty(const struct process *p);

/* Writes to its stdin or terminal; ends the SendInput call when all is written. */
void process_send_input(struct process *p, const uint8_t *data, size_t len, struct rpc_call *call);
/* The same without a call to answer: 0 (taken, or waiting to be), -EPIPE (closed), -ENOBUFS (too
 * much waits already), -ENOMEM. */
MUST_USE int process_put_input(struct process *p, const uint8_t *data, size_t len);
/* End of file on stdin once what was accepted is written. 0, -EPIPE (closed or no pipe). */
MUST_USE int process_close_stdin(struct process *p);
/* To its process group. 0 or -errno. */
MUST_USE int process_signal(struct process *p, int signo);
/* New size of its terminal. 0, -ENOTTY. */
MUST_USE int process_resize(struct process *p, uint16_t cols, uint16_t rows);

/* For the owner of the table: a child was reaped (ours or an orphan). */
void process_reaped(struct process_table *t, pid_t pid, int wait_status);

#endif
