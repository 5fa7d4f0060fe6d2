/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verb_doctor.c - casemate doctor: is the host fit to run untrusted tenants? The daemon, which is
 * on that host, looks; when it can't be reached, the checks run here and say so.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "api/cli/http_client.h"
#include "api/host/hostcheck.h"
#include "base/fd.h"
#include "base/log.h"

#define STATUS_MS 10000U

struct doctor {
	json_t *checks; /* [{id, level, value, want, fix}] */
	size_t fails;
	size_t warns;
};

/* Text from the daemon, which has it from files and from the jailer: not for a terminal as is. */
static const char *clean(const char *s, char *dst, size_t cap)
{
	(void)log_escape(dst, cap, s == NULL ? "-" : s, s == NULL ? 1 : strlen(s));
	return dst;
}

static void add(struct doctor *d, const char *id, const char *level, const char *value,
		const char *want, const char *fix)
{
	char shown[256];

	if (strcmp(level, "F") == 0)
		d->fails++;
	else if (strcmp(level, "W") == 0)
		d->warns++;
	(void)json_array_append_new(
		d->checks, json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", id, "level", level, "value",
				     clean(value, shown, sizeof(shown)), "want", want, "fix", fix));
}

static void add_check(const struct hostcheck *c, void *arg)
{
	add(arg, c->id, hostcheck_level_name(c->level), c->value, c->want, c->fix);
}

static void add_jailer(struct doctor *d, const json_t *jailer)
{
	const char *error = json_string_value(json_object_get(jailer, "error"));
	const char *kvm_error = json_string_value(json_object_get(jailer, "kvm_error"));
	const char *version = json_string_value(json_object_get(jailer, "version"));
	bool reachable = json_is_true(json_object_get(jailer, "reachable"));

	add(d, "jailer", reachable ? "ok" : "F", reachable ? version : error, "reachable",
	    reachable ? "" : "start casemate-jailer, or pass its socket to casemated --jailer");
	if (!reachable)
		return;
	bool kvm = json_is_true(json_object_get(jailer, "kvm"));
	add(d, "kvm-usable", kvm ? "ok" : "F", kvm ? "yes" : kvm_error,
	    "the jailer can open /dev/kvm", kvm ? "" : "see the check kvm");
	add(d, "kernels", json_array_size(json_object_get(jailer, "kernels")) > 0 ? "ok" : "F",
	    json_array_size(json_object_get(jailer, "kernels")) > 0 ? "present" : "none",
	    "a guest kernel in the jailer's store", "install one");
	add(d, "images", json_array_size(json_object_get(jailer, "images")) > 0 ? "ok" : "F",
	    json_array_size(json_object_get(jailer, "images")) > 0 ? "present" : "none",
	    "a root image in the jailer's store", "install one");
}

static void add_remote(struct doctor *d, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *c = json_array_get(list, i);
		const char *id, *level, *value, *want, *fix;
		if (json_unpack(c, "{s:s, s:s, s:s, s:s, s:s}", "id", &id, "level", &level, "value",
				&value, "want", &want, "fix", &fix) == 0)
			add(d, id, level, value, want, fix);
	}
}

static void add_local(struct doctor *d)
{
	CLEANUP(fd_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root >= 0)
		hostcheck_run(root, add_check, d);
}

static void examine(struct cli *cli, struct doctor *d)
{
	struct http_client *http = NULL;
	struct err err = { 0 };
	json_t *status = NULL;
	int r = http_client_open(cli, &http, &err);

	if (r == 0)
		r = http_client_call(http, "GET", "/v1/status?checks=true", NULL, STATUS_MS,
				     &status, NULL, &err);
	if (r < 0) {
		add(d, "daemon", "F", err.msg, "reachable", "start casemated or pass --socket");
		add_local(d);
	} else {
		add(d, "daemon", "ok", json_string_value(json_object_get(status, "version")),
		    "reachable", "");
		add_jailer(d, json_object_get(status, "jailer"));
		add_remote(d, json_object_get(status, "checks"));
	}
	json_decref(status);
	http_client_free(http);
}

static void print_table(const struct doctor *d)
{
	char a[64], b[256], c[256];

	for (size_t i = 0; i < json_array_size(d->checks); i++) {
		json_t *o = json_array_get(d->checks, i);
		const char *id, *level, *value, *want, *fix;
		if (json_unpack(o, "{s:s, s:s, s:s, s:s, s:s}", "id", &id, "level", &level, "value",
				&value, "want", &want, "fix", &fix) < 0)
			continue;
		(void)printf("%-3.3s %-22s %s\n", level, clean(id, a, sizeof(a)),
			     clean(value, b, sizeof(b)));
		if (strcmp(level, "ok") == 0)
			continue;
		(void)printf("    want: %s\n", clean(want, b, sizeof(b)));
		if (fix[0] != '\0')
			(void)printf("    fix:  %s\n", clean(fix, c, sizeof(c)));
	}
	(void)printf("%zu checks, %zu failed, %zu warnings\n", json_array_size(d->checks), d->fails,
		     d->warns);
}

int verb_doctor(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
					       { "help", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	struct doctor d = { .fails = 0 };
	bool json = false;
	char *text;
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+h", longs, NULL)) != -1) {
		if (c == 'h') {
			(void)puts("Usage: casemate doctor [--json]\n"
				   "Checks the host; exit status 1 when a check failed (F).");
			return CLI_OK;
		}
		if (c != 'j')
			return cli_fail("doctor: unknown option %.64s; see casemate doctor --help",
					argv[optind - 1]);
		json = true;
	}
	if (optind < argc)
		return cli_fail("doctor: unexpected argument \"%.64s\"", argv[optind]);
	d.checks = json_array();
	examine(cli, &d);
	if (json) {
		text = json_dumps(d.checks, JSON_COMPACT | JSON_ENSURE_ASCII);
		(void)puts(text == NULL ? "[]" : text);
		free(text);
	} else {
		print_table(&d);
	}
	json_decref(d.checks);
	return d.fails > 0 ? 1 : CLI_OK;
}
