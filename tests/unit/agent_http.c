/* SPDX-License-Identifier: Apache-2.0 */
/* agent_http.c - the agent's HTTP side, byte by byte: framing, files, and who may. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent_http_rig.h"

/* ---- HTTP -------------------------------------------------------------------------------- */

Test(agent_http, health)
{
	cr_expect_eq(rig_ask("GET /health", "", ""), 204);
	cr_expect(rig_has("Cache-Control: no-store\r\n"));
	cr_expect_eq(rig_ask("DELETE /health", "", ""), 405);
	cr_expect_eq(rig_ask("GET /nothing", "", ""), 404);
	cr_expect(rig_has("{\"code\":404,\"message\":\"not found\"}"));
}

Test(agent_http, keep_alive_and_pipelining)
{
	static const char two[] = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
				  "POST /files?path=/nowhere HTTP/1.1\r\nHost: x\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
				  "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	int fd = rig_dial(HTTPD_DOOR_ALONE);

	rig_put(fd, two, sizeof(two) - 1);
	rig_get(fd, NULL);
	close(fd);
	char *first = strstr(rig_answer, "HTTP/1.1 204"),
	     *second = strstr(rig_answer, "HTTP/1.1 400");
	cr_assert(first != NULL && second > first && strstr(second, "HTTP/1.1 204") != NULL, "%s",
		  rig_answer);
}

/* A byte at a time is as good as all at once. */
Test(agent_http, slow)
{
	static const char text[] = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	int fd = rig_dial(HTTPD_DOOR_ALONE);

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		rig_put(fd, text + i, 1);
	rig_get(fd, NULL);
	close(fd);
	cr_expect(rig_has("HTTP/1.1 204"));
}

