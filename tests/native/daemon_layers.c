/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_layers.c - what a template's build needn't do again, and what it must: a step that is
 * taken from an earlier build says CACHED in the log. Every RUN and COPY is kept here.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/native/cli_rig.h"
#include "tests/native/template_rig.h"

#define RUN(text)   "{\"type\":\"RUN\",\"args\":[\"" text "\"]}"
#define COPY	    "{\"type\":\"COPY\",\"args\":[\"a\",\"b\"],\"filesHash\":\"" HASH "\"}"
#define ENV	    "{\"type\":\"ENV\",\"args\":[\"A\",\"1\"]}"
#define FROM(steps) "{\"fromImage\":\"base\",\"steps\":[" steps "]}"
#define AND	    ","

static void set_up_layers(void)
{
	d.layers = "0s";
	set_up();
}

/* How many of its steps an earlier build had done. */
static unsigned cached(const char *key, const char *name, const char *recipe)
{
	char path[160];
	const char *at;
	unsigned n = 0;

	cr_assert_eq(order(key, name), 202, "%s", a.body);
	cr_assert_eq(begin(key, recipe), 202, "%s", a.body);
	cr_assert_str_eq(end_of(key), "ready", "%s: %s", recipe, status);
	(void)snprintf(path, sizeof(path), "/templates/%s/builds/%s/logs", template, build);
	cr_assert_eq(ask("GET", path, key, NULL), 200, "%s", a.body);
	for (at = a.body; (at = strstr(at, "CACHED [")) != NULL; at++)
		n++;
	return n;
}

/* How many layers the tenant has, and the id of one. */
static unsigned layers(const char *key, char id[32])
{
	json_t *o = get(key, "/v1/snapshots"), *p;
	unsigned n = 0;
	size_t i;

	json_array_foreach(json_object_get(o, "snapshots"), i, p)
	{
		if (strncmp(json_string_value(json_object_get(p, "name")), "layer.", 6) != 0)
			continue;
		(void)snprintf(id, 32, "%s", json_string_value(json_object_get(p, "id")));
		n++;
	}
	json_decref(o);
	return n;
}

Test(daemon_layers, the_same_again, .init = set_up_layers, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", "{\"snapshots\":3}"), *bob = key_of("bob", SMALL);
	char id[32];

	cr_expect_eq(cached(alice, "app", FROM(RUN("make") AND ENV AND RUN("test"))), 0);
	cr_expect_eq(layers(alice, id), 2);
	cr_expect_eq(cached(alice, "app", FROM(RUN("make") AND ENV AND RUN("test"))), 3);
	cr_expect_eq(
		cached(alice, "other", FROM(RUN("make") AND ENV AND RUN("test") AND RUN("more"))),
		3, "another template of the tenant's");
	/* What comes before the first difference. */
	cr_expect_eq(cached(alice, "other", FROM(RUN("make") AND ENV AND RUN("else"))), 1);
	cr_expect_eq(cached(alice, "other", FROM(RUN("make") AND RUN("test"))), 1, "without ENV");
	cr_expect_eq(cached(alice, "other", FROM(RUN("test") AND ENV AND RUN("test"))), 0);
	cr_expect_eq(cached(bob, "app", FROM(RUN("make") AND ENV AND RUN("test"))), 0,
		     "another tenant");

	/* They are none of the tenant's three snapshots, of which the two templates are two. */
	cr_expect_gt(layers(alice, id), 3);
	cr_assert_eq(ask("GET", "/snapshots", alice, NULL), 200);
	cr_expect_null(strstr(a.body, "layer."), "%s", a.body);

	/* A sandbox of what was cached is one of the template's. */
	cr_expect_eq(ask("POST", "/v2/sandboxes", alice, "{\"templateID\":\"app\"}"), 201, "%s",
		     a.body);
}

Test(daemon_layers, forced, .init = set_up_layers, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", SMALL);
	char id[32];

	cr_expect_eq(cached(alice, "app", FROM(RUN("one") AND RUN("two") AND RUN("three"))), 0);
	cr_expect_eq(cached(alice, "app",
			    "{\"fromImage\":\"base\",\"force\":true,\"steps\":[" RUN("one") "," RUN(
				    "two") "," RUN("three") "]}"),
		     0);
	cr_expect_eq(layers(alice, id), 3, "each in the place of the one before");
	cr_expect_eq(cached(alice, "app",
			    FROM(RUN("one") AND
				 "{\"type\":\"RUN\",\"args\":[\"two\"],\"force\":true}" AND RUN(
					 "three"))),
		     1);
	cr_expect_eq(cached(alice, "app", FROM(RUN("one") AND RUN("two") AND RUN("three"))), 3);
	cr_assert_eq(order(alice, "app"), 202);
	cr_expect_eq(begin(alice, "{\"fromImage\":\"base\",\"force\":1}"), 400);
}

