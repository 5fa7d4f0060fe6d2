/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args.h - the command line of a verb without a command for the guest: a table of its options, one
 * way to read it. Options may stand behind what they belong to; "--" ends them. run, create and
 * exec have run_opts.h.
 */
#ifndef API_CLI_ARGS_H
#define API_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define ARGS_GO	  (-1) /* not an exit status */
#define ARGS_MAX  8U
#define ARGS_MANY 1000000

enum arg_kind {
	ARG_FLAG,   /* bool * */
	ARG_TEXT,   /* const char **, borrowed from argv */
	ARG_NUMBER, /* uint64_t *, min to max */
	ARG_TIME,   /* uint64_t *, milliseconds, 1 to max */
};

struct arg {
	const char *name;
	char letter; /* the short form; 0 = none */
	enum arg_kind kind;
	void *dst; /* set when the option is there, else left alone */
	uint64_t min, max;
};

struct args {
	const char *help; /* its first line begins with "Usage: casemate VERB" */
	const struct arg *list;
	size_t count;
	/* How many sandboxes' ids follow; anything else when `free` is set. */
	int min, max;
	bool free;
};

/*
 * ARGS_GO, and optind is the first of what follows; else the exit status: it has printed the help,
 * or said what is wrong. Uses getopt: one at a time.
 */
MUST_USE int args_parse(const struct args *a, int argc, char **argv);

#endif
