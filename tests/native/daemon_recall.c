/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes outlive their casemated: after SIGTERM and after kill -9 at any moment the next one has
 * what was acknowledged, as it was, and nothing else is left.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/native/daemon_rig.h"

#define SWEEP	 40
#define SWEEP_US 60000 /* a create, a pause and a resume each take less */
#define SMALL_VM "{\"memory_bytes\":67108864}"

static struct daemon_rig d;
static struct answer a;

static void set_up(void)
{
	daemon_rig_open(&d);
}

static void set_up_short(void)
{
	d.hold = "1s";
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

static const char *target_of(const char *id, const char *verb)
{
	static char target[96];

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s%s", id, verb);
	return target;
}

static void make(char id[32], const char *body)
{
	cr_assert_eq(ask("POST", "/v1/sandboxes", body), 201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "id"));
}

static const char *text_of(const char *id, const char *name)
{
	cr_assert_eq(ask("GET", target_of(id, ""), NULL), 200, "%s", a.body);
	return answer_text(&a, name);
}

static json_int_t number_of(const char *id, const char *object, const char *name)
{
	json_t *o, *in;
	json_int_t n;

	cr_assert_eq(ask("GET", target_of(id, ""), NULL), 200, "%s", a.body);
	o = answer_json(&a);
	in = object == NULL ? o : json_object_get(o, object);
	cr_assert(json_is_integer(json_object_get(in, name)), "%s", a.body);
	n = json_integer_value(json_object_get(in, name));
	json_decref(o);
	return n;
}

/* Does its guest answer? */
static bool alive(const char *id)
{
	char fields[128];

	(void)snprintf(fields, sizeof(fields), "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\n",
		       id);
	daemon_rig_ask(&d, true, "GET", "/health", fields, NULL, &a);
	return a.status == 204;
}

static void restart(int signo)
{
	daemon_rig_stop(&d, signo);
	daemon_rig_start(&d);
}

static int files(void)
{
	return rig_kept(&d.jail, "paused");
}

/* All that the daemon lists is deleted, and then there is nothing. */
static void expect_nothing_but_those(void)
{
	json_t *o, *list;

	cr_assert_eq(ask("GET", "/v1/sandboxes", NULL), 200);
	o = answer_json(&a);
	list = json_object_get(o, "sandboxes");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *id = json_string_value(json_object_get(json_array_get(list, i), "id"));
		cr_assert_eq(ask("DELETE", target_of(id, ""), NULL), 204, "%s", a.body);
	}
	json_decref(o);
	for (unsigned i = 0; i < 1000; i++, usleep(5000)) {
		cr_assert_eq(ask("GET", "/v1/status", NULL), 200);
		if (strstr(a.body, "\"jails\":0") != NULL && files() == 0)
			break;
	}
	cr_assert_not_null(strstr(a.body, "\"jails\":0"), "%s", a.body);
	cr_assert_eq(files(), 0);
}

