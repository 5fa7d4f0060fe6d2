/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_templates.c - builds of templates through the API, whose guest takes each command for
 * done: who may do what, what becomes of a build that fails, and what is left of one.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/num.h"
#include "tests/native/cli_rig.h"
#include "tests/native/daemon_http_rig.h"
#include "tests/native/template_rig.h"

Test(daemon_templates, from_recipe_to_sandbox, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", SMALL), *bob = key_of("bob", SMALL);
	char target[640], path[160], id[32];

	cr_assert_eq(order(alice, "app:v1"), 202, "%s", a.body);
	upload_target(alice, HASH, target);
	cr_expect_not_null(strstr(a.body, "\"present\":false"), "%s", a.body);
	cr_assert_eq(put(target, "an archive"), 200, "%s", a.body);
	upload_target(alice, HASH, target);
	cr_expect_not_null(strstr(a.body, "\"present\":true"), "%s", a.body);
	cr_assert_eq(
		begin(alice,
		      "{\"fromImage\":\"base\",\"startCmd\":\"linger\",\"readyCmd\":\"true\",\"steps\":["
		      "{\"type\":\"RUN\",\"args\":[\"make\"]},"
		      "{\"type\":\"COPY\",\"args\":[\"a\",\"b\"],\"filesHash\":\"" HASH "\"},"
		      "{\"type\":\"ENV\",\"args\":[\"A\",\"1\"]},"
		      "{\"type\":\"WORKDIR\",\"args\":[\"/app\"]},"
		      "{\"type\":\"USER\",\"args\":[\"web\"]}]}"),
		202, "%s", a.body);
	cr_expect_eq(begin(alice, "{\"fromImage\":\"base\"}"), 409, "twice");
	cr_assert_str_eq(end_of(alice), "ready");
	(void)snprintf(path, sizeof(path), "/templates/%s/builds/%s/logs", template, build);
	cr_expect_eq(ask("GET", path, alice, NULL), 200);
	cr_expect_not_null(strstr(a.body, "[2/5] COPY a b"), "%s", a.body);
	cr_expect_not_null(strstr(a.body, "\"ran\""), "%s", a.body);

	/* A sandbox of it has what the steps have left. */
	cr_assert_eq(ask("POST", "/v2/sandboxes", alice, "{\"templateID\":\"app:v1\"}"), 201, "%s",
		     a.body);
	(void)snprintf(id, sizeof(id), "%s", answer_text(&a, "sandboxID"));
	cr_expect_str_eq(answer_text(&a, "templateID"), "app:v1");
	(void)snprintf(path, sizeof(path), "/sandboxes/%s", id);
	cr_assert_eq(ask("GET", path, alice, NULL), 200);
	cr_expect_not_null(strstr(a.body, "\"memoryMB\":64"), "%s", a.body);

	/* Its tags, and nobody else's eyes. */
	cr_expect_eq(ask("POST", "/v2/sandboxes", alice, "{\"templateID\":\"app\"}"), 409,
		     "no such tag: %s", a.body);
	cr_expect_eq(ask("POST", "/v2/sandboxes", bob, "{\"templateID\":\"app:v1\"}"), 404);
	cr_expect_eq(ask("POST", "/templates/tags", alice,
			 "{\"target\":\"app:v1\",\"tags\":[\"prod\",\"default\"]}"),
		     201, "%s", a.body);
	cr_expect_eq(ask("POST", "/templates/tags", alice,
			 "{\"target\":\"app:v1\",\"tags\":[\":bad\"]}"),
		     400);
	cr_expect_eq(
		ask("POST", "/templates/tags", alice, "{\"target\":\"app:none\",\"tags\":[\"x\"]}"),
		404);
	cr_expect_eq(
		ask("POST", "/templates/tags", bob, "{\"target\":\"app:v1\",\"tags\":[\"x\"]}"),
		404);
	cr_expect_eq(ask("GET", "/templates/app/tags", bob, NULL), 404);
	cr_assert_eq(ask("GET", "/templates/app/tags", alice, NULL), 200);
	cr_expect_not_null(strstr(a.body, "\"prod\""), "%s", a.body);
	cr_expect_eq(ask("GET", "/templates/aliases/app", alice, NULL), 200);
	cr_expect_eq(ask("GET", "/templates/aliases/app", bob, NULL), 404);
	cr_expect_eq(ask("DELETE", "/templates/app", bob, NULL), 404);
	cr_expect_eq(ask("PATCH", "/v2/templates/app", alice, "{\"public\":true}"), 403);
	cr_expect_eq(ask("GET", "/templates/app", alice, NULL), 200, "%s", a.body);
	cr_expect_eq(ask("GET", "/v2/templates", alice, NULL), 200, "%s", a.body);
	cr_expect_not_null(strstr(a.body, "\"buildStatus\":\"ready\""), "%s", a.body);

	/* Another starts from it. */
	cr_assert_eq(order(alice, "second"), 202);
	cr_assert_eq(begin(alice, "{\"fromTemplate\":\"app\"}"), 202, "%s", a.body);
	cr_assert_str_eq(end_of(alice), "ready");
	/* It goes with its snapshot; what came from it lives on. */
	cr_assert_eq(ask("GET", "/v1/snapshots", alice, NULL), 200);
	cr_expect_not_null(strstr(a.body, build), "%s", a.body);
	cr_expect_eq(ask("DELETE", "/templates/second", alice, NULL), 204);
	cr_expect_eq(ask("DELETE", "/templates/app", alice, NULL), 204);
	cr_expect_eq(ask("GET", "/v1/snapshots", alice, NULL), 200);
	cr_expect_null(strstr(a.body, "build."), "%s", a.body);
	cr_expect_eq(ask("POST", "/v2/sandboxes", alice, "{\"templateID\":\"app:v1\"}"), 404);
	cr_expect_eq(ask("GET", path, alice, NULL), 200);
}

