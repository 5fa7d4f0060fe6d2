/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_snapshots.c - snapshots: what they carry, who may use them, how long they last, and what
 * is left when something dies in the middle.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/native/daemon_rig.h"
#include "tests/native/openapi.h"

#define SMALL "{\"memory_bytes\":67108864}"

static struct daemon_rig d;
static struct answer a;

static void set_up(void)
{
	daemon_rig_open(&d);
}

static void tear_down(void)
{
	daemon_rig_close(&d);
}

static unsigned ask(const char *method, const char *target, const char *body)
{
	daemon_rig_ask(&d, false, method, target, "", body, &a);
	openapi_check(method, target, &a);
	return a.status;
}

static const char *target_of(const char *id, const char *verb)
{
	static char target[128];

	(void)snprintf(target, sizeof(target), "/v1/%s/%s%s",
		       id[0] == 's' ? "snapshots" : "sandboxes", id, verb);
	return target;
}

static const char *path_of(const char *id)
{
	static char path[160];

	(void)snprintf(path, sizeof(path), "%s/store/snapshots/%s", d.jail.dir, id);
	return path;
}

static void make(char id[32], const char *body)
{
	cr_assert_eq(ask("POST", "/v1/sandboxes", body), 201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "id"));
}

/* Of a template or snapshot; its ports need no token. */
static void make_open(const char *template, char id[32])
{
	char body[128];

	(void)snprintf(body, sizeof(body), "{\"templateID\":\"%s\",\"timeout\":600}", template);
	cr_assert_eq(ask("POST", "/sandboxes", body), 201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "sandboxID"));
}

static void keep(const char *id, const char *body, char snapshot[32])
{
	cr_assert_eq(ask("POST", target_of(id, "/snapshots"), body), 201, "%s", a.body);
	(void)snprintf(snapshot, 32, "%s", answer_text(&a, "id"));
}

static unsigned from(const char *snapshot)
{
	char body[96];

	(void)snprintf(body, sizeof(body), "{\"snapshot\":\"%s\"}", snapshot);
	return ask("POST", "/v1/sandboxes", body);
}

static void make_from(const char *snapshot, char id[32])
{
	make_open(snapshot, id);
	cr_assert_eq(ask("GET", target_of(id, ""), NULL), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "path"), "snapshot");
}

static void end(const char *id)
{
	cr_assert_eq(ask("DELETE", target_of(id, ""), NULL), 204, "%s", a.body);
}

/* What its guest says. */
static const char *guest(const char *id, const char *path)
{
	char fields[128];

	(void)snprintf(fields, sizeof(fields), "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\n",
		       id);
	daemon_rig_ask(&d, true, "GET", path, fields, NULL, &a);
	cr_assert_eq(a.status, 200, "%s %s: %u %s", id, path, a.status, a.body);
	return a.body;
}

static int files(void)
{
	return rig_kept(&d.jail, "snapshots");
}

/* Nobody waits for the jailer to remove them. */
static bool files_become(int n)
{
	for (unsigned i = 0; i < 1000 && files() != n; i++)
		usleep(10000);
	return files() == n;
}

static bool listed(const char *snapshot)
{
	cr_assert_eq(ask("GET", "/v1/snapshots", NULL), 200, "%s", a.body);
	return strstr(a.body, snapshot) != NULL;
}

static void restart(int signo)
{
	daemon_rig_stop(&d, signo);
	daemon_rig_start(&d);
	daemon_rig_await(&d);
}

