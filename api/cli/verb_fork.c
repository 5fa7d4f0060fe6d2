/* SPDX-License-Identifier: Apache-2.0 */
/* verb_fork.c - casemate fork: sandboxes that go on where a running one is. */
#include <getopt.h>
#include <stdio.h>

#include "api/cli/args.h"
#include "api/cli/call.h"

#define FORK_MS	  180000U /* the daemon has its own limit for each step */
#define COUNT_MAX 64U

static int print_ids(const json_t *answer)
{
	const json_t *list = json_object_get(answer, "sandboxes");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *id = json_string_value(json_object_get(json_array_get(list, i), "id"));
		if (id == NULL || !cli_id_valid(id))
			return cli_fail("fork: the daemon's answer has no ids");
		(void)puts(id);
	}
	return CLI_OK;
}

int verb_fork(struct cli *cli, int argc, char **argv)
{
	uint64_t count = 1;
	bool json = false;
	const struct option_spec list[] = { { "count", 'n', OPTION_NUMBER, &count, 1, COUNT_MAX,
					      NULL },
					    { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = {
		"Usage: casemate fork [-n|--count N] [--json] ID\n"
		"Makes N sandboxes (default 1) that go on where ID is, and prints their ids.",
		list,
		ARRAY_SIZE(list),
		1,
		1,
		false
	};
	int status = args_parse(&args, argc, argv);
	json_t *body, *answer = NULL;
	char path[80];

	if (status != ARGS_GO)
		return status;
	cli->quiet = json;
	body = json_pack("{s:I}", "count", (json_int_t)count);
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/fork", argv[optind]);
	status = call_daemon(cli,
			     &(struct call){ .method = "POST",
					     .path = path,
					     .body = body,
					     .timeout_ms = FORK_MS,
					     .what = "forking it" },
			     &answer);
	if (status == CLI_OK)
		status = json ? cli_print_json(answer) : print_ids(answer);
	json_decref(answer);
	json_decref(body);
	return status;
}
