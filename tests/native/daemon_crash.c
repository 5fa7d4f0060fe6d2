/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_crash.c - kill -9 of a VMM, of the jailer and of casemated at any moment of a fork, of a
 * pause to the disk, of the way back, of a snapshot, and of a creation, from a snapshot, too. What
 * it was is said in a clear error or done; no half-made sandbox, jail, file or memory is left, and
 * the next request is served.
 *
 * The moments: a first run says how long the action takes, the others spread over that time, and a
 * little more (CASEMATE_ROUNDS: how many).
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "tests/native/daemon_rig.h"
#include "tests/native/openapi.h"

#define ROUNDS	  4U
#define TRIES_MAX 40U
#define SMALL	  "{\"memory_bytes\":67108864}"
#define WITH_DISK "{\"memory_bytes\":67108864,\"scratch_bytes\":8388608}"
#define VMMS_MAX  16
#define SETTLE_MS 20000U

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

TestSuite(daemon_crash, .init = set_up, .fini = tear_down, .timeout = 300);

static unsigned rounds(void)
{
	const char *text = getenv("CASEMATE_ROUNDS");
	uint64_t n = ROUNDS;

	if (text != NULL)
		cr_assert_eq(parse_u64(text, 1, 10000, &n), 0);
	return (unsigned)n;
}

/* ---- Requests ------------------------------------------------------------------------------ */

static unsigned ask(const char *method, const char *target, const char *body)
{
	daemon_rig_ask(&d, false, method, target, "", body, &a);
	openapi_check(method, target, &a);
	return a.status;
}

static const char *target_of(const char *id, const char *verb)
{
	static char target[96];

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s%s", id, verb);
	return target;
}

static void make_of(const char *body, char id[32])
{
	cr_assert_eq(ask("POST", "/v1/sandboxes", body), 201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "id"));
}

static void make(char id[32])
{
	make_of(SMALL, id);
}

static const char *state(const char *id)
{
	cr_assert_eq(ask("GET", target_of(id, ""), NULL), 200, "%s", a.body);
	return answer_text(&a, "state");
}

/* How many there are that haven't ended. */
static size_t live(void)
{
	json_t *o;
	size_t n;

	cr_assert_eq(ask("GET", "/v1/sandboxes", NULL), 200, "%s", a.body);
	o = answer_json(&a);
	n = json_array_size(json_object_get(o, "sandboxes"));
	json_decref(o);
	return n;
}

/* All of a list: sandboxes or snapshots. */
static void delete_listed(const char *what)
{
	char target[96];
	const json_t *s;
	json_t *o;
	size_t i;

	(void)snprintf(target, sizeof(target), "/v1/%s", what);
	cr_assert_eq(ask("GET", target, NULL), 200, "%s", a.body);
	o = answer_json(&a);
	json_array_foreach(json_object_get(o, what), i, s)
	{
		unsigned status;
		(void)snprintf(target, sizeof(target), "/v1/%s/%s", what,
			       json_string_value(json_object_get(s, "id")));
		status = ask("DELETE", target, NULL);
		cr_assert(status == 204 || status == 404, "%s", a.body);
	}
	json_decref(o);
}

/* ---- What is left -------------------------------------------------------------------------- */