/* What was in the memory is there, in as many as one likes, each somebody else. */
Test(daemon_snapshots, two_of_one, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], snapshot[32], one[32], two[32], three[32], who[3][2048];
	struct stat st;

	make_open("base", id);
	cr_assert_str_eq(guest(id, "/note=before"), "before");
	keep(id, "{\"name\":\"first\"}", snapshot);
	cr_assert_str_eq(answer_text(&a, "sandbox"), id);
	cr_assert_eq(stat(path_of(snapshot), &st), 0);
	cr_assert_eq(st.st_mode, S_IFREG | 0600);
	cr_assert_eq(st.st_uid, 0);
	cr_assert_lt(st.st_blocks * 512, 32 << 20, "it isn't sparse");
	/* It goes on, and what it does now is nobody else's. */
	cr_assert_str_eq(guest(id, "/note=after"), "after");
	make_from(snapshot, one);
	make_from("first", two);
	cr_assert_str_eq(guest(one, "/note"), "before");
	cr_assert_str_eq(guest(two, "/note"), "before");
	cr_assert_str_eq(guest(one, "/note=mine"), "mine");
	cr_assert_str_eq(guest(two, "/note"), "before");
	cr_assert_str_eq(guest(id, "/note"), "after");
	/* Generation id, entropy, token, host name: no two have the same. */
	(void)snprintf(who[0], sizeof(who[0]), "%s", guest(id, "/who"));
	(void)snprintf(who[1], sizeof(who[1]), "%s", guest(one, "/who"));
	(void)snprintf(who[2], sizeof(who[2]), "%s", guest(two, "/who"));
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_gt(strlen(who[i]), 64);
		cr_assert_neq(strncmp(who[i], who[(i + 1) % 3], 32), 0, "a generation id twice");
		cr_assert_str_neq(who[i], who[(i + 1) % 3]);
	}
	/* Its sandbox may go, and the snapshot while it is used. */
	end(id);
	make_from(snapshot, three);
	end(snapshot);
	cr_assert(files_become(0));
	cr_assert_eq(from(snapshot), 404, "%s", a.body);
	cr_assert_eq(from("first"), 404, "%s", a.body);
	cr_assert_eq(ask("DELETE", target_of(snapshot, ""), NULL), 404);
	cr_assert_str_eq(guest(three, "/note"), "before");
	cr_assert_str_eq(guest(one, "/note"), "mine");
	end(one);
	end(two);
	end(three);
	cr_assert_eq(rig_groups(&d.jail), 0);
}

/* One that came from a snapshot is a sandbox like any other. */
Test(daemon_snapshots, of_one_of_one, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], snapshot[32], child[32], second[32], grandchild[32];

	make(id, SMALL);
	keep(id, NULL, snapshot);
	cr_assert_str_eq(answer_text(&a, "name"), "");
	make_from(snapshot, child);
	cr_assert_str_eq(guest(child, "/note=child"), "child");
	cr_assert_eq(ask("POST", target_of(child, "/fork"), "{}"), 201, "%s", a.body);
	cr_assert_eq(ask("POST", target_of(child, "/pause"), "{\"disk\":true}"), 200, "%s", a.body);
	cr_assert_eq(ask("POST", target_of(child, "/snapshots"), NULL), 409, "%s", a.body);
	cr_assert_eq(ask("POST", target_of(child, "/resume"), NULL), 200, "%s", a.body);
	keep(child, "{\"name\":\"x\"}", second);
	end(child);
	end(snapshot);
	make_from(second, grandchild);
	cr_assert_str_eq(guest(grandchild, "/note"), "child");
	/* The newest has the name. */
	keep(grandchild, "{\"name\":\"x\"}", snapshot);
	cr_assert_eq(ask("GET", target_of(second, ""), NULL), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "name"), "");
	cr_assert_eq(ask("GET", "/v1/snapshots/x", NULL), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "id"), snapshot);
}

/* As its guest would write it. */
static void write_disk(const char *id, const char *text)
{
	int fd = daemon_rig_disk(&d, id);

	cr_assert_eq(pwrite(fd, text, 5, 1 << 20), 5);
	close(fd);
}

static void expect_disk(const char *id, const char *text)
{
	char is[6] = "";
	int fd = daemon_rig_disk(&d, id);

	cr_assert_eq(pread(fd, is, 5, 1 << 20), 5);
	cr_assert_str_eq(is, text);
	close(fd);
}

static unsigned from_v1(const char *snapshot, char id[32])
{
	if (from(snapshot) == 201)
		(void)snprintf(id, 32, "%s", answer_text(&a, "id"));
	return a.status;
}

