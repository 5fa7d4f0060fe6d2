/* SPDX-License-Identifier: Apache-2.0 */
/* verb_events.c - casemate events: what happens to sandboxes from now on. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/cli/args.h"
#include "api/cli/cli.h"
#include "api/cli/events.h"

struct printer {
	bool json;
};

static int print_event(const json_t *o, const char *kind, void *arg)
{
	const struct printer *p = arg;
	const int64_t ms = cli_number(o, "unix_ms");
	const time_t s = (time_t)(ms / 1000);
	char text[32] = "-";
	struct tm tm;

	if (p->json)
		return cli_print_json(o) == CLI_OK && fflush(stdout) == 0 ? 0 : -1;
	if (strcmp(kind, "lost") == 0) {
		(void)printf("%" PRId64 " events were lost\n", cli_number(o, "events"));
	} else {
		if (localtime_r(&s, &tm) != NULL)
			(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
		(void)printf("%s.%03d  %-20s  %-9s  %s\n", text, (int)(ms % 1000),
			     cli_text(o, "id"), cli_text(o, "state"), cli_text(o, "reason"));
	}
	return fflush(stdout) == 0 ? 0 : -1;
}

int verb_events(struct cli *cli, int argc, char **argv)
{
	struct printer p = { 0 };
	const struct option_spec list[] = { { "json", 0, OPTION_FLAG, &p.json, 0, 0, NULL } };
	const struct args args = {
		.help = "Usage: casemate events [--json]\n"
			"Prints what happens to sandboxes, from now on until it is "
			"interrupted.",
		.list = list,
		.count = ARRAY_SIZE(list)
	};
	const struct events_ops ops = { .event = print_event, .arg = &p };
	struct err err = { 0 };
	int status = args_parse(&args, argc, argv), r;

	if (status != ARGS_GO)
		return status;
	r = events_listen(cli, &ops, &err);
	return cli_end(cli, r, &err);
}
