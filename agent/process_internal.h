/* SPDX-License-Identifier: Apache-2.0 */
/* process_internal.h - what process.c, output.c and input.c share. */
#ifndef AGENT_PROCESS_INTERNAL_H
#define AGENT_PROCESS_INTERNAL_H

#include "agent/agent_limits.h"
#include "agent/process.h"

#include <agent.pb-c.h>

enum output_kind { OUTPUT_STDOUT, OUTPUT_STDERR, OUTPUT_PTY };

/* One descriptor that is read from a process. */
struct output {
	struct process *process;
	enum output_kind kind;
	int fd;		    /* -1 = ended */
	struct loop_io *io; /* NULL = ended or held back */
	size_t owed; /* bytes that were in the pipe when the process ended, still to be sent */
};

/* One SendInput that waits for its bytes to be taken. */
struct input_item {
	struct input_item *next;
	struct input *input;
	struct rpc_call *call; /* NULL = its client went away; the bytes are still written */
	size_t len, off;
	uint8_t data[];
};

struct input {
	struct process *process;
	int fd; /* -1 = closed, or never was one */
	struct loop_io *io;
	struct input_item *first, **last;
	unsigned count;
	size_t bytes; /* of all items, written or not */
	bool closing; /* close when the queue is empty */
};

/* A Start or Connect call that gets the events. */
struct listener {
	struct listener *next;
	struct process *process;
	struct rpc_call *call;
};

struct process {
	struct process_table *table;
	size_t slot;
	pid_t pid;
	bool started; /* exec succeeded and the client was told */
	bool exited;  /* reaped: the pid may belong to somebody else by now */
	bool timed_out;
	bool grace_over;
	bool pty;
	int wait_status;
	struct listener *listeners;
	unsigned listeners_count;
	int status_fd; /* of spawn.h, until started */
	struct loop_io *status_io;
	struct output out[2];
	struct input in;
	struct loop_timer *timeout, *grace;
	char tag[PROCESS_TAG_MAX + 1];
	char *cwd;
	char **argv; /* bounded copy for List and messages */
	size_t argc;
};

/* What is remembered of a process that has ended. */
struct process_end {
	pid_t pid;
	int wait_status;
	bool timed_out;
	uint64_t at_ms; /* CLOCK_MONOTONIC */
	char tag[PROCESS_TAG_MAX + 1];
};

struct process_table {
	struct loop *loop;
	struct process *slots[AGENT_PROCESSES_MAX];
	size_t count;
	struct process_end ended[PROCESS_ENDED_MAX]; /* a ring */
	size_t ended_next;
	uint8_t scratch[PROCESS_READ_BYTES]; /* one read at a time passes through here */
};

/* output.c */
void output_init(struct output *o, struct process *p, enum output_kind kind, int fd);
/* Begins or goes on reading if the client takes more. */
void output_resume(struct output *o);
void output_close(struct output *o);
/* Sets or lowers `owed` to what is in the pipe now. */
void output_measure(struct output *o);

/* input.c */
void input_init(struct input *in, struct process *p, int fd);
/* Closes it; calls that wait get an error saying why. */
void input_close(struct input *in, const char *why);

/* process.c: ends the process for its client when nothing is left to wait for; may free p. */
void process_check_end(struct process *p);

/* listener.c: who hears a process. The call is watched from now on: -ENOMEM, -EAGAIN (too many). */
MUST_USE int listener_add(struct process *p, struct rpc_call *call);
/* Do all of them take more? */
bool listener_writable(const struct process *p);
void listener_send(struct process *p, Casemate__Agent__V1__ProcessEvent *ev);
/* Sends the one event to one call. 0 or as rpc_send. */
MUST_USE int listener_send_start(struct rpc_call *call, pid_t pid);
/* All hear the start event; the end event, after which their calls are over. */
void listener_started(struct process *p);
void listener_ended(struct process *p);
/* All calls end with an error. */
void listener_fail(struct process *p, enum rpc_code code, const char *why);
/* The start and the end event of a process that has ended, and the end of the call. */
void listener_replay(struct rpc_call *call, const struct process_end *end);

#endif