/* Memfds of snapshots that a process has; 0 when there is no such process. */
static unsigned snapshots_of(pid_t pid)
{
	char path[48], link[320], target[64];
	unsigned n = 0;
	struct dirent *e;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir != NULL && (e = readdir(dir)) != NULL) {
		ssize_t len;
		(void)snprintf(link, sizeof(link), "%s/%s", path, e->d_name);
		len = readlink(link, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = '\0';
		n += strncmp(target, "/memfd:casemate-state", 21) == 0 ||
		     strncmp(target, "/memfd:casemate-memory", 22) == 0;
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}

static int files(void)
{
	return rig_kept(&d.jail, "paused");
}

static bool only_left(int jails)
{
	pid_t pids[VMMS_MAX];

	return rig_children(&d.jail, pids, VMMS_MAX) == jails &&
	       rig_groups(&d.jail) == jails * rig_trees(&d.jail) && files() == 0 &&
	       snapshots_of(d.jail.jailer) == 0 && (d.daemon <= 0 || snapshots_of(d.daemon) == 0);
}

/* So many jails, and nothing else of any sandbox. */
static void expect_left(int jails, const char *after, unsigned round)
{
	uint64_t end = now_ms() + SETTLE_MS;
	pid_t pids[VMMS_MAX];

	while (!only_left(jails) && now_ms() < end)
		(void)usleep(2000);
	cr_assert(only_left(jails),
		  "%s, round %u: %d processes and %d groups for %d jails, %d files, %u and %u "
		  "snapshots",
		  after, round, rig_children(&d.jail, pids, VMMS_MAX), rig_groups(&d.jail), jails,
		  files(), snapshots_of(d.jail.jailer), snapshots_of(d.daemon));
}

/* What isn't listed has no file either. */
static void expect_no_snapshots(const char *after, unsigned round)
{
	uint64_t end = now_ms() + SETTLE_MS;

	delete_listed("snapshots");
	while (rig_kept(&d.jail, "snapshots") > 0 && now_ms() < end)
		(void)usleep(2000);
	cr_assert_eq(rig_kept(&d.jail, "snapshots"), 0, "%s, round %u", after, round);
}

/* All is well: one is made, and ended. */
static void expect_served(const char *after, unsigned round)
{
	char id[32];

	delete_listed("sandboxes");
	expect_left(0, after, round);
	expect_no_snapshots(after, round);
	make(id);
	cr_assert_eq(ask("DELETE", target_of(id, ""), NULL), 204, "%s", a.body);
	expect_left(0, after, round);
}

/* ---- Actions ------------------------------------------------------------------------------- */

enum { CREATE, FORK, FORK_DISK, PARK, UNPARK, KEEP, FROM, ACTIONS };

static const struct {
	const char *name, *verb, *body;
	unsigned ok;
} actions[ACTIONS] = {
	[CREATE] = { "create", NULL, SMALL, 201 },
	[FORK] = { "fork", "/fork", "{\"count\":2}", 201 },
	[FORK_DISK] = { "fork with a disk", "/fork", "{\"count\":2}", 201 },
	[PARK] = { "pause", "/pause", "{\"disk\":true}", 200 },
	[UNPARK] = { "resume", "/resume", NULL, 200 },
	[KEEP] = { "snapshot", "/snapshots", NULL, 201 },
	[FROM] = { "create from a snapshot", NULL, NULL, 201 },
};

/* FROM's, of the snapshot that was prepared. */
static char from_body[96];

static const char *body_of(unsigned action)
{
	if (action == FROM)
		return from_body;
	return actions[action].body == NULL ? "" : actions[action].body;
}

static const char *action_target(unsigned action, const char *id)
{
	return actions[action].verb == NULL ? "/v1/sandboxes" : target_of(id, actions[action].verb);
}

/* What the action needs: a sandbox that runs, or one on the disk, or a snapshot. */
static void prepare(unsigned action, char id[32])
{
	id[0] = '\0';
	if (action == CREATE)
		return;
	make_of(action == FORK_DISK ? WITH_DISK : SMALL, id);
	if (action == UNPARK)
		cr_assert_eq(ask("POST", target_of(id, "/pause"), "{\"disk\":true}"), 200, "%s",
			     a.body);
	if (action != FROM)
		return;
	cr_assert_eq(ask("POST", target_of(id, "/snapshots"), NULL), 201, "%s", a.body);
	(void)snprintf(from_body, sizeof(from_body), "{\"snapshot\":\"%s\"}",
		       answer_text(&a, "id"));
	cr_assert_eq(ask("DELETE", target_of(id, ""), NULL), 204, "%s", a.body);
}

static int begin(unsigned action, const char *id)
{
	const char *body = body_of(action);
	int fd = daemon_rig_dial(&d, false);

	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd,
			     "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n\r\n%s",
			     action_target(action, id), strlen(body), body),
		     0);
	return fd;
}

static void finish(unsigned action, const char *id, int fd)
{
	daemon_rig_read(fd, &a);
	close(fd);
	if (a.status != 0)
		openapi_check("POST", action_target(action, id), &a);
}

/* It was done, or the answer says why not. */
static void expect_answer(unsigned action, unsigned round)
{
	json_t *o;

	cr_assert_neq(a.status, 0, "%s, round %u: no answer", actions[action].name, round);
	if (a.status == actions[action].ok)
		return;
	cr_assert(a.status >= 400 && a.status < 600, "%s: %u", actions[action].name, a.status);
	o = answer_json(&a);
	cr_assert_gt(json_string_length(json_object_get(o, "message")), 12, "%s", a.body);
	json_decref(o);
}

/* How long it takes when nobody dies. */
static uint64_t duration_us(unsigned action)
{
	char id[32];
	uint64_t begin_ns;

	prepare(action, id);
	begin_ns = now_ns();
	finish(action, id, begin(action, id));
	cr_assert_eq(a.status, actions[action].ok, "%s", a.body);
	begin_ns = (now_ns() - begin_ns) / 1000;
	expect_served("a first run", 0);
	return begin_ns;
}

