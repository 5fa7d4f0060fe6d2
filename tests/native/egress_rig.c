/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/egress_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
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

#include "base/fd.h"
#include "base/num.h"

#define FD_HIGH 100

char rig_text[RIG_TEXT_MAX];

static const uint16_t ports[] = { 80, 443, 8080, 22 };

void rig_start(struct rig *r, const char *connections)
{
	int fds[7], sv[2], log[2];
	const char *const argv[] = { EGRESS_PROGRAM,
				     "--uid",
				     "65534",
				     "--connections",
				     connections == NULL ? "128" : connections,
				     "tcp",
				     "tcp",
				     "tcp",
				     "tcp",
				     "dns-udp",
				     "dns-tcp",
				     NULL };

	const struct rlimit few = { r->descriptors, r->descriptors };

	signal(SIGPIPE, SIG_IGN);
	world_make(&r->world);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	r->control = sv[0];
	/* Not our own: it may be a file, to which the program may not write. */
	cr_assert_eq(pipe2(log, O_CLOEXEC | O_NONBLOCK), 0);
	r->log = log[0];
	fds[0] = sv[1];
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		fds[1 + i] = net_socket(&r->world.net, NET_GUEST, SOCK_STREAM, "::", ports[i]);
	fds[5] = net_socket(&r->world.net, NET_GUEST, SOCK_DGRAM, "::", 53);
	fds[6] = net_socket(&r->world.net, NET_GUEST, SOCK_STREAM, "::", 53);
	r->pid = fork();
	cr_assert_geq(r->pid, 0);
	if (r->pid == 0) {
		for (int i = 0; i < 7; i++)
			if (dup2(fds[i], FD_HIGH + i) < 0)
				_exit(126);
		for (int i = 0; i < 7; i++)
			if (dup2(FD_HIGH + i, 3 + i) < 0)
				_exit(126);
		if (dup2(log[1], STDERR_FILENO) < 0)
			_exit(126);
		if (r->descriptors != 0 && setrlimit(RLIMIT_NOFILE, &few) < 0)
			_exit(126);
		/* The leak checker wants another process, which this one may not make. */
		(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		execv(EGRESS_PROGRAM, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	close(log[1]);
}

static void show_log(int fd)
{
	char text[4096];
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0)
		(void)fwrite(text, 1, (size_t)n, stderr);
	close(fd);
}

bool rig_stop(struct rig *r)
{
	int status;

	close(r->control);
	if (waitpid(r->pid, &status, 0) != r->pid)
		return false;
	show_log(r->log);
	if (status != 0)
		(void)fprintf(stderr, "casemate-egress ended with status %x\n", (unsigned)status);
	return status == 0;
}

json_t *rig_control(struct rig *r, const char *message)
{
	static char in[65536];
	ssize_t n;
	json_t *j;

	cr_assert_eq(fd_send(r->control, message, strlen(message), &r->roots, r->roots > 0),
		     (ssize_t)strlen(message), "the program has ended");
	n = recv(r->control, in, sizeof(in), 0);
	cr_assert_gt(n, 0, "no answer");
	j = json_loadb(in, (size_t)n, 0, NULL);
	cr_assert_not_null(j);
	return j;
}

int rig_policy(struct rig *r, const char *policy)
{
	static char text[8192];
	json_t *answer;
	int ended;

	cr_assert_eq(policy[0], '{');
	(void)snprintf(text, sizeof(text), "{'policy': {'resolvers': ['%s']%s%s}", WORLD_DNS,
		       policy[1] == '}' ? "" : ", ", policy + 1);
	for (char *p = text; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	answer = rig_control(r, text);
	cr_assert_not_null(json_object_get(answer, "ended"), "%s: %s", text,
			   json_string_value(json_object_get(answer, "error")));
	ended = (int)json_integer_value(json_object_get(answer, "ended"));
	json_decref(answer);
	return ended;
}

long long rig_count(struct rig *r, const char *name)
{
	json_t *answer = rig_control(r, "{\"status\": {}}");
	const json_t *v = json_object_get(json_object_get(answer, "counters"), name);
	long long n = json_integer_value(v);

	cr_assert_not_null(v, "%s", name);
	json_decref(answer);
	return n;
}

ssize_t rig_exchange(struct rig *r, const char *address, uint16_t port, const void *data,
		     size_t len, char text[RIG_TEXT_MAX])
{
	CLEANUP(fd_closep) int fd = net_dial(&r->world.net, address, port);
	size_t have = 0;
	ssize_t n;

	text[0] = '\0';
	if (fd < 0)
		return fd;
	(void)send(fd, data, len, MSG_NOSIGNAL);
	(void)shutdown(fd, SHUT_WR);
	while ((n = recv(fd, text + have, RIG_TEXT_MAX - 1 - have, 0)) > 0)
		have += (size_t)n;
	text[have] = '\0';
	cr_assert(n == 0 || errno == ECONNRESET, "%s", strerror(errno));
	return (ssize_t)have;
}

static char answer_text[320];

static const char *keep(const char *text, size_t len)
{
	len = MIN(len, sizeof(answer_text) - 1);
	memcpy(answer_text, text, len);
	answer_text[len] = '\0';
	return answer_text;
}

const char *rig_get(struct rig *r, const char *address, uint16_t port, const char *host,
		    const char *headers)
{
	char request[2048];
	const char *body;
	int n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n", host,
			 headers);

	if (rig_exchange(r, address, port, request, (size_t)n, rig_text) <= 0)
		return "";
	body = strstr(rig_text, "\r\n\r\n");
	if (strncmp(rig_text, "HTTP/1.1 200 ", 13) != 0 || body == NULL)
		return keep(rig_text + 9, 3);
	return keep(body + 4, strcspn(body + 4, "\n"));
}

const char *rig_hello(struct rig *r, const char *address, uint16_t port, const char *name,
		      unsigned flags)
{
	struct tls_text hello;
	ssize_t n;

	tls_hello(&hello, name, flags);
	n = rig_exchange(r, address, port, hello.data, hello.len, rig_text);
	if (n <= 0)
		return "";
	if (rig_text[0] == 21)
		return "alert";
	return keep(rig_text, strcspn(rig_text, "\x16"));
}

static ssize_t ask(struct rig *r, const uint8_t *msg, size_t len, bool stream, uint8_t *answer)
{
	/* The test's own name server of the guest: any address is local there. */
	CLEANUP(fd_closep)
	int fd = stream ? net_dial(&r->world.net, "10.0.0.53", 53)
			: net_socket(&r->world.net, NET_GUEST, SOCK_DGRAM, NULL, 0);
	struct timeval patience = { .tv_sec = 10 };
	uint8_t head[2] = { (uint8_t)(len >> 8), (uint8_t)len };
	struct sockaddr_storage ss;
	struct addr a;
	socklen_t size;

	cr_assert_geq(fd, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (stream) {
		cr_assert_eq(fd_write_full(fd, head, 2), 0);
		cr_assert_eq(fd_write_full(fd, msg, len), 0);
		if (fd_read_full(fd, head, 2) < 0)
			return -1;
		len = (size_t)(head[0] << 8 | head[1]);
		return fd_read_full(fd, answer, len) < 0 ? -1 : (ssize_t)len;
	}
	cr_assert_eq(addr_parse("10.0.0.53", &a), 0);
	size = addr_to_sockaddr(&a, 53, &ss);
	/* Connected: an answer from another address would not arrive. */
	cr_assert_eq(connect(fd, (struct sockaddr *)&ss, size), 0);
	cr_assert_eq(send(fd, msg, len, 0), (ssize_t)len);
	return recv(fd, answer, DNS_UDP_MAX, 0);
}

int rig_ask(struct rig *r, const char *name, uint16_t type, bool stream, char *addresses,
	    size_t cap)
{
	uint8_t msg[DNS_UDP_MAX], answer[DNS_UDP_MAX];
	size_t len = dns_query_build(msg, 4711, name, type), at = 0;
	ssize_t n = ask(r, msg, len, stream, answer);
	struct dns_answer a;

	if (n < 0)
		return -1;
	cr_assert_eq(dns_answer_parse(answer, (size_t)n, 4711, name, type, &a), 0);
	addresses[0] = '\0';
	for (size_t i = 0; i < a.count; i++) {
		char text[ADDR_TEXT_MAX];
		size_t text_len;

		addr_format(&a.addrs[i], text);
		text_len = strlen(text);
		cr_assert_lt(at + 1 + text_len, cap);
		if (i > 0)
			addresses[at++] = ' ';
		memcpy(addresses + at, text, text_len + 1);
		at += text_len;
	}
	return (int)a.rcode;
}
