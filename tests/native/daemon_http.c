/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API with VMs behind it: two tenants, the ports of a guest, a guest that lies, clients
 * that are slow, and the death of the daemon.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "tests/native/daemon_rig.h"
#include "tests/native/openapi.h"

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

/* A key of a tenant's, as a header line. */
static const char *key_of(const char *tenant, const char *limits)
{
	static char lines[4][128];
	static unsigned at;
	char body[256], *line = lines[at++ % 4];

	(void)snprintf(body, sizeof(body), "{\"tenant\":\"%s\",\"limits\":%s}", tenant, limits);
	daemon_rig_ask(&d, false, "POST", "/v1/keys", "", body, &a);
	cr_assert_eq(a.status, 201, "%s", a.body);
	(void)snprintf(line, sizeof(lines[0]), "X-API-Key: %s\r\n", answer_text(&a, "key"));
	return line;
}

#define SMALL "{}"

/* One request; what isn't for a guest must be answered as api/openapi.yaml says. */
static unsigned ask(const char *method, const char *target, const char *fields, const char *body)
{
	char path[128];

	daemon_rig_ask(&d, true, method, target, fields, body, &a);
	(void)snprintf(path, sizeof(path), "%s", target);
	path[strcspn(path, "?")] = '\0';
	if (strstr(fields, "andbox") == NULL && strstr(fields, "Host: 300") == NULL &&
	    strstr(fields, "Access-Token") == NULL)
		openapi_check(method, path, &a);
	return a.status;
}

static void make(const char *key, char id[32], char token[64])
{
	cr_assert_eq(ask("POST", "/v2/sandboxes", key,
			 "{\"templateID\":\"base\",\"timeout\":300,\"metadata\":{\"who\":\"me\"}}"),
		     201, "%s", a.body);
	(void)snprintf(id, 32, "%s", answer_text(&a, "sandboxID"));
	if (token != NULL)
		(void)snprintf(token, 64, "%s", answer_text(&a, "envdAccessToken"));
}

/* ---- Tenants ------------------------------------------------------------------------------- */

static size_t listed(const char *key, const char *query)
{
	char target[128];
	json_t *list;
	size_t n;

	(void)snprintf(target, sizeof(target), "/v2/sandboxes%s", query);
	cr_assert_eq(ask("GET", target, key, NULL), 200, "%s", a.body);
	list = answer_json(&a);
	n = json_array_size(list);
	json_decref(list);
	return n;
}

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
	cr_assert_eq(ask("GET", "/templates", key, NULL), 501);
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

/* ---- The guest's ports --------------------------------------------------------------------- */

Test(daemon_http, ports, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *key = key_of("alice", SMALL);
	char id[32], token[64], agent[128], open[256], named[512];

	make(key, id, token);
	(void)snprintf(agent, sizeof(agent), "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\n",
		       id);
	(void)snprintf(open, sizeof(open), "%sX-Access-Token: %s\r\n", agent, token);
	cr_assert_eq(ask("GET", "/health", agent, NULL), 204);
	cr_assert_eq(ask("GET", "/echo", agent, NULL), 401, "no token");
	cr_assert_eq(ask("GET", "/echo", open, NULL), 200);
	cr_assert_not_null(strstr(a.body, "GET /echo HTTP/1.1\r\n"), "%s", a.body);
	cr_assert_eq(ask("POST", "/init", open, "{}"), 404, "the host's alone");
	cr_assert_eq(ask("POST", "//init", open, "{}"), 404);
	/* By the token alone, as older SDKs do. */
	(void)snprintf(named, sizeof(named), "X-Access-Token: %s\r\n", token);
	cr_assert_eq(ask("GET", "/files?path=x", named, NULL), 200, "%s", a.body);
	cr_assert_eq(ask("GET", "/files?path=x", "X-Access-Token: ea_no\r\n", NULL), 401);
	/* A port of the guest, by host name. What is not the guest's business stays here. */
	(void)snprintf(named, sizeof(named),
		       "Host: 3000-%s.localhost:1\r\n%sX-Hop: 1\r\nConnection: X-Hop\r\n", id, key);
	cr_assert_eq(ask("POST", "/a?b=c", named, "hello"), 200, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "POST /a?b=c HTTP/1.1"), "%s", a.body);
	cr_assert_not_null(strstr(a.body, "\r\n\r\nhello"), "%s", a.body);
	cr_assert_null(strcasestr(a.body, "api-key"), "%s", a.body);
	cr_assert_null(strcasestr(a.body, "X-Hop"), "%s", a.body);
	(void)snprintf(named, sizeof(named), "Host: 3001-%s.localhost\r\n", id);
	cr_assert_eq(ask("GET", "/", named, NULL), 502);
	cr_assert_not_null(strstr(a.body, "port is not open"), "%s", a.body);
	/* One header of the two; nobody's id. */
	(void)snprintf(named, sizeof(named), "E2b-Sandbox-Id: %s\r\n", id);
	cr_assert_eq(ask("GET", "/health", named, NULL), 400);
	cr_assert_eq(ask("GET", "/health",
			 "E2b-Sandbox-Id: iaaaaaaaaaaaaaaaaaaa\r\nE2b-Sandbox-Port: 49983\r\n",
			 NULL),
		     502);
	cr_assert_not_null(strstr(a.body, "The sandbox was not found"), "%s", a.body);
}

