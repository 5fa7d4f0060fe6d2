/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_http.c - the agent's HTTP side, byte by byte: an agent in a child process, with one port
 * as from outside and one as from inside of a sandbox.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/httpd.h"

#define WAIT_MS 20000
#define MAX	(256 * 1024)

static pid_t pid;
static uint16_t port[HTTPD_DOOR_INSIDE + 1];
static char dir[] = "/tmp/agent-http-XXXXXX";
static char answer[MAX]; /* what came last, whole, with a NUL behind it */
static size_t answer_len;

/* ---- The agent --------------------------------------------------------------------------- */

static int bind_port(enum httpd_door door)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	struct err err;
	int fd = httpd_bind_tcp("127.0.0.1:0", &err);

	cr_assert(fd >= 0, "%s", err.msg);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	port[door] = ntohs(in.sin_port);
	return fd;
}

static void setup(void)
{
	int outside = bind_port(HTTPD_DOOR_ALONE), inside = bind_port(HTTPD_DOOR_INSIDE);

	cr_assert_not_null(mkdtemp(dir));
	pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0) {
		struct agent a;
		if (agent_init(&a, false) < 0 ||
		    httpd_listen(a.httpd, outside, HTTPD_DOOR_ALONE) < 0 ||
		    httpd_listen(a.httpd, inside, HTTPD_DOOR_INSIDE) < 0)
			_exit(99);
		a.lasting = true;
		int r = agent_run(&a);
		agent_done(&a);
		exit(r == AGENT_END_POWER_OFF ? 0 : 98); /* so that leaks are looked for */
	}
	close(outside);
	close(inside);
}

static void teardown(void)
{
	char *argv[] = { (char *)"rm", (char *)"-rf", dir, NULL };
	int status;

	kill(pid, SIGTERM);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
	if (fork() == 0) {
		execvp("rm", argv);
		_exit(127);
	}
	wait(NULL);
}

TestSuite(agent_http, .init = setup, .fini = teardown, .timeout = 60);

/* ---- A client ---------------------------------------------------------------------------- */

static int dial(enum httpd_door door)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port[door]),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

static void put(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n < 0)
			return; /* the agent had enough */
		p += n;
		len -= (size_t)n;
	}
}

/* Until the agent closes, or (text != NULL) this has come. True: it has. */
static bool get(int fd, const char *text)
{
	answer_len = 0;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		answer[answer_len] = '\0';
		if (text != NULL && memmem(answer, answer_len, text, strlen(text)) != NULL)
			return true;
		cr_assert_eq(poll(&p, 1, WAIT_MS), 1, "nothing came after: %s", answer);
		n = recv(fd, answer + answer_len, MAX - 1 - answer_len, 0);
		if (n <= 0)
			return text == NULL;
		answer_len += (size_t)n;
	}
}

static bool has(const char *text)
{
	return memmem(answer, answer_len, text, strlen(text)) != NULL;
}

/* One request with the rest of its head (each line with its CRLF) and a body: the status. */
static int ask_at(enum httpd_door door, const char *line, const char *fields, const void *body,
		  size_t len)
{
	char head[4096];
	int fd = dial(door), status = 0;
	int n = snprintf(
		head, sizeof(head),
		"%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
		line, fields, len);

	put(fd, head, (size_t)n);
	put(fd, body, len);
	get(fd, NULL);
	close(fd);
	sscanf(answer, "HTTP/1.1 %d", &status);
	return status;
}

static int ask(const char *line, const char *fields, const char *body)
{
	return ask_at(HTTPD_DOOR_ALONE, line, fields, body, strlen(body));
}

/* A unary call. */
static int call(const char *method, const char *json)
{
	char line[128];

	snprintf(line, sizeof(line), "POST /%s", method);
	return ask(line, "Content-Type: application/json\r\n", json);
}

/* Begins a stream with one message; more of it by get. */
static int stream_with(const char *method, const char *fields, const char *json)
{
	char head[1024];
	uint8_t envelope[5] = { 0 };
	size_t len = strlen(json);
	int fd = dial(HTTPD_DOOR_ALONE);
	int n = snprintf(
		head, sizeof(head),
		"POST /%s HTTP/1.1\r\nHost: x\r\n%sContent-Type: application/connect+json\r\n"
		"Content-Length: %zu\r\n\r\n",
		method, fields, len + 5);

	put(fd, head, (size_t)n);
	envelope[3] = (uint8_t)(len >> 8);
	envelope[4] = (uint8_t)len;
	put(fd, envelope, 5);
	put(fd, json, len);
	return fd;
}

