/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/net_way.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "egress/egress_fds.h"
#include "jailer/rtnl.h"

#define SERVER	   0x08010101U /* 8.1.1.1: of the host's, which the policy lifts */
#define PORT_FIRST 1024U
#define FD_HIGH	   100

static int guest_ns = -1, host_ns = -1, control = -1;

static NORETURN void die(const char *what)
{
	(void)fprintf(stderr, "bench: net: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- Namespaces ---------------------------------------------------------------------------- */

static void loopback_up(void)
{
	CLEANUP(fd_closep) int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	if (s < 0 || ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
		die("lo");
}

static int fresh_ns(void)
{
	int fd = -1;

	if (unshare(CLONE_NEWNET) == 0)
		fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("network namespace");
	loopback_up();
	return fd;
}

static void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		die("setns");
}

static void make_namespaces(void)
{
	int rtnl;

	guest_ns = fresh_ns();
	rtnl = rtnl_open();
	if (rtnl < 0 || rtnl_add_local_default(rtnl) < 0)
		die("local default");
	fd_closep(&rtnl);
	host_ns = fresh_ns();
	rtnl = rtnl_open();
	if (rtnl < 0 || rtnl_add_address(rtnl, RTNL_LOOPBACK, SERVER, 32) < 0)
		die("address");
	fd_closep(&rtnl);
}

static int make_listener(uint32_t address, uint16_t port)
{
	const struct sockaddr_in at = { .sin_family = AF_INET,
					.sin_port = htons(port),
					.sin_addr.s_addr = htonl(address) };
	CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 128) < 0)
		die("listen");
	return fd_steal(&fd);
}

/* ---- The server: a process for each service, a connection at a time ------------------------- */

static void serve_one(enum service service, int fd)
{
	static char data[256U << 10];
	const int one = 1;
	ssize_t n;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (service == SERVICE_SOURCE) {
		for (size_t left = NET_BULK_BYTES; left > 0; left -= (size_t)n) {
			n = send(fd, data, left < sizeof(data) ? left : sizeof(data), MSG_NOSIGNAL);
			if (n <= 0)
				return;
		}
		return;
	}
	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		if (service == SERVICE_ECHO && send(fd, data, (size_t)n, MSG_NOSIGNAL) != n)
			return;
	if (service == SERVICE_SINK)
		(void)send(fd, "", 1, MSG_NOSIGNAL);
}

static void start_server(enum service service)
{
	int listener = make_listener(SERVER, (uint16_t)(PORT_FIRST + service));
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

			if (fd < 0)
				_exit(1);
			serve_one(service, fd);
			fd_closep(&fd);
		}
	}
	fd_closep(&listener);
}

/* ---- casemate-egress ------------------------------------------------------------------------ */

static NORETURN void become(const char *program, const int fds[], int count)
{
	static char option[] = "--uid", uid[] = "65534", tcp[] = "tcp";
	char name[] = "casemate-egress";
	char *argv[] = { name, option, uid, tcp, tcp, tcp, NULL };
	char *envp[] = { NULL };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Ours may be a file, to which it may not write. */
	if (dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO) < 0)
		_exit(126);
	for (int i = 0; i < count; i++)
		if (dup2(fds[i], FD_HIGH + i) < 0)
			_exit(126);
	for (int i = 0; i < count; i++)
		if (dup2(FD_HIGH + i, EGRESS_FD_CONTROL + i) < 0)
			_exit(126);
	(void)execve(program, argv, envp);
	_exit(127);
}

static void start_egress(const char *program)
{
	int fds[1 + SERVICE_COUNT], sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		die("socketpair");
	fds[0] = sv[1];
	enter(guest_ns);
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		fds[1 + i] = make_listener(INADDR_ANY, (uint16_t)(PORT_FIRST + i));
	enter(host_ns);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		become(program, fds, 1 + SERVICE_COUNT);
	for (unsigned i = 0; i < 1 + SERVICE_COUNT; i++)
		fd_closep(&fds[i]);
	control = sv[0];
}

void way_policy(const char *policy)
{
	char answer[EGRESS_ANSWER_MAX];
	ssize_t n;

	if (send(control, policy, strlen(policy), MSG_NOSIGNAL) < 0)
		die("policy");
	n = recv(control, answer, sizeof(answer) - 1, 0);
	if (n <= 0 || memmem(answer, (size_t)n, "ended", 5) == NULL)
		die("policy: no proper answer");
}

void way_set_up(const char *program)
{
	make_namespaces();
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		start_server((enum service)i);
	start_egress(program);
}

int way_dial(enum way way, enum service service)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_port = htons((uint16_t)(PORT_FIRST + service)),
					.sin_addr.s_addr = htonl(SERVER) };
	const int one = 1;
	int fd;

	/* A socket is its namespace's for good. */
	enter(way == WAY_EGRESS ? guest_ns : host_ns);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	enter(host_ns);
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	return fd;
}