/* What a guest answers can't run into the answer to the next request of the same connection. */
Test(daemon_http, a_guest_that_lies, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const struct {
		const char *path;
		unsigned status;
		bool whole;
		const char *body;
	} lies[] = {
		{ "/chunks", 200, true, "hello!" },
		{ "/untilclose", 200, true, "all of it" },
		{ "/smuggle", 200, true, "hello" },
		{ "/short", 200, false, "hello" },
		{ "/badchunk", 200, false, "hello" },
		{ "/garbage", 502, true, "malformed" },
		{ "/twice", 502, true, "malformed" },
		{ "/switch", 502, true, "malformed" },
		{ "/silent", 502, true, "without an answer" },
		{ "/endless", 502, true, "malformed" },
	};
	char id[32], token[64], text[512];

	make(key_of("alice", SMALL), id, token);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		int fd = daemon_rig_dial(&d, true);
		int n = snprintf(text, sizeof(text),
				 "GET %s HTTP/1.1\r\nHost: x\r\nE2b-Sandbox-Id: %s\r\n"
				 "E2b-Sandbox-Port: 49983\r\nX-Access-Token: %s\r\n\r\n",
				 lies[i].path, id, token);
		cr_assert_eq(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
		daemon_rig_read(fd, &a);
		cr_assert_eq(a.status, lies[i].status, "%s: %s", lies[i].path, a.head);
		cr_assert_eq(a.whole, lies[i].whole, "%s: %s", lies[i].path, a.body);
		cr_assert_not_null(strstr(a.body, lies[i].body), "%s: %s", lies[i].path, a.body);
		/* The next request on it gets its own answer, or none. */
		n = snprintf(text, sizeof(text),
			     "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n");
		(void)!send(fd, text, (size_t)n, MSG_NOSIGNAL);
		daemon_rig_read(fd, &a);
		cr_assert_eq(a.status, lies[i].whole ? 401 : 0, "%s: %s%s", lies[i].path, a.head,
			     a.body);
		close(fd);
	}
}

/* A guest that doesn't answer holds up those who ask it, so many of them, and nobody else. */
Test(daemon_http, a_guest_that_is_silent, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *key = key_of("alice", SMALL);
	char id[32], token[64], text[512];
	int fds[60], n;

	make(key, id, token);
	n = snprintf(text, sizeof(text),
		     "GET /never HTTP/1.1\r\nHost: x\r\nE2b-Sandbox-Id: %s\r\n"
		     "E2b-Sandbox-Port: 49983\r\nX-Access-Token: %s\r\n\r\n",
		     id, token);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = daemon_rig_dial(&d, true);
		cr_assert_eq(send(fds[i], text, (size_t)n, MSG_NOSIGNAL), n);
	}
	daemon_rig_read(fds[59], &a);
	cr_assert_eq(a.status, 429, "%s", a.body);
	cr_assert_eq(listed(key, ""), 1);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	/* They are given back. */
	(void)snprintf(text, sizeof(text),
		       "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\nX-Access-Token: %s\r\n",
		       id, token);
	for (unsigned i = 0; i < 200 && ask("GET", "/echo", text, NULL) == 429; i++)
		usleep(5000);
	cr_assert_eq(a.status, 200, "%s", a.body);
}

/* ---- Clients ------------------------------------------------------------------------------- */

/* More connections than there may be: those who wait for nothing make room. */
Test(daemon_http, many_idle_clients, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static int fds[1200];
	const char *key = key_of("alice", SMALL);

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = daemon_rig_dial(&d, true);
		cr_assert_geq(fds[i], 0);
		(void)!send(fds[i], "GET / HT", 8, MSG_NOSIGNAL);
	}
	cr_assert_eq(listed(key, ""), 0);
	daemon_rig_ask(&d, false, "GET", "/v1/status", "", NULL, &a);
	cr_assert_eq(a.status, 200);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* Ten thousand clients that never come to the point, all at once: who asks something is answered as
 * soon as ever, over the network and locally, and what a guest answers as well. */
