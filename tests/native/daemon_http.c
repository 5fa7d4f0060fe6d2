/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API with VMs behind it: two tenants, the operator, a sandbox's verbs, and the death of
 * the daemon.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/native/daemon_http_rig.h"
#include "tests/native/openapi.h"

/* ---- Tenants ------------------------------------------------------------------------------- */

/* Each verb on a sandbox: for its owner it works (the control), for another tenant there is none.
 */
Test(daemon_http, tenants, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const struct {
		const char *method, *collection, *rest, *body;
		unsigned owner;
	} verbs[] = {
		{ "GET", "/sandboxes/", "", NULL, 200 },
		{ "GET", "/sandboxes/", "/metrics", NULL, 200 },
		{ "GET", "/sandboxes/", "/logs", NULL, 200 },
		{ "GET", "/v2/sandboxes/", "/logs", NULL, 200 },
		{ "POST", "/sandboxes/", "/timeout", "{\"timeout\":100}", 204 },
		{ "POST", "/sandboxes/", "/refreshes", "{}", 204 },
		{ "POST", "/v2/sandboxes/", "/connect", "{}", 200 },
		{ "POST", "/sandboxes/", "/connect", "{\"timeout\":10}", 200 },
		{ "POST", "/sandboxes/", "/resume", "{}", 409 },
		{ "GET", "/v1/sandboxes/", "", NULL, 200 },
		{ "GET", "/v1/sandboxes/", "/logs", NULL, 200 },
		{ "GET", "/v1/sandboxes/", "/metrics", NULL, 200 },
		{ "GET", "/v1/sandboxes/", "/jail", NULL, 200 },
		{ "GET", "/v1/sandboxes/", "/agent", NULL, 426 },
		{ "DELETE", "/sandboxes/", "", NULL, 204 },
	};
	const char *alice = key_of("alice", "{\"sandboxes\":1}"), *bob = key_of("bob", SMALL);
	char id[32], target[96];

	make(alice, id, NULL);
	cr_assert_eq(listed(alice, ""), 1);
	cr_assert_eq(listed(alice, "?metadata=who%3Dme&state=running&limit=1"), 1);
	cr_assert_eq(listed(alice, "?metadata=who%3Dyou"), 0);
	cr_assert_eq(listed(alice, "?state=paused"), 0);
	cr_assert_eq(listed(bob, ""), 0);
	cr_assert_eq(ask("GET", "/v2/sandboxes?limit=0", alice, NULL), 400);
	cr_assert_eq(ask("GET", "/v2/sandboxes?nextToken=x", alice, NULL), 400);
	cr_assert_eq(ask("POST", "/v2/sandboxes", alice, "{\"templateID\":\"base\"}"), 429,
		     "her limit is one");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		(void)snprintf(target, sizeof(target), "%s%s%s", verbs[i].collection, id,
			       verbs[i].rest);
		cr_assert_eq(ask(verbs[i].method, target, bob, verbs[i].body), 404, "%s %s: %s",
			     verbs[i].method, target, a.body);
		cr_assert_eq(ask(verbs[i].method, target, "", verbs[i].body), 401, "%s %s: %s",
			     verbs[i].method, target, a.body);
		cr_assert_eq(ask(verbs[i].method, target, alice, verbs[i].body), verbs[i].owner,
			     "%s %s: %s", verbs[i].method, target, a.body);
	}
	cr_assert_eq(ask("DELETE", target, alice, NULL), 404, "it is gone");
	cr_assert_eq(listed(alice, ""), 0);
}

Test(daemon_http, the_operators, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const char *const paths[] = { "/v1/status", "/v1/keys", "/v1/tenants", "/metrics" };
	const char *key = key_of("alice", SMALL);
	char id[32], target[64];

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		cr_assert_eq(ask("GET", paths[i], key, NULL), 403, "%s", a.body);
		daemon_rig_ask(&d, false, "GET", paths[i], "", NULL, &a);
		cr_assert_eq(a.status, 200);
		openapi_check("GET", paths[i], &a);
	}
	cr_assert_eq(ask("POST", "/v1/sandboxes", key, "{\"cpuset_cpus\":\"0\"}"), 400);
	cr_assert_eq(ask("GET", "/v2/sandboxes", "Host: evil.example\r\n", NULL), 421);
	cr_assert_eq(ask("GET", "/volumes", key, NULL), 501);
	cr_assert_eq(ask("GET", "/v2/sandboxes", "X-API-Key: e2b_0000\r\n", NULL), 401);
	/* A key that is revoked. */
	cr_assert_eq(listed(key, ""), 0);
	daemon_rig_ask(&d, false, "GET", "/v1/keys", "", NULL, &a);
	json_t *keys = answer_json(&a);
	(void)snprintf(id, sizeof(id), "%s",
		       json_string_value(json_object_get(
			       json_array_get(json_object_get(keys, "keys"), 0), "id")));
	cr_assert_null(strstr(a.body, "e2b_"), "a key can be read: %s", a.body);
	json_decref(keys);
	(void)snprintf(target, sizeof(target), "/v1/keys/%s", id);
	daemon_rig_ask(&d, false, "DELETE", target, "", NULL, &a);
	cr_assert_eq(a.status, 204);
	cr_assert_eq(ask("GET", "/v2/sandboxes", key, NULL), 401);
}

