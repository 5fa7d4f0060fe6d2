/* SPDX-License-Identifier: Apache-2.0 */
/* verb_snapshot.c - casemate snapshot: what sandboxes were, kept to begin from. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "base/num.h"

#define NAME_CHARS  "abcdefghijklmnopqrstuvwxyz0123456789._-"
#define TEXT_MAX    64U
#define SNAPSHOT_MS 600000U /* a memory, to a disk; the daemon has its own limits */

static const char help[] =
	"Usage: casemate snapshot create [--name NAME] [--json] ID\n"
	"       casemate snapshot ls [--json]\n"
	"       casemate snapshot rm SNAPSHOT...\n"
	"What a running sandbox is, kept on the disk: memory, processes, open files. It goes on,\n"
	"and casemate create --snapshot makes as many from there as one likes, until it is\n"
	"removed. SNAPSHOT is an id or a name.\n"
	"\n"
	"  --name NAME  what it is called; an older one of this name has it no longer\n"
	"  --json       for programs";

static int create(struct cli *cli, const char *id, const char *name, bool json)
{
	json_t *answer = NULL, *body;
	char path[80];
	int status;

	if (!cli_id_valid(id))
		return cli_fail("snapshot: %.64s: is not the id of a sandbox", id);
	cli->quiet = json;
	body = name == NULL ? NULL : json_pack("{s:s}", "name", name);
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/snapshots", id);
	status = call_daemon(cli,
			     &(struct call){ .method = "POST",
					     .path = path,
					     .body = body,
					     .timeout_ms = SNAPSHOT_MS,
					     .what = "keeping it" },
			     &answer);
	if (status == CLI_OK && json)
		status = cli_print_json(answer);
	else if (status == CLI_OK)
		(void)puts(cli_text(answer, "id"));
	json_decref(answer);
	json_decref(body);
	return status;
}

static void print_row(const json_t *o)
{
	const time_t s = (time_t)(cli_number(o, "created_unix_ms") / 1000);
	char when[32] = "-", size[32];
	struct tm tm;

	if (localtime_r(&s, &tm) != NULL)
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	(void)snprintf(size, sizeof(size), "%" PRId64 " MiB",
		       cli_number(o, "bytes") / (int64_t)MIB);
	(void)printf("%-22s%-18s%-12s%-22s%s\n", cli_text(o, "id"), when, size,
		     cli_text(o, "sandbox"), cli_text(o, "name"));
}

static void print_list(const json_t *answer)
{
	json_t *o;
	size_t i;

	(void)printf("%-22s%-18s%-12s%-22s%s\n", "ID", "MADE", "SIZE", "OF", "NAME");
	json_array_foreach(json_object_get(answer, "snapshots"), i, o)
	{
		print_row(o);
	}
}

static int list(struct cli *cli, bool json)
{
	return call_show(cli, "/v1/snapshots", json, print_list);
}

static bool is_name(const char *s)
{
	return s[0] != '\0' && strlen(s) <= TEXT_MAX && s[strspn(s, NAME_CHARS)] == '\0';
}

static int rm(struct cli *cli, int count, char **names)
{
	const struct call_remove all = { "snapshot rm", "/v1/snapshots/", "an id or a name",
					 is_name,	CALL_MS,	  NULL };

	return call_remove(cli, &all, count, names);
}

int verb_snapshot(struct cli *cli, int argc, char **argv)
{
	const char *name = NULL;
	bool json = false;
	const struct option_spec list_of[] = { { "name", 0, OPTION_TEXT, &name, 0, 0, NULL },
					       { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = { help, list_of, ARRAY_SIZE(list_of), 1, ARGS_MANY, true };
	const int status = args_parse(&args, argc, argv), left = argc - optind - 1;
	const char *verb = status == ARGS_GO ? argv[optind] : "";

	if (status != ARGS_GO)
		return status;
	if (strcmp(verb, "create") == 0 && left != 1)
		return cli_fail("snapshot create: needs one sandbox; "
				"write casemate snapshot create ID");
	if (strcmp(verb, "create") == 0)
		return create(cli, argv[optind + 1], name, json);
	if (strcmp(verb, "ls") == 0 && left == 0)
		return list(cli, json);
	if (strcmp(verb, "rm") == 0)
		return rm(cli, left, argv + optind + 1);
	return cli_fail("snapshot: create, ls or rm; see casemate snapshot --help");
}
