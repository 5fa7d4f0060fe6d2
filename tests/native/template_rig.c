/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/native/template_rig.h"

#define WAIT_MS 60000

char template[32], build[48], status[1024];

unsigned order(const char *key, const char *name)
{
	char body[256];

	(void)snprintf(body, sizeof(body), "{\"name\":\"%s\",\"cpuCount\":1,\"memoryMB\":64}",
		       name);
	if (ask("POST", "/v3/templates", key, body) != 202)
		return a.status;
	(void)snprintf(template, sizeof(template), "%s", answer_text(&a, "templateID"));
	(void)snprintf(build, sizeof(build), "%s", answer_text(&a, "buildID"));
	return 202;
}

unsigned begin(const char *key, const char *recipe)
{
	char target[160];

	(void)snprintf(target, sizeof(target), "/v2/templates/%s/builds/%s", template, build);
	return ask("POST", target, key, recipe);
}

const char *end_of(const char *key)
{
	const uint64_t until = now_ms() + WAIT_MS;
	char target[160];
	json_t *o;

	(void)snprintf(target, sizeof(target), "/templates/%s/builds/%s/status", template, build);
	for (;;) {
		o = get(key, target);
		const json_t *reason = json_object_get(o, "reason");
		const char *why = json_string_value(json_object_get(reason, "message"));
		(void)snprintf(status, sizeof(status), "%s%s%s",
			       json_string_value(json_object_get(o, "status")),
			       why == NULL ? "" : ": ", why == NULL ? "" : why);
		json_decref(o);
		if (strncmp(status, "ready", 5) == 0 || strncmp(status, "error", 5) == 0)
			return status;
		cr_assert_lt(now_ms(), until, "%s", status);
		(void)poll(NULL, 0, 20);
	}
}

unsigned put(const char *target, const char *data)
{
	char head[1024];
	size_t n;
	int fd = daemon_rig_dial(&d, true);

	n = (size_t)snprintf(head, sizeof(head),
			     "PUT %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n\r\n%s",
			     target, strlen(data), data);
	cr_assert_eq(send(fd, head, n, MSG_NOSIGNAL), (ssize_t)n);
	daemon_rig_read(fd, &a);
	close(fd);
	return a.status;
}

void upload_target(const char *key, const char *hash, char target[640])
{
	char path[160];

	(void)snprintf(path, sizeof(path), "/templates/%s/files/%s", template, hash);
	cr_assert_eq(ask("GET", path, key, NULL), 201, "%s", a.body);
	const char *at = strstr(answer_text(&a, "url"), "/templates/");
	cr_assert_not_null(at);
	(void)snprintf(target, 640, "%s", at);
}