Test(daemon_layers, files_count_by_their_bytes, .init = set_up_layers, .fini = tear_down,
     .timeout = 120)
{
	const char *alice = key_of("alice", SMALL);
	char target[640];

	cr_assert_eq(order(alice, "app"), 202);
	upload_target(alice, HASH, target);
	cr_assert_eq(put(target, "an archive"), 200);
	cr_expect_eq(cached(alice, "app", FROM(COPY AND RUN("make"))), 0);
	cr_assert_eq(put(target, "an archive"), 200);
	cr_expect_eq(cached(alice, "app", FROM(COPY AND RUN("make"))), 2, "the same bytes");
	cr_assert_eq(put(target, "another one"), 200);
	cr_expect_eq(cached(alice, "app", FROM(COPY AND RUN("make"))), 0, "others");
}

/* Until no build's sandbox is left, nor what it has of a layer. */
static void settle(const char *key)
{
	const uint64_t until = now_ms() + 20000;

	for (;;) {
		cr_assert_eq(ask("GET", "/v1/sandboxes", key, NULL), 200);
		if (strstr(a.body, "\"state\":\"running\"") == NULL &&
		    strstr(a.body, "\"state\":\"stopping\"") == NULL)
			return;
		cr_assert_lt(now_ms(), until, "%s", a.body);
		(void)poll(NULL, 0, 20);
	}
}

/* One that is lost, or isn't what it was, is done without. */
Test(daemon_layers, lost, .init = set_up_layers, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", SMALL);
	char id[32], path[160];

	cr_expect_eq(cached(alice, "app", FROM(RUN("make"))), 0);
	daemon_rig_stop(&d, SIGKILL);
	daemon_rig_start(&d);
	cr_expect_eq(cached(alice, "app", FROM(RUN("make"))), 1, "after a restart");
	cr_assert_eq(layers(alice, id), 1);
	(void)snprintf(path, sizeof(path), "%s/store/snapshots/%s", d.jail.dir, id);
	settle(alice);
	cr_assert_eq(unlink(path), 0);
	cr_expect_eq(cached(alice, "app", FROM(RUN("make"))), 0);
	cr_expect_eq(cached(alice, "app", FROM(RUN("make"))), 1, "and made again");
}

Test(daemon_layers, bounded, .init = set_up_layers, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", "{\"creates_per_minute\":1000}");
	char recipe[128], id[32];

	cr_expect_eq(cached(alice, "app", FROM(RUN("used"))), 0);
	for (unsigned i = 0; i < 17; i++) {
		(void)snprintf(recipe, sizeof(recipe), FROM(RUN("make %u")), i);
		cr_expect_eq(cached(alice, "app", recipe), 0);
		if (i == 8)
			cr_expect_eq(cached(alice, "app", FROM(RUN("used"))), 1);
	}
	cr_expect_eq(layers(alice, id), 16);
	/* The ones that weren't of use for longest have gone. */
	cr_expect_eq(cached(alice, "app", FROM(RUN("used"))), 1);
	cr_expect_eq(cached(alice, "app", FROM(RUN("make 0"))), 0);
}

Test(daemon_layers, no_room, .init = set_up_layers, .fini = tear_down, .timeout = 120)
{
	/* Twice a template has room for, and half of it is less than a layer. */
	const char *alice = key_of("alice", "{\"snapshot_bytes\":300000}");
	char id[32];

	cr_expect_eq(cached(alice, "app", FROM(RUN("make"))), 0);
	cr_expect_eq(layers(alice, id), 0);
}

/* A tenant can't give another's build, or its own, a state of its choice. */
Test(daemon_layers, names_are_ours, .init = set_up_layers, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", SMALL);
	char id[32], target[96];

	make(alice, id, NULL);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s/snapshots", id);
	cr_expect_eq(ask("POST", target, alice, "{\"name\":\"layer.0\"}"), 400, "%s", a.body);
	cr_expect_eq(ask("POST", target, alice, "{\"name\":\"build.0\"}"), 400, "%s", a.body);
	cr_expect_eq(ask("POST", target, alice, "{\"name\":\"layers\"}"), 201, "%s", a.body);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/snapshots", id);
	cr_expect_eq(ask("POST", target, alice, "{\"name\":\"layer.0\"}"), 400, "%s", a.body);
}

