/* SPDX-License-Identifier: Apache-2.0 */
/* verb_fork.c - casemate fork: sandboxes that go on where a running one is. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "api/cli/cli.h"
#include "api/cli/http_client.h"
#include "base/num.h"

#define FORK_MS	  180000U /* the daemon has its own limit for each step */
#define COUNT_MAX 64U

struct fork_opts {
	uint64_t count;
	bool json;
	bool help;
};

/* 0 or CLI_FAILED (said). */
static int parse(int argc, char **argv, struct fork_opts *ret)
{
	static const struct option longs[] = { { "count", required_argument, NULL, 'n' },
					       { "json", no_argument, NULL, 'j' },
					       { "help", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	int c;

	*ret = (struct fork_opts){ .count = 1 };
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:hn:", longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			if (parse_u64(optarg, 1, COUNT_MAX, &ret->count) < 0)
				return cli_fail("fork: --count: \"%.32s\" is not from 1 to %u",
						optarg, COUNT_MAX);
			break;
		case 'j':
			ret->json = true;
			break;
		case 'h':
			ret->help = true;
			break;
		default:
			return cli_fail("fork: %s %.64s; see casemate fork --help",
					c == ':' ? "missing value of" : "unknown option",
					argv[optind - 1]);
		}
	}
	return 0;
}

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

static int fork_it(struct cli *cli, const char *id, const struct fork_opts *o)
{
	json_t *body = json_pack("{s:I}", "count", (json_int_t)o->count), *answer = NULL;
	struct http_client *http = NULL;
	struct err err = { 0 };
	char path[80];
	int r = http_client_open(cli, &http, &err), status;

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/fork", id);
	if (r == 0)
		r = http_client_call(http, "POST", path, body, FORK_MS, &answer, NULL, &err);
	json_decref(body);
	http_client_free(http);
	if (r == -EINTR && cli->signo != 0)
		status = CLI_SIGNALLED + cli->signo;
	else if (r < 0)
		status = cli_fail("%s", err.msg);
	else
		status = o->json ? cli_print_json(answer) : print_ids(answer);
	json_decref(answer);
	return status;
}

int verb_fork(struct cli *cli, int argc, char **argv)
{
	struct fork_opts o;
	int status = parse(argc, argv, &o);

	if (status != 0)
		return status;
	if (o.help) {
		(void)puts("Usage: casemate fork [-n|--count N] [--json] ID\n"
			   "Makes N sandboxes (default 1) that go on where ID is, and prints their "
			   "ids.");
		return CLI_OK;
	}
	if (argc - optind != 1)
		return cli_fail("fork: needs one sandbox; write casemate fork ID");
	if (!cli_id_valid(argv[optind]))
		return cli_fail("sandbox \"%.40s\": not a sandbox id; see casemate ps",
				argv[optind]);
	return fork_it(cli, argv[optind], &o);
}