/* What the other tests don't ask for: each answer has the form that is described. */
Test(daemon_http, described, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const struct {
		const char *method, *rest, *body;
		unsigned status;
	} steps[] = {
		{ "GET", "", NULL, 200 },
		{ "GET", "/tcp", NULL, 426 },
		{ "POST", "/agent", NULL, 426 },
		{ "POST", "/fork", "{\"count\":1}", 201 },
		{ "POST", "/fork", "{\"count\":0}", 400 },
		{ "POST", "/resume", NULL, 409 },
		{ "POST", "/pause", "{\"disk\":false}", 200 },
		{ "POST", "/pause", NULL, 409 },
		{ "GET", "/jail", NULL, 200 },
		{ "GET", "/tcp", NULL, 426 },
		{ "POST", "/resume", NULL, 200 },
		{ "GET", "/logs?source=vmm", NULL, 200 },
		{ "DELETE", "", NULL, 204 },
		{ "GET", "", NULL, 200 },
		{ "GET", "/metrics", NULL, 409 },
		{ "GET", "/jail", NULL, 409 },
		{ "POST", "/fork", NULL, 409 },
	};
	const char *alice = key_of("alice", SMALL), *bob = key_of("bob", SMALL);
	char id[32], target[128];
	json_t *o;

	cr_assert_eq(ask("POST", "/v1/sandboxes", alice, "{\"memory_bytes\":67108864}"), 201, "%s",
		     a.body);
	(void)snprintf(id, sizeof(id), "%s", answer_text(&a, "id"));
	cr_assert_eq(ask("GET", "/v1/sandboxes", alice, NULL), 200);
	o = get(alice, "/v1/usage");
	cr_assert_eq(json_array_size(json_object_get(o, "sandboxes")), 1, "%s", a.body);
	json_decref(o);
	o = get(bob, "/v1/usage");
	cr_assert_eq(json_array_size(json_object_get(o, "sandboxes")), 0, "another's: %s", a.body);
	json_decref(o);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s%s", id, steps[i].rest);
		cr_assert_eq(ask(steps[i].method, target, bob, steps[i].body), 404, "%s %s: %s",
			     steps[i].method, target, a.body);
		cr_assert_eq(ask(steps[i].method, target, alice, steps[i].body), steps[i].status,
			     "%s %s: %s", steps[i].method, target, a.body);
	}
	cr_assert_eq(ask("GET", "/v1/sandboxes?all=true", alice, NULL), 200);
	daemon_rig_ask(&d, false, "PUT", "/v1/tenants/alice", "", "{\"sandboxes\":3}", &a);
	openapi_check("PUT", "/v1/tenants/alice", &a);
	cr_assert_eq(a.status, 200, "%s", a.body);
	daemon_rig_ask(&d, false, "PUT", "/v1/tenants/alice", "", "{\"sandboxes\":-1}", &a);
	openapi_check("PUT", "/v1/tenants/alice", &a);
	cr_assert_eq(a.status, 400, "%s", a.body);
}

/* ---- Pause --------------------------------------------------------------------------------- */