static int stream(const char *method, const char *json)
{
	return stream_with(method, "", json);
}

/* The text with the test's directory in place of each "%s". */
static const char *in_dir(const char *from)
{
	static char text[4][1024];
	static unsigned next;
	char *to = text[++next % 4];
	size_t n = 0;

	for (; *from != '\0'; from++) {
		bool here = from[0] == '%' && from[1] == 's';
		size_t len = here ? strlen(dir) : 1;
		cr_assert(n + len < sizeof(text[0]));
		memcpy(to + n, here ? dir : from, len);
		n += len;
		from += here;
	}
	to[n] = '\0';
	return to;
}

/* ---- HTTP -------------------------------------------------------------------------------- */

Test(agent_http, health)
{
	cr_expect_eq(ask("GET /health", "", ""), 204);
	cr_expect(has("Cache-Control: no-store\r\n"));
	cr_expect_eq(ask("DELETE /health", "", ""), 405);
	cr_expect_eq(ask("GET /nothing", "", ""), 404);
	cr_expect(has("{\"code\":404,\"message\":\"not found\"}"));
}

Test(agent_http, keep_alive_and_pipelining)
{
	static const char two[] = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
				  "POST /files?path=/nowhere HTTP/1.1\r\nHost: x\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
				  "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	int fd = dial(HTTPD_DOOR_ALONE);

	put(fd, two, sizeof(two) - 1);
	get(fd, NULL);
	close(fd);
	char *first = strstr(answer, "HTTP/1.1 204"), *second = strstr(answer, "HTTP/1.1 400");
	cr_assert(first != NULL && second > first && strstr(second, "HTTP/1.1 204") != NULL, "%s",
		  answer);
}

/* A byte at a time is as good as all at once. */
Test(agent_http, slow)
{
	static const char text[] = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	int fd = dial(HTTPD_DOOR_ALONE);

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		put(fd, text + i, 1);
	get(fd, NULL);
	close(fd);
	cr_expect(has("HTTP/1.1 204"));
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
		int fd = dial(HTTPD_DOOR_ALONE);
		put(fd, rows[i].text, strlen(rows[i].text));
		shutdown(fd, SHUT_WR);
		get(fd, NULL); /* ends: the connection is closed */
		close(fd);
		snprintf(want, sizeof(want), "HTTP/1.1 %s", rows[i].status);
		cr_expect(strncmp(answer, want, strlen(want)) == 0, "%s -> %s", rows[i].text,
			  answer);
	}
	cr_expect_eq(ask("GET /health", "", ""), 204);
}

Test(agent_http, huge_head)
{
	static char text[80000];
	int fd = dial(HTTPD_DOOR_ALONE);

	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	put(fd, text, sizeof(text));
	shutdown(fd, SHUT_WR);
	get(fd, NULL);
	close(fd);
	cr_expect(has("HTTP/1.1 431"));
}

Test(agent_http, expect_continue)
{
	int fd = dial(HTTPD_DOOR_ALONE);
	const char *head =
		in_dir("POST /files?path=%s/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		       "Content-Type: application/octet-stream\r\n"
		       "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");

	put(fd, head, strlen(head));
	cr_assert(get(fd, "HTTP/1.1 100 Continue\r\n\r\n"));
	put(fd, "hi", 2);
	get(fd, NULL);
	close(fd);
	cr_expect(has("HTTP/1.1 200"));
}

/* ---- Files ------------------------------------------------------------------------------- */

#define RAW "Content-Type: application/octet-stream\r\n"

