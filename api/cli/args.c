/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/args.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/bug.h"

#define LONG_BASE 256

static void describe(const struct args *a, struct option longs[ARGS_MAX + 2],
		     char shorts[2 * ARGS_MAX + 3])
{
	size_t s = 0;

	BUG_ON(a->count > ARGS_MAX);
	shorts[s++] = ':';
	shorts[s++] = 'h';
	longs[0] = (struct option){ .name = "help", .val = 'h' };
	for (size_t i = 0; i < a->count; i++) {
		const struct option_spec *o = &a->list[i];
		longs[i + 1] = (struct option){ .name = o->name,
						.has_arg = o->kind != OPTION_FLAG,
						.val = LONG_BASE + (int)i };
		if (o->letter == 0)
			continue;
		shorts[s++] = o->letter;
		if (o->kind != OPTION_FLAG)
			shorts[s++] = ':';
	}
	longs[a->count + 1] = (struct option){ .name = NULL };
	shorts[s] = '\0';
}

static const struct option_spec *find(const struct args *a, int c)
{
	if (c >= LONG_BASE)
		return &a->list[c - LONG_BASE];
	for (size_t i = 0; i < a->count; i++)
		if (a->list[i].letter == c)
			return &a->list[i];
	BUG("getopt returned what it wasn't given");
}

static int check_rest(const struct args *a, int argc, char **argv)
{
	const char *verb = argv[0];
	const int n = argc - optind;

	if (n < a->min && !a->free)
		return cli_fail("%s: needs %s; write casemate %s ID%s", verb,
				a->max == 1 ? "one sandbox" : "a sandbox", verb,
				a->max == 1 ? "" : "...");
	if (n < a->min)
		return cli_fail("%s: an argument is missing; see casemate %s --help", verb, verb);
	if (n > a->max)
		return cli_fail("%s: unexpected argument \"%.64s\"; see casemate %s --help", verb,
				argv[optind + a->max], verb);
	for (int i = optind; i < argc && !a->free; i++)
		if (!cli_id_valid(argv[i]))
			return cli_fail("sandbox \"%.40s\": not a sandbox id; see casemate ps",
					argv[i]);
	return ARGS_GO;
}

int args_parse(const struct args *a, int argc, char **argv)
{
	struct option longs[ARGS_MAX + 2];
	char shorts[2 * ARGS_MAX + 3];
	struct err err = { 0 };
	int c;

	describe(a, longs, shorts);
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == 'h') {
			(void)puts(a->help);
			return CLI_OK;
		}
		if (c == ':' || c == '?')
			return cli_fail("%s: %s %.64s; see casemate %s --help", argv[0],
					c == ':' ? "missing value of" : "unknown option",
					argv[optind - 1], argv[0]);
		if (option_set(find(a, c), optarg, &err) < 0)
			return cli_fail("%s: %s", argv[0], err.msg);
	}
	return check_rest(a, argc, argv);
}
