/* SPDX-License-Identifier: Apache-2.0 */
/* options_parse.h - a daemon's options_parse() of some words, for the test of each. Included behind
 * its options.h. */
#ifndef TESTS_UNIT_OPTIONS_PARSE_H
#define TESTS_UNIT_OPTIONS_PARSE_H

#include <criterion/criterion.h>

#include "base/err.h"

/* args ends with NULL. What options_parse returns; a refusal has a reason, and nothing else does.
 */
static int parse(struct options *o, const char *const *args)
{
	char *argv[48] = { (char *)(uintptr_t) "program" };
	struct err err = { 0 };
	int argc = 1, r;

	for (; *args != NULL; args++)
		argv[argc++] = (char *)(uintptr_t)*args;
	r = options_parse(argc, argv, o, &err);
	cr_assert_eq(r < 0, err.msg[0] != '\0');
	return r;
}
#define PARSE(o, ...)	 parse(o, (const char *const[]){ __VA_ARGS__, NULL })
#define PARSE_NOTHING(o) parse(o, (const char *const[]){ NULL })

#endif