/* The same process in the same jail, with its tokens, its time and its tenant. */
Test(daemon_recall, as_it_was, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const int signals[] = { SIGKILL, SIGTERM, SIGKILL, SIGKILL };
	char key[128], id[32], token[64], target[96], agent[256];
	char end[64];
	json_int_t pid;

	daemon_rig_ask(&d, false, "POST", "/v1/keys", "", "{\"tenant\":\"alice\"}", &a);
	cr_assert_eq(a.status, 201, "%s", a.body);
	(void)snprintf(key, sizeof(key), "X-API-Key: %s\r\n", answer_text(&a, "key"));
	daemon_rig_ask(&d, true, "POST", "/v2/sandboxes", key,
		       "{\"templateID\":\"base\",\"timeout\":300,\"metadata\":{\"who\":\"me\"}}",
		       &a);
	cr_assert_eq(a.status, 201, "%s", a.body);
	(void)snprintf(id, sizeof(id), "%s", answer_text(&a, "sandboxID"));
	(void)snprintf(token, sizeof(token), "%s", answer_text(&a, "envdAccessToken"));
	(void)snprintf(agent, sizeof(agent),
		       "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\nX-Access-Token: %s\r\n",
		       id, token);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/timeout", id);
	daemon_rig_ask(&d, true, "POST", target, key, "{\"timeout\":1000}", &a);
	cr_assert_eq(a.status, 204, "%s", a.body);
	pid = number_of(id, "jail", "pid");
	(void)snprintf(target, sizeof(target), "/sandboxes/%s", id);
	daemon_rig_ask(&d, true, "GET", target, key, NULL, &a);
	(void)snprintf(end, sizeof(end), "%s", answer_text(&a, "endAt"));
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		restart(signals[i]);
		cr_assert_str_eq(text_of(id, "state"), "running");
		cr_assert_eq(number_of(id, "jail", "pid"), pid);
		daemon_rig_ask(&d, true, "GET", target, key, NULL, &a);
		cr_assert_str_eq(answer_text(&a, "endAt"), end);
		daemon_rig_ask(&d, true, "GET", "/echo", agent, NULL, &a);
		cr_assert_eq(a.status, 200, "%s", a.body);
		daemon_rig_ask(&d, true, "GET", "/v2/sandboxes?metadata=who%3Dme", key, NULL, &a);
		cr_assert_not_null(strstr(a.body, id), "%s", a.body);
	}
	expect_nothing_but_those();
}

