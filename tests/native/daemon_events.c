/* SPDX-License-Identifier: Apache-2.0 */
/* What a tenant is told of its sandboxes, and the operator of all: events and usage. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/native/daemon_http_rig.h"

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

Test(daemon_events, events, .init = set_up, .fini = tear_down, .timeout = 120)
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
	cr_assert_not_null(strstr(a.body, "casemate_sandboxes_started_total{path=\"cold\"} 2\n"),
			   "%s", a.body);
	cr_assert_not_null(strstr(a.body, "casemate_tenant_sandboxes{tenant=\"bob\"} 1\n"), "%s",
			   a.body);
	(void)snprintf(text, sizeof(text), "casemate_sandbox_memory_bytes{id=\"%s", id);
	cr_assert_null(strstr(a.body, text), "one that has ended");
	cr_assert_not_null(strstr(a.body, "\",tenant=\"bob\"} "), "%s", a.body);
	cr_assert_not_null(strstr(a.body, "casemate_sandbox_cpu_seconds_total{id=\"i"), "%s",
			   a.body);
	cr_assert_eq(ask("GET", "/teams", alice, NULL), 200);
	cr_assert_eq(ask("GET", "/health", alice, NULL), 200);
	cr_assert_eq(ask("GET", "/volumes", alice, NULL), 501);
}

/* What the kernel counts, by way of the jailer: casemated can't read the group itself. */
Test(daemon_events, usage, .init = set_up, .fini = tear_down, .timeout = 120)
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