Test(daemon_http, pause, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *key = key_of("alice", SMALL), *bob = key_of("bob", SMALL);
	char id[32], token[64], target[96], agent[256];

	make(key, id, token);
	(void)snprintf(agent, sizeof(agent),
		       "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\nX-Access-Token: %s\r\n",
		       id, token);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/pause", id);
	cr_assert_eq(ask("POST", target, bob, NULL), 404);
	cr_assert_eq(ask("POST", target, key, "{\"memory\":false}"), 501);
	cr_assert_eq(ask("POST", target, key, "[]"), 400);
	cr_assert_eq(ask("GET", "/health", agent, NULL), 204);
	cr_assert_eq(ask("POST", target, key, "{}"), 204, "%s", a.body);
	cr_assert_eq(ask("POST", target, key, NULL), 409, "once more: %s", a.body);
	cr_assert_eq(ask("GET", "/health", agent, NULL), 502);
	cr_assert_eq(listed(key, "?state=paused"), 1);
	cr_assert_eq(listed(key, "?state=running"), 0);
	cr_assert_eq(listed(key, ""), 1);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s", id);
	cr_assert_eq(ask("GET", target, key, NULL), 200);
	cr_assert_str_eq(answer_text(&a, "state"), "paused");
	(void)snprintf(target, sizeof(target), "/v2/sandboxes/%s/connect", id);
	cr_assert_eq(ask("POST", target, key, "{\"timeout\":100}"), 201, "%s", a.body);
	cr_assert_str_eq(answer_text(&a, "envdAccessToken"), token);
	cr_assert_eq(ask("GET", "/health", agent, NULL), 204);
	cr_assert_eq(ask("POST", target, key, "{}"), 200, "it runs already");
}

/* Children are their parent's tenant's, count against its limits, and have tokens of their own. */
Test(daemon_http, forks, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *key = key_of("alice", "{\"sandboxes\":3}"), *bob = key_of("bob", SMALL);
	char id[32], token[64], target[96], agent[256];
	json_t *made, *one;
	size_t i;

	make(key, id, token);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/fork", id);
	cr_assert_eq(ask("POST", target, bob, "{}"), 404);
	cr_assert_eq(ask("POST", target, key, "{\"count\":0}"), 400);
	cr_assert_eq(ask("POST", target, key, "{\"count\":3}"), 429, "%s", a.body);
	cr_assert_eq(listed(key, ""), 1, "all or none");
	/* Those of the three that had been begun count until they are gone. */
	for (unsigned n = 0; n < 400; n++) {
		if (ask("POST", target, key, "{\"count\":2,\"timeout\":60}") != 429)
			break;
		usleep(10000);
	}
	cr_assert_eq(a.status, 201, "%s", a.body);
	made = answer_json(&a);
	cr_assert_eq(json_array_size(made), 2);
	json_array_foreach(made, i, one)
	{
		json_t *s = json_object_get(one, "sandbox");
		const char *child = json_string_value(json_object_get(s, "envdAccessToken"));
		cr_assert_str_neq(child, token);
		(void)snprintf(agent, sizeof(agent),
			       "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\n"
			       "X-Access-Token: %s\r\n",
			       json_string_value(json_object_get(s, "sandboxID")), child);
		cr_assert_eq(ask("GET", "/health", agent, NULL), 204, "%s", a.body);
	}
	json_decref(made);
	cr_assert_eq(listed(key, "?metadata=who%3Dme"), 3);
}

/* A sandbox whose time is up while autoPause is set lies there, and can be had again or ended. */
Test(daemon_http, auto_pause, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *key = key_of("alice", SMALL);
	char id[32], target[96];

	cr_assert_eq(ask("POST", "/sandboxes", key,
			 "{\"templateID\":\"base\",\"timeout\":1,\"autoPause\":true}"),
		     201);
	(void)snprintf(id, sizeof(id), "%s", answer_text(&a, "sandboxID"));
	for (unsigned i = 0; i < 1000 && listed(key, "?state=paused") == 0; i++)
		usleep(10000);
	cr_assert_eq(listed(key, "?state=paused"), 1);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/resume", id);
	cr_assert_eq(ask("POST", target, key, "{\"timeout\":60}"), 201, "%s", a.body);
	cr_assert_eq(listed(key, "?state=running"), 1);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/pause", id);
	cr_assert_eq(ask("POST", target, key, NULL), 204);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s", id);
	cr_assert_eq(ask("DELETE", target, key, NULL), 204);
	cr_assert_eq(listed(key, ""), 0);
}

