/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/num.h"

#define LONG_BASE   256
#define VAL_HELP    'h'
#define VAL_VERSION 'v'

/* The largest unit that ms is a whole number of. */
static const char *unit_of(uint64_t ms, uint64_t *ret_count)
{
	static const struct {
		uint64_t ms;
		const char *name;
	} units[] = { { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
	size_t i = 0;

	while (ms % units[i].ms != 0)
		i++;
	*ret_count = ms / units[i].ms;
	return units[i].name;
}

static int set_time(const struct option_spec *o, const char *arg, struct err *err)
{
	uint64_t ms, most;
	const char *unit;

	if (parse_duration_ms(arg, o->max, &ms) == 0 && ms >= o->min) {
		*(uint64_t *)o->dst = ms;
		return 0;
	}
	unit = unit_of(o->max, &most);
	return err_set(err, -EINVAL,
		       "--%s: \"%.32s\" is not a time such as 500ms, 2s, 5m or 1h, at most %" PRIu64
		       "%s",
		       o->name, arg, most, unit);
}

int option_set(const struct option_spec *o, const char *arg, struct err *err)
{
	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)o->dst = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)o->dst = arg;
		return 0;
	case OPTION_NUMBER:
		if (parse_u64(arg, o->min, o->max, o->dst) == 0)
			return 0;
		return err_set(err, -EINVAL, "--%s: \"%.32s\" is not from %" PRIu64 " to %" PRIu64,
			       o->name, arg, o->min, o->max);
	case OPTION_SIZE:
		if (parse_size(arg, o->min, o->max, o->dst) == 0)
			return 0;
		return err_set(err, -EINVAL, "--%s: \"%.32s\" is not a size such as 512M, in range",
			       o->name, arg);
	case OPTION_TIME:
		return set_time(o, arg, err);
	case OPTION_LEVEL:
		if (log_level_parse(arg, o->dst) == 0)
			return 0;
		return err_set(err, -EINVAL, "--%s: \"%.32s\" is not error, warn, info or debug",
			       o->name, arg);
	case OPTION_OWN:
		return o->set(arg, o->dst, err);
	}
	BUG("not a kind of option");
}

static void describe(const struct option_spec *list, size_t count,
		     struct option longs[OPTIONS_MAX + 3])
{
	BUG_ON(count > OPTIONS_MAX);
	for (size_t i = 0; i < count; i++)
		longs[i] = (struct option){ .name = list[i].name,
					    .has_arg = list[i].kind != OPTION_FLAG,
					    .val = LONG_BASE + (int)i };
	longs[count] = (struct option){ .name = "help", .val = VAL_HELP };
	longs[count + 1] = (struct option){ .name = "version", .val = VAL_VERSION };
	longs[count + 2] = (struct option){ .name = NULL };
}

int options_read(int argc, char **argv, const struct option_spec *list, size_t count,
		 const char *help, const char *version, struct err *err)
{
	struct option longs[OPTIONS_MAX + 3];
	int c, r = 0;

	describe(list, count, longs);
	optind = 0; /* glibc: from the start again */
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		if (c == ':' || c == '?')
			return err_set(err, -EINVAL, "%.64s: %s; try --help", argv[optind - 1],
				       c == ':' ? "needs a value" : "unknown option");
		if (c == VAL_HELP || c == VAL_VERSION) {
			(void)fputs(c == VAL_HELP ? help : version, stdout);
			return OPTIONS_DONE;
		}
		r = option_set(&list[c - LONG_BASE], optarg, err);
	}
	if (r == 0 && optind < argc)
		return err_set(err, -EINVAL, "%.64s: unexpected argument; try --help",
			       argv[optind]);
	return r;
}
