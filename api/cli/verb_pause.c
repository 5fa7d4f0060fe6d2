/* SPDX-License-Identifier: Apache-2.0 */
/* verb_pause.c - casemate pause and resume. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "api/cli/cli.h"
#include "api/cli/http_client.h"

#define PAUSE_MS 600000U /* a memory, to or from a disk; the daemon has its own limits */

struct pause_opts {
	bool disk, memory, json, help;
};

/* 0 or CLI_FAILED (said). keep: --disk and --memory are known. */
static int parse(int argc, char **argv, bool keep, struct pause_opts *ret)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
					       { "help", no_argument, NULL, 'h' },
					       { "disk", no_argument, NULL, 'd' },
					       { "memory", no_argument, NULL, 'm' },
					       { NULL, 0, NULL, 0 } };
	int c;

	*ret = (struct pause_opts){ 0 };
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+h", longs, NULL)) != -1) {
		if (c == '?' || (!keep && (c == 'd' || c == 'm')))
			return cli_fail("%s: unknown option %.64s; see casemate %s --help", argv[0],
					argv[optind - 1], argv[0]);
		ret->json = ret->json || c == 'j';
		ret->help = ret->help || c == 'h';
		ret->disk = ret->disk || c == 'd';
		ret->memory = ret->memory || c == 'm';
	}
	if (ret->disk && ret->memory)
		return cli_fail("%s: --disk and --memory exclude each other", argv[0]);
	return 0;
}

static int call(struct cli *cli, const char *verb, const char *id, const struct pause_opts *o)
{
	json_t *body = NULL, *answer = NULL;
	struct http_client *http = NULL;
	struct err err = { 0 };
	char path[80];
	int r = http_client_open(cli, &http, &err), status = CLI_OK;

	if (o->disk || o->memory)
		body = json_pack("{s:b}", "disk", o->disk ? 1 : 0);
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/%s", id, verb);
	if (r == 0)
		r = http_client_call(http, "POST", path, body, PAUSE_MS, &answer, NULL, &err);
	json_decref(body);
	http_client_free(http);
	if (r == -EINTR && cli->signo != 0)
		status = CLI_SIGNALLED + cli->signo;
	else if (r < 0)
		status = cli_fail("%s", err.msg);
	else if (o->json)
		status = cli_print_json(answer);
	json_decref(answer);
	return status;
}

static int run(struct cli *cli, int argc, char **argv, bool keep, const char *help)
{
	struct pause_opts o;
	int status = parse(argc, argv, keep, &o);

	if (status != 0)
		return status;
	if (o.help) {
		(void)puts(help);
		return CLI_OK;
	}
	if (argc - optind != 1)
		return cli_fail("%s: needs one sandbox; write casemate %s ID", argv[0], argv[0]);
	if (!cli_id_valid(argv[optind]))
		return cli_fail("sandbox \"%.40s\": not a sandbox id; see casemate ps",
				argv[optind]);
	return call(cli, argv[0], argv[optind], &o);
}

int verb_pause(struct cli *cli, int argc, char **argv)
{
	return run(
		cli, argc, argv, true,
		"Usage: casemate pause [--disk|--memory] [--json] ID\n"
		"Stops a sandbox where it is. --disk: its memory goes to a file of the host's and "
		"is\ngiven back; --memory: it stays. By default the disk, where that is possible.");
}

int verb_resume(struct cli *cli, int argc, char **argv)
{
	return run(cli, argc, argv, false,
		   "Usage: casemate resume [--json] ID\nLets a paused sandbox go on.");
}
