/* SPDX-License-Identifier: Apache-2.0 */
/* verb_inspect.c - casemate inspect: what the kernel says about a sandbox's jail. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "api/cli/http_client.h"
#include "base/log.h"

#define CALL_MS 5000U

/* Text from afar: not for a terminal as is. */
static const char *shown(const char *s)
{
	static char text[4][256];
	static unsigned at;
	char *dst = text[at++ % 4];

	(void)log_escape(dst, sizeof(text[0]), s == NULL ? "-" : s, s == NULL ? 1 : strlen(s));
	return dst;
}

static const char *member(const json_t *o, const char *name)
{
	return shown(json_string_value(json_object_get(o, name)));
}

static int64_t number(const json_t *o, const char *name)
{
	return (int64_t)json_integer_value(json_object_get(o, name));
}

static void print_facts(const char *title, json_t *o)
{
	const char *name;
	json_t *value;

	(void)printf("%s\n", title);
	json_object_foreach(o, name, value)(void)
		printf("  %-26s %s\n", shown(name), shown(json_string_value(value)));
}

static void print_namespaces(json_t *o)
{
	const char *name;
	json_t *n;

	(void)puts("namespaces");
	json_object_foreach(o, name, n)
	{
		int64_t inode = number(n, "inode");
		(void)printf("  %-26s %" PRId64 " %s\n", shown(name), inode,
			     inode == 0				? "(could not be read)"
			     : inode == number(n, "host_inode") ? "(the host's)"
								: "");
	}
}

static void print_lists(const json_t *threads, const json_t *fds)
{
	(void)puts("threads: seccomp mode and filters");
	for (size_t i = 0; i < json_array_size(threads); i++) {
		const json_t *t = json_array_get(threads, i);
		(void)printf("  %-7" PRId64 " %-18s %" PRId64 " %" PRId64 "\n", number(t, "tid"),
			     member(t, "name"), number(t, "seccomp_mode"),
			     number(t, "seccomp_filters"));
	}
	(void)puts("descriptors");
	for (size_t i = 0; i < json_array_size(fds); i++) {
		const json_t *d = json_array_get(fds, i);
		(void)printf("  %-7" PRId64 " %-18s %s\n", number(d, "number"), member(d, "kind"),
			     member(d, "mode"));
	}
}

static void print_text(const json_t *o)
{
	(void)printf("pid    %" PRId64 "\nlabel  %s\n", number(o, "pid"), member(o, "label"));
	print_facts("process", json_object_get(o, "status"));
	print_namespaces(json_object_get(o, "namespaces"));
	(void)printf("cgroup %s\n", member(o, "cgroup_path"));
	print_facts("cgroup limits", json_object_get(o, "cgroup"));
	print_facts("resource limits: soft, hard, unit", json_object_get(o, "rlimits"));
	print_lists(json_object_get(o, "threads"), json_object_get(o, "descriptors"));
	(void)puts("Landlock  the kernel does not show it; casemate logs --vmm tells its version");
}

static int inspect(struct cli *cli, const char *id, bool json)
{
	struct http_client *http = NULL;
	struct err err = { 0 };
	json_t *answer = NULL;
	char path[80], *text;
	int r = http_client_open(cli, &http, &err);

	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/jail", id);
	if (r == 0)
		r = http_client_call(http, "GET", path, NULL, CALL_MS, &answer, NULL, &err);
	http_client_free(http);
	if (r < 0)
		return cli_fail("%s", err.msg);
	if (json) {
		text = json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII);
		(void)puts(text == NULL ? "{}" : text);
		free(text);
	} else {
		print_text(answer);
	}
	json_decref(answer);
	return CLI_OK;
}

int verb_inspect(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
					       { "help", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	bool json = false;
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+h", longs, NULL)) != -1) {
		if (c == 'h') {
			(void)puts(
				"Usage: casemate inspect [--json] ID\n"
				"Shows what the kernel says about a sandbox's jail, read at this moment.");
			return CLI_OK;
		}
		if (c != 'j')
			return cli_fail(
				"inspect: unknown option %.64s; see casemate inspect --help",
				argv[optind - 1]);
		json = true;
	}
	if (argc - optind != 1)
		return cli_fail("inspect: needs one sandbox; write casemate inspect ID");
	if (!cli_id_valid(argv[optind]))
		return cli_fail("sandbox \"%.40s\": not a sandbox id; see casemate ps",
				argv[optind]);
	return inspect(cli, argv[optind], json);
}