/* Paused, a port of it is enough to have it go on, for whoever may use the port. */
Test(daemon_http, auto_resume, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *key = key_of("alice", SMALL);
	char id[32], token[64], target[96], port[96], agent[256];
	json_t *detail;

	cr_assert_eq(
		ask("POST", "/v2/sandboxes", key,
		    "{\"templateID\":\"base\",\"timeout\":60,\"autoResume\":{\"enabled\":true}}"),
		201, "%s", a.body);
	(void)snprintf(id, sizeof(id), "%s", answer_text(&a, "sandboxID"));
	(void)snprintf(token, sizeof(token), "%s", answer_text(&a, "envdAccessToken"));
	(void)snprintf(port, sizeof(port), "Host: 3000-%s.localhost\r\n", id);
	(void)snprintf(agent, sizeof(agent), "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\n",
		       id);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/pause", id);
	cr_assert_eq(ask("POST", target, key, NULL), 204, "%s", a.body);
	cr_assert_eq(ask("GET", "/echo", agent, NULL), 401, "not for everybody");
	/* As the agent says it, and no more. */
	cr_expect_not_null(
		strstr(a.body, "{\"code\":401,\"message\":\"unauthorized access, please provide a "
			       "valid access token or method signing if supported\"}"),
		"%s", a.body);
	cr_assert_eq(listed(key, "?state=paused"), 1);
	cr_assert_eq(ask("POST", "/a?b=c", port, "hello"), 200, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "\r\n\r\nhello"), "%s", a.body);
	cr_assert_eq(listed(key, "?state=running"), 1);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s", id);
	cr_assert_eq(ask("GET", target, key, NULL), 200);
	detail = answer_json(&a);
	cr_assert(
		json_is_true(json_object_get(json_object_get(detail, "lifecycle"), "autoResume")));
	json_decref(detail);
	/* The same by a token alone; and one that isn't for that stays where it is. */
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/pause", id);
	cr_assert_eq(ask("POST", target, key, NULL), 204, "%s", a.body);
	(void)snprintf(agent, sizeof(agent), "X-Access-Token: %s\r\n", token);
	cr_assert_eq(ask("GET", "/files?path=x", agent, NULL), 200, "%s", a.body);
	make(key, id, token);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/pause", id);
	cr_assert_eq(ask("POST", target, key, NULL), 204, "%s", a.body);
	(void)snprintf(port, sizeof(port), "Host: 3000-%s.localhost\r\n", id);
	cr_assert_eq(ask("GET", "/", port, NULL), 502);
	cr_assert_eq(listed(key, "?state=paused"), 1);
}

/* ---- Doctor -------------------------------------------------------------------------------- */

/* The rig's jailer runs with --allow-no-selinux: the administrator has accepted it. That without a
 * jailer it is a failure, tests/native/doctor.c says. */
Test(daemon_http, doctor_knows_what_was_accepted, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static char said[1U << 16];
	size_t len = 0;
	ssize_t n;
	int out[2];
	pid_t pid;

	if (rig_has_selinux())
		cr_skip_test("SELinux enforces here");
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		(void)dup2(out[1], STDOUT_FILENO);
		(void)execl(CLI_BIN, CLI_BIN, "--socket", d.socket, "doctor", "--json", "--libexec",
			    "/nonexistent", (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	while ((n = read(out[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	close(out[0]);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_expect_not_null(
		strstr(said, "\"code\":\"selinux\",\"level\":\"W\",\"what\":\"absent; accepted"),
		"%s", said);
	cr_expect_not_null(strstr(said, "\"code\":\"jailer\",\"level\":\"ok\""), "%s", said);
}

/* ---- The daemon's death -------------------------------------------------------------------- */

static void set_up_unheld(void)
{
	d.hold = "0s";
	daemon_rig_open(&d);
}

/* kill -9 right after the answer, of one that has asked the jailer for nothing: the next daemon
 * knows what was acknowledged and what became of it, and nothing of it runs. */
Test(daemon_http, kill_9, .init = set_up_unheld, .fini = tear_down, .timeout = 120)
{
	const char *key = key_of("alice", SMALL);
	char id[32], token[64], target[64], fields[256];

	make(key, id, token);
	daemon_rig_stop(&d, SIGKILL);
	daemon_rig_start(&d);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", id);
	cr_assert_eq(ask("GET", target, key, NULL), 200, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "\"state\":\"ended\""), "%s", a.body);
	cr_assert_not_null(strstr(a.body, "daemon-restart"), "%s", a.body);
	cr_assert_eq(listed(key, ""), 0, "the key is still good, and no sandbox is left");
	cr_assert_eq(ask("GET", target, key_of("bob", SMALL), NULL), 404);
	(void)snprintf(fields, sizeof(fields),
		       "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\nX-Access-Token: %s\r\n",
		       id, token);
	cr_assert_eq(ask("GET", "/echo", fields, NULL), 502);
	/* The jailer is at it when it notices; soon there is no jail. */
	for (unsigned i = 0; i < 400; i++) {
		daemon_rig_ask(&d, false, "GET", "/v1/status", "", NULL, &a);
		if (strstr(a.body, "\"jails\":0") != NULL)
			break;
		usleep(5000);
	}
	daemon_rig_ask(&d, false, "GET", "/v1/status", "", NULL, &a);
	cr_assert_not_null(strstr(a.body, "\"jails\":0"), "%s", a.body);
	make(key, id, NULL);
}
