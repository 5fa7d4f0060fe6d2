/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.h - what the verbs of casemate share: exit statuses, complaints, the loop and its signals.
 */
#ifndef API_CLI_CLI_H
#define API_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

/* Exit statuses of our own; any other is the command's. docs/SPECIFICATION.md has the table. */
enum {
	CLI_OK = 0,
	CLI_TIMEOUT = 124,
	CLI_FAILED = 125, /* Casemate itself failed, or the command line is wrong */
	CLI_NOT_EXECUTABLE = 126,
	CLI_NOT_FOUND = 127,
	CLI_SIGNALLED = 128 /* + the signal's number */
};

struct cli {
	const char *socket;
	struct loop *loop;
	int signo;	  /* the last SIGINT, SIGTERM or SIGHUP; 0 = none */
	unsigned signals; /* how many of them */
	bool quiet;	  /* no progress: --json */
	/* Called at each of them, when set: the waiting code below doesn't give up then. */
	void (*on_signal)(int signo, void *arg);
	void *on_signal_arg;
};

/* Prints "casemate: TEXT" with control characters escaped; returns CLI_FAILED. */
int cli_fail(const char *fmt, ...) PRINTF(1, 2);
/* The same, and returns nothing: for what isn't the end. */
void cli_warn(const char *fmt, ...) PRINTF(1, 2);

/* The exit status of what ran until it had an end or was told to: r < 0 is why it failed. */
MUST_USE int cli_end(const struct cli *cli, int r, const struct err *err);

/* One line on standard output; returns the exit status. */
int cli_print_json(const json_t *o);

/* A member of an answer as text that can't do anything to a terminal; "-" when there is none. Lives
 * until the eighth call after this one. */
const char *cli_text(const json_t *o, const char *name);
/* 0 when there is none. */
int64_t cli_number(const json_t *o, const char *name);

/* A verb: argv[0] is its name. Returns the exit status. */
typedef int cli_verb_fn(struct cli *cli, int argc, char **argv);
cli_verb_fn verb_cp;
cli_verb_fn verb_create;
cli_verb_fn verb_doctor;
cli_verb_fn verb_events;
cli_verb_fn verb_exec;
cli_verb_fn verb_fork;
cli_verb_fn verb_image;
cli_verb_fn verb_inspect;
cli_verb_fn verb_key;
cli_verb_fn verb_kill;
cli_verb_fn verb_logs;
cli_verb_fn verb_metrics;
cli_verb_fn verb_net;
cli_verb_fn verb_pause;
cli_verb_fn verb_port;
cli_verb_fn verb_ps;
cli_verb_fn verb_resume;
cli_verb_fn verb_rm;
cli_verb_fn verb_run;
cli_verb_fn verb_snapshot;
cli_verb_fn verb_stats;
cli_verb_fn verb_template;
cli_verb_fn verb_top;
cli_verb_fn verb_wait;

/* Has the text the form of a sandbox id? */
bool cli_id_valid(const char *id);

#endif
