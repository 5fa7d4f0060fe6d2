/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verb_doctor.c - casemate doctor: is the host fit to run untrusted tenants? The daemon, which is
 * on that host, looks; when it can't be reached, the checks run here and say so. Root on that host
 * also has a jail tried (doctor_jail.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cli/args.h"
#include "api/cli/cli.h"
#include "api/cli/doctor_jail.h"
#include "api/cli/http_client.h"
#include "api/host/hostcheck.h"
#include "base/fd.h"
#include "base/log.h"

#define STATUS_MS 10000U
#define LIBEXEC	  "/usr/libexec/casemate"
#define STORE	  "/var/lib/casemate"

struct doctor {
	json_t *checks; /* [{code, level, what, why, fix}] */
	size_t fails;
	size_t warns;
	struct doctor_jail_config jail;
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

/* A jailer serves without SELinux only when it was told to (--allow-no-selinux). Then the
 * administrator has decided, and what is left to say is a warning: were it a failure for ever, the
 * exit status would no longer tell that host from one that is unfit. */
static bool selinux_waived(const json_t *jailer)
{
	const char *mode = json_string_value(json_object_get(jailer, "selinux"));

	return json_is_true(json_object_get(jailer, "reachable")) && mode != NULL &&
	       strcmp(mode, "enforcing") != 0;
}

static void add_waived(struct doctor *d, const char *t[5])
{
	char what[160];

	(void)snprintf(what, sizeof(what),
		       "%.40s; accepted: the jailer runs with --allow-no-selinux", t[2]);
	add(d, t[0], "W", what, t[3],
	    "enable SELinux with Casemate's policy and start the jailer without the option");
}

static void add_remote(struct doctor *d, const json_t *list, const json_t *jailer)
{
	const char *t[5];

	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!read_check(json_array_get(list, i), t))
			continue;
		if (strcmp(t[0], "selinux") == 0 && strcmp(t[1], "F") == 0 &&
		    selinux_waived(jailer))
			add_waived(d, t);
		else
			add(d, t[0], t[1], t[2], t[3], t[4]);
	}
}

static void add_local(struct doctor *d)
{
	CLEANUP(fd_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root >= 0)
		hostcheck_run(root, add_check, d);
}

/* Does the daemon run under the kernel that we run under? */
static bool same_host(const json_t *status)
{
	const char *theirs = json_string_value(json_object_get(status, "boot_id"));
	char ours[64];
	ssize_t n = fd_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", ours, sizeof(ours));

	if (n < 0 || theirs == NULL)
		return false;
	ours[strcspn(ours, "\n")] = '\0';
	return strcmp(ours, theirs) == 0;
}

static void add_tally(struct doctor *d, const char *code, const struct doctor_jail_tally *t,
		      const char *why)
{
	unsigned bad = t->succeeded - t->need_selinux;
	char what[160];

	(void)snprintf(what, sizeof(what), "%u of %u attacks succeed%s%s", t->succeeded, t->tried,
		       t->succeeded > 0 ? ": " : "", t->ids);
	add(d, code,
	    bad > 0	       ? "F"
	    : t->succeeded > 0 ? "W"
			       : "ok",
	    what, why,
	    t->succeeded == 0 ? ""
	    : bad == 0	      ? "these wait for SELinux; see the check selinux"
		       : "do not use this host; report it with the output of casemate doctor");
}

/* status: the daemon's, or NULL. */
static void add_probe(struct cli *cli, struct doctor *d, const json_t *status)
{
	static const char full[] =
		"0: attacks by casemate-probe in the place of the VMM, in a real "
		"jail with all layers";
	static const char alone[] = "0: the same without the filters and the Landlock that the VMM "
				    "puts on itself: the jail alone";
	struct doctor_jail_result r;
	struct err err = { 0 };

	if (status != NULL && !same_host(status))
		(void)err_set(&err, -EREMOTE, "the daemon is on another host");
	else if (geteuid() != 0)
		(void)err_set(&err, -EPERM, "it takes root");
	else if (doctor_jail_try(cli->loop, &d->jail, &r, &err) == 0) {
		add_tally(d, "jail-probe", &r.full, full);
		add_tally(d, "jail-alone", &r.alone, alone);
		return;
	}
	add(d, "jail-probe", "W", err.msg, full,
	    "run casemate doctor as root on the daemon's host");
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
		add_remote(d, json_object_get(status, "checks"), json_object_get(status, "jailer"));
	}
	add_probe(cli, d, r < 0 ? NULL : status);
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

static void print(const struct doctor *d, bool json)
{
	char *text;

	if (!json) {
		print_table(d);
		return;
	}
	text = json_dumps(d->checks, JSON_COMPACT | JSON_ENSURE_ASCII);
	(void)puts(text == NULL ? "[]" : text);
	free(text);
}

int verb_doctor(struct cli *cli, int argc, char **argv)
{
	struct doctor d = { .jail = { .libexec = LIBEXEC, .store = STORE } };
	bool json = false;
	const struct option_spec list[] = {
		{ "json", 0, OPTION_FLAG, &json, 0, 0, NULL },
		{ "libexec", 0, OPTION_TEXT, &d.jail.libexec, 0, 0, NULL },
		{ "store", 0, OPTION_TEXT, &d.jail.store, 0, 0, NULL },
	};
	const struct args args = {
		"Usage: casemate doctor [--json] [--libexec DIR] [--store DIR]\n"
		"Checks the host; exit status 1 when a check failed (F).\n\n"
		"  --json         an array of {code, level, what, why, fix}\n"
		"  --libexec DIR  where casemate-jailer and casemate-probe are, for the live\n"
		"                 probe of a jail (default " LIBEXEC ")\n"
		"  --store DIR    the jailer's store, for the same (default " STORE ")",
		list,
		ARRAY_SIZE(list),
		0,
		0,
		true,
	};
	int status = args_parse(&args, argc, argv);

	if (status != ARGS_GO)
		return status;
	d.checks = json_array();
	examine(cli, &d);
	print(&d, json);
	json_decref(d.checks);
	return d.fails > 0 ? 1 : CLI_OK;
}