/* Each has a disk of its own that begins as the snapshot's, also beyond a restart. */
Test(daemon_snapshots, scratch_disks, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], snapshot[32], one[32], two[32];

	make(id, "{\"memory_bytes\":67108864,\"scratch_bytes\":8388608}");
	write_disk(id, "first");
	keep(id, NULL, snapshot);
	cr_assert_eq(files(), 2);
	cr_assert_eq(ask("GET", target_of(id, ""), NULL), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "paused"), "no");
	write_disk(id, "later");
	cr_assert_eq(from_v1(snapshot, one), 201, "%s", a.body);
	expect_disk(one, "first");
	write_disk(one, "mine!");
	restart(SIGKILL);
	rig_kill_jailer(&d.jail);
	rig_start_jailer(&d.jail);
	daemon_rig_await(&d);
	cr_assert_eq(from_v1(snapshot, two), 201, "%s", a.body);
	expect_disk(two, "first");
	cr_assert_eq(ask("POST", target_of(two, "/pause"), "{\"disk\":true}"), 200, "%s", a.body);
	cr_assert_eq(ask("POST", target_of(two, "/resume"), NULL), 200, "%s", a.body);
	expect_disk(two, "first");
	end(snapshot);
	cr_assert(files_become(0));
}

/* What a request may say, and what not. */
Test(daemon_snapshots, requests, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const char *const bad[] = { "{\"name\":\"Up\"}", "{\"name\":\"../x\"}",
					   "{\"name\":7}", "{\"more\":1}", "[]" };
	static const char *const more[] = { "\"vcpus\":2", "\"image\":\"default\"",
					    "\"memory_bytes\":134217728", "\"network\":{}" };
	char id[32], snapshot[32], body[128];

	make(id, SMALL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(ask("POST", target_of(id, "/snapshots"), bad[i]), 400, "%s: %s",
			     bad[i], a.body);
	keep(id, NULL, snapshot);
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		(void)snprintf(body, sizeof(body), "{\"snapshot\":\"%s\",%s}", snapshot, more[i]);
		cr_assert(ask("POST", "/v1/sandboxes", body) == 400 || a.status == 501, "%s: %u %s",
			  more[i], a.status, a.body);
	}
	cr_assert_eq(from("s0000000000000000000"), 404, "%s", a.body);
	cr_assert_eq(files(), 1);
	(void)snprintf(body, sizeof(body), "{\"snapshot\":\"%s\",\"timeout_ms\":60000}", snapshot);
	cr_assert_eq(ask("POST", "/v1/sandboxes", body), 201, "%s", a.body);
}

/* ---- As the SDKs do it --------------------------------------------------------------------- */

static char key[2][128];

static void two_tenants(void)
{
	static const char *const bodies[2] = {
		"{\"tenant\":\"alice\",\"limits\":{\"snapshots\":2,\"creates_per_minute\":1000}}",
		"{\"tenant\":\"bob\"}"
	};

	set_up();
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(ask("POST", "/v1/keys", bodies[i]), 201, "%s", a.body);
		(void)snprintf(key[i], sizeof(key[i]), "X-API-Key: %s\r\n", answer_text(&a, "key"));
	}
}

static unsigned as(unsigned who, const char *method, const char *target, const char *body)
{
	char path[128];

	daemon_rig_ask(&d, true, method, target, key[who], body, &a);
	(void)snprintf(path, sizeof(path), "%s", target);
	path[strcspn(path, "?")] = '\0';
	openapi_check(method, path, &a);
	return a.status;
}

static void make_e2b(unsigned who, const char *template, char id[32])
{
	char body[128];

	(void)snprintf(body, sizeof(body), "{\"templateID\":\"%s\"}", template);
	cr_assert_eq(as(who, "POST", "/v2/sandboxes", body), 201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "sandboxID"));
}