Test(agent_http, upload_and_download)
{
	cr_assert_eq(ask(in_dir("POST /files?path=%s/new/dir/f.txt"), RAW, "0123456789"), 200);
	cr_expect(has(
		in_dir("[{\"path\":\"%s/new/dir/f.txt\",\"name\":\"f.txt\",\"type\":\"file\"}]")));
	cr_expect_eq(ask(in_dir("GET /files?path=%s/new/dir/f.txt"), "", ""), 200);
	cr_expect(has("Content-Length: 10\r\n") && has("\r\n\r\n0123456789"));
	cr_expect_eq(ask(in_dir("GET /files?path=%s/new/dir/f.txt"), "Range: bytes=2-4\r\n", ""),
		     206);
	cr_expect(has("Content-Range: bytes 2-4/10\r\n") && has("\r\n\r\n234"));
	cr_expect_eq(ask(in_dir("GET /files?path=%s/new/dir/f.txt"), "Range: bytes=10-\r\n", ""),
		     416);
	cr_expect(has("Content-Range: bytes */10\r\n"));
	cr_expect_eq(ask(in_dir("HEAD /files?path=%s/new/dir/f.txt"), "", ""), 200);
	cr_expect(has("Content-Length: 10\r\n") && !has("0123456789"));
	cr_expect_eq(ask(in_dir("GET /files?path=%s/new/dir"), "", ""), 400);
	cr_expect_eq(ask(in_dir("GET /files?path=%s/none"), "", ""), 404);
	cr_expect(has(in_dir("path '%s/none' does not exist")));
	/* Overwritten in place, and shorter now. */
	cr_assert_eq(ask(in_dir("POST /files?path=%s/new/dir/f.txt"), RAW, ""), 200);
	cr_expect_eq(ask(in_dir("GET /files?path=%s/new/dir/f.txt"), "", ""), 200);
	cr_expect(has("Content-Length: 0\r\n"));
	/* It says that it is empty, and isn't. */
	cr_expect_eq(ask("GET /files?path=/proc/self/status", "", ""), 200);
	cr_expect(has("Transfer-Encoding: chunked\r\n") && has("Name:"));
}

Test(agent_http, upload_multipart)
{
	const char *body =
		in_dir("--B\r\nContent-Disposition: form-data; name=\"file\"; "
		       "filename=\"%s/m1\"\r\n\r\none\r\n--B\r\nContent-Disposition: "
		       "form-data; name=\"file\"; filename=\"%s/m2\"\r\n\r\ntwo\r\n--B--\r\n");
	static const char type[] = "Content-Type: multipart/form-data; boundary=B\r\n";

	cr_assert_eq(ask("POST /files", type, body), 200);
	cr_expect(has(in_dir("[{\"path\":\"%s/m1\",\"name\":\"m1\",\"type\":\"file\"},"
			     "{\"path\":\"%s/m2\",\"name\":\"m2\",\"type\":\"file\"}]")));
	cr_expect_eq(ask(in_dir("GET /files?path=%s/m2"), "", ""), 200);
	cr_expect(has("\r\n\r\ntwo"));
	/* One path for two files; no end; no path at all; another type. */
	cr_expect_eq(ask(in_dir("POST /files?path=%s/x"), type, body), 400);
	cr_expect_eq(ask("POST /files", type,
			 in_dir("--B\r\nContent-Disposition: form-data; "
				"name=\"file\"; filename=\"%s/m1\"\r\n\r\none")),
		     400);
	cr_expect_eq(ask("POST /files", RAW, "x"), 400);
	cr_expect_eq(ask(in_dir("POST /files?path=%s/x"), "Content-Type: text/plain\r\n", "x"),
		     400);
	cr_expect_eq(ask(in_dir("POST /files?path=%s"), RAW, "x"), 400);
}

Test(agent_http, upload_gzip)
{
	static const uint8_t packed[] = { 0x1f, 0x8b, 8,    0,	  0,	0,    0, 0, 0,
					  3,	0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0x86,
					  0xa6, 0x10, 0x36, 5,	  0,	0,    0 };
	static const char fields[] = RAW "Content-Encoding: gzip\r\n";

	cr_assert_eq(ask_at(HTTPD_DOOR_ALONE, in_dir("POST /files?path=%s/z"), fields, packed,
			    sizeof(packed)),
		     200);
	cr_expect_eq(ask(in_dir("GET /files?path=%s/z"), "", ""), 200);
	cr_expect(has("\r\n\r\nhello"));
	cr_expect_eq(ask_at(HTTPD_DOOR_ALONE, in_dir("POST /files?path=%s/z"), fields, packed,
			    sizeof(packed) - 1),
		     400);
	cr_expect_eq(ask(in_dir("POST /files?path=%s/z"), fields, "not gzip"), 400);
}

