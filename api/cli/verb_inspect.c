/* SPDX-License-Identifier: Apache-2.0 */
/* verb_inspect.c - casemate inspect: what the kernel says about a sandbox's jail. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "base/log.h"

/* Text from afar: not for a terminal as is. */
static const char *shown(const char *s)
{
	static char text[4][256];
	static unsigned at;
	char *dst = text[at++ % 4];

	(void)log_escape(dst, sizeof(text[0]), s == NULL ? "-" : s, s == NULL ? 1 : strlen(s));
	return dst;
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
		int64_t inode = cli_number(n, "inode");
		(void)printf("  %-26s %" PRId64 " %s\n", shown(name), inode,
			     inode == 0				    ? "(could not be read)"
			     : inode == cli_number(n, "host_inode") ? "(the host's)"
								    : "");
	}
}

static void print_lists(const json_t *threads, const json_t *fds)
{
	(void)puts("threads: seccomp mode and filters");
	for (size_t i = 0; i < json_array_size(threads); i++) {
		const json_t *t = json_array_get(threads, i);
		(void)printf("  %-7" PRId64 " %-18s %" PRId64 " %" PRId64 "\n",
			     cli_number(t, "tid"), cli_text(t, "name"),
			     cli_number(t, "seccomp_mode"), cli_number(t, "seccomp_filters"));
	}
	(void)puts("descriptors");
	for (size_t i = 0; i < json_array_size(fds); i++) {
		const json_t *d = json_array_get(fds, i);
		(void)printf("  %-7" PRId64 " %-18s %s\n", cli_number(d, "number"),
			     cli_text(d, "kind"), cli_text(d, "mode"));
	}
}

static void print_text(const json_t *o)
{
	(void)printf("pid    %" PRId64 "\nlabel  %s\n", cli_number(o, "pid"), cli_text(o, "label"));
	print_facts("process", json_object_get(o, "status"));
	print_namespaces(json_object_get(o, "namespaces"));
	(void)printf("cgroup %s\n", cli_text(o, "cgroup_path"));
	print_facts("cgroup limits", json_object_get(o, "cgroup"));
	print_facts("resource limits: soft, hard, unit", json_object_get(o, "rlimits"));
	print_lists(json_object_get(o, "threads"), json_object_get(o, "descriptors"));
	(void)puts("Landlock  the kernel does not show it; casemate logs --vmm tells its version");
}

int verb_inspect(struct cli *cli, int argc, char **argv)
{
	bool json = false;
	const struct option_spec list[] = { { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = {
		"Usage: casemate inspect [--json] ID\n"
		"Shows what the kernel says about a sandbox's jail, read at this moment.",
		list,
		ARRAY_SIZE(list),
		1,
		1,
		false
	};
	int status = args_parse(&args, argc, argv);
	char path[80];

	if (status != ARGS_GO)
		return status;
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/jail", argv[optind]);
	return call_show(cli, path, json, print_text);
}
