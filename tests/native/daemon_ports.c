/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes between clients and guests: the ports of a guest, a guest that lies, one that is
 * silent, and clients that are slow, many or wrong.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "tests/native/daemon_http_rig.h"

/* ---- The guest's ports --------------------------------------------------------------------- */

Test(daemon_ports, ports, .init = set_up, .fini = tear_down, .timeout = 120)
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

static unsigned ask_port(const char *id, unsigned port, const char *fields)
{
	char named[512];

	(void)snprintf(named, sizeof(named), "Host: %u-%s.localhost:1\r\n%s", port, id, fields);
	return ask("GET", "/", named, NULL);
}

/* What a server of the guest sees as Host; its agent, and other sandboxes' servers, see the
 * client's.
 */
Test(daemon_ports, masked_hosts, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *key = key_of("alice", SMALL);
	char id[32], other[32], agent[256], host[128];

	cr_assert_eq(ask("POST", "/v2/sandboxes", key,
			 "{\"templateID\":\"base\",\"network\":{\"maskRequestHost\":"
			 "\"custom.example.com:${PORT}\"}}"),
		     201, "%s", a.body);
	(void)snprintf(id, sizeof(id), "%s", answer_text(&a, "sandboxID"));
	(void)snprintf(agent, sizeof(agent),
		       "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: 49983\r\nX-Access-Token: %s\r\n",
		       id, answer_text(&a, "envdAccessToken"));
	(void)snprintf(host, sizeof(host), "/sandboxes/%s", id);
	cr_assert_eq(ask("GET", host, key, NULL), 200, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "\"maskRequestHost\":\"custom.example.com:${PORT}\""),
			   "%s", a.body);
	cr_assert_eq(ask_port(id, 3000, ""), 200, "%s", a.body);
	cr_assert_not_null(strstr(a.body, "\r\nHost: custom.example.com:3000\r\n"), "%s", a.body);
	cr_assert_null(strstr(a.body, id), "%s", a.body);
	cr_assert_eq(ask("GET", "/echo", agent, NULL), 200);
	cr_assert_null(strstr(a.body, "custom.example"), "%s", a.body);
	make(key, other, NULL);
	cr_assert_eq(ask_port(other, 3000, ""), 200);
	(void)snprintf(host, sizeof(host), "\r\nHost: 3000-%s.localhost:1\r\n", other);
	cr_assert_not_null(strstr(a.body, host), "%s", a.body);
	cr_assert_eq(ask("POST", "/v2/sandboxes", key,
			 "{\"templateID\":\"base\",\"network\":{\"maskRequestHost\":"
			 "\"x\\r\\nX: y\"}}"),
		     400, "%s", a.body);
}

/* Ports that want a token: this sandbox's, of this kind, and nothing of it reaches the guest. */
Test(daemon_ports, private_traffic, .init = set_up, .fini = tear_down, .timeout = 120)
{
	const char *key = key_of("alice", SMALL);
	char id[2][32], token[2][64], access[96], field[128];

	for (size_t i = 0; i < 2; i++) {
		cr_assert_eq(
			ask("POST", "/v2/sandboxes", key,
			    "{\"templateID\":\"base\",\"network\":{\"allowPublicTraffic\":false}}"),
			201, "%s", a.body);
		(void)snprintf(id[i], sizeof(id[i]), "%s", answer_text(&a, "sandboxID"));
		(void)snprintf(token[i], sizeof(token[i]), "%s",
			       answer_text(&a, "trafficAccessToken"));
		(void)snprintf(access, sizeof(access), "E2b-Traffic-Access-Token: %s\r\n",
			       answer_text(&a, "envdAccessToken"));
	}
	cr_assert_str_neq(token[0], token[1]);
	cr_assert_eq(ask_port(id[1], 3000, ""), 403, "%s", a.body);
	cr_assert_eq(ask_port(id[1], 3000, access), 403, "the agent's token");
	(void)snprintf(field, sizeof(field), "e2b-traffic-access-token: %s\r\n", token[0]);
	cr_assert_eq(ask_port(id[1], 3000, field), 403, "another sandbox's");
	cr_assert_eq(ask_port(id[1], 3000, key), 403, "the key of its tenant");
	(void)snprintf(field, sizeof(field), "e2b-traffic-access-token: %s\r\n", token[1]);
	cr_assert_eq(ask_port(id[1], 3000, field), 200, "%s", a.body);
	cr_assert_null(strcasestr(a.body, token[1]), "%s", a.body);
}

/* A TCP port by the native API: the client names it, and then it's a stream both ways. */
Test(daemon_ports, tcp, .init = set_up, .fini = tear_down, .timeout = 120)
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

/* What a guest answers can't run into the answer to the next request of the same connection. */
Test(daemon_ports, a_guest_that_lies, .init = set_up, .fini = tear_down, .timeout = 120)
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
Test(daemon_ports, a_guest_that_is_silent, .init = set_up, .fini = tear_down, .timeout = 120)
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
Test(daemon_ports, many_idle_clients, .init = set_up, .fini = tear_down, .timeout = 120)
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
Test(daemon_ports, ten_thousand_clients, .init = set_up, .fini = tear_down, .timeout = 120)
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

Test(daemon_ports, bodies, .init = set_up, .fini = tear_down, .timeout = 120)
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