Test(agent_http, malformed)
{
	static const struct {
		const char *text, *status;
	} rows[] = {
		{ "GET /health HTTP/1.1\nHost: x\n\n\r\n\r\n", "400" },
		{ "GET /health HTTP/1.1\r\n\r\n", "400" },
		{ "GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400" },
		{ "GET /health HTTP/1.1\r\nHost : x\r\n\r\n", "400" },
		{ "GET /health HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", "400" },
		{ "GET  /health HTTP/1.1\r\nHost: x\r\n\r\n", "400" },
		{ "GET health HTTP/1.1\r\nHost: x\r\n\r\n", "400" },
		{ "GET /health HTTP/2.0\r\nHost: x\r\n\r\n", "505" },
		{ "GET /files?path=%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400" },
		{ "GET /files?path=%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400" },
		{ "POST /init HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		  "400" },
		{ "POST /init HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400" },
		{ "POST /init HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n",
		  "400" },
		{ "POST /init HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "501" },
		{ "POST /init HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		  "400" },
		{ "POST /init HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
		  "400" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char want[32];
		int fd = rig_dial(HTTPD_DOOR_ALONE);
		rig_put(fd, rows[i].text, strlen(rows[i].text));
		shutdown(fd, SHUT_WR);
		rig_get(fd, NULL); /* ends: the connection is closed */
		close(fd);
		snprintf(want, sizeof(want), "HTTP/1.1 %s", rows[i].status);
		cr_expect(strncmp(rig_answer, want, strlen(want)) == 0, "%s -> %s", rows[i].text,
			  rig_answer);
	}
	cr_expect_eq(rig_ask("GET /health", "", ""), 204);
}

Test(agent_http, huge_head)
{
	static char text[80000];
	int fd = rig_dial(HTTPD_DOOR_ALONE);

	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	rig_put(fd, text, sizeof(text));
	shutdown(fd, SHUT_WR);
	rig_get(fd, NULL);
	close(fd);
	cr_expect(rig_has("HTTP/1.1 431"));
}

Test(agent_http, expect_continue)
{
	int fd = rig_dial(HTTPD_DOOR_ALONE);
	const char *head =
		rig_in_dir("POST /files?path=%s/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
			   "Content-Type: application/octet-stream\r\n"
			   "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");

	rig_put(fd, head, strlen(head));
	cr_assert(rig_get(fd, "HTTP/1.1 100 Continue\r\n\r\n"));
	rig_put(fd, "hi", 2);
	rig_get(fd, NULL);
	close(fd);
	cr_expect(rig_has("HTTP/1.1 200"));
}

/* ---- Files ------------------------------------------------------------------------------- */

Test(agent_http, upload_and_download)
{
	cr_assert_eq(
		rig_ask(rig_in_dir("POST /files?path=%s/new/dir/f.txt"), RIG_RAW, "0123456789"),
		200);
	cr_expect(rig_has(rig_in_dir(
		"[{\"path\":\"%s/new/dir/f.txt\",\"name\":\"f.txt\",\"type\":\"file\"}]")));
	cr_expect_eq(rig_ask(rig_in_dir("GET /files?path=%s/new/dir/f.txt"), "", ""), 200);
	cr_expect(rig_has("Content-Length: 10\r\n") && rig_has("\r\n\r\n0123456789"));
	cr_expect_eq(
		rig_ask(rig_in_dir("GET /files?path=%s/new/dir/f.txt"), "Range: bytes=2-4\r\n", ""),
		206);
	cr_expect(rig_has("Content-Range: bytes 2-4/10\r\n") && rig_has("\r\n\r\n234"));
	cr_expect_eq(
		rig_ask(rig_in_dir("GET /files?path=%s/new/dir/f.txt"), "Range: bytes=10-\r\n", ""),
		416);
	cr_expect(rig_has("Content-Range: bytes */10\r\n"));
	cr_expect_eq(rig_ask(rig_in_dir("HEAD /files?path=%s/new/dir/f.txt"), "", ""), 200);
	cr_expect(rig_has("Content-Length: 10\r\n") && !rig_has("0123456789"));
	cr_expect_eq(rig_ask(rig_in_dir("GET /files?path=%s/new/dir"), "", ""), 400);
	cr_expect_eq(rig_ask(rig_in_dir("GET /files?path=%s/none"), "", ""), 404);
	cr_expect(rig_has(rig_in_dir("path '%s/none' does not exist")));
	/* Overwritten in place, and shorter now. */
	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s/new/dir/f.txt"), RIG_RAW, ""), 200);
	cr_expect_eq(rig_ask(rig_in_dir("GET /files?path=%s/new/dir/f.txt"), "", ""), 200);
	cr_expect(rig_has("Content-Length: 0\r\n"));
	/* It says that it is empty, and isn't. */
	cr_expect_eq(rig_ask("GET /files?path=/proc/self/status", "", ""), 200);
	cr_expect(rig_has("Transfer-Encoding: chunked\r\n") && rig_has("Name:"));
}

/* A file is made, becomes the user's, is written to; and the last two when it was there before. */
Test(agent_http, upload_is_watched)
{
	char watcher[80], *id;

	cr_assert_eq(rig_call(RIG_FS "CreateWatcher", rig_in_dir("{\"path\":\"%s\"}")), 200);
	id = strstr(rig_answer, "{\"watcherId\":");
	cr_assert_not_null(id, "%s", rig_answer);
	snprintf(watcher, sizeof(watcher), "%.64s", id);
	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s/new"), RIG_RAW, "one"), 200);
	cr_assert_eq(rig_call(RIG_FS "GetWatcherEvents", watcher), 200);
	cr_expect(rig_has("{\"events\":[{\"name\":\"new\",\"type\":\"EVENT_TYPE_CREATE\"},"
			  "{\"name\":\"new\",\"type\":\"EVENT_TYPE_CHMOD\"},"
			  "{\"name\":\"new\",\"type\":\"EVENT_TYPE_WRITE\"}]}"),
		  "%s", rig_answer);
	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s/new"), RIG_RAW, "two"), 200);
	cr_assert_eq(rig_call(RIG_FS "GetWatcherEvents", watcher), 200);
	cr_expect(rig_has("{\"events\":[{\"name\":\"new\",\"type\":\"EVENT_TYPE_CHMOD\"},"
			  "{\"name\":\"new\",\"type\":\"EVENT_TYPE_WRITE\"}]}"),
		  "%s", rig_answer);
}

Test(agent_http, upload_multipart)
{
	const char *body =
		rig_in_dir("--B\r\nContent-Disposition: form-data; name=\"file\"; "
			   "filename=\"%s/m1\"\r\n\r\none\r\n--B\r\nContent-Disposition: "
			   "form-data; name=\"file\"; filename=\"%s/m2\"\r\n\r\ntwo\r\n--B--\r\n");
	static const char type[] = "Content-Type: multipart/form-data; boundary=B\r\n";

	cr_assert_eq(rig_ask("POST /files", type, body), 200);
	cr_expect(rig_has(rig_in_dir("[{\"path\":\"%s/m1\",\"name\":\"m1\",\"type\":\"file\"},"
				     "{\"path\":\"%s/m2\",\"name\":\"m2\",\"type\":\"file\"}]")));
	cr_expect_eq(rig_ask(rig_in_dir("GET /files?path=%s/m2"), "", ""), 200);
	cr_expect(rig_has("\r\n\r\ntwo"));
	/* One path for two files; no end; no path at all; another type. */
	cr_expect_eq(rig_ask(rig_in_dir("POST /files?path=%s/x"), type, body), 400);
	cr_expect_eq(rig_ask("POST /files", type,
			     rig_in_dir("--B\r\nContent-Disposition: form-data; "
					"name=\"file\"; filename=\"%s/m1\"\r\n\r\none")),
		     400);
	cr_expect_eq(rig_ask("POST /files", RIG_RAW, "x"), 400);
	cr_expect_eq(
		rig_ask(rig_in_dir("POST /files?path=%s/x"), "Content-Type: text/plain\r\n", "x"),
		400);
	cr_expect_eq(rig_ask(rig_in_dir("POST /files?path=%s"), RIG_RAW, "x"), 400);
}

Test(agent_http, upload_gzip)
{
	static const uint8_t packed[] = { 0x1f, 0x8b, 8,    0,	  0,	0,    0, 0, 0,
					  3,	0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0x86,
					  0xa6, 0x10, 0x36, 5,	  0,	0,    0 };
	static const char fields[] = RIG_RAW "Content-Encoding: gzip\r\n";

	cr_assert_eq(rig_ask_at(HTTPD_DOOR_ALONE, rig_in_dir("POST /files?path=%s/z"), fields,
				packed, sizeof(packed)),
		     200);
	cr_expect_eq(rig_ask(rig_in_dir("GET /files?path=%s/z"), "", ""), 200);
	cr_expect(rig_has("\r\n\r\nhello"));
	cr_expect_eq(rig_ask_at(HTTPD_DOOR_ALONE, rig_in_dir("POST /files?path=%s/z"), fields,
				packed, sizeof(packed) - 1),
		     400);
	cr_expect_eq(rig_ask(rig_in_dir("POST /files?path=%s/z"), fields, "not gzip"), 400);
}

/* As on a file system without user attributes; only root may say so. */
Test(agent_http, metadata_that_only_root_sets)
{
	static const char none[] = "\"type\":\"FILE_TYPE_FILE\"";
	const char *stat = rig_in_dir("{\"path\":\"%s/m\"}"), *path = rig_in_dir("%s/m");

	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s/m"), RIG_RAW, "one"), 200);
	if (setxattr(path, "trusted.e2b.author", "root", 4, 0) < 0)
		cr_skip_test("trusted attributes can't be set here");
	cr_assert_eq(setxattr(path, "trusted.other", "x", 1, 0), 0);
	cr_assert_eq(rig_call(RIG_FS "Stat", stat), 200);
	cr_expect(rig_has("\"metadata\":{\"author\":\"root\"}"), "%s", rig_answer);
	/* Overwritten: what was is forgotten, and nothing but that. */
	cr_assert_eq(rig_ask(rig_in_dir("POST /files?path=%s/m"), RIG_RAW, "two"), 200);
	cr_assert_eq(rig_call(RIG_FS "Stat", stat), 200);
	cr_expect(rig_has(none) && !rig_has("metadata"), "%s", rig_answer);
	cr_expect_eq(getxattr(path, "trusted.other", NULL, 0), 1);
}

Test(agent_http, not_a_regular_file)
{
	const char *fifo = rig_in_dir("%s/fifo");

	cr_assert_eq(mkfifo(fifo, 0600), 0);
	cr_expect_eq(rig_ask(rig_in_dir("GET /files?path=%s/fifo"), "", ""), 400);
	cr_expect_neq(rig_ask(rig_in_dir("POST /files?path=%s/fifo"), RIG_RAW, "x"), 200);
	cr_expect_neq(rig_ask("POST /files?path=/dev/null", RIG_RAW, "x"), 200);
}

/* ---- Access ------------------------------------------------------------------------------ */

Test(agent_http, token)
{
	static const char token[] =
		"X-Access-Token: ea_test_token\r\nContent-Type: application/json\r\n";
	static const char wrong[] =
		"X-Access-Token: ea_test_tokem\r\nContent-Type: application/json\r\n";

	cr_assert_eq(rig_ask("POST /init", "",
			     "{\"accessToken\":\"ea_test_token\",\"envVars\":{\"A\":\"b\"}}"),
		     204);
	cr_expect_eq(rig_ask("GET /health", "", ""), 204);
	cr_expect_eq(rig_ask("POST /" RIG_FS "Stat", token, "{\"path\":\"/\"}"), 200);
	cr_expect_eq(rig_ask("POST /" RIG_FS "Stat", wrong, "{\"path\":\"/\"}"), 401);
	cr_expect_eq(rig_call(RIG_FS "Stat", "{\"path\":\"/\"}"), 401);
	cr_expect(rig_has(
		"{\"code\":401,\"message\":\"unauthorized access, please provide a valid access "
		"token or method signing if supported\"}"));
	cr_expect_eq(rig_ask("GET /envs", token, ""), 200);
	cr_expect(rig_has("{\"A\":\"b\"}"));
	cr_expect_eq(rig_ask("GET /envs", "", ""), 401);
	cr_expect_eq(rig_ask("GET /metrics", "", ""), 401);
	cr_expect_eq(rig_ask("GET /metrics", token, ""), 200);
	cr_expect(rig_has("\"cpu_count\":") && rig_has("\"mem_total\":"));
	/* Who doesn't know the token doesn't change it. */
	cr_expect_eq(rig_ask("POST /init", "", "{\"accessToken\":\"mine\"}"), 401);
	cr_expect_eq(rig_ask("POST /" RIG_FS "Stat", token, "{\"path\":\"/\"}"), 200);
	/* /files: by token, or signed. This signature is for a.txt, which isn't there. */
	cr_expect_eq(rig_ask("GET /files?path=/etc/passwd", "", ""), 401);
	cr_expect_eq(rig_ask("GET /files?path=/etc/passwd", token, ""), 200);
	cr_expect_eq(
		rig_ask("GET /files?path=%2Fhome%2Fuser%2Fa.txt&signature_expiration=4102444800&signature="
			"v1_h0Yduct%2BngKCpqNXGkYNMugrBF7Y3ATuVJEfBSB2f54",
			"", ""),
		401);
	cr_expect(rig_has("invalid signature"));
}

Test(agent_http, signed_url)
{
	/* Of the published SDK, without an end: uploadUrl() of this token. */
	static const char url[] =
		"POST /files?signature=v1_qSBi8CO9KbybvOjPxPJViowNhozA935nQfaW9Z0wnIQ";
	const char *body = rig_in_dir("--B\r\nContent-Disposition: form-data; name=\"file\"; "
				      "filename=\"%s/signed\"\r\n\r\nyes\r\n--B--\r\n");
	static const char type[] = "Content-Type: multipart/form-data; boundary=B\r\n";

	cr_assert_eq(rig_ask("POST /init", "", "{\"accessToken\":\"ea_test_token\"}"), 204);
	cr_expect_eq(rig_ask(url, type, body), 200);
	cr_expect_eq(rig_ask("POST /files", type, body), 401);
	cr_expect_eq(rig_ask("POST /files?signature=v1_qSBi8CO9KbybvOjPxPJViowNhozA935nQfaW9Z0wnIR",
			     type, body),
		     401);
}

/* From inside of the sandbox only what code interpreters ask for. */
Test(agent_http, inside)
{
	static const char json[] = "Content-Type: application/json\r\n";

	cr_expect_eq(rig_ask_at(HTTPD_DOOR_INSIDE, "GET /health", "", "", 0), 204);
	cr_expect_eq(rig_ask_at(HTTPD_DOOR_INSIDE, "GET /envs", "", "", 0), 200);
	cr_expect_eq(
		rig_ask_at(HTTPD_DOOR_INSIDE, "POST /" RIG_FS "Stat", json, "{\"path\":\"/\"}", 12),
		404);
	cr_expect_eq(rig_ask_at(HTTPD_DOOR_INSIDE, "POST /init", json, "{}", 2), 404);
	cr_expect_eq(rig_ask_at(HTTPD_DOOR_INSIDE, "GET /files?path=/etc/passwd", "", "", 0), 404);
	cr_expect_eq(rig_call(RIG_FS "Stat", "{\"path\":\"/\"}"), 200);
}