Test(daemon_snapshots, as_templates, .init = two_tenants, .fini = tear_down, .timeout = 120)
{
	char id[32], target[96], snapshot[2][40], child[32], next[32];
	const char *at;

	make_e2b(0, "base", id);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/snapshots", id);
	cr_assert_eq(as(1, "POST", target, "{}"), 404, "another's sandbox");
	cr_assert_eq(as(0, "POST", target, "{}"), 201, "%s", a.body);
	(void)snprintf(snapshot[0], sizeof(snapshot[0]), "%s", answer_text(&a, "snapshotID"));
	cr_assert_eq(as(0, "POST", target, "{\"name\":\"mine\"}"), 201, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "[\"mine\"]"), "%s", a.body);
	(void)snprintf(snapshot[1], sizeof(snapshot[1]), "%s", answer_text(&a, "snapshotID"));
	cr_assert_eq(as(0, "POST", target, "{}"), 429, "the quota: %s", a.body);
	make_e2b(0, snapshot[0], child);
	cr_assert_str_neq(child, id);
	make_e2b(0, "mine:default", child);
	/* Pages, newest first. */
	cr_assert_eq(as(0, "GET", "/snapshots?limit=1", NULL), 200, "%s", a.body);
	cr_assert_not_null(strstr(a.body, snapshot[1]), "%s", a.body);
	at = strstr(a.head, "X-Next-Token: ");
	cr_assert_not_null(at, "%s", a.head);
	at += strlen("X-Next-Token: ");
	cr_assert_lt(strcspn(at, "\r"), sizeof(next));
	memcpy(next, at, strcspn(at, "\r"));
	next[strcspn(at, "\r")] = '\0';
	(void)snprintf(target, sizeof(target), "/snapshots?limit=1&nextToken=%s", next);
	cr_assert_eq(as(0, "GET", target, NULL), 200, "%s", a.body);
	cr_assert_not_null(strstr(a.body, snapshot[0]), "%s", a.body);
	cr_assert_null(strstr(a.head, "X-Next-Token"), "%s", a.head);
	cr_assert_eq(as(0, "GET", "/snapshots?name=mine", NULL), 200, "%s", a.body);
	cr_assert_null(strstr(a.body, snapshot[0]), "%s", a.body);
	cr_assert_eq(as(0, "GET", "/snapshots?limit=0", NULL), 400, "%s", a.body);
	/* None of this is another tenant's. */
	cr_assert_eq(as(1, "GET", "/snapshots", NULL), 200, "%s", a.body);
	cr_assert_str_eq(a.body, "[]");
	(void)snprintf(target, sizeof(target), "{\"templateID\":\"%s\"}", snapshot[0]);
	cr_assert_eq(as(1, "POST", "/v2/sandboxes", target), 404, "%s", a.body);
	(void)snprintf(target, sizeof(target), "/templates/%.20s%%3Adefault", snapshot[0]);
	cr_assert_eq(as(1, "DELETE", target, NULL), 404, "%s", a.body);
	cr_assert_eq(as(0, "DELETE", target, NULL), 204, "%s", a.body);
	cr_assert_eq(as(0, "DELETE", target, NULL), 404, "%s", a.body);
	cr_assert(files_become(1));
}

/* ---- Deaths -------------------------------------------------------------------------------- */

Test(daemon_snapshots, of_the_daemon, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], snapshot[32], child[32];

	make_open("base", id);
	cr_assert_str_eq(guest(id, "/note=kept"), "kept");
	keep(id, "{\"name\":\"kept\"}", snapshot);
	make_from(snapshot, child);
	restart(SIGKILL);
	cr_assert(listed(snapshot));
	cr_assert_str_eq(guest(child, "/note"), "kept");
	make_from("kept", child);
	restart(SIGTERM);
	make_from("kept", child);
	cr_assert_str_eq(guest(child, "/note"), "kept");
	end(snapshot);
	restart(SIGKILL);
	cr_assert_not(listed(snapshot));
	cr_assert(files_become(0));
}

Test(daemon_snapshots, of_the_jailer, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], snapshot[32], child[32];

	make_open("base", id);
	cr_assert_str_eq(guest(id, "/note=kept"), "kept");
	keep(id, NULL, snapshot);
	rig_kill_jailer(&d.jail);
	rig_start_jailer(&d.jail);
	daemon_rig_await(&d);
	make_from(snapshot, child);
	cr_assert_str_eq(guest(child, "/note"), "kept");
}

