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

#include "base/compiler.h"
#include "base/options.h"

#define ARGS_GO	  (-1) /* not an exit status */
#define ARGS_MAX  12U
#define ARGS_MANY 1000000

struct args {
	const char *help; /* its first line begins with "Usage: casemate VERB" */
	const struct option_spec *list;
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
