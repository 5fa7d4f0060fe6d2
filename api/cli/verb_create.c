/* SPDX-License-Identifier: Apache-2.0 */
/* verb_create.c - casemate create: a sandbox that outlives this process. */
#include <errno.h>
#include <stdio.h>

#include "api/cli/cli.h"
#include "api/cli/run_opts.h"
#include "api/cli/session.h"

static int create_help(void)
{
	(void)puts(
		"Usage: casemate create [OPTION]...\n"
		"Makes a sandbox and prints its id. With --timeout it ends, or is paused, by itself.\n");
	run_opts_help(RUN_VERB_CREATE);
	return CLI_OK;
}

static int create(struct cli *cli, const struct run_opts *o)
{
	struct err err = { 0 };
	json_t *info = NULL;
	struct session s;
	int status = CLI_OK, r;

	cli->quiet = o->json;
	session_init(&s, cli);
	r = session_create(&s, o, false, true, &info, &err);
	if (r == -EINTR && cli->signo != 0)
		status = CLI_SIGNALLED + cli->signo;
	else if (r < 0)
		status = cli_fail("%s", err.msg);
	else if (o->json)
		status = cli_print_json(info);
	else
		(void)puts(s.id);
	json_decref(info);
	session_done(&s);
	return status;
}

int verb_create(struct cli *cli, int argc, char **argv)
{
	struct err err = { 0 };
	struct run_opts o;
	int r = run_opts_parse(RUN_VERB_CREATE, argc, argv, &o, &err), status;

	if (r < 0)
		status = cli_fail("%s", err.msg);
	else if (o.help)
		status = create_help();
	else if (o.rest_count > 0)
		status = cli_fail(
			"create: unexpected argument \"%.64s\"; see casemate create --help",
			o.rest[0]);
	else
		status = create(cli, &o);
	run_opts_done(&o);
	return status;
}