Test(agent_http, not_a_regular_file)
{
	const char *fifo = in_dir("%s/fifo");

	cr_assert_eq(mkfifo(fifo, 0600), 0);
	cr_expect_eq(ask(in_dir("GET /files?path=%s/fifo"), "", ""), 400);
	cr_expect_neq(ask(in_dir("POST /files?path=%s/fifo"), RAW, "x"), 200);
	cr_expect_neq(ask("POST /files?path=/dev/null", RAW, "x"), 200);
}

/* ---- Connect ----------------------------------------------------------------------------- */

Test(agent_http, unary)
{
	cr_expect_eq(call("filesystem.Filesystem/Stat", in_dir("{\"path\":\"%s\",\"what\":1}")),
		     200);
	cr_expect(has("Content-Type: application/json\r\n"));
	cr_expect(has(in_dir("\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"%s\"")));
	cr_expect_eq(call("filesystem.Filesystem/Stat", in_dir("{\"path\":\"%s/none\"}")), 404);
	cr_expect(has("{\"code\":\"not_found\",\"message\":\"file not found: "));
	cr_expect_eq(call("filesystem.Filesystem/Stat", "{\"path\":"), 400);
	cr_expect(has("{\"code\":\"invalid_argument\","));
	cr_expect_eq(call("filesystem.Filesystem/Nothing", "{}"), 404);
	/* The host's own methods aren't for tenants. */
	cr_expect_eq(call("casemate.agent.v1.Sandbox/Health", "{}"), 404);
	cr_expect_eq(call("casemate.agent.v1.Sandbox/Shutdown", "{}"), 404);
	cr_expect_eq(ask("GET /filesystem.Filesystem/Stat", "", ""), 405);
	cr_expect_eq(ask("POST /filesystem.Filesystem/Stat", "Content-Type: text/plain\r\n", "{}"),
		     415);
	cr_expect_eq(ask("POST /filesystem.Filesystem/Stat",
			 "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "{}"),
		     415);
	cr_expect_eq(
		ask("POST /filesystem.Filesystem/Stat",
		    "Content-Type: application/json\r\nAuthorization: Basic bm9ib2R5LWF0LWFsbDo=\r\n",
		    "{\"path\":\"/\"}"),
		401);
	cr_expect(has(
		"{\"code\":\"unauthenticated\",\"message\":\"invalid username: 'nobody-at-all'\"}"));
}

Test(agent_http, unary_binary)
{
	/* StatRequest { path: "/" } */
	cr_expect_eq(ask_at(HTTPD_DOOR_ALONE, "POST /filesystem.Filesystem/Stat",
			    "Content-Type: application/proto\r\n", "\x0a\x01/", 3),
		     200);
	cr_expect(has("Content-Type: application/proto\r\n"));
	/* StatResponse { entry: { name: "/", type: 2, path: "/" ... } } */
	cr_expect(has("\x0a\x01/\x10\x02\x1a\x01/"));
	cr_expect_eq(ask_at(HTTPD_DOOR_ALONE, "POST /filesystem.Filesystem/Stat",
			    "Content-Type: application/proto\r\n", "\x0a\x05/", 3),
		     400);
}

#define OUTPUT_HI "{\"event\":{\"data\":{\"stdout\":\"aGkK\"}}}"

Test(agent_http, start)
{
	int fd = stream(
		"process.Process/Start",
		"{\"process\":{\"cmd\":\"sh\",\"args\":[\"-c\",\"echo hi; exit 3\"]},\"stdin\":false}");

	cr_assert(get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(has("HTTP/1.1 200") && has("Content-Type: application/connect+json\r\n"));
	char *start = strstr(answer, "\r\n\r\n");
	cr_assert_not_null(start);
	cr_expect(has("{\"event\":{\"start\":{\"pid\":") && has(OUTPUT_HI));
	cr_expect(has(
		"{\"event\":{\"end\":{\"exitCode\":3,\"exited\":true,\"status\":\"exit status 3\","
		"\"error\":\"exit status 3\"}}}"));
	cr_expect_not_null(memmem(answer, answer_len, "\x02\0\0\0\x02{}", 7));
}

Test(agent_http, start_fails)
{
	int fd = stream("process.Process/Start",
			"{\"process\":{\"cmd\":\"sh\",\"cwd\":\"/not/there\"}}");

	cr_assert(get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(has("HTTP/1.1 200") && has("{\"error\":{\"code\":\"invalid_argument\","));
	fd = stream("process.Process/Connect", "{\"process\":{\"pid\":1}}");
	cr_assert(get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(has("{\"error\":{\"code\":\"not_found\","));
}

Test(agent_http, deadline_kills)
{
	int fd = stream_with(
		"process.Process/Start", "Connect-Timeout-Ms: 100\r\n",
		"{\"process\":{\"cmd\":\"sleep\",\"args\":[\"1000\"]},\"tag\":\"late\"}");

	cr_assert(get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(has("{\"error\":{\"code\":\"deadline_exceeded\","));
	/* Its end can be heard. */
	fd = stream("process.Process/Connect", "{\"process\":{\"tag\":\"late\"}}");
	cr_assert(get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(has("\"status\":\"signal: killed\""));
	cr_assert_eq(call("process.Process/List", "{}"), 200);
	cr_expect(has("\r\n\r\n{}"));
}

Test(agent_http, process_outlives_its_client)
{
	int fd = stream("process.Process/Start",
			"{\"process\":{\"cmd\":\"cat\"},\"tag\":\"stays\"}");

	cr_assert(get(fd, "{\"event\":{\"start\""));
	close(fd);
	cr_assert_eq(call("process.Process/List", "{}"), 200);
	cr_expect(has("\"tag\":\"stays\""));
	fd = stream("process.Process/Connect", "{\"process\":{\"tag\":\"stays\"}}");
	cr_assert(get(fd, "{\"event\":{\"start\""));
	cr_assert_eq(call("process.Process/SendInput",
			  "{\"process\":{\"tag\":\"stays\"},\"input\":{\"stdin\":\"aGkK\"}}"),
		     200);
	cr_assert(get(fd, OUTPUT_HI));
	cr_assert_eq(call("process.Process/SendSignal",
			  "{\"process\":{\"tag\":\"stays\"},\"signal\":\"SIGNAL_SIGKILL\"}"),
		     200);
	cr_assert(get(fd, "0\r\n\r\n"));
	close(fd);
	cr_expect(has("{\"event\":{\"end\":{\"exitCode\":-1,\"status\":\"signal: killed\","
		      "\"error\":\"signal: killed\",\"signal\":9}}}"));
	cr_expect_eq(call("process.Process/SendSignal",
			  "{\"process\":{\"tag\":\"stays\"},\"signal\":\"SIGNAL_SIGKILL\"}"),
		     404);
}

/* Clients send what they have in one call. More than may wait at a process is refused whole, and
 * what was taken before stays in order. */
Test(agent_http, large_input)
{
	static const char head[] = "{\"process\":{\"tag\":\"n\"},\"input\":{\"stdin\":\"";
	int fd = stream(
		"process.Process/Start",
		"{\"process\":{\"cmd\":\"wc\",\"args\":[\"-c\"]},\"tag\":\"n\",\"stdin\":true}");
	char *body = malloc(3200000);
	size_t n = sizeof(head) - 1;

	cr_assert_not_null(body);
	cr_assert(get(fd, "{\"event\":{\"start\""));
	memcpy(body, head, n);
	memset(body + n, 'A', 3100000);
	(void)snprintf(body + n + 1400000, 8, "\"}}");
	cr_expect_eq(call("process.Process/SendInput", body), 200);
	body[n + 1400000] = 'A';
	memset(body + n + 1400000, 'A', 8);
	(void)snprintf(body + n + 3000000, 8, "\"}}");
	cr_expect_eq(call("process.Process/SendInput", body), 429);
	cr_assert_eq(call("process.Process/CloseStdin", "{\"process\":{\"tag\":\"n\"}}"), 200);
	/* "1050000\n" */
	cr_assert(get(fd, "MTA1MDAwMAo="));
	free(body);
	close(fd);
}

Test(agent_http, stdin_closes)
{
	int fd = stream("process.Process/Start",
			"{\"process\":{\"cmd\":\"cat\"},\"tag\":\"cat\",\"stdin\":true}");

	cr_assert(get(fd, "{\"event\":{\"start\""));
	cr_assert_eq(call("process.Process/CloseStdin", "{\"process\":{\"tag\":\"cat\"}}"), 200);
	cr_assert(get(fd, "\"status\":\"exit status 0\""));
	close(fd);
}

Test(agent_http, terminal)
{
	int fd = stream(
		"process.Process/Start",
		"{\"process\":{\"cmd\":\"sh\",\"args\":[\"-c\",\"read x; stty size\"]},\"tag\":\"tty\","
		"\"pty\":{\"size\":{\"cols\":80,\"rows\":24}}}");

	cr_assert(get(fd, "{\"event\":{\"start\""));
	cr_assert_eq(call("process.Process/Update",
			  "{\"process\":{\"tag\":\"tty\"},\"pty\":{\"size\":{"
			  "\"cols\":100,\"rows\":30}}}"),
		     200);
	cr_assert_eq(call("process.Process/SendInput",
			  "{\"process\":{\"tag\":\"tty\"},\"input\":{\"pty\":\"Cg==\"}}"),
		     200);
	/* "30 100\r\n" */
	cr_assert(get(fd, "MzAgMTAwDQo"));
	close(fd);
}

Test(agent_http, stream_input)
{
	static const char *const messages[] = {
		"{\"start\":{\"process\":{\"tag\":\"in\"}}}",
		"{\"data\":{\"input\":{\"stdin\":\"aGkK\"}}}",
		"{\"keepalive\":{}}",
	};
	int fd = stream("process.Process/Start", "{\"process\":{\"cmd\":\"cat\"},\"tag\":\"in\"}");
	char body[256];
	size_t n = 0;

	cr_assert(get(fd, "{\"event\":{\"start\""));
	for (size_t i = 0; i < 3; i++) {
		memcpy(body + n, "\0\0\0\0", 4);
		body[n + 4] = (char)strlen(messages[i]);
		memcpy(body + n + 5, messages[i], strlen(messages[i]));
		n += 5 + strlen(messages[i]);
	}
	cr_expect_eq(ask_at(HTTPD_DOOR_ALONE, "POST /process.Process/StreamInput",
			    "Content-Type: application/connect+json\r\n", body, n),
		     200);
	cr_expect_not_null(memmem(answer, answer_len, "\x02\0\0\0\x02{}", 7));
	cr_assert(get(fd, OUTPUT_HI));
	/* Bytes before the process is named; an envelope cut off; a compressed one. */
	cr_expect_eq(ask_at(HTTPD_DOOR_ALONE, "POST /process.Process/StreamInput",
			    "Content-Type: application/connect+json\r\n",
			    body + 5 + strlen(messages[0]), 5 + strlen(messages[1])),
		     200);
	cr_expect(has("{\"error\":{\"code\":\"invalid_argument\","));
	cr_expect_eq(ask_at(HTTPD_DOOR_ALONE, "POST /process.Process/StreamInput",
			    "Content-Type: application/connect+json\r\n", body, 20),
		     200);
	cr_expect(has("an incomplete envelope"));
	body[0] = 1;
	cr_expect_eq(ask_at(HTTPD_DOOR_ALONE, "POST /process.Process/StreamInput",
			    "Content-Type: application/connect+json\r\n", body, n),
		     200);
	cr_expect(has("compression is not supported"));
	close(fd);
	cr_assert_eq(call("process.Process/CloseStdin", "{\"process\":{\"tag\":\"in\"}}"), 200);
}

/* ---- Directories ------------------------------------------------------------------------- */

#define FS "filesystem.Filesystem/"

Test(agent_http, directories)
{
	cr_assert_eq(call(FS "MakeDir", in_dir("{\"path\":\"%s/a/b\"}")), 200);
	cr_expect_eq(call(FS "MakeDir", in_dir("{\"path\":\"%s/a/b\"}")), 409);
	cr_assert_eq(ask(in_dir("POST /files?path=%s/a/f"), RAW, "x"), 200);
	cr_expect_eq(call(FS "MakeDir", in_dir("{\"path\":\"%s/a/f\"}")), 400);
	cr_assert_eq(call(FS "ListDir", in_dir("{\"path\":\"%s\",\"depth\":2}")), 200);
	char *a = strstr(answer, in_dir("\"path\":\"%s/a\"")),
	     *b = strstr(answer, in_dir("%s/a/b\""));
	cr_assert(a != NULL && b > a && strstr(b, in_dir("%s/a/f\"")) != NULL, "%s", answer);
	cr_expect_eq(call(FS "ListDir", in_dir("{\"path\":\"%s/a/f\"}")), 400);
	cr_expect_eq(call(FS "ListDir", in_dir("{\"path\":\"%s/none\"}")), 404);
	cr_assert_eq(call(FS "Move", in_dir("{\"source\":\"%s/a/f\",\"destination\":\"%s/c/g\"}")),
		     200);
	cr_expect(has("\"name\":\"g\""));
	cr_expect_eq(call(FS "Move", in_dir("{\"source\":\"%s/a/f\",\"destination\":\"%s/c/g\"}")),
		     404);
	cr_assert_eq(call(FS "Remove", in_dir("{\"path\":\"%s/none\"}")), 200);
	cr_expect_neq(call(FS "Remove", "{\"path\":\"/\"}"), 200);
}

/* A symlink in a tree is removed, and what it leads to is not. */
Test(agent_http, remove_follows_nothing)
{
	struct stat st;

	cr_assert_eq(call(FS "MakeDir", in_dir("{\"path\":\"%s/tree/deep/er\"}")), 200);
	cr_assert_eq(call(FS "MakeDir", in_dir("{\"path\":\"%s/other\"}")), 200);
	cr_assert_eq(ask(in_dir("POST /files?path=%s/other/precious"), RAW, "x"), 200);
	cr_assert_eq(symlink(in_dir("%s/other"), in_dir("%s/tree/deep/link")), 0);
	cr_assert_eq(call(FS "Remove", in_dir("{\"path\":\"%s/tree\"}")), 200);
	cr_expect_eq(stat(in_dir("%s/tree"), &st), -1);
	cr_expect_eq(stat(in_dir("%s/other/precious"), &st), 0);
}

Test(agent_http, watch)
{
	int fd = stream(FS "WatchDir",
			in_dir("{\"path\":\"%s\",\"recursive\":true,\"includeEntry\":true}"));

	cr_assert(get(fd, "{\"start\":{}}"));
	cr_assert_eq(call(FS "MakeDir", in_dir("{\"path\":\"%s/n\"}")), 200);
	cr_assert_eq(ask(in_dir("POST /files?path=%s/n/f"), RAW, "x"), 200);
	cr_assert(get(
		fd, "{\"filesystem\":{\"name\":\"n/f\",\"type\":\"EVENT_TYPE_WRITE\",\"entry\":"));
	cr_expect(has("{\"filesystem\":{\"name\":\"n\",\"type\":\"EVENT_TYPE_CREATE\",\"entry\":"));
	/* Away from there: no news of it any more, but of what stays. */
	cr_assert_eq(call(FS "Move", in_dir("{\"source\":\"%s/n\",\"destination\":\"%s.away\"}")),
		     200);
	cr_assert(get(fd, "{\"filesystem\":{\"name\":\"n\",\"type\":\"EVENT_TYPE_RENAME\"}}"));
	cr_assert_eq(ask(in_dir("POST /files?path=%s.away/silent"), RAW, "x"), 200);
	cr_assert_eq(ask(in_dir("POST /files?path=%s/last"), RAW, "x"), 200);
	cr_assert(get(fd, "\"last\",\"type\":\"EVENT_TYPE_WRITE\""));
	cr_expect(!has("silent"));
	close(fd);
	cr_assert_eq(call(FS "Remove", in_dir("{\"path\":\"%s.away\"}")), 200);
	fd = stream(FS "WatchDir", in_dir("{\"path\":\"%s/none\"}"));
	cr_assert(get(fd, "0\r\n\r\n"));
	cr_expect(has("{\"error\":{\"code\":\"not_found\","));
	close(fd);
}

Test(agent_http, polled_watcher)
{
	char id[17] = "", json[64];

	cr_assert_eq(call(FS "CreateWatcher", in_dir("{\"path\":\"%s\"}")), 200);
	cr_assert_eq(sscanf(strstr(answer, "\r\n\r\n"), " {\"watcherId\":\"%16[0-9a-f]\"}", id), 1,
		     "%s", answer);
	cr_assert_eq(ask(in_dir("POST /files?path=%s/p"), RAW, "x"), 200);
	snprintf(json, sizeof(json), "{\"watcherId\":\"%s\"}", id);
	cr_assert_eq(call(FS "GetWatcherEvents", json), 200);
	cr_expect(has("{\"name\":\"p\",\"type\":\"EVENT_TYPE_CREATE\"}"));
	cr_assert_eq(call(FS "GetWatcherEvents", json), 200);
	cr_expect(has("\r\n\r\n{}"));
	cr_expect_eq(call(FS "RemoveWatcher", json), 200);
	cr_expect_eq(call(FS "GetWatcherEvents", json), 404);
}

/* ---- Access ------------------------------------------------------------------------------ */

Test(agent_http, token)
{
	static const char token[] =
		"X-Access-Token: ea_test_token\r\nContent-Type: application/json\r\n";
	static const char wrong[] =
		"X-Access-Token: ea_test_tokem\r\nContent-Type: application/json\r\n";

	cr_assert_eq(ask("POST /init", "",
			 "{\"accessToken\":\"ea_test_token\",\"envVars\":{\"A\":\"b\"}}"),
		     204);
	cr_expect_eq(ask("GET /health", "", ""), 204);
	cr_expect_eq(ask("POST /" FS "Stat", token, "{\"path\":\"/\"}"), 200);
	cr_expect_eq(ask("POST /" FS "Stat", wrong, "{\"path\":\"/\"}"), 401);
	cr_expect_eq(call(FS "Stat", "{\"path\":\"/\"}"), 401);
	cr_expect(has(
		"{\"code\":401,\"message\":\"unauthorized access, please provide a valid access "
		"token or method signing if supported\"}"));
	cr_expect_eq(ask("GET /envs", token, ""), 200);
	cr_expect(has("{\"A\":\"b\"}"));
	cr_expect_eq(ask("GET /envs", "", ""), 401);
	cr_expect_eq(ask("GET /metrics", "", ""), 401);
	cr_expect_eq(ask("GET /metrics", token, ""), 200);
	cr_expect(has("\"cpu_count\":") && has("\"mem_total\":"));
	/* Who doesn't know the token doesn't change it. */
	cr_expect_eq(ask("POST /init", "", "{\"accessToken\":\"mine\"}"), 401);
	cr_expect_eq(ask("POST /" FS "Stat", token, "{\"path\":\"/\"}"), 200);
	/* /files: by token, or signed. This signature is for a.txt, which isn't there. */
	cr_expect_eq(ask("GET /files?path=/etc/passwd", "", ""), 401);
	cr_expect_eq(ask("GET /files?path=/etc/passwd", token, ""), 200);
	cr_expect_eq(
		ask("GET /files?path=%2Fhome%2Fuser%2Fa.txt&signature_expiration=4102444800&signature="
		    "v1_h0Yduct%2BngKCpqNXGkYNMugrBF7Y3ATuVJEfBSB2f54",
		    "", ""),
		401);
	cr_expect(has("invalid signature"));
}

Test(agent_http, signed_url)
{
	/* Of the published SDK, without an end: uploadUrl() of this token. */
	static const char url[] =
		"POST /files?signature=v1_qSBi8CO9KbybvOjPxPJViowNhozA935nQfaW9Z0wnIQ";
	const char *body = in_dir("--B\r\nContent-Disposition: form-data; name=\"file\"; "
				  "filename=\"%s/signed\"\r\n\r\nyes\r\n--B--\r\n");
	static const char type[] = "Content-Type: multipart/form-data; boundary=B\r\n";

	cr_assert_eq(ask("POST /init", "", "{\"accessToken\":\"ea_test_token\"}"), 204);
	cr_expect_eq(ask(url, type, body), 200);
	cr_expect_eq(ask("POST /files", type, body), 401);
	cr_expect_eq(ask("POST /files?signature=v1_qSBi8CO9KbybvOjPxPJViowNhozA935nQfaW9Z0wnIR",
			 type, body),
		     401);
}

/* From inside of the sandbox only what code interpreters ask for. */
Test(agent_http, inside)
{
	static const char json[] = "Content-Type: application/json\r\n";

	cr_expect_eq(ask_at(HTTPD_DOOR_INSIDE, "GET /health", "", "", 0), 204);
	cr_expect_eq(ask_at(HTTPD_DOOR_INSIDE, "GET /envs", "", "", 0), 200);
	cr_expect_eq(ask_at(HTTPD_DOOR_INSIDE, "POST /" FS "Stat", json, "{\"path\":\"/\"}", 12),
		     404);
	cr_expect_eq(ask_at(HTTPD_DOOR_INSIDE, "POST /init", json, "{}", 2), 404);
	cr_expect_eq(ask_at(HTTPD_DOOR_INSIDE, "GET /files?path=/etc/passwd", "", "", 0), 404);
	cr_expect_eq(call(FS "Stat", "{\"path\":\"/\"}"), 200);
}
