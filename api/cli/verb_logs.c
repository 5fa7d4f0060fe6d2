/* SPDX-License-Identifier: Apache-2.0 */
/* verb_logs.c - casemate logs: what a guest wrote to its console, or its VMM to its log. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/cli/args.h"
#include "api/cli/http_client.h"
#include "base/fd.h"
#include "base/num.h"

#define LINE_MAX_ 4096U

/* A line that isn't whole yet, for --json. */
struct lines {
	const char *source;
	char text[LINE_MAX_];
	size_t len;
	int status;
};

/* The daemon sends printable ASCII, tabs and line ends; anything else is replaced here too. */
static char safe(char c)
{
	return (c < 0x20 && c != '\n' && c != '\t') || c >= 0x7f ? '?' : c;
}

static int write_text(const char *data, size_t len, void *arg)
{
	char block[4096];

	(void)arg;
	for (size_t at = 0; at < len; at += sizeof(block)) {
		size_t n = MIN(len - at, sizeof(block));
		int r;
		for (size_t i = 0; i < n; i++)
			block[i] = safe(data[at + i]);
		r = fd_write_full(STDOUT_FILENO, block, n);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_line(struct lines *l)
{
	json_t *o = json_pack("{s:s, s:s%}", "source", l->source, "line", l->text, l->len);
	int status = cli_print_json(o);

	json_decref(o);
	l->len = 0;
	return status == CLI_OK && fflush(stdout) == 0 ? 0 : -EPIPE;
}

/* A line that is too long becomes several. */
static int write_lines(const char *data, size_t len, void *arg)
{
	struct lines *l = arg;
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++) {
		if (data[i] != '\n')
			l->text[l->len++] = safe(data[i]);
		if (data[i] == '\n' || l->len == sizeof(l->text))
			r = put_line(l);
	}
	return r;
}

static int print_log(struct cli *cli, const char *path, const char *source, bool json)
{
	struct http_client *http = NULL;
	struct lines lines = { .source = source };
	struct err err = { 0 };
	int r = http_client_open(cli, &http, &err);

	if (r < 0)
		return cli_fail("%s", err.msg);
	r = http_client_stream(http, path, json ? write_lines : write_text, &lines, &err);
	http_client_free(http);
	if (lines.len > 0)
		(void)put_line(&lines);
	return cli_end(cli, r, &err);
}

int verb_logs(struct cli *cli, int argc, char **argv)
{
	bool follow = false, vmm = false, json = false;
	const struct option_spec list[] = { { "follow", 'f', OPTION_FLAG, &follow, 0, 0, NULL },
					    { "vmm", 0, OPTION_FLAG, &vmm, 0, 0, NULL },
					    { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = {
		"Usage: casemate logs [-f|--follow] [--vmm] [--json] ID\n"
		"Prints what the guest wrote to its console (--vmm: the VMM's own log).",
		list,
		ARRAY_SIZE(list),
		1,
		1,
		false
	};
	int status = args_parse(&args, argc, argv);
	char path[128];

	if (status != ARGS_GO)
		return status;
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/logs?source=%s&follow=%s",
		       argv[optind], vmm ? "vmm" : "console", follow ? "true" : "false");
	return print_log(cli, path, vmm ? "vmm" : "console", json);
}