/* An image goes with the layers that are made of it. */
Test(daemon_layers, with_their_image, .init = set_up_layers, .fini = tear_down, .timeout = 120)
{
	const char *recipe = "{\"fromImage\":\"mine\",\"steps\":[" RUN("make") "]}";
	const char *alice = key_of("alice", SMALL);
	char image[4097], body[128], id[32];

	memset(image, 'x', sizeof(image) - 1);
	image[sizeof(image) - 1] = '\0';
	daemon_rig_ask(&d, false, "POST", "/v1/images", "", image, &a);
	cr_assert_eq(a.status, 201, "%s", a.body);
	(void)snprintf(body, sizeof(body), "{\"digest\":\"%s\"}", answer_text(&a, "digest"));
	daemon_rig_ask(&d, false, "PUT", "/v1/images/mine", "", body, &a);
	cr_assert_eq(a.status, 201, "%s", a.body);
	cr_expect_eq(cached(alice, "app", recipe), 0);
	cr_expect_eq(cached(alice, "app", recipe), 1);
	/* The template needs it, its layers don't keep it. */
	settle(alice);
	daemon_rig_ask(&d, false, "DELETE", "/v1/images/mine", "", NULL, &a);
	cr_expect_eq(a.status, 409, "%s", a.body);
	cr_expect_null(strstr(a.body, "layer"), "%s", a.body);
	cr_expect_eq(layers(alice, id), 1);
	cr_assert_eq(ask("DELETE", "/templates/app", alice, NULL), 204);
	daemon_rig_ask(&d, false, "DELETE", "/v1/images/mine", "", NULL, &a);
	cr_expect_eq(a.status, 200, "%s", a.body);
	cr_expect_eq(layers(alice, id), 0);
}

/* Files on a disk are a part of it, for layers as for templates. */
Test(daemon_layers, scratch_disks, .init = set_up_layers, .fini = tear_down, .timeout = 120)
{
	const char *recipe =
		"{\"fromImage\":\"base\",\"scratch_bytes\":8388608,\"steps\":[" RUN("make") "]}";
	const char *alice = key_of("alice", SMALL);

	cr_expect_eq(cached(alice, "app", recipe), 0);
	cr_expect_eq(cached(alice, "app", recipe), 1);
	cr_expect_eq(cached(alice, "app", FROM(RUN("make"))), 0, "without a disk");
	cr_expect_eq(cached(alice, "app", recipe), 1);
	cr_assert_eq(ask("POST", "/v1/sandboxes", alice, "{\"template\":\"app\"}"), 201, "%s",
		     a.body);
	cr_expect_not_null(strstr(a.body, "\"scratch_bytes\":8388608"), "%s", a.body);
	cr_assert_eq(order(alice, "app"), 202);
	cr_expect_eq(begin(alice, "{\"fromImage\":\"base\",\"scratch_bytes\":1}"), 400);
	cr_expect_eq(begin(alice, "{\"fromImage\":\"base\",\"scratch_bytes\":-1048576}"), 400);
	cr_assert_eq(begin(alice, "{\"fromImage\":\"base\",\"scratch_bytes\":4503599627370496}"),
		     202);
	cr_expect_not_null(strstr(end_of(alice), "scratch_bytes: more than"), "%s", status);
}

static void write_to(const char *dir, const char *name, const char *text)
{
	char path[160];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	cr_assert_not_null(f, "%s", path);
	cr_assert_geq(fputs(text, f), 0);
	cr_assert_eq(fclose(f), 0);
}

/* The command's archives have keys of their own each time; what counts is their bytes. */
Test(daemon_layers, by_the_command_line, .init = set_up_layers, .fini = tear_down, .timeout = 120)
{
	static struct cli_run r;
	char dir[100], path[160];
	static const char *const names[] = { "Dockerfile", "file", "" };

	(void)snprintf(dir, sizeof(dir), "%s/Context", d.jail.dir);
	cr_assert_eq(mkdir(dir, 0755), 0);
	write_to(dir, "file", "text");
	write_to(dir, "Dockerfile", "FROM base\nCOPY file /opt/\nRUN make\n");
	for (unsigned i = 0; i < 3; i++) {
		const char *option = i == 2 ? "--no-cache" : "--ready=true";
		cr_assert_eq(CLI(&d, &r, "template", "build", "--cpus", "1", "--memory", "64M",
				 option, dir),
			     0, "%s", r.err);
		cr_expect_eq(strstr(r.err, "CACHED [2/2] RUN make") != NULL, i == 1, "%u: %s", i,
			     r.err);
	}
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)remove(path);
	}
}
