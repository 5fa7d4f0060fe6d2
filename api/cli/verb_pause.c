/* SPDX-License-Identifier: Apache-2.0 */
/* verb_pause.c - casemate pause and resume. */
#include <getopt.h>
#include <stdio.h>

#include "api/cli/args.h"
#include "api/cli/call.h"

#define PAUSE_MS 600000U /* a memory, to or from a disk; the daemon has its own limits */

static int call(struct cli *cli, const char *verb, const char *id, json_t *body, const char *what,
		bool json)
{
	json_t *answer = NULL;
	char path[80];
	int status;

	cli->quiet = json;
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/%s", id, verb);
	status = call_daemon(cli,
			     &(struct call){ .method = "POST",
					     .path = path,
					     .body = body,
					     .timeout_ms = PAUSE_MS,
					     .what = what },
			     &answer);
	if (status == CLI_OK && json)
		status = cli_print_json(answer);
	json_decref(answer);
	json_decref(body);
	return status;
}

int verb_pause(struct cli *cli, int argc, char **argv)
{
	bool disk = false, memory = false, files = false, json = false;
	const struct option_spec list[] = { { "disk", 0, OPTION_FLAG, &disk, 0, 0, NULL },
					    { "memory", 0, OPTION_FLAG, &memory, 0, 0, NULL },
					    { "files", 0, OPTION_FLAG, &files, 0, 0, NULL },
					    { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = {
		"Usage: casemate pause [--disk|--memory|--files] [--json] ID\n"
		"Stops a sandbox where it is. --disk: its memory goes to a file of the host's and "
		"is\ngiven back; --memory: it stays. By default the disk, where that is possible.\n"
		"--files: its scratch disk is kept and no memory, and resume boots it.",
		list,
		ARRAY_SIZE(list),
		1,
		1,
		false
	};
	int status = args_parse(&args, argc, argv);
	json_t *body = NULL;

	if (status != ARGS_GO)
		return status;
	if ((disk && memory) || (files && (disk || memory)))
		return cli_fail("pause: --disk, --memory and --files exclude each other");
	if (files)
		body = json_pack("{s:b}", "memory", 0);
	else if (disk || memory)
		body = json_pack("{s:b}", "disk", disk ? 1 : 0);
	return call(cli, "pause", argv[optind], body, "pausing it", json);
}

int verb_resume(struct cli *cli, int argc, char **argv)
{
	bool json = false;
	const struct option_spec list[] = { { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = {
		"Usage: casemate resume [--json] ID\nLets a paused sandbox go on.",
		list,
		ARRAY_SIZE(list),
		1,
		1,
		false
	};
	int status = args_parse(&args, argc, argv);

	if (status != ARGS_GO)
		return status;
	return call(cli, "resume", argv[optind], NULL, "resuming it", json);
}