static void wait_us(uint64_t us)
{
	const struct timespec t = { .tv_sec = (time_t)(us / 1000000),
				    .tv_nsec = (long)(us % 1000000 * 1000) };

	(void)nanosleep(&t, NULL);
}

/* ---- A VMM --------------------------------------------------------------------------------- */

/* The newest, or the oldest; -1 = there is none. */
static pid_t a_vmm(bool newest)
{
	pid_t pids[VMMS_MAX];
	int n = rig_children(&d.jail, pids, VMMS_MAX);

	return n == 0 ? -1 : pids[newest ? n - 1 : 0];
}

/* What is on the disk goes on, however often it took. */
static void expect_resumes(const char *id)
{
	cr_assert_str_eq(state(id), "paused");
	cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "state"), "running");
}

/* In the rounds that were asked for, and in as many more as it takes to hit one. */
static unsigned kill_vmms(unsigned action, bool newest)
{
	uint64_t us = duration_us(action);
	unsigned failed = 0, n = rounds();

	for (unsigned i = 0; i < n || (failed == 0 && i < n + TRIES_MAX); i++) {
		char id[32];
		int fd;
		pid_t pid;
		prepare(action, id);
		fd = begin(action, id);
		wait_us(i < n ? us * i / n : us * (i * 37 % 100) / 100);
		pid = a_vmm(newest);
		if (pid > 0)
			(void)kill(pid, SIGKILL);
		finish(action, id, fd);
		expect_answer(action, i);
		failed += a.status != actions[action].ok;
		if (action == UNPARK && a.status != 200)
			expect_resumes(id);
		expect_served(actions[action].name, i);
	}
	return failed;
}

Test(daemon_crash, a_vmm_that_is_being_made)
{
	cr_expect_gt(kill_vmms(CREATE, true), 0, "none was hit");
}

/* A clone that dies before its handshake, or the parent, takes the others along. */
Test(daemon_crash, a_child_or_parent_while_it_is_forked)
{
	cr_expect_gt(kill_vmms(FORK, false), 0, "no parent was hit");
	cr_expect_gt(kill_vmms(FORK, true), 0, "no child was hit");
	cr_expect_gt(kill_vmms(FORK_DISK, false), 0, "no parent was hit");
	cr_expect_gt(kill_vmms(FORK_DISK, true), 0, "no child was hit");
}

Test(daemon_crash, a_vmm_on_its_way_to_the_disk_and_back)
{
	cr_expect_gt(kill_vmms(PARK, true), 0, "none was hit");
	cr_expect_gt(kill_vmms(UNPARK, true), 0, "none was hit");
}

Test(daemon_crash, a_vmm_of_which_or_from_which_there_is_a_snapshot)
{
	cr_expect_gt(kill_vmms(KEEP, true), 0, "none was hit");
	cr_expect_gt(kill_vmms(FROM, true), 0, "none was hit");
}

/* ---- The jailer, and the daemon ------------------------------------------------------------ */

/* Every sandbox has ended with its jailer, and what its next start finds is removed. */
Test(daemon_crash, the_jailer)
{
	for (unsigned action = 0; action < ACTIONS; action++) {
		uint64_t us = duration_us(action);
		for (unsigned i = 0, n = rounds(); i < n; i++) {
			char id[32];
			int fd;
			prepare(action, id);
			fd = begin(action, id);
			wait_us(us * i / n);
			rig_kill_jailer(&d.jail);
			finish(action, id, fd);
			expect_answer(action, i);
			rig_start_jailer(&d.jail);
			daemon_rig_await(&d);
			for (unsigned k = 0; live() > 0 && k < 2000; k++)
				(void)usleep(5000);
			cr_assert_eq(live(), 0, "%s: %s", actions[action].name, a.body);
			expect_served(actions[action].name, i);
		}
	}
}

/* What the jailer has for one that has asked it to keep nothing goes with its connection; the next
 * one knows of no sandbox. (With a hold: daemon_recall.c.) */
Test(daemon_crash, the_daemon)
{
	daemon_rig_stop(&d, SIGTERM);
	d.hold = "0s";
	daemon_rig_start(&d);
	for (unsigned action = 0; action < ACTIONS; action++) {
		uint64_t us = duration_us(action);
		for (unsigned i = 0, n = rounds(); i < n; i++) {
			char id[32];
			int fd;
			prepare(action, id);
			fd = begin(action, id);
			wait_us(us * i / n);
			daemon_rig_stop(&d, SIGKILL);
			finish(action, id, fd);
			expect_left(0, actions[action].name, i);
			daemon_rig_start(&d);
			cr_assert_eq(live(), 0, "%s: %s", actions[action].name, a.body);
			expect_served(actions[action].name, i);
		}
	}
}
