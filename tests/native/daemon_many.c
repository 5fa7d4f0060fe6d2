/* SPDX-License-Identifier: Apache-2.0 */
/* More sandboxes at once than a connection has streams. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/native/daemon_rig.h"

#define MANY	  (RPC_STREAMS_MAX + 44U)
#define LOOK_US	  5000
#define LOOKS_MAX 4000

static struct daemon_rig d;
static struct answer a;

static void set_up(void)
{
	/* The pool for its template only: a restore takes less than a boot. */
	d = (struct daemon_rig){ .max = MANY, .pool = 1, .jail = { .max = MANY + 8 } };
	daemon_rig_open(&d);
}

static void tear_down(void)
{
	daemon_rig_close(&d);
}

static unsigned ask(const char *method, const char *target, const char *body)
{
	daemon_rig_ask(&d, false, method, target, "", body, &a);
	return a.status;
}

static json_int_t alive(void)
{
	json_int_t n;
	json_t *o;

	cr_assert_eq(ask("GET", "/v1/status", NULL), 200);
	o = answer_json(&a);
	n = json_integer_value(json_object_get(o, "sandboxes"));
	json_decref(o);
	return n;
}

static void make(char id[32])
{
	cr_assert_eq(ask("POST", "/v1/sandboxes", "{\"memory_bytes\":67108864}"), 201, "%s",
		     a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "id"));
}

/* Until the sandbox has ended: was it for this reason? */
static bool ends_by(const char *id, const char *reason)
{
	char target[96];

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", id);
	for (unsigned i = 0; i < LOOKS_MAX; i++) {
		bool over, right;
		json_t *o;
		cr_assert_eq(ask("GET", target, NULL), 200, "%s", a.body);
		o = answer_json(&a);
		over = strcmp(json_string_value(json_object_get(o, "state")), "ended") == 0;
		right = over && strcmp(json_string_value(json_object_get(json_object_get(o, "end"),
									 "reason")),
				       reason) == 0;
		json_decref(o);
		if (over)
			return right;
		usleep(LOOK_US);
	}
	return false;
}

static pid_t vmm_of(const char *id)
{
	char target[96];
	json_t *o;
	pid_t pid;

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", id);
	cr_assert_eq(ask("GET", target, NULL), 200, "%s", a.body);
	o = answer_json(&a);
	pid = (pid_t)json_integer_value(json_object_get(json_object_get(o, "jail"), "pid"));
	json_decref(o);
	cr_assert_gt(pid, 1, "%s", a.body);
	return pid;
}

Test(daemon_many, more_than_streams, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char first[32], last[32];

	make(first);
	for (unsigned i = 1; i < MANY; i++)
		make(last);
	cr_assert_eq(alive(), MANY);
	cr_assert_eq(ask("POST", "/v1/sandboxes", "{\"memory_bytes\":67108864}"), 429, "%s",
		     a.body);
	/* The jailer's word reaches the daemon for each of them. */
	cr_assert_eq(kill(vmm_of(first), SIGKILL), 0);
	cr_assert(ends_by(first, "killed"), "%s", a.body);
	cr_assert_eq(kill(vmm_of(last), SIGKILL), 0);
	cr_assert(ends_by(last, "killed"), "%s", a.body);
	cr_assert_eq(alive(), MANY - 2);
	make(last);
	/* All at once: tear_down wants the daemon and then the jailer to leave nothing. */
}