/* A POST of a snapshot, without waiting for its answer. */
static int begin(const char *id)
{
	int fd = daemon_rig_dial(&d, false);

	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n",
			     target_of(id, "/snapshots")),
		     0);
	return fd;
}

/* Killed at one moment or another of it: what isn't listed has no file, and the sandbox goes on. */
Test(daemon_snapshots, in_the_middle, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];
	json_t *o;
	int n;

	make(id, "{\"memory_bytes\":67108864,\"hostname\":\"dirty-24\"}");
	for (unsigned i = 0; i < 6; i++) {
		int fd = begin(id);
		usleep(i * 15000);
		restart(SIGKILL);
		close(fd);
		cr_assert_eq(ask("GET", target_of(id, ""), NULL), 200, "%s", a.body);
		cr_assert_str_eq(answer_text(&a, "state"), "running");
		cr_assert_eq(ask("GET", "/v1/snapshots", NULL), 200);
		o = answer_json(&a);
		n = (int)json_array_size(json_object_get(o, "snapshots"));
		json_decref(o);
		cr_assert(files_become(n), "%d files, %d listed", files(), n);
	}
	cr_assert_eq(ask("POST", target_of(id, "/snapshots"), NULL), 201, "%s", a.body);
	/* Nobody waits: it is made all the same. */
	n = files();
	close(begin(id));
	cr_assert(files_become(n + 1));
}

/* ---- Files that aren't what they were, and disks that are full ----------------------------- */

static void change(const char *snapshot, off_t at)
{
	int fd = open(path_of(snapshot), O_RDWR | O_CLOEXEC);
	uint8_t b;

	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, &b, 1, at), 1);
	b ^= 1;
	cr_assert_eq(pwrite(fd, &b, 1, at), 1);
	close(fd);
}

Test(daemon_snapshots, altered, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32], snapshot[32], child[32];

	make(id, SMALL);
	keep(id, NULL, snapshot);
	change(snapshot, 33 << 20);
	cr_assert_eq(from(snapshot), 500, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "memory isn't what was sealed"), "%s", a.body);
	change(snapshot, 33 << 20);
	make_from(snapshot, child); /* the control */
	end(child);
	cr_assert_eq(unlink(path_of(snapshot)), 0);
	cr_assert_eq(from(snapshot), 500, "%s", a.body);
	end(snapshot);
	cr_assert_not(listed(snapshot));
}

static void on_a_full_disk(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    (mkdir(path_of(""), 0700) < 0 && errno != EEXIST) ||
	    mount("tmpfs", path_of(""), "tmpfs", 0, "size=64m,mode=0700") < 0)
		_exit(1);
}

static void set_up_full(void)
{
	d.jail.before_exec = on_a_full_disk;
	daemon_rig_open(&d);
}

static void set_up_none(void)
{
	d.jail.test_option = "--snapshot-bytes";
	d.jail.test_value = "0";
	daemon_rig_open(&d);
}

static void set_up_little(void)
{
	d.jail.test_option = "--snapshot-bytes";
	d.jail.test_value = "64K";
	daemon_rig_open(&d);
}

static void no_room(unsigned status, const char *why)
{
	char id[32];

	make_open("base", id);
	cr_assert_eq(ask("POST", target_of(id, "/snapshots"), NULL), status, "%u %s", a.status,
		     a.body);
	cr_assert_not_null(strstr(a.body, why), "%s", a.body);
	cr_assert_str_eq(guest(id, "/note=on"), "on");
	cr_assert_eq(ask("GET", "/v1/snapshots", NULL), 200);
	cr_assert_not_null(strstr(a.body, "\"snapshots\":[]"), "%s", a.body);
	cr_assert_eq(files(), 0);
}

Test(daemon_snapshots, full, .init = set_up_full, .fini = tear_down, .timeout = 120)
{
	no_room(507, "the store's disk has 64 MiB free");
}

Test(daemon_snapshots, too_much, .init = set_up_little, .fini = tear_down, .timeout = 120)
{
	no_room(507, "for snapshots are in use");
}

Test(daemon_snapshots, none_kept, .init = set_up_none, .fini = tear_down, .timeout = 120)
{
	no_room(501, "keeps none");
}
