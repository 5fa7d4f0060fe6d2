/* SPDX-License-Identifier: Apache-2.0 */
/* verb_rm.c - casemate rm, and kill, which is the same: a sandbox has no life after its end. */
#include <getopt.h>
#include <stdio.h>

#include "api/cli/args.h"
#include "api/cli/call.h"

#define RM_MS 35000U /* the daemon waits 30 s for the jailer */

static int remove_one(struct cli *cli, const char *id)
{
	char path[80];

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s", id);
	return call_daemon(cli,
			   &(struct call){ .method = "DELETE",
					   .path = path,
					   .timeout_ms = RM_MS,
					   .what = "waiting until nothing is left" },
			   NULL);
}

static int run(struct cli *cli, int argc, char **argv, const char *help)
{
	bool json = false;
	const struct option_spec list[] = { { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = { help, list, ARRAY_SIZE(list), 1, ARGS_MANY, false };
	int status = args_parse(&args, argc, argv);
	json_t *removed;

	if (status != ARGS_GO)
		return status;
	status = CLI_OK;
	removed = json_array();
	cli->quiet = json;
	for (int i = optind; i < argc && cli->signo == 0; i++) {
		int r = remove_one(cli, argv[i]);
		if (r != CLI_OK)
			status = r;
		else
			(void)json_array_append_new(removed, json_string(argv[i]));
	}
	if (json) {
		json_t *o = json_pack("{s:O}", "removed", removed);
		if (cli_print_json(o) != CLI_OK)
			status = CLI_FAILED;
		json_decref(o);
	}
	json_decref(removed);
	return status;
}

int verb_rm(struct cli *cli, int argc, char **argv)
{
	return run(cli, argc, argv,
		   "Usage: casemate rm [--json] ID...\n"
		   "Ends sandboxes, and waits until they are gone.");
}

int verb_kill(struct cli *cli, int argc, char **argv)
{
	return run(cli, argc, argv,
		   "Usage: casemate kill [--json] ID...\n"
		   "Ends sandboxes, and waits until they are gone: another name of rm.");
}
