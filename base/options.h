/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the loop over a daemon's command line: long options only, getopt_long(3). */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <getopt.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * Takes one option: id is .val of its struct option, arg its value or NULL. 0 to go on; anything
 * else ends the loop, with *err if it is negative.
 */
typedef int options_take_fn(int id, const char *arg, void *dst, struct err *err);

/*
 * Calls take for each option of argv, which may be parsed more than once. longs ends with zeros. 0;
 * what take returned; or -EINVAL and *err for an option that there isn't, one without its value,
 * and an argument that is no option.
 */
MUST_USE int options_each(int argc, char **argv, const struct option *longs, options_take_fn *take,
			  void *dst, struct err *err);

#endif
