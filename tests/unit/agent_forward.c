/* SPDX-License-Identifier: Apache-2.0 */
/* agent_forward.c - the forwarder between a socketpair (the host's end of a vsock) and TCP. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/forward.h"
#include "base/clock.h"
#include "base/fd.h"

static struct loop *loop;
static struct forward_table *table;
static int host; /* our end */

static void setup(void)
{
	int sv[2];

	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(forward_table_new(loop, &table), 0);
	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(forward_serve(table, sv[0]), 0);
	host = sv[1];
}

static void teardown(void)
{
	close(host);
	forward_table_free(table);
	loop_free(loop);
}

TestSuite(forward, .init = setup, .fini = teardown, .timeout = 20);

/* A listening socket and its port, little-endian. */
static int listen_on(int family, uint8_t ret_port[2])
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in in4 = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *sa = family == AF_INET ? (struct sockaddr *)&in4 : (struct sockaddr *)&in6;
	socklen_t len = family == AF_INET ? sizeof(in4) : sizeof(in6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, sa, len) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	cr_assert_eq(listen(fd, 4), 0);
	cr_assert_eq(getsockname(fd, sa, &len), 0);
	uint16_t port = ntohs(family == AF_INET ? in4.sin_port : in6.sin6_port);
	ret_port[0] = (uint8_t)port;
	ret_port[1] = (uint8_t)(port >> 8);
	return fd;
}

/* Bytes from fd, while the loop runs: how many, 0 = its end. */
static ssize_t receive(int fd, void *p, size_t len)
{
	const uint64_t late = now_ms() + 10000;

	while (now_ms() < late) {
		ssize_t n = recv(fd, p, len, MSG_DONTWAIT);
		if (n >= 0 || errno != EAGAIN)
			return n;
		cr_assert_eq(loop_step(loop, 20), 0);
	}
	cr_assert_fail("nothing came");
	return -1;
}

static int accept_one(int fd)
{
	const uint64_t late = now_ms() + 10000;

	while (now_ms() < late) {
		int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (conn >= 0)
			return conn;
		cr_assert_eq(loop_step(loop, 20), 0);
	}
	cr_assert_fail("nobody came");
	return -1;
}

static void both_ways(int family)
{
	uint8_t port[2], status = 99;
	char text[8];
	int fd = listen_on(family, port), conn;

	if (fd < 0)
		cr_skip_test("no such protocol here");
	/* A byte at a time, and what follows is the port's. */
	cr_assert_eq(send(host, port, 1, 0), 1);
	cr_assert_eq(loop_step(loop, 10), 0);
	cr_assert_eq(send(host, port + 1, 1, 0), 1);
	conn = accept_one(fd);
	cr_assert_eq(receive(host, &status, 1), 1);
	cr_expect_eq(status, 0);
	cr_assert_eq(send(host, "ping", 4, 0), 4);
	cr_assert_eq(receive(conn, text, sizeof(text)), 4);
	/* Half-closed: the other direction goes on. */
	shutdown(host, SHUT_WR);
	cr_expect_eq(receive(conn, text, sizeof(text)), 0);
	cr_assert_eq(send(conn, "pong", 4, 0), 4);
	cr_assert_eq(receive(host, text, sizeof(text)), 4);
	cr_expect_eq(memcmp(text, "pong", 4), 0);
	close(conn);
	cr_expect_eq(receive(host, text, sizeof(text)), 0);
	close(fd);
}

Test(forward, ipv4)
{
	both_ways(AF_INET);
}

Test(forward, ipv6)
{
	both_ways(AF_INET6);
}

Test(forward, refused)
{
	uint8_t port[2], status = 0;
	int fd = listen_on(AF_INET, port);

	cr_assert(fd >= 0);
	close(fd); /* nobody listens there now */
	cr_assert_eq(send(host, port, 2, 0), 2);
	cr_assert_eq(receive(host, &status, 1), 1);
	cr_expect_eq(status, ECONNREFUSED);
	cr_expect_eq(receive(host, &status, 1), 0);
}

/* Somebody listens there a moment later; and again, and the host has gone while it was refused. */
Test(forward, server_that_starts)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint8_t port[2], status = 99;
	int fd = listen_on(AF_INET, port), sv[2];

	cr_assert(fd >= 0);
	close(fd);
	cr_assert_eq(send(host, port, 2, 0), 2);
	cr_assert_eq(loop_step(loop, 1000), 0); /* the port has come, and is refused */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	sa.sin_port = htons((uint16_t)(port[0] | port[1] << 8));
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	cr_expect_eq(recv(host, &status, 1, MSG_DONTWAIT), -1, "answered at once: %u", status);
	cr_assert_eq(listen(fd, 4), 0);
	cr_assert_eq(receive(host, &status, 1), 1);
	cr_expect_eq(status, 0);
	close(accept_one(fd));
	close(fd);
	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(forward_serve(table, sv[0]), 0);
	cr_assert_eq(send(sv[1], port, 2, 0), 2);
	close(sv[1]);
	for (const uint64_t until = now_ms() + 1500; now_ms() < until;)
		cr_assert_eq(loop_step(loop, 20), 0);
}

Test(forward, gone_before_the_port)
{
	uint8_t byte = 1;

	cr_assert_eq(send(host, &byte, 1, 0), 1);
	shutdown(host, SHUT_WR);
	cr_expect_eq(receive(host, &byte, 1), 0);
}

Test(forward, limit)
{
	for (int i = 1; i < FORWARDS_MAX; i++) {
		int sv[2];
		cr_assert_eq(fd_socketpair(sv, true), 0);
		cr_assert_eq(forward_serve(table, sv[0]), 0);
		close(sv[1]);
	}
	int sv[2];
	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_expect_eq(forward_serve(table, sv[0]), -EAGAIN);
	close(sv[1]);
	/* Those whose host is gone make room. */
	cr_assert_eq(loop_step(loop, 10), 0);
	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_expect_eq(forward_serve(table, sv[0]), 0);
	close(sv[1]);
}
