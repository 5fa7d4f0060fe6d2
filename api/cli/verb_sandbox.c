/* SPDX-License-Identifier: Apache-2.0 */
/* verb_sandbox.c - casemate create, ps, rm, logs and metrics: sandboxes by their ids. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/cli/cli.h"
#include "api/cli/http_client.h"
#include "api/cli/run_opts.h"
#include "api/cli/session.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define CALL_MS 5000U
#define RM_MS	35000U

/* ---- create -------------------------------------------------------------------------------- */

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

/* ---- The small options of the others ------------------------------------------------------- */

struct flags {
	bool json;
	bool all;
	bool follow;
	bool vmm;
	bool help;
};

/* allowed: the letters of this verb's flags, of "jafvh". 0 or CLI_FAILED (said). */
static int parse_flags(int argc, char **argv, const char *allowed, struct flags *ret)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },   { "all", no_argument, NULL, 'a' },
		{ "follow", no_argument, NULL, 'f' }, { "vmm", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },   { NULL, 0, NULL, 0 },
	};
	int c;

	*ret = (struct flags){ 0 };
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+fh", longs, NULL)) != -1) {
		if (c == '?' || strchr(allowed, c) == NULL)
			return cli_fail("%s: unknown option %.64s; see casemate help", argv[0],
					argv[optind - 1]);
		ret->json = ret->json || c == 'j';
		ret->all = ret->all || c == 'a';
		ret->follow = ret->follow || c == 'f';
		ret->vmm = ret->vmm || c == 'v';
		ret->help = ret->help || c == 'h';
	}
	return 0;
}

/* ---- ps ------------------------------------------------------------------------------------ */

/* A member of the daemon's answer as text that can't do anything to a terminal. */
static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	if (s == NULL)
		return "-";
	for (const char *p = s; *p != '\0'; p++)
		if (*p < 0x20 || *p >= 0x7f)
			return "?";
	return s[0] == '\0' ? "-" : s;
}

/* In memory it runs for the daemon, and doesn't for people. */
static const char *state_of(const json_t *s)
{
	const char *paused = text_of(s, "paused");

	if (strcmp(paused, "disk") == 0)
		return "paused (disk)";
	return strcmp(paused, "memory") == 0 ? "paused" : text_of(s, "state");
}

static void print_row(const json_t *s)
{
	const json_t *jail = json_object_get(s, "jail");
	const int64_t created = json_integer_value(json_object_get(s, "created_unix_ms"));
	const int64_t age = ((int64_t)(clock_ns(CLOCK_REALTIME) / 1000000) - created) / 1000;

	(void)printf("%-20s %-13s %5" PRId64 " %6" PRId64 "M %-12.32s %-12.32s %7" PRId64
		     " %7" PRId64 " %6" PRId64 "s\n",
		     text_of(s, "id"), state_of(s),
		     (int64_t)json_integer_value(json_object_get(s, "vcpus")),
		     (int64_t)json_integer_value(json_object_get(s, "memory_bytes")) / (int64_t)MIB,
		     text_of(s, "image"), text_of(s, "kernel"),
		     (int64_t)json_integer_value(json_object_get(jail, "pid")),
		     (int64_t)json_integer_value(json_object_get(jail, "uid")), age < 0 ? 0 : age);
}

static int call(struct cli *cli, const char *method, const char *path, uint64_t timeout_ms,
		json_t **ret)
{
	struct http_client *http;
	struct err err = { 0 };
	int r = http_client_open(cli, &http, &err);

	if (r < 0)
		return cli_fail("%s", err.msg);
	r = http_client_call(http, method, path, NULL, timeout_ms, ret, NULL, &err);
	http_client_free(http);
	if (r == -EINTR && cli->signo != 0)
		return CLI_SIGNALLED + cli->signo;
	return r < 0 ? cli_fail("%s", err.msg) : 0;
}

int verb_ps(struct cli *cli, int argc, char **argv)
{
	json_t *answer = NULL;
	struct flags f;
	int status = parse_flags(argc, argv, "jah", &f);

	if (status != 0)
		return status;
	if (f.help) {
		(void)puts("Usage: casemate ps [--all] [--json]\n"
			   "Lists sandboxes; --all: those too that have ended lately.");
		return CLI_OK;
	}
	if (optind < argc)
		return cli_fail("ps: unexpected argument \"%.64s\"", argv[optind]);
	status = call(cli, "GET", f.all ? "/v1/sandboxes?all=true" : "/v1/sandboxes", CALL_MS,
		      &answer);
	if (status == 0 && f.json) {
		status = cli_print_json(answer);
	} else if (status == 0) {
		(void)printf("%-20s %-13s %5s %7s %-12s %-12s %7s %7s %7s\n", "ID", "STATE",
			     "VCPUS", "MEMORY", "IMAGE", "KERNEL", "PID", "UID", "AGE");
		const json_t *list = json_object_get(answer, "sandboxes");
		for (size_t i = 0; i < json_array_size(list); i++)
			print_row(json_array_get(list, i));
	}
	json_decref(answer);
	return status;
}

