/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_opts.h - the options of run, create and exec: one table, each option marked with the verbs
 * that take it. Pure but for names in --env, whose values come from our own environment, and for
 * --cpu-template, whose file is read.
 */
#ifndef API_CLI_RUN_OPTS_H
#define API_CLI_RUN_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/cli/filespec.h"
#include "base/compiler.h"
#include "base/err.h"

#define RUN_ENVS_MAX  256U
#define RUN_FILES_MAX 32U

struct json_t; /* jansson.h */

enum run_verb { RUN_VERB_RUN = 1, RUN_VERB_CREATE = 2, RUN_VERB_EXEC = 4 };

struct run_env {
	char *name; /* owned */
	const char *value;
};

struct run_opts {
	uint64_t cpus;	       /* 0 = the daemon's default */
	uint64_t memory_bytes; /* 0 = the daemon's default */
	uint64_t scratch_bytes;
	uint64_t timeout_ms; /* 0 = none */
	const char *cwd;     /* NULL = default; so the others */
	const char *user;
	const char *image;
	const char *snapshot;
	const char *template;
	const char *kernel;
	const char *hostname;
	const char *huge_pages;
	const char *root;
	const char *on_timeout;
	const char *cpuset_cpus;
	const char *cpuset_mems;
	struct json_t *network;	     /* owned; netspec.h; NULL = none */
	struct json_t *cpu_template; /* owned; what was in the file */
	struct run_env envs[RUN_ENVS_MAX];
	size_t envs_count;
	struct filespec *files; /* owned */
	size_t files_count;
	bool interactive;
	bool tty;
	bool json;
	bool keep;
	bool help;
	char **rest; /* what follows the options: the command, or the id and the command */
	size_t rest_count;
};

/* argv[0] is the verb. 0 or -EINVAL and *err; run_opts_done in either case. */
MUST_USE int run_opts_parse(enum run_verb verb, int argc, char **argv, struct run_opts *ret,
			    struct err *err);
void run_opts_done(struct run_opts *o);
/* The help text's lines about the options of a verb, on stdout. */
void run_opts_help(enum run_verb verb);

#endif
