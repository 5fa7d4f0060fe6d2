/* SPDX-License-Identifier: Apache-2.0 */
/* verb_key.c - casemate key: API keys for clients on TCP, and whose they are. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "base/num.h"

static const char key_help[] =
	"Usage: casemate key create [OPTION]...\n"
	"       casemate key list [--json]\n"
	"       casemate key revoke ID...\n"
	"Keys for clients that reach casemated over TCP. A key is shown once, when it is made.\n"
	"\n"
	"  --tenant NAME        whose it is: sandboxes belong to tenants, who don't see\n"
	"                       each other's (default local: the operator's)\n"
	"  --label TEXT         a note for the list\n"
	"  --admin              may do what the operator may\n"
	"  --max-sandboxes N    of this tenant at a time (default of a new one: 20)\n"
	"  --max-memory SIZE    of all its sandboxes together (16G)\n"
	"  --max-vcpus N        of all its sandboxes together (40)\n"
	"  --max-rate N         creations a minute (120)\n"
	"  --max-snapshots N    of this tenant (32)\n"
	"  --max-snapshot-bytes SIZE\n"
	"                       of all its snapshots together (16G)\n"
	"  --json               for programs";

static int call(struct cli *cli, const char *method, const char *path, const json_t *body,
		json_t **ret)
{
	return call_daemon(
		cli,
		&(struct call){
			.method = method, .path = path, .body = body, .timeout_ms = CALL_MS },
		ret);
}

/* ---- create -------------------------------------------------------------------------------- */

#define KEY_ID_MAX 32U
#define UNSET	   UINT64_MAX /* more than any of them may be */

struct key_opts {
	const char *tenant, *label;
	bool admin, json;
	uint64_t sandboxes, memory_bytes, vcpus, rate, snapshots, snapshot_bytes;
};

/* What isn't said isn't in it. NULL: no memory. */
static json_t *body_of(const struct key_opts *o)
{
	const struct {
		const char *name;
		uint64_t value;
	} limits[] = {
		{ "sandboxes", o->sandboxes }, { "memory_bytes", o->memory_bytes },
		{ "vcpus", o->vcpus },	       { "creates_per_minute", o->rate },
		{ "snapshots", o->snapshots }, { "snapshot_bytes", o->snapshot_bytes },
	};
	json_t *list = json_object();
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(limits) && r == 0; i++)
		if (limits[i].value != UNSET)
			r = json_object_set_new(list, limits[i].name,
						json_integer((json_int_t)limits[i].value));
	if (r < 0 || json_object_size(list) == 0) {
		json_decref(list);
		list = NULL;
	}
	return r < 0 ? NULL
		     : json_pack("{s:s*, s:s*, s:o*, s:o*}", "tenant", o->tenant, "label", o->label,
				 "admin", o->admin ? json_true() : NULL, "limits", list);
}

static int create(struct cli *cli, const struct key_opts *o)
{
	json_t *body = body_of(o), *answer = NULL;
	int status = body == NULL ? cli_fail("out of memory")
				  : call(cli, "POST", "/v1/keys", body, &answer);

	if (status == CLI_OK && o->json)
		status = cli_print_json(answer);
	else if (status == CLI_OK)
		(void)puts(cli_text(answer, "key"));
	json_decref(body);
	json_decref(answer);
	return status;
}

/* ---- list, revoke -------------------------------------------------------------------------- */

static void print_time(json_int_t unix_ms)
{
	time_t s = (time_t)(unix_ms / 1000);
	char text[32] = "never";
	struct tm tm;

	if (unix_ms != 0 && localtime_r(&s, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
	(void)printf("%-18s", text);
}

static void print_list(const json_t *answer)
{
	json_t *k;
	size_t i;

	(void)printf("%-14s%-18s%-18s%-18s%s\n", "ID", "TENANT", "MADE", "USED", "LABEL");
	json_array_foreach(json_object_get(answer, "keys"), i, k)
	{
		(void)printf("%-14s%-18s", cli_text(k, "id"), cli_text(k, "tenant"));
		print_time(json_integer_value(json_object_get(k, "created_unix_ms")));
		print_time(json_integer_value(json_object_get(k, "used_unix_ms")));
		(void)printf("%s%s\n", cli_text(k, "label"),
			     json_is_true(json_object_get(k, "admin")) ? " (admin)" : "");
	}
}

static int list(struct cli *cli, bool json)
{
	return call_show(cli, "/v1/keys", json, print_list);
}

static bool is_id(const char *s)
{
	return s[0] != '\0' && strlen(s) <= KEY_ID_MAX && s[strspn(s, "0123456789abcdef")] == '\0';
}

static int revoke_keys(struct cli *cli, int count, char **ids)
{
	const struct call_remove all = { "key revoke", "/v1/keys/", "the id of a key",
					 is_id,	       CALL_MS,	    NULL };

	return call_remove(cli, &all, count, ids);
}

int verb_key(struct cli *cli, int argc, char **argv)
{
	struct key_opts o = { .sandboxes = UNSET,
			      .memory_bytes = UNSET,
			      .vcpus = UNSET,
			      .rate = UNSET,
			      .snapshots = UNSET,
			      .snapshot_bytes = UNSET };
	const struct option_spec options[] = {
		{ "tenant", 0, OPTION_TEXT, &o.tenant, 0, 0, NULL },
		{ "label", 0, OPTION_TEXT, &o.label, 0, 0, NULL },
		{ "admin", 0, OPTION_FLAG, &o.admin, 0, 0, NULL },
		{ "max-sandboxes", 0, OPTION_NUMBER, &o.sandboxes, 0, INT64_MAX, NULL },
		{ "max-memory", 0, OPTION_SIZE, &o.memory_bytes, 0, INT64_MAX, NULL },
		{ "max-vcpus", 0, OPTION_NUMBER, &o.vcpus, 0, INT64_MAX, NULL },
		{ "max-rate", 0, OPTION_NUMBER, &o.rate, 0, INT64_MAX, NULL },
		{ "max-snapshots", 0, OPTION_NUMBER, &o.snapshots, 0, INT64_MAX, NULL },
		{ "max-snapshot-bytes", 0, OPTION_SIZE, &o.snapshot_bytes, 0, INT64_MAX, NULL },
		{ "json", 0, OPTION_FLAG, &o.json, 0, 0, NULL },
	};
	const struct args args = {
		key_help, options, ARRAY_SIZE(options), 0, ARGS_MANY, true,
	};
	int status = args_parse(&args, argc, argv);
	const char *verb = status == ARGS_GO && optind < argc ? argv[optind] : "";

	if (status != ARGS_GO)
		return status;
	if (strcmp(verb, "create") == 0 && optind + 1 == argc)
		return create(cli, &o);
	if (strcmp(verb, "list") == 0 && optind + 1 == argc)
		return list(cli, o.json);
	if (strcmp(verb, "revoke") == 0)
		return revoke_keys(cli, argc - optind - 1, argv + optind + 1);
	return cli_fail("key: create, list or revoke; see casemate key --help");
}