Test(daemon_templates, what_fails, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", SMALL), *bob = key_of("bob", SMALL);
	static const struct {
		const char *recipe, *why;
	} cases[] = {
		{ "{\"fromImage\":\"base\",\"steps\":[{\"type\":\"RUN\",\"args\":[\"exit-3\"]}]}",
		  "error: failed to run command 'exit-3': exit status 3" },
		{ "{\"fromImage\":\"nothing:1\"}", "casemate image import --name nothing-1" },
		{ "{\"fromTemplate\":\"nothing\"}", "there is no such template" },
		{ "{\"fromImage\":\"base\",\"steps\":[{\"type\":\"COPY\",\"args\":[\"a\",\"b\"],"
		  "\"filesHash\":\"" HASH "\"}]}",
		  "its files were not uploaded" },
		{ "{\"fromImage\":\"base\",\"startCmd\":\"exit-3\",\"readyCmd\":\"exit-3\"}",
		  "the start command failed" },
	};
	char target[640], path[160];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(order(alice, "fails"), 202, "%s", a.body);
		cr_assert_eq(begin(alice, cases[i].recipe), 202, "%s", a.body);
		cr_expect_not_null(strstr(end_of(alice), cases[i].why), "%s", status);
	}
	cr_expect_eq(ask("POST", "/v2/sandboxes", alice, "{\"templateID\":\"fails\"}"), 409, "%s",
		     a.body);
	/* None of them has left a sandbox. */
	cr_expect_eq(ask("GET", "/v1/sandboxes", alice, NULL), 200);
	cr_expect_null(strstr(a.body, "\"state\":\"running\""), "%s", a.body);

	cr_assert_eq(order(alice, "fails"), 202);
	cr_expect_eq(begin(alice, "{\"fromImage\":\"a\",\"steps\":[{\"type\":\"ADD\"}]}"), 400);
	cr_expect_eq(begin(bob, "{\"fromImage\":\"base\"}"), 404, "another's");
	(void)snprintf(path, sizeof(path), "/templates/%s/builds/%s/status", template, build);
	cr_expect_eq(ask("GET", path, bob, NULL), 404);
	cr_expect_eq(ask("POST", "/v3/templates", alice, "{\"name\":\"A b\"}"), 400);
	cr_expect_eq(ask("POST", "/v3/templates", alice, "{\"name\":\"a\",\"memoryMB\":65}"), 400);
	cr_expect_eq(ask("POST", "/v3/templates", alice, "{\"name\":\"a\",\"tags\":[\"B\"]}"), 400);

	/* A URL is good for what it was given out for. */
	upload_target(alice, HASH, target);
	cr_expect_eq(put(target, "x"), 200, "%s", a.body);
	char *at = strstr(target, HASH);
	cr_assert_not_null(at);
	at[0] = '1';
	cr_expect_eq(put(target, "x"), 401, "another hash: %s", a.body);
	at[0] = '0';
	at = strstr(target, "tenant=alice");
	cr_assert_not_null(at);
	memcpy(at, "tenant=local", 12);
	cr_expect_eq(put(target, "x"), 401, "another tenant: %s", a.body);
	memcpy(at, "tenant=alice", 12);
	target[strlen(target) - 1] ^= 1;
	cr_expect_eq(put(target, "x"), 401, "%s", a.body);
	*strchr(target, '?') = '\0';
	cr_expect_eq(put(target, "x"), 401, "%s", a.body);
}

static void until_its_sandbox_runs(const char *key)
{
	const uint64_t until = now_ms() + 20000;
	char mark[80];

	(void)snprintf(mark, sizeof(mark), "\"build\":\"%s\"", build);
	do {
		cr_assert_lt(now_ms(), until, "%s", a.body);
		(void)poll(NULL, 0, 20);
		cr_assert_eq(ask("GET", "/v1/sandboxes", key, NULL), 200);
	} while (strstr(a.body, mark) == NULL || strstr(a.body, "\"state\":\"running\"") == NULL);
}

