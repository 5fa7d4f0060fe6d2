/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/args.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/bug.h"
#include "base/num.h"

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
		const struct arg *o = &a->list[i];
		longs[i + 1] = (struct option){ .name = o->name,
						.has_arg = o->kind != ARG_FLAG,
						.val = LONG_BASE + (int)i };
		if (o->letter == 0)
			continue;
		shorts[s++] = o->letter;
		if (o->kind != ARG_FLAG)
			shorts[s++] = ':';
	}
	longs[a->count + 1] = (struct option){ .name = NULL };
	shorts[s] = '\0';
}

static const struct arg *find(const struct args *a, int c)
{
	if (c >= LONG_BASE)
		return &a->list[c - LONG_BASE];
	for (size_t i = 0; i < a->count; i++)
		if (a->list[i].letter == c)
			return &a->list[i];
	BUG("getopt returned what it wasn't given");
}

/* 0 or CLI_FAILED (said). */
static int set(const struct arg *o, const char *verb, const char *text)
{
	switch (o->kind) {
	case ARG_FLAG:
		*(bool *)o->dst = true;
		return 0;
	case ARG_TEXT:
		*(const char **)o->dst = text;
		return 0;
	case ARG_NUMBER:
		if (parse_u64(text, o->min, o->max, o->dst) == 0)
			return 0;
		return cli_fail("%s: --%s: \"%.32s\" is not from %llu to %llu", verb, o->name, text,
				(unsigned long long)o->min, (unsigned long long)o->max);
	case ARG_TIME:
		if (parse_duration_ms(text, o->max, o->dst) == 0 && *(uint64_t *)o->dst > 0)
			return 0;
		return cli_fail("%s: --%s: \"%.32s\" is not a time such as 500ms, 2s, 5m or 1h",
				verb, o->name, text);
	}
	BUG("not a kind of option");
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
		if (set(find(a, c), argv[0], optarg) != 0)
			return CLI_FAILED;
	}
	return check_rest(a, argc, argv);
}