/* ---- rm ------------------------------------------------------------------------------------ */

int verb_rm(struct cli *cli, int argc, char **argv)
{
	struct flags f;
	char path[80];
	int status = parse_flags(argc, argv, "h", &f);

	if (status != 0)
		return status;
	if (f.help) {
		(void)puts(
			"Usage: casemate rm ID...\nEnds sandboxes, and waits until they are gone.");
		return CLI_OK;
	}
	if (optind == argc)
		return cli_fail("rm: no sandbox; write casemate rm ID...");
	for (int i = optind; i < argc; i++) {
		int r;
		if (!cli_id_valid(argv[i])) {
			status = cli_fail("sandbox \"%.40s\": not a sandbox id; see casemate ps",
					  argv[i]);
			continue;
		}
		(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s", argv[i]);
		r = call(cli, "DELETE", path, RM_MS, NULL);
		if (r != 0)
			status = r;
		if (cli->signo != 0)
			break;
	}
	return status;
}

/* ---- logs ---------------------------------------------------------------------------------- */

/* The daemon sends printable ASCII, tabs and line ends; anything else is replaced here too. */
static int write_log(const char *data, size_t len, void *arg)
{
	char block[4096];

	(void)arg;
	for (size_t at = 0; at < len; at += sizeof(block)) {
		size_t n = MIN(len - at, sizeof(block));
		int r;
		memcpy(block, data + at, n);
		for (size_t i = 0; i < n; i++)
			if ((block[i] < 0x20 && block[i] != '\n' && block[i] != '\t') ||
			    block[i] >= 0x7f)
				block[i] = '?';
		r = fd_write_full(STDOUT_FILENO, block, n);
		if (r < 0)
			return r;
	}
	return 0;
}

int verb_logs(struct cli *cli, int argc, char **argv)
{
	struct http_client *http;
	struct err err = { 0 };
	struct flags f;
	char path[128];
	int status = parse_flags(argc, argv, "fvh", &f), r;

	if (status != 0)
		return status;
	if (f.help) {
		(void)puts(
			"Usage: casemate logs [-f|--follow] [--vmm] ID\n"
			"Prints what the guest wrote to its console (--vmm: the VMM's own log).");
		return CLI_OK;
	}
	if (argc - optind != 1)
		return cli_fail("logs: needs one sandbox; write casemate logs ID");
	if (!cli_id_valid(argv[optind]))
		return cli_fail("sandbox \"%.40s\": not a sandbox id; see casemate ps",
				argv[optind]);
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/logs?source=%s&follow=%s",
		       argv[optind], f.vmm ? "vmm" : "console", f.follow ? "true" : "false");
	r = http_client_open(cli, &http, &err);
	if (r < 0)
		return cli_fail("%s", err.msg);
	r = http_client_stream(http, path, write_log, NULL, &err);
	http_client_free(http);
	if (cli->signo != 0)
		return CLI_SIGNALLED + cli->signo;
	return r < 0 ? cli_fail("%s", err.msg) : CLI_OK;
}

/* ---- metrics ------------------------------------------------------------------------------- */

static void print_metrics(const json_t *answer)
{
	json_t *list = json_object_get(answer, "metrics");

	for (void *it = json_object_iter(list); it != NULL; it = json_object_iter_next(list, it)) {
		const char *name = json_object_iter_key(it);
		/* The daemon has checked them; our terminal is still not theirs. */
		if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.")] == '\0')
			(void)printf("%-40s %" PRId64 "\n", name,
				     (int64_t)json_integer_value(json_object_iter_value(it)));
	}
}

int verb_metrics(struct cli *cli, int argc, char **argv)
{
	json_t *answer = NULL;
	struct flags f;
	char path[128];
	int status = parse_flags(argc, argv, "jh", &f);

	if (status != 0)
		return status;
	if (f.help) {
		(void)puts("Usage: casemate metrics [--json] ID\n"
			   "Shows what the sandbox's VMM has counted since its start.");
		return CLI_OK;
	}
	if (argc - optind != 1)
		return cli_fail("metrics: needs one sandbox; write casemate metrics ID");
	if (!cli_id_valid(argv[optind]))
		return cli_fail("sandbox \"%.40s\": not a sandbox id; see casemate ps",
				argv[optind]);
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s/metrics", argv[optind]);
	status = call(cli, "GET", path, CALL_MS, &answer);
	if (status == 0 && f.json)
		status = cli_print_json(answer);
	else if (status == 0)
		print_metrics(answer);
	json_decref(answer);
	return status;
}
