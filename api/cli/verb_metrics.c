/* SPDX-License-Identifier: Apache-2.0 */
/* verb_metrics.c - casemate metrics: what a sandbox's VMM has counted. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/cli/args.h"
#include "api/cli/call.h"

static void print_metrics(const json_t *answer)
{
	json_t *list = json_object_get(answer, "metrics"), *value;
	const char *name;

	/* The daemon has checked them; our terminal is still not theirs. */
	json_object_foreach(
		list, name,
		value) if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.")] ==
			   '\0')(void)
		printf("%-40s %" PRId64 "\n", name, (int64_t)json_integer_value(value));
}

int verb_metrics(struct cli *cli, int argc, char **argv)
{
	bool json = false;
	const struct option_spec list[] = { { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = { "Usage: casemate metrics [--json] ID\n"
				   "Shows what the sandbox's VMM has counted since its start.",
				   list,
				   ARRAY_SIZE(list),
				   1,
				   1,
				   false };
	char path[128];
	int status = args_parse(&args, argc, argv);

	if (status != ARGS_GO)
		return status;
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/metrics", argv[optind]);
	return call_show(cli, path, json, print_metrics);
}
