/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of casemate that need no command in the guest, with VMs behind them. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/native/cli_rig.h"

static struct daemon_rig d;
static struct cli_run r;

static void set_up(void)
{
	daemon_rig_open(&d);
}

static void tear_down(void)
{
	daemon_rig_close(&d);
}

/* A sandbox by `casemate create`. */
static void create(char id[32])
{
	cr_assert_eq(CLI(&d, &r, "create", "--memory", "64M"), 0, "%s", r.err);
	cr_assert_eq(strlen(r.out), 21, "%s", r.out);
	(void)snprintf(id, 32, "%.20s", r.out);
}

/* What it has printed, which must be one JSON text; new reference. */
static json_t *printed(void)
{
	json_t *o = json_loads(r.out, JSON_REJECT_DUPLICATES, NULL);

	cr_assert_not_null(o, "%s%s", r.out, r.err);
	return o;
}

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	cr_assert_not_null(s, "%s", name);
	return s;
}

Test(daemon_cli, life, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], other[32];
	json_t *o;

	create(id);
	create(other);
	cr_assert_eq(CLI(&d, &r, "ps"), 0);
	cr_assert(strstr(r.out, id) != NULL && strstr(r.out, other) != NULL, "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "metrics", id), 0, "%s", r.err);
	cr_assert_not_null(strstr(r.out, "jail.cpu_us"), "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "inspect", "--json", id), 0, "%s", r.err);
	o = printed();
	cr_assert_gt(json_integer_value(json_object_get(o, "pid")), 1);
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "rm", "--json", id), 0, "%s", r.err);
	o = printed();
	cr_assert_str_eq(json_string_value(json_array_get(json_object_get(o, "removed"), 0)), id);
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "kill", id, other), 0, "one that has ended is as good as ended");
	cr_assert_eq(CLI(&d, &r, "ps"), 0);
	cr_assert_null(strstr(r.out, other), "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "ps", "--all", "--json"), 0);
	o = printed();
	cr_assert_eq(json_array_size(json_object_get(o, "sandboxes")), 2);
	json_decref(o);
}

Test(daemon_cli, pause_and_fork, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], first[32];
	json_t *o;

	create(id);
	cr_assert_eq(CLI(&d, &r, "fork", "-n", "2", id), 0, "%s", r.err);
	cr_assert_eq(strlen(r.out), 42, "%s", r.out);
	(void)snprintf(first, sizeof(first), "%.20s", r.out);
	cr_assert_eq(CLI(&d, &r, "pause", "--json", first), 0, "%s", r.err);
	o = printed();
	cr_assert_str_neq(text_of(o, "paused"), "");
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "pause", first), 125, "twice");
	cr_assert_eq(CLI(&d, &r, "resume", first), 0, "%s", r.err);
	cr_assert_str_eq(r.out, "");
	cr_assert_eq(CLI(&d, &r, "resume", first), 125, "it runs");
	cr_assert_eq(CLI(&d, &r, "pause", "--disk", "--memory", first), 125);
}

/* Each line is an object, whatever the guest wrote. */
Test(daemon_cli, logs, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], *at, *end;

	create(id);
	cr_assert_eq(CLI(&d, &r, "logs", "--vmm", id), 0, "%s", r.err);
	cr_assert_str_neq(r.out, "", "a VMM that says nothing");
	cr_assert_eq(CLI(&d, &r, "logs", "--vmm", "--json", id), 0, "%s", r.err);
	for (at = r.out; *at != '\0'; at = end + 1) {
		end = strchr(at, '\n');
		json_t *o = json_loadb(at, (size_t)(end - at), 0, NULL);
		cr_assert_not_null(o, "%s", at);
		cr_assert_str_eq(text_of(o, "source"), "vmm");
		cr_assert_str_neq(text_of(o, "line"), "");
		json_decref(o);
	}
}

Test(daemon_cli, keys, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];
	json_t *o;

	cr_assert_eq(CLI(&d, &r, "key", "create", "--tenant", "alice", "--json"), 0, "%s", r.err);
	o = printed();
	(void)snprintf(id, sizeof(id), "%s", text_of(o, "id"));
	json_decref(o);
	cr_assert_eq(CLI(&d, &r, "key", "list"), 0);
	cr_assert(strstr(r.out, id) != NULL && strstr(r.out, "alice") != NULL, "%s", r.out);
	cr_assert_eq(CLI(&d, &r, "key", "revoke", id), 0, "%s", r.err);
	cr_assert_eq(CLI(&d, &r, "key", "list"), 0);
	cr_assert_null(strstr(r.out, id), "%s", r.out);
}

/* 125 and one line on standard error, nothing on standard output. */
Test(daemon_cli, failures, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const char gone[] = "iaaaaaaaaaaaaaaaaaaa";
	static const char *const lines[][4] = {
		{ "rm", gone },	       { "metrics", gone },	     { "inspect", gone },
		{ "pause", gone },     { "resume", gone },	     { "fork", gone },
		{ "logs", gone },      { "exec", gone, "true" },     { "cp", "/etc/passwd", "x" },
		{ "rm", "../status" }, { "fork", "-n", "65", gone }, { "frob" },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const char *const args[] = { lines[i][0], lines[i][1], lines[i][2], lines[i][3],
					     NULL };
		cr_assert_eq(cli_rig_run(&d, &r, args), 125, "%s: %d", args[0], r.status);
		cr_assert_str_eq(r.out, "", "%s", args[0]);
		cr_assert_eq(strncmp(r.err, "casemate: ", 10), 0, "%s", r.err);
		cr_assert_eq(strchr(r.err, '\n') - r.err, (ptrdiff_t)strlen(r.err) - 1, "%s",
			     r.err);
	}
}