Test(daemon_http, ten_thousand_clients, .init = set_up, .fini = tear_down, .timeout = 120)
{
	enum { CLIENTS = 10000, EACH = 50 }; /* fewer than wait to be accepted */
	static int fds[CLIENTS];
	const struct rlimit need = { CLIENTS + 256, CLIENTS + 256 };
	const char *key = key_of("alice", SMALL);
	char id[32], token[64], agent[256];
	uint64_t before, worst = 0;

	if (setrlimit(RLIMIT_NOFILE, &need) < 0)
		cr_skip_test("needs %d descriptors", CLIENTS);
	make(key, id, token);
	(void)snprintf(agent, sizeof(agent),
		       "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\nX-Access-Token: %s\r\n",
		       id, token);
	for (size_t i = 0; i < CLIENTS; i++) {
		fds[i] = daemon_rig_dial(&d, true);
		cr_assert_geq(fds[i], 0);
		(void)!send(fds[i], "GET / HT", i % 9, MSG_NOSIGNAL);
		if (i % EACH != EACH - 1)
			continue;
		before = now_ms();
		cr_assert_eq(listed(key, ""), 1);
		cr_assert_eq(ask("GET", "/echo", agent, NULL), 200, "%s", a.body);
		daemon_rig_ask(&d, false, "GET", "/v1/status", "", NULL, &a);
		cr_assert_eq(a.status, 200);
		worst = MAX(worst, now_ms() - before);
	}
	cr_log_info("three requests took %llu ms at most", (unsigned long long)worst);
	cr_assert_lt(worst, 5000); /* a busy machine's, not ours */
	for (size_t i = 0; i < CLIENTS; i++)
		close(fds[i]);
}

Test(daemon_http, bodies, .init = set_up, .fini = tear_down, .timeout = 120)
{
	static const struct {
		unsigned status;
		const char *fields, *body;
	} cases[] = {
		{ 404, "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n" },
		{ 400, "Transfer-Encoding: chunked\r\n", "2\n{}\r\n0\r\n\r\n" },
		{ 400, "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "{}" },
		{ 400, "Content-Length: 2\r\nContent-Length: 2\r\n", "{}" },
		{ 501, "Transfer-Encoding: gzip\r\n", "x" },
		{ 413, "Content-Length: 70000\r\n", NULL },
	};
	static char big[80000], text[81000];
	const char *key = key_of("alice", SMALL);

	memset(big, ' ', 70000);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = daemon_rig_dial(&d, true);
		int n = snprintf(text, sizeof(text),
				 "POST /sandboxes/iaaaaaaaaaaaaaaaaaaa/timeout HTTP/1.1\r\n"
				 "Host: localhost\r\n%s%s\r\n%s",
				 key, cases[i].fields, cases[i].body == NULL ? big : cases[i].body);
		(void)!send(fd, text, (size_t)n, MSG_NOSIGNAL);
		daemon_rig_read(fd, &a);
		cr_assert_eq(a.status, cases[i].status, "%zu: %s%s", i, a.head, a.body);
		close(fd);
	}
}

/* ---- Events and the rest ------------------------------------------------------------------- */

/* Waits until the stream has said this. */
static void expect_event(int fd, const char *part)
{
	static char text[16384];
	static size_t len;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (strstr(text, part) == NULL) {
		cr_assert_eq(poll(&p, 1, 20000), 1, "no \"%s\" in \"%s\"", part, text);
		ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		cr_assert_gt(n, 0, "no \"%s\" in \"%s\"", part, text);
		len += (size_t)n;
	}
	cr_assert_null(strstr(text, "bob"), "another's event: %s", text);
}

