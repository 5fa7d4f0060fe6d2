/* SPDX-License-Identifier: Apache-2.0 */
/* verb_ps.c - casemate ps: the sandboxes that there are. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "base/clock.h"
#include "base/num.h"

/* In memory it runs for the daemon, and doesn't for people. */
static const char *state_of(const json_t *s)
{
	const char *paused = cli_text(s, "paused");

	if (strcmp(paused, "disk") == 0)
		return "paused (disk)";
	return strcmp(paused, "memory") == 0 ? "paused" : cli_text(s, "state");
}

static void print_row(const json_t *s)
{
	const json_t *jail = json_object_get(s, "jail");
	const int64_t now = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	const int64_t age = (now - cli_number(s, "created_unix_ms")) / 1000;

	(void)printf("%-20s %-13s %5" PRId64 " %6" PRId64 "M %-12.32s %-12.32s %7" PRId64
		     " %7" PRId64 " %6" PRId64 "s\n",
		     cli_text(s, "id"), state_of(s), cli_number(s, "vcpus"),
		     cli_number(s, "memory_bytes") / (int64_t)MIB, cli_text(s, "image"),
		     cli_text(s, "kernel"), cli_number(jail, "pid"), cli_number(jail, "uid"),
		     age < 0 ? 0 : age);
}

static void print_table(const json_t *answer)
{
	const json_t *sandboxes = json_object_get(answer, "sandboxes");

	(void)printf("%-20s %-13s %5s %7s %-12s %-12s %7s %7s %7s\n", "ID", "STATE", "VCPUS",
		     "MEMORY", "IMAGE", "KERNEL", "PID", "UID", "AGE");
	for (size_t i = 0; i < json_array_size(sandboxes); i++)
		print_row(json_array_get(sandboxes, i));
}

int verb_ps(struct cli *cli, int argc, char **argv)
{
	bool json = false, all = false;
	const struct option_spec list[] = { { "all", 'a', OPTION_FLAG, &all, 0, 0, NULL },
					    { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = {
		.help = "Usage: casemate ps [-a|--all] [--json]\n"
			"Lists sandboxes; --all: those too that have ended lately.",
		.list = list,
		.count = ARRAY_SIZE(list)
	};
	int status = args_parse(&args, argc, argv);

	if (status != ARGS_GO)
		return status;
	return call_show(cli, all ? "/v1/sandboxes?all=true" : "/v1/sandboxes", json, print_table);
}
