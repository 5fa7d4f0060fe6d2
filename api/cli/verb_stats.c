/* SPDX-License-Identifier: Apache-2.0 */
/* verb_stats.c - casemate stats: what sandboxes use at this moment. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "api/cli/usage_table.h"

/* Leaves those that argv names; 0 or CLI_FAILED (said). */
static int keep_named(json_t *answer, char **ids, int count)
{
	json_t *list = json_object_get(answer, "sandboxes"), *kept = json_array(), *one;
	int status = CLI_OK;
	size_t at;

	for (int i = 0; i < count; i++) {
		bool found = false;
		json_array_foreach(list, at, one)
		{
			if (strcmp(cli_text(one, "id"), ids[i]) != 0)
				continue;
			found = true;
			(void)json_array_append(kept, one);
		}
		if (!found)
			status = cli_fail("sandbox %s: is not running", ids[i]);
	}
	(void)json_object_set_new(answer, "sandboxes", kept);
	return status;
}

int verb_stats(struct cli *cli, int argc, char **argv)
{
	bool json = false;
	const struct option_spec list[] = { { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = {
		"Usage: casemate stats [--json] [ID...]\n"
		"Shows what sandboxes use, as the host's kernel counts it: all that run, or these.",
		list,
		ARRAY_SIZE(list),
		0,
		ARGS_MANY,
		false
	};
	int status = args_parse(&args, argc, argv);
	json_t *answer = NULL;

	if (status != ARGS_GO)
		return status;
	status = call_get(cli, "/v1/usage", &answer);
	if (status == CLI_OK && optind < argc)
		status = keep_named(answer, argv + optind, argc - optind);
	if (answer != NULL && json && cli_print_json(answer) != CLI_OK)
		status = CLI_FAILED;
	if (answer != NULL && !json)
		usage_table_print(stdout, answer, 0, 0, "\n");
	json_decref(answer);
	return status;
}
