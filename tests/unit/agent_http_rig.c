/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_http_rig.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/num.h"

#define WAIT_MS 20000

static pid_t pid;
static uint16_t port[HTTPD_DOOR_INSIDE + 1];
char rig_dir[] = "/tmp/agent-http-XXXXXX";
char rig_answer[RIG_ANSWER_MAX];
size_t rig_answer_len;

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

	cr_assert_not_null(mkdtemp(rig_dir));
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
	char *argv[] = { (char *)"rm", (char *)"-rf", rig_dir, NULL };
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

int rig_dial(enum httpd_door door)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port[door]),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

void rig_put(int fd, const void *data, size_t len)
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

bool rig_get(int fd, const char *text)
{
	rig_answer_len = 0;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		rig_answer[rig_answer_len] = '\0';
		if (text != NULL && memmem(rig_answer, rig_answer_len, text, strlen(text)) != NULL)
			return true;
		cr_assert_eq(poll(&p, 1, WAIT_MS), 1, "nothing came after: %s", rig_answer);
		n = recv(fd, rig_answer + rig_answer_len, RIG_ANSWER_MAX - 1 - rig_answer_len, 0);
		if (n <= 0)
			return text == NULL;
		rig_answer_len += (size_t)n;
	}
}

bool rig_has(const char *text)
{
	return memmem(rig_answer, rig_answer_len, text, strlen(text)) != NULL;
}

int rig_ask_at(enum httpd_door door, const char *line, const char *fields, const void *body,
	       size_t len)
{
	char head[4096];
	static const char answer[] = "HTTP/1.1 ";
	const char *at = rig_answer + strlen(answer);
	uint64_t status = 0;
	int fd = rig_dial(door);
	int n = snprintf(
		head, sizeof(head),
		"%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
		line, fields, len);

	rig_put(fd, head, (size_t)n);
	rig_put(fd, body, len);
	rig_get(fd, NULL);
	close(fd);
	if (strncmp(rig_answer, answer, strlen(answer)) == 0)
		(void)!parse_u64_at(&at, 10, 999, &status);
	return (int)status;
}

int rig_ask(const char *line, const char *fields, const char *body)
{
	return rig_ask_at(HTTPD_DOOR_ALONE, line, fields, body, strlen(body));
}

int rig_call(const char *method, const char *json)
{
	char line[128];

	snprintf(line, sizeof(line), "POST /%s", method);
	return rig_ask(line, "Content-Type: application/json\r\n", json);
}

int rig_stream_with(const char *method, const char *fields, const char *json)
{
	char head[1024];
	uint8_t envelope[5] = { 0 };
	size_t len = strlen(json);
	int fd = rig_dial(HTTPD_DOOR_ALONE);
	int n = snprintf(
		head, sizeof(head),
		"POST /%s HTTP/1.1\r\nHost: x\r\n%sContent-Type: application/connect+json\r\n"
		"Content-Length: %zu\r\n\r\n",
		method, fields, len + 5);

	rig_put(fd, head, (size_t)n);
	envelope[3] = (uint8_t)(len >> 8);
	envelope[4] = (uint8_t)len;
	rig_put(fd, envelope, 5);
	rig_put(fd, json, len);
	return fd;
}

int rig_stream(const char *method, const char *json)
{
	return rig_stream_with(method, "", json);
}

const char *rig_in_dir(const char *from)
{
	static char text[4][1024];
	static unsigned next;
	char *to = text[++next % 4];
	size_t n = 0;

	for (; *from != '\0'; from++) {
		bool here = from[0] == '%' && from[1] == 's';
		size_t len = here ? strlen(rig_dir) : 1;
		cr_assert(n + len < sizeof(text[0]));
		memcpy(to + n, here ? rig_dir : from, len);
		n += len;
		from += here;
	}
	to[n] = '\0';
	return to;
}
