/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - a command line as a table: what each option is called, what its value is, and where
 * it goes. Uses getopt_long(3): one at a time.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define OPTIONS_DONE 1 /* --help or --version has been served */
#define OPTIONS_MAX  32U

enum option_kind {
	OPTION_FLAG,   /* bool * */
	OPTION_TEXT,   /* const char **, borrowed from argv */
	OPTION_NUMBER, /* uint64_t *, min to max */
	OPTION_SIZE,   /* uint64_t *, bytes, min to max */
	OPTION_TIME,   /* uint64_t *, milliseconds, min to max */
	OPTION_LEVEL,  /* enum log_level * */
	OPTION_OWN,    /* set(arg, dst, err), below */
};

/* Any other value: 0, or -errno and *err, which begins with the option's name. */
typedef int option_set_fn(const char *arg, void *dst, struct err *err);

struct option_spec {
	const char *name; /* without the hyphens */
	char letter;	  /* the short form; 0 = none */
	enum option_kind kind;
	void *dst; /* set when the option is there and good, else left alone */
	uint64_t min, max;
	option_set_fn *set;
};

/* Puts an option's value where it belongs. 0, or -errno and *err ("--pool: \"x\" is not ..."). */
MUST_USE int option_set(const struct option_spec *o, const char *arg, struct err *err);

/*
 * A daemon's command line: long options of the table's, --help and --version, which print the text
 * of theirs, and nothing else. argv may be parsed more than once. 0, OPTIONS_DONE, or -errno and
 * *err: for what option_set refuses, an option that there isn't, one without its value, and an
 * argument that is no option.
 */
MUST_USE int options_read(int argc, char **argv, const struct option_spec *list, size_t count,
			  const char *help, const char *version, struct err *err);

#endif