/* A client may come before the jailer has answered: it waits, and isn't told that there is none. */
Test(daemon_recall, first_request, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const char request[] = "POST /v1/sandboxes HTTP/1.1\r\nHost: x\r\n"
				      "Content-Length: 2\r\n\r\n{}";
	struct pollfd in = { .events = POLLIN };
	int early;

	daemon_rig_stop(&d, SIGTERM);
	cr_assert_eq(kill(d.jail.jailer, SIGSTOP), 0);
	daemon_rig_spawn(&d);
	while ((in.fd = daemon_rig_dial(&d, false)) < 0)
		usleep(5000);
	cr_assert_eq(send(in.fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
	early = poll(&in, 1, 300);
	cr_assert_eq(kill(d.jail.jailer, SIGCONT), 0);
	cr_assert_eq(early, 0, "an answer without a jailer");
	daemon_rig_read(in.fd, &a);
	close(in.fd);
	cr_assert_eq(a.status, 201, "%s", a.body);
}

/* What hangs on a connection ends with it; what doesn't, doesn't. */
Test(daemon_recall, leases_end, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const int signals[] = { SIGTERM, SIGKILL };

	for (size_t i = 0; i < 2; i++) {
		static const char request[] =
			"POST /v1/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: 38\r\n\r\n"
			"{\"memory_bytes\":67108864,\"lease\":true}";
		char id[32], leased[32];
		int fd = daemon_rig_dial(&d, false);

		make(id, SMALL_VM);
		cr_assert_eq(fd_write_full(fd, request, sizeof(request) - 1), 0);
		daemon_rig_read(fd, &a);
		cr_assert_eq(a.status, 201, "%s", a.body);
		(void)snprintf(leased, sizeof(leased), "%s", answer_text(&a, "id"));
		restart(signals[i]);
		cr_assert_str_eq(text_of(leased, "state"), "ended");
		cr_assert_str_eq(text_of(id, "state"), "running");
		cr_assert(alive(id));
		close(fd);
	}
	expect_nothing_but_those();
}

/* Paused in memory and on the disk they stay so, and go on when they are asked to. */
Test(daemon_recall, paused_ones, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char memory[32], disk[32];

	make(memory, SMALL_VM);
	make(disk, SMALL_VM);
	cr_assert_eq(ask("POST", target_of(memory, "/pause"), "{\"disk\":false}"), 200, "%s",
		     a.body);
	cr_assert_eq(ask("POST", target_of(disk, "/pause"), "{\"disk\":true}"), 200, "%s", a.body);
	for (unsigned i = 0; i < 2; i++) {
		restart(SIGKILL);
		cr_assert_str_eq(text_of(memory, "paused"), "memory");
		cr_assert_str_eq(text_of(disk, "paused"), "disk");
		cr_assert_str_eq(text_of(disk, "state"), "paused");
		cr_assert(!alive(memory) && !alive(disk));
	}
	cr_assert_eq(files(), 1);
	cr_assert_eq(ask("POST", target_of(memory, "/resume"), NULL), 200, "%s", a.body);
	cr_assert_eq(ask("POST", target_of(disk, "/resume"), NULL), 200, "%s", a.body);
	cr_assert(alive(memory) && alive(disk));
	restart(SIGKILL);
	cr_assert(alive(memory) && alive(disk));
	expect_nothing_but_those();
}

/* Families: the parent knows what it pays for, and can have more children. */
Test(daemon_recall, forks, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, SMALL_VM);
	cr_assert_eq(ask("POST", target_of(id, "/fork"), "{\"count\":2}"), 201, "%s", a.body);
	restart(SIGKILL);
	cr_assert(alive(id));
	cr_assert_eq(ask("POST", target_of(id, "/fork"), "{\"count\":1}"), 201, "%s", a.body);
	restart(SIGKILL);
	cr_assert_eq(ask("GET", "/v1/sandboxes", NULL), 200);
	json_t *o = answer_json(&a), *list = json_object_get(o, "sandboxes");
	cr_assert_eq(json_array_size(list), 4);
	for (size_t i = 0; i < 4; i++)
		cr_assert(alive(json_string_value(json_object_get(json_array_get(list, i), "id"))));
	json_decref(o);
	/* A parent that is paused to the disk reserves for what there is of it. */
	cr_assert_eq(ask("POST", target_of(id, "/pause"), "{\"disk\":true}"), 200, "%s", a.body);
	expect_nothing_but_those();
}

/* What happens while nobody is there: a time is over, a VMM is killed. */
Test(daemon_recall, meanwhile, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char late[32], killed[32];
	json_int_t pid;

	make(late, "{\"memory_bytes\":67108864,\"timeout_ms\":1500}");
	make(killed, SMALL_VM);
	pid = number_of(killed, "jail", "pid");
	daemon_rig_stop(&d, SIGKILL);
	cr_assert_eq(kill((pid_t)pid, SIGKILL), 0);
	usleep(1600000);
	daemon_rig_start(&d);
	for (unsigned i = 0; i < 1000 && (strcmp(text_of(late, "state"), "ended") != 0 ||
					  strcmp(text_of(killed, "state"), "ended") != 0);
	     i++)
		usleep(5000);
	(void)text_of(late, "state");
	cr_assert_not_null(strstr(a.body, "\"timeout\""), "%s", a.body);
	(void)text_of(killed, "state");
	cr_assert_not_null(strstr(a.body, "\"killed\""), "%s", a.body);
	expect_nothing_but_those();
}

/* Nobody comes in time: the jailer lets go of them, and whoever comes later says so. */
Test(daemon_recall, too_late, .init = set_up_short, .fini = tear_down, .timeout = 120)
{
	char id[32];
	json_int_t pid;

	make(id, SMALL_VM);
	pid = number_of(id, "jail", "pid");
	daemon_rig_stop(&d, SIGKILL);
	for (unsigned i = 0; i < 1000 && kill((pid_t)pid, 0) == 0; i++)
		usleep(10000);
	cr_assert_neq(kill((pid_t)pid, 0), 0);
	daemon_rig_start(&d);
	cr_assert_str_eq(text_of(id, "state"), "ended");
	cr_assert_not_null(strstr(a.body, "daemon-restart"), "%s", a.body);
	expect_nothing_but_those();
}

/* The other way to end: SIGINT takes all of them along. */
Test(daemon_recall, interrupted, .init = set_up, .fini = tear_down, .timeout = 120)
{
	char id[32];

	make(id, SMALL_VM);
	restart(SIGINT);
	cr_assert_str_eq(text_of(id, "state"), "ended");
	expect_nothing_but_those();
}

/* ---- At any moment ------------------------------------------------------------------------- */

/* Sends a request, waits for `us`, kills the daemon, and says what had been answered: 0 = nothing.
 */
static unsigned killed_after(const char *method, const char *target, const char *body, unsigned us)
{
	char text[512];
	int fd = daemon_rig_dial(&d, false);
	int n = snprintf(text, sizeof(text),
			 "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", method,
			 target, strlen(body), body);

	cr_assert_eq(fd_write_full(fd, text, (size_t)n), 0);
	usleep(us);
	daemon_rig_stop(&d, SIGKILL);
	daemon_rig_read(fd, &a);
	close(fd);
	return a.status;
}

static bool exists(const char *id)
{
	(void)ask("GET", target_of(id, ""), NULL);
	return a.status == 200 && strcmp(answer_text(&a, "state"), "ended") != 0;
}

/* It was on its way somewhere when the daemon died, and gets there. */
static void settle(const char *id)
{
	for (unsigned i = 0; i < 1000 && strcmp(text_of(id, "state"), "pausing") == 0; i++)
		usleep(5000);
}

/* Whatever the request was, what had been answered is so, and the rest is one or the other. */
Test(daemon_recall, sweep, .init = set_up, .fini = tear_down, .timeout = 120)
{
	unsigned answered = 0;
	char id[32], made[32];

	srandom(7);
	make(id, SMALL_VM);
	for (unsigned i = 0; i < SWEEP; i++) {
		const unsigned us = (unsigned)random() % SWEEP_US;
		unsigned status;

		switch (i % 4) {
		case 0:
			status = killed_after("POST", "/v1/sandboxes", SMALL_VM, us);
			if (status == 201)
				(void)snprintf(made, sizeof(made), "%s", answer_text(&a, "id"));
			daemon_rig_start(&d);
			if (status == 201) {
				cr_assert(alive(made), "%u us", us);
				cr_assert_eq(ask("DELETE", target_of(made, ""), NULL), 204);
			}
			break;
		case 1:
			status = killed_after("POST", target_of(id, "/pause"), "{\"disk\":true}",
					      us);
			daemon_rig_start(&d);
			settle(id);
			if (status == 200)
				cr_assert_str_eq(text_of(id, "paused"), "disk");
			if (strcmp(text_of(id, "paused"), "no") == 0)
				cr_assert_eq(
					ask("POST", target_of(id, "/pause"), "{\"disk\":true}"),
					200, "%s", a.body);
			break;
		case 2:
			status = killed_after("POST", target_of(id, "/resume"), "", us);
			daemon_rig_start(&d);
			settle(id);
			if (strcmp(text_of(id, "state"), "running") != 0) {
				cr_assert_neq(status, 200, "resumed, and it isn't");
				cr_assert_eq(ask("POST", target_of(id, "/resume"), NULL), 200, "%s",
					     a.body);
			}
			break;
		default:
			make(made, SMALL_VM);
			status = killed_after("DELETE", target_of(made, ""), "", us / 4);
			daemon_rig_start(&d);
			cr_assert(status != 204 || !exists(made));
			if (exists(made))
				cr_assert_eq(ask("DELETE", target_of(made, ""), NULL), 204);
			break;
		}
		answered += status != 0;
		cr_assert(exists(id), "%u us", us);
	}
	cr_assert(alive(id));
	cr_assert(answered > 0 && answered < SWEEP, "%u of %u: it kills too early or too late",
		  answered, SWEEP);
	expect_nothing_but_those();
}
