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
	json_t *checks; /* [{code, level, what, why, fix}] */
	size_t fails;
	size_t warns;
};

/* Text from the daemon, which has it from files and from the jailer: not for a terminal as is. */
static const char *clean(const char *s, char *dst, size_t cap)
{
	(void)log_escape(dst, cap, s == NULL ? "-" : s, s == NULL ? 1 : strlen(s));
	return dst;
}

static void add(struct doctor *d, const char *code, const char *level, const char *what,
		const char *why, const char *fix)
{
	char shown[256];

	if (strcmp(level, "F") == 0)
		d->fails++;
	else if (strcmp(level, "W") == 0)
		d->warns++;
	(void)json_array_append_new(d->checks,
				    json_pack("{s:s, s:s, s:s, s:s, s:s}", "code", code, "level",
					      level, "what", clean(what, shown, sizeof(shown)),
					      "why", why, "fix", fix));
}

static void add_check(const struct hostcheck *c, void *arg)
{
	add(arg, c->code, hostcheck_level_name(c->level), c->what, c->why, c->fix);
}

static void add_store(struct doctor *d, const json_t *jailer, const char *kind)
{
	bool some = json_array_size(json_object_get(jailer, kind)) > 0;

	add(d, kind, some ? "ok" : "F", some ? "present" : "none",
	    "in the jailer's store: without one no sandbox starts", some ? "" : "install one");
}

static void add_jailer(struct doctor *d, const json_t *jailer)
{
	const char *error = json_string_value(json_object_get(jailer, "error"));
	const char *kvm_error = json_string_value(json_object_get(jailer, "kvm_error"));
	const char *version = json_string_value(json_object_get(jailer, "version"));
	bool reachable = json_is_true(json_object_get(jailer, "reachable"));
	bool kvm = json_is_true(json_object_get(jailer, "kvm"));
	bool userns = json_is_true(json_object_get(jailer, "user_namespaces"));

	add(d, "jailer", reachable ? "ok" : "F", reachable ? version : error,
	    "reachable: it makes the jails",
	    reachable ? "" : "start casemate-jailer, or pass its socket to casemated --jailer");
	if (!reachable)
		return;
	add(d, "kvm-usable", kvm ? "ok" : "F", kvm ? "yes" : kvm_error,
	    "the jailer can open /dev/kvm", kvm ? "" : "see the check kvm");
	add(d, "jail-userns", userns ? "ok" : "W",
	    userns ? "each jail has one" : "jails have a uid of their own only",
	    "a user namespace for each jail: its root is nobody on the host",
	    userns ? "" : "see the check user-namespaces");
	add_store(d, jailer, "kernels");
	add_store(d, jailer, "images");
}

static bool read_check(const json_t *c, const char *ret[5])
{
	/* json_unpack only reads, whatever its prototype says. */
	return json_unpack((json_t *)(uintptr_t)c, "{s:s, s:s, s:s, s:s, s:s}", "code", &ret[0],
			   "level", &ret[1], "what", &ret[2], "why", &ret[3], "fix", &ret[4]) == 0;
}

static void add_remote(struct doctor *d, const json_t *list)
{
	const char *t[5];

	for (size_t i = 0; i < json_array_size(list); i++)
		if (read_check(json_array_get(list, i), t))
			add(d, t[0], t[1], t[2], t[3], t[4]);
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
	char a[64], b[256];
	const char *t[5];

	for (size_t i = 0; i < json_array_size(d->checks); i++) {
		if (!read_check(json_array_get(d->checks, i), t))
			continue;
		(void)printf("%-3.3s %-22s %s\n", t[1], clean(t[0], a, sizeof(a)),
			     clean(t[2], b, sizeof(b)));
		if (strcmp(t[1], "ok") == 0)
			continue;
		(void)printf("    why:  %s\n", clean(t[3], b, sizeof(b)));
		if (t[4][0] != '\0')
			(void)printf("    fix:  %s\n", clean(t[4], b, sizeof(b)));
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
