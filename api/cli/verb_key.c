/* SPDX-License-Identifier: Apache-2.0 */
/* verb_key.c - casemate key: API keys for clients on TCP, and whose they are. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/cli/call.h"
#include "base/num.h"

static int key_help(void)
{
	(void)puts(
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
		"  --json               for programs");
	return CLI_OK;
}

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

/* Adds a limit to body's: 0 or CLI_FAILED (said). */
static int add_limit(json_t *body, const char *option, const char *name, const char *text,
		     bool size)
{
	json_t *limits = json_object_get(body, "limits");
	uint64_t n;
	int r = size ? parse_size(text, 0, INT64_MAX, &n) : parse_u64(text, 0, INT64_MAX, &n);

	if (r < 0)
		return cli_fail("key: --%s: \"%.32s\" is not a number", option, text);
	if (limits == NULL) {
		limits = json_object();
		(void)json_object_set_new(body, "limits", limits);
	}
	(void)json_object_set_new(limits, name, json_integer((json_int_t)n));
	return 0;
}

#define KEY_ID_MAX 32U

struct key_opts {
	json_t *body;
	bool json;
	bool help;
};

static int take(int c, const char *arg, struct key_opts *o)
{
	switch (c) {
	case 't':
		(void)json_object_set_new(o->body, "tenant", json_string(arg));
		return 0;
	case 'l':
		(void)json_object_set_new(o->body, "label", json_string(arg));
		return 0;
	case 'a':
		(void)json_object_set_new(o->body, "admin", json_true());
		return 0;
	case 's':
		return add_limit(o->body, "max-sandboxes", "sandboxes", arg, false);
	case 'm':
		return add_limit(o->body, "max-memory", "memory_bytes", arg, true);
	case 'v':
		return add_limit(o->body, "max-vcpus", "vcpus", arg, false);
	case 'r':
		return add_limit(o->body, "max-rate", "creates_per_minute", arg, false);
	case 'n':
		return add_limit(o->body, "max-snapshots", "snapshots", arg, false);
	case 'b':
		return add_limit(o->body, "max-snapshot-bytes", "snapshot_bytes", arg, true);
	case 'j':
		o->json = true;
		return 0;
	default:
		o->help = true;
		return 0;
	}
}

/* 0 or CLI_FAILED (said). */
static int parse(int argc, char **argv, struct key_opts *o)
{
	static const struct option longs[] = {
		{ "tenant", required_argument, NULL, 't' },
		{ "label", required_argument, NULL, 'l' },
		{ "admin", no_argument, NULL, 'a' },
		{ "max-sandboxes", required_argument, NULL, 's' },
		{ "max-memory", required_argument, NULL, 'm' },
		{ "max-vcpus", required_argument, NULL, 'v' },
		{ "max-rate", required_argument, NULL, 'r' },
		{ "max-snapshots", required_argument, NULL, 'n' },
		{ "max-snapshot-bytes", required_argument, NULL, 'b' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c, r = 0;

	optind = 0;
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return cli_fail("key: %.64s: unknown, or without its value; see casemate "
					"key --help",
					argv[optind - 1]);
		r = take(c, optarg, o);
	}
	return r;
}

static int create(struct cli *cli, const struct key_opts *o)
{
	json_t *answer = NULL;
	int status = call(cli, "POST", "/v1/keys", o->body, &answer);

	if (status == CLI_OK && o->json)
		status = cli_print_json(answer);
	else if (status == CLI_OK)
		(void)puts(cli_text(answer, "key"));
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
	struct key_opts o = { .body = json_object() };
	const char *verb;
	int status;

	if (o.body == NULL)
		return cli_fail("out of memory");
	status = parse(argc, argv, &o);
	verb = status == CLI_OK && optind < argc ? argv[optind] : "";
	if (status != CLI_OK)
		;
	else if (o.help)
		status = key_help();
	else if (strcmp(verb, "create") == 0 && optind + 1 == argc)
		status = create(cli, &o);
	else if (strcmp(verb, "list") == 0 && optind + 1 == argc)
		status = list(cli, o.json);
	else if (strcmp(verb, "revoke") == 0)
		status = revoke_keys(cli, argc - optind - 1, argv + optind + 1);
	else
		status = cli_fail("key: create, list or revoke; see casemate key --help");
	json_decref(o.body);
	return status;
}