Test(daemon_http, events, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", SMALL), *bob = key_of("bob", SMALL);
	char text[512], id[32], target[96];
	int fd = daemon_rig_dial(&d, true);
	int n = snprintf(text, sizeof(text), "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
			 alice);

	cr_assert_eq(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	expect_event(fd, "text/event-stream");
	expect_event(fd, ": ping");
	make(bob, id, NULL);
	make(alice, id, NULL);
	(void)snprintf(text, sizeof(text), "{\"id\":\"%s\",\"state\":\"running\"", id);
	expect_event(fd, text);
	(void)snprintf(target, sizeof(target), "/sandboxes/metrics?sandbox_ids=%s,x", id);
	cr_assert_eq(ask("GET", target, alice, NULL), 200);
	cr_assert_not_null(strstr(a.body, id));
	(void)snprintf(target, sizeof(target), "/sandboxes/%s", id);
	cr_assert_eq(ask("DELETE", target, alice, NULL), 204);
	(void)snprintf(text, sizeof(text),
		       "{\"id\":\"%s\",\"state\":\"ended\",\"reason\":\"deleted\"", id);
	expect_event(fd, text);
	close(fd);
	daemon_rig_ask(&d, false, "GET", "/metrics", "", NULL, &a);
	cr_assert_not_null(strstr(a.body, "casemate_sandboxes_started_total 2\n"), "%s", a.body);
	cr_assert_not_null(strstr(a.body, "casemate_tenant_sandboxes{tenant=\"bob\"} 1\n"), "%s",
			   a.body);
	(void)snprintf(text, sizeof(text), "casemate_sandbox_memory_bytes{id=\"%s", id);
	cr_assert_null(strstr(a.body, text), "one that has ended");
	cr_assert_not_null(strstr(a.body, "\",tenant=\"bob\"} "), "%s", a.body);
	cr_assert_not_null(strstr(a.body, "casemate_sandbox_cpu_seconds_total{id=\"i"), "%s",
			   a.body);
	cr_assert_eq(ask("GET", "/teams", alice, NULL), 200);
	cr_assert_eq(ask("GET", "/health", alice, NULL), 200);
	cr_assert_eq(ask("GET", "/snapshots", alice, NULL), 501);
}

/* ---- Usage --------------------------------------------------------------------------------- */

static json_t *get(const char *key, const char *target)
{
	cr_assert_eq(ask("GET", target, key, NULL), 200, "%s: %s", target, a.body);
	return answer_json(&a);
}

/* What the kernel counts, by way of the jailer: casemated can't read the group itself. */
Test(daemon_http, usage, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", SMALL), *bob = key_of("bob", SMALL);
	char id[32], target[512];
	json_t *o, *m;
	int n;

	make(alice, id, NULL);
	(void)snprintf(target, sizeof(target), "/sandboxes/%s/metrics", id);
	o = get(alice, target);
	m = json_array_get(o, 0);
	cr_expect_gt(json_integer_value(json_object_get(m, "memUsed")), 100000, "%s", a.body);
	cr_expect_gt(json_real_value(json_object_get(m, "cpuUsedPct")), 0, "%s", a.body);
	json_decref(o);
	/* The same one over and over: one answer. Another tenant's: none. */
	n = snprintf(target, sizeof(target), "/sandboxes/metrics?sandbox_ids=%s", id);
	for (int i = 0; i < 15; i++)
		n += snprintf(target + n, sizeof(target) - (size_t)n, ",%s", id);
	o = get(alice, target);
	m = json_object_get(o, "sandboxes");
	cr_expect_eq(json_object_size(m), 1);
	cr_expect_gt(json_integer_value(json_object_get(json_object_get(m, id), "memUsed")), 100000,
		     "%s", a.body);
	json_decref(o);
	o = get(bob, target);
	cr_expect_eq(json_object_size(json_object_get(o, "sandboxes")), 0, "%s", a.body);
	json_decref(o);
	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s/metrics", id);
	o = get(alice, target);
	m = json_object_get(o, "metrics");
	cr_expect_gt(json_integer_value(json_object_get(m, "jail.cpu_us")), 0, "%s", a.body);
	cr_expect_gt(json_integer_value(json_object_get(m, "jail.memory_bytes")), 100000, "%s",
		     a.body);
	cr_expect_eq(json_integer_value(json_object_get(m, "vm.vcpus")), 1, "%s", a.body);
	json_decref(o);
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

/* A TCP port by the native API: the client names it, and then it's a stream both ways. */
Test(daemon_http, tcp, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *alice = key_of("alice", SMALL), *bob = key_of("bob", SMALL);
	static const char request[] = "\xb8\x0bGET /x HTTP/1.1\r\nHost: y\r\n\r\n"; /* 3000 */
	const char *const keys[] = { bob, alice };
	char id[32], text[512], verdict = 1;

	make(alice, id, NULL);
	for (size_t i = 0; i < 2; i++) {
		int fd = daemon_rig_dial(&d, true);
		int n = snprintf(text, sizeof(text),
				 "GET /v1/sandboxes/%s/tcp HTTP/1.1\r\nHost: localhost\r\n%s"
				 "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
				 id, keys[i]);
		cr_assert_eq(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
		daemon_rig_read(fd, &a);
		cr_assert_eq(a.status, i == 0 ? 404 : 101, "%s%s", a.head, a.body);
		if (i == 1) {
			cr_assert_eq(send(fd, request, 2, MSG_NOSIGNAL), 2);
			cr_assert(recv(fd, &verdict, 1, 0) == 1 && verdict == 0, "%d", verdict);
			cr_assert_gt(send(fd, request + 2, sizeof(request) - 3, MSG_NOSIGNAL), 0);
			daemon_rig_read(fd, &a);
			cr_assert_eq(a.status, 200);
			cr_assert_not_null(strstr(a.body, "GET /x HTTP/1.1"), "%s", a.body);
		}
		close(fd);
	}
}