Test(daemon_templates, a_restart, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", SMALL);
	char id[32], ready[48], path[160];

	cr_assert_eq(order(alice, "kept"), 202);
	cr_assert_eq(begin(alice, "{\"fromImage\":\"base\"}"), 202);
	cr_assert_str_eq(end_of(alice), "ready");
	(void)snprintf(ready, sizeof(ready), "%s", build);
	cr_assert_eq(order(alice, "lost"), 202);
	cr_assert_eq(begin(alice, "{\"fromImage\":\"base\",\"steps\":[{\"type\":\"RUN\",\"args\":"
				  "[\"linger\"]}]}"),
		     202);
	/* It counts, and can be told from others; clients' lists don't have it. */
	until_its_sandbox_runs(alice);
	cr_expect_eq(listed(alice, ""), 0);
	daemon_rig_stop(&d, SIGKILL);
	daemon_rig_start(&d);
	daemon_rig_await(&d);
	cr_expect_str_eq(end_of(alice), "error: the service was restarted");
	cr_expect_eq(begin(alice, "{\"fromImage\":\"base\"}"), 404);
	cr_assert_eq(ask("POST", "/v2/sandboxes", alice, "{\"templateID\":\"kept\"}"), 201, "%s",
		     a.body);
	(void)snprintf(id, sizeof(id), "%s", answer_text(&a, "sandboxID"));
	/* The lost build's sandbox is gone as well: only the new one is there. */
	cr_expect_eq(listed(alice, ""), 1);
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s", id);
	cr_expect_eq(ask("GET", path, alice, NULL), 200);
	cr_expect_eq(ask("DELETE", "/templates/kept", alice, NULL), 204);
}

/* ---- casemate template --------------------------------------------------------------------- */

static char dir[100];
static struct cli_run r;

static void write_file(const char *name, const char *text)
{
	char path[160];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	cr_assert_not_null(f, "%s", path);
	cr_assert_geq(fputs(text, f), 0);
	cr_assert_eq(fclose(f), 0);
}

/* What the rig's directory may still have when it goes. */
static void remove_files(void)
{
	static const char *const names[] = { "Dockerfile", "Other", "file", "" };
	char path[160];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)remove(path);
	}
}

Test(daemon_templates, by_the_command_line, .init = set_up, .fini = tear_down, .timeout = 120)
{
	(void)snprintf(dir, sizeof(dir), "%s/Context", d.jail.dir);
	cr_assert_eq(mkdir(dir, 0755), 0);
	write_file("file", "text");
	write_file("Dockerfile",
		   "FROM base\nCOPY fil* /opt/\nRUN make\nEXPOSE 80\nCMD [\"serve\"]\n");
	cr_assert_eq(CLI(&d, &r, "template", "build", "--cpus", "1", "--memory", "64M", dir), 0,
		     "%s", r.err);
	cr_expect_eq(strncmp(r.out, "context t", 9), 0, "%s", r.out);
	cr_expect_not_null(strstr(r.err, "line 4: EXPOSE"), "%s", r.err);
	cr_expect_not_null(strstr(r.err, "[1/2] COPY fil* /opt/"), "%s", r.err);
	cr_assert_eq(CLI(&d, &r, "template", "ls"), 0, "%s", r.err);
	cr_expect_not_null(strstr(r.out, "\ncontext "), "%s", r.out);
	cr_expect_eq(CLI(&d, &r, "template", "tag", "context", "v1", "prod"), 0, "%s", r.err);
	cr_expect_neq(CLI(&d, &r, "template", "tag", "context:none", "x"), 0);

	cr_assert_eq(CLI(&d, &r, "create", "--json", "--template", "context:v1"), 0, "%s", r.err);
	cr_expect_neq(CLI(&d, &r, "create", "--template", "nothing"), 0);
	cr_expect_not_null(strstr(r.err, "no such template"), "%s", r.err);

	/* From a template, and what fails says so with its line or its command. */
	write_file("Other", "FROM context:v1\nRUN exit-3\n");
	(void)snprintf(status, sizeof(status), "%s/Other", dir);
	cr_expect_eq(CLI(&d, &r, "template", "build", "-f", status, "-t", "second:v1", "--cpus",
			 "1", "--memory", "64M", dir),
		     125);
	cr_expect_not_null(strstr(r.err, "failed to run command 'exit-3': exit status 3"), "%s",
			   r.err);
	write_file("Other", "FROM base\nCOPY nothing /\n");
	cr_expect_eq(CLI(&d, &r, "template", "build", "-f", status, dir), 125);
	cr_expect_not_null(strstr(r.err, "line 2: COPY: nothing: there is no such file"), "%s",
			   r.err);
	write_file("Other", "FROM base\nCOPY ../store /\n");
	cr_expect_eq(CLI(&d, &r, "template", "build", "-f", status, dir), 125);
	cr_expect_not_null(strstr(r.err, "leads out of the directory"), "%s", r.err);
	write_file("Other", "FROM base\nADD x /\n");
	cr_expect_eq(CLI(&d, &r, "template", "build", "-f", status, dir), 125);
	cr_expect_not_null(strstr(r.err, "line 2: ADD: is not supported"), "%s", r.err);
	cr_expect_eq(CLI(&d, &r, "template", "rm", "context"), 0, "%s", r.err);
	cr_expect_eq(CLI(&d, &r, "template", "rm", "context"), 125);
	remove_files();
}
