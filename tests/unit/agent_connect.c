/* SPDX-License-Identifier: Apache-2.0 */
/* agent_connect.c - the Connect protocol of the agent, byte by byte: processes and directories. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent_http_rig.h"

/* ---- Connect ----------------------------------------------------------------------------- */

Test(agent_http, unary)
{
	cr_expect_eq(
		rig_call("filesystem.Filesystem/Stat", rig_in_dir("{\"path\":\"%s\",\"what\":1}")),
		200);
	cr_expect(rig_has("Content-Type: application/json\r\n"));
	cr_expect(rig_has(rig_in_dir("\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"%s\"")));
	cr_expect_eq(rig_call("filesystem.Filesystem/Stat", rig_in_dir("{\"path\":\"%s/none\"}")),
		     404);
	cr_expect(rig_has("{\"code\":\"not_found\",\"message\":\"file not found: "));
	cr_expect_eq(rig_call("filesystem.Filesystem/Stat", "{\"path\":"), 400);
	cr_expect(rig_has("{\"code\":\"invalid_argument\","));
	cr_expect_eq(rig_call("filesystem.Filesystem/Nothing", "{}"), 404);
	/* The host's own methods aren't for tenants. */
	cr_expect_eq(rig_call("casemate.agent.v1.Sandbox/Health", "{}"), 404);
	cr_expect_eq(rig_call("casemate.agent.v1.Sandbox/Shutdown", "{}"), 404);
	cr_expect_eq(rig_ask("GET /filesystem.Filesystem/Stat", "", ""), 405);
	cr_expect_eq(
		rig_ask("POST /filesystem.Filesystem/Stat", "Content-Type: text/plain\r\n", "{}"),
		415);
	cr_expect_eq(rig_ask("POST /filesystem.Filesystem/Stat",
			     "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "{}"),
		     415);
	cr_expect_eq(
		rig_ask("POST /filesystem.Filesystem/Stat",
			"Content-Type: application/json\r\nAuthorization: Basic bm9ib2R5LWF0LWFsbDo=\r\n",
			"{\"path\":\"/\"}"),
		401);
	cr_expect(rig_has(
		"{\"code\":\"unauthenticated\",\"message\":\"invalid username: 'nobody-at-all'\"}"));
}

Test(agent_http, unary_binary)
{
	/* StatRequest { path: "/" } */
	cr_expect_eq(rig_ask_at(HTTPD_DOOR_ALONE, "POST /filesystem.Filesystem/Stat",
				"Content-Type: application/proto\r\n", "\x0a\x01/", 3),
		     200);
	cr_expect(rig_has("Content-Type: application/proto\r\n"));
	/* StatResponse { entry: { name: "/", type: 2, path: "/" ... } } */
	cr_expect(rig_has("\x0a\x01/\x10\x02\x1a\x01/"));
	cr_expect_eq(rig_ask_at(HTTPD_DOOR_ALONE, "POST /filesystem.Filesystem/Stat",
				"Content-Type: application/proto\r\n", "\x0a\x05/", 3),
		     400);
}

#define OUTPUT_HI "{\"event\":{\"data\":{\"stdout\":\"aGkK\"}}}"

Test(agent_http, start)
{
	int fd = rig_stream(
		"process.Process/Start",
		"{\"process\":{\"cmd\":\"sh\",\"args\":[\"-c\",\"echo hi; exit 3\"]},\"stdin\":false}");

	cr_assert(rig_get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(rig_has("HTTP/1.1 200") && rig_has("Content-Type: application/connect+json\r\n"));
	char *start = strstr(rig_answer, "\r\n\r\n");
	cr_assert_not_null(start);
	cr_expect(rig_has("{\"event\":{\"start\":{\"pid\":") && rig_has(OUTPUT_HI));
	cr_expect(rig_has(
		"{\"event\":{\"end\":{\"exitCode\":3,\"exited\":true,\"status\":\"exit status 3\","
		"\"error\":\"exit status 3\"}}}"));
	cr_expect_not_null(memmem(rig_answer, rig_answer_len, "\x02\0\0\0\x02{}", 7));
}

Test(agent_http, start_fails)
{
	int fd = rig_stream("process.Process/Start",
			    "{\"process\":{\"cmd\":\"sh\",\"cwd\":\"/not/there\"}}");

	cr_assert(rig_get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(rig_has("HTTP/1.1 200") && rig_has("{\"error\":{\"code\":\"invalid_argument\","));
	fd = rig_stream("process.Process/Connect", "{\"process\":{\"pid\":1}}");
	cr_assert(rig_get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(rig_has("{\"error\":{\"code\":\"not_found\","));
}

Test(agent_http, deadline_kills)
{
	int fd = rig_stream_with(
		"process.Process/Start", "Connect-Timeout-Ms: 100\r\n",
		"{\"process\":{\"cmd\":\"sleep\",\"args\":[\"1000\"]},\"tag\":\"late\"}");

	cr_assert(rig_get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(rig_has("{\"error\":{\"code\":\"deadline_exceeded\","));
	/* Its end can be heard. */
	fd = rig_stream("process.Process/Connect", "{\"process\":{\"tag\":\"late\"}}");
	cr_assert(rig_get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(rig_has("\"status\":\"signal: killed\""));
	cr_assert_eq(rig_call("process.Process/List", "{}"), 200);
	cr_expect(rig_has("\r\n\r\n{}"));
}

Test(agent_http, process_outlives_its_client)
{
	int fd = rig_stream("process.Process/Start",
			    "{\"process\":{\"cmd\":\"cat\"},\"tag\":\"stays\"}");

	cr_assert(rig_get(fd, "{\"event\":{\"start\""));
	close(fd);
	cr_assert_eq(rig_call("process.Process/List", "{}"), 200);
	cr_expect(rig_has("\"tag\":\"stays\""));
	fd = rig_stream("process.Process/Connect", "{\"process\":{\"tag\":\"stays\"}}");
	cr_assert(rig_get(fd, "{\"event\":{\"start\""));
	cr_assert_eq(rig_call("process.Process/SendInput",
			      "{\"process\":{\"tag\":\"stays\"},\"input\":{\"stdin\":\"aGkK\"}}"),
		     200);
	cr_assert(rig_get(fd, OUTPUT_HI));
	cr_assert_eq(rig_call("process.Process/SendSignal",
			      "{\"process\":{\"tag\":\"stays\"},\"signal\":\"SIGNAL_SIGKILL\"}"),
		     200);
	cr_assert(rig_get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(rig_has("{\"event\":{\"end\":{\"exitCode\":-1,\"status\":\"signal: killed\","
			  "\"error\":\"signal: killed\",\"signal\":9}}}"));
	cr_expect_eq(rig_call("process.Process/SendSignal",
			      "{\"process\":{\"tag\":\"stays\"},\"signal\":\"SIGNAL_SIGKILL\"}"),
		     404);
}

/* Clients send what they have in one call. More than may wait at a process is refused whole, and
 * what was taken before stays in order. */
Test(agent_http, large_input)
{
	static const char head[] = "{\"process\":{\"tag\":\"n\"},\"input\":{\"stdin\":\"";
	int fd = rig_stream(
		"process.Process/Start",
		"{\"process\":{\"cmd\":\"wc\",\"args\":[\"-c\"]},\"tag\":\"n\",\"stdin\":true}");
	char *body = malloc(3200000);
	size_t n = sizeof(head) - 1;

	cr_assert_not_null(body);
	cr_assert(rig_get(fd, "{\"event\":{\"start\""));
	memcpy(body, head, n);
	memset(body + n, 'A', 3100000);
	(void)snprintf(body + n + 1400000, 8, "\"}}");
	cr_expect_eq(rig_call("process.Process/SendInput", body), 200);
	body[n + 1400000] = 'A';
	memset(body + n + 1400000, 'A', 8);
	(void)snprintf(body + n + 3000000, 8, "\"}}");
	cr_expect_eq(rig_call("process.Process/SendInput", body), 429);
	cr_assert_eq(rig_call("process.Process/CloseStdin", "{\"process\":{\"tag\":\"n\"}}"), 200);
	/* "1050000\n" */
	cr_assert(rig_get(fd, "MTA1MDAwMAo="));
	free(body);
	close(fd);
}

Test(agent_http, stdin_closes)
{
	int fd = rig_stream("process.Process/Start",
			    "{\"process\":{\"cmd\":\"cat\"},\"tag\":\"cat\",\"stdin\":true}");

	cr_assert(rig_get(fd, "{\"event\":{\"start\""));
	cr_assert_eq(rig_call("process.Process/CloseStdin", "{\"process\":{\"tag\":\"cat\"}}"),
		     200);
	cr_assert(rig_get(fd, "\"status\":\"exit status 0\""));
	close(fd);
}

Test(agent_http, terminal)
{
	int fd = rig_stream(
		"process.Process/Start",
		"{\"process\":{\"cmd\":\"sh\",\"args\":[\"-c\",\"read x; stty size\"]},\"tag\":\"tty\","
		"\"pty\":{\"size\":{\"cols\":80,\"rows\":24}}}");

	cr_assert(rig_get(fd, "{\"event\":{\"start\""));
	cr_assert_eq(rig_call("process.Process/Update",
			      "{\"process\":{\"tag\":\"tty\"},\"pty\":{\"size\":{"
			      "\"cols\":100,\"rows\":30}}}"),
		     200);
	cr_assert_eq(rig_call("process.Process/SendInput",
			      "{\"process\":{\"tag\":\"tty\"},\"input\":{\"pty\":\"YQo=\"}}"),
		     200);
	/* "30 100\r\n", also behind the echo, "a\r\n": three bytes, so the base64 is the same. */
	cr_assert(rig_get(fd, "MzAgMTAwDQo"));
	close(fd);
}

Test(agent_http, stream_input)
{
	static const char *const messages[] = {
		"{\"start\":{\"process\":{\"tag\":\"in\"}}}",
		"{\"data\":{\"input\":{\"stdin\":\"aGkK\"}}}",
		"{\"keepalive\":{}}",
	};
	int fd = rig_stream("process.Process/Start",
			    "{\"process\":{\"cmd\":\"cat\"},\"tag\":\"in\"}");
	char body[256];
	size_t n = 0;

	cr_assert(rig_get(fd, "{\"event\":{\"start\""));
	for (size_t i = 0; i < 3; i++) {
		memcpy(body + n, "\0\0\0\0", 4);
		body[n + 4] = (char)strlen(messages[i]);
		memcpy(body + n + 5, messages[i], strlen(messages[i]));
		n += 5 + strlen(messages[i]);
	}
	cr_expect_eq(rig_ask_at(HTTPD_DOOR_ALONE, "POST /process.Process/StreamInput",
				"Content-Type: application/connect+json\r\n", body, n),
		     200);
	cr_expect_not_null(memmem(rig_answer, rig_answer_len, "\x02\0\0\0\x02{}", 7));
	cr_assert(rig_get(fd, OUTPUT_HI));
	/* Bytes before the process is named; an envelope cut off; a compressed one. */
	cr_expect_eq(rig_ask_at(HTTPD_DOOR_ALONE, "POST /process.Process/StreamInput",
				"Content-Type: application/connect+json\r\n",
				body + 5 + strlen(messages[0]), 5 + strlen(messages[1])),
		     200);
	cr_expect(rig_has("{\"error\":{\"code\":\"invalid_argument\","));
	cr_expect_eq(rig_ask_at(HTTPD_DOOR_ALONE, "POST /process.Process/StreamInput",
				"Content-Type: application/connect+json\r\n", body, 20),
		     200);
	cr_expect(rig_has("an incomplete envelope"));
	body[0] = 1;
	cr_expect_eq(rig_ask_at(HTTPD_DOOR_ALONE, "POST /process.Process/StreamInput",
				"Content-Type: application/connect+json\r\n", body, n),
		     200);
	cr_expect(rig_has("compression is not supported"));
	close(fd);
	cr_assert_eq(rig_call("process.Process/CloseStdin", "{\"process\":{\"tag\":\"in\"}}"), 200);
}

/* ---- Directories ------------------------------------------------------------------------- */

Test(agent_http, directories)
{
	cr_assert_eq(rig_call(RIG_FS "MakeDir", rig_in_dir("{\"path\":\"%s/a/b\"}")), 200);
	cr_expect_eq(rig_call(RIG_FS "MakeDir", rig_in_dir("{\"path\":\"%s/a/b\"}")), 409);
	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s/a/f"), RIG_RAW, "x"), 200);
	cr_expect_eq(rig_call(RIG_FS "MakeDir", rig_in_dir("{\"path\":\"%s/a/f\"}")), 400);
	cr_assert_eq(rig_call(RIG_FS "ListDir", rig_in_dir("{\"path\":\"%s\",\"depth\":2}")), 200);
	char *a = strstr(rig_answer, rig_in_dir("\"path\":\"%s/a\"")),
	     *b = strstr(rig_answer, rig_in_dir("%s/a/b\""));
	cr_assert(a != NULL && b > a && strstr(b, rig_in_dir("%s/a/f\"")) != NULL, "%s",
		  rig_answer);
	cr_expect_eq(rig_call(RIG_FS "ListDir", rig_in_dir("{\"path\":\"%s/a/f\"}")), 400);
	cr_expect_eq(rig_call(RIG_FS "ListDir", rig_in_dir("{\"path\":\"%s/none\"}")), 404);
	cr_assert_eq(rig_call(RIG_FS "Move",
			      rig_in_dir("{\"source\":\"%s/a/f\",\"destination\":\"%s/c/g\"}")),
		     200);
	cr_expect(rig_has("\"name\":\"g\""));
	cr_expect_eq(rig_call(RIG_FS "Move",
			      rig_in_dir("{\"source\":\"%s/a/f\",\"destination\":\"%s/c/g\"}")),
		     404);
	cr_assert_eq(rig_call(RIG_FS "Remove", rig_in_dir("{\"path\":\"%s/none\"}")), 200);
	cr_expect_neq(rig_call(RIG_FS "Remove", "{\"path\":\"/\"}"), 200);
}

/* A symlink in a tree is removed, and what it leads to is not. */
Test(agent_http, remove_follows_nothing)
{
	struct stat st;

	cr_assert_eq(rig_call(RIG_FS "MakeDir", rig_in_dir("{\"path\":\"%s/tree/deep/er\"}")), 200);
	cr_assert_eq(rig_call(RIG_FS "MakeDir", rig_in_dir("{\"path\":\"%s/other\"}")), 200);
	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s/other/precious"), RIG_RAW, "x"), 200);
	cr_assert_eq(symlink(rig_in_dir("%s/other"), rig_in_dir("%s/tree/deep/link")), 0);
	cr_assert_eq(rig_call(RIG_FS "Remove", rig_in_dir("{\"path\":\"%s/tree\"}")), 200);
	cr_expect_eq(stat(rig_in_dir("%s/tree"), &st), -1);
	cr_expect_eq(stat(rig_in_dir("%s/other/precious"), &st), 0);
}

Test(agent_http, watch)
{
	int fd = rig_stream(
		RIG_FS "WatchDir",
		rig_in_dir("{\"path\":\"%s\",\"recursive\":true,\"includeEntry\":true}"));

	cr_assert(rig_get(fd, "{\"start\":{}}"));
	cr_assert_eq(rig_call(RIG_FS "MakeDir", rig_in_dir("{\"path\":\"%s/n\"}")), 200);
	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s/n/f"), RIG_RAW, "x"), 200);
	cr_assert(rig_get(
		fd, "{\"filesystem\":{\"name\":\"n/f\",\"type\":\"EVENT_TYPE_WRITE\",\"entry\":"));
	cr_expect(rig_has(
		"{\"filesystem\":{\"name\":\"n\",\"type\":\"EVENT_TYPE_CREATE\",\"entry\":"));
	/* Away from there: no news of it any more, but of what stays. */
	cr_assert_eq(rig_call(RIG_FS "Move",
			      rig_in_dir("{\"source\":\"%s/n\",\"destination\":\"%s.away\"}")),
		     200);
	cr_assert(rig_get(fd, "{\"filesystem\":{\"name\":\"n\",\"type\":\"EVENT_TYPE_RENAME\"}}"));
	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s.away/silent"), RIG_RAW, "x"), 200);
	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s/last"), RIG_RAW, "x"), 200);
	cr_assert(rig_get(fd, "\"last\",\"type\":\"EVENT_TYPE_WRITE\""));
	cr_expect(!rig_has("silent"));
	close(fd);
	cr_assert_eq(rig_call(RIG_FS "Remove", rig_in_dir("{\"path\":\"%s.away\"}")), 200);
	fd = rig_stream(RIG_FS "WatchDir", rig_in_dir("{\"path\":\"%s/none\"}"));
	cr_assert(rig_get(fd, "0\r\n\r\n"));
	cr_expect(rig_has("{\"error\":{\"code\":\"not_found\","));
	close(fd);
}

Test(agent_http, polled_watcher)
{
	static const char field[] = "\r\n\r\n{\"watcherId\":\"";
	char id[17] = "", json[64];
	const char *at;
	size_t len;

	cr_assert_eq(rig_call(RIG_FS "CreateWatcher", rig_in_dir("{\"path\":\"%s\"}")), 200);
	at = strstr(rig_answer, field);
	cr_assert_not_null(at, "%s", rig_answer);
	at += strlen(field);
	len = strspn(at, "0123456789abcdef");
	cr_assert(len > 0 && len < sizeof(id) && strcmp(at + len, "\"}") == 0, "%s", rig_answer);
	memcpy(id, at, len);
	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s/p"), RIG_RAW, "x"), 200);
	snprintf(json, sizeof(json), "{\"watcherId\":\"%s\"}", id);
	cr_assert_eq(rig_call(RIG_FS "GetWatcherEvents", json), 200);
	cr_expect(rig_has("{\"name\":\"p\",\"type\":\"EVENT_TYPE_CREATE\"}"));
	cr_assert_eq(rig_call(RIG_FS "GetWatcherEvents", json), 200);
	cr_expect(rig_has("\r\n\r\n{}"));
	cr_expect_eq(rig_call(RIG_FS "RemoveWatcher", json), 200);
	cr_expect_eq(rig_call(RIG_FS "GetWatcherEvents", json), 404);
}
