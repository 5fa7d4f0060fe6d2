/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway of a jail's network, in two network namespaces of the test's own: in one what the
 * jailer makes, in the other a "guest" whose tap's frames a thread carries over, so that ordinary
 * sockets say what a guest can reach. Each refusal has its positive control.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/proto/guest_net.h"
#include "base/fd.h"
#include "jailer/gateway.h"
#include "jailer/rtnl.h"
#include "tests/native/tap.h"

/* How long something that must not arrive is waited for. What must has WAIT_MS. */
#define SILENT_MS 150
#define WAIT_MS	  5000

struct link {
	struct gateway gw;
	int jail_ns, guest_ns;
	int jail_tap, guest_tap;
	int stop[2];
	pthread_t carrier;
};

static void carry(int from, int to)
{
	char frame[65536];
	ssize_t n = read(from, frame, sizeof(frame));

	/* A frame that the other end has no room for is lost, as on any wire. */
	if (n > 0 && write(to, frame, (size_t)n) < 0)
		return;
}

static void *carrier(void *arg)
{
	struct link *l = arg;

	for (;;) {
		struct pollfd p[] = { { .fd = l->jail_tap, .events = POLLIN },
				      { .fd = l->guest_tap, .events = POLLIN },
				      { .fd = l->stop[0], .events = POLLIN } };
		if (poll(p, 3, -1) < 0 || p[2].revents != 0)
			return NULL;
		if (p[0].revents != 0)
			carry(l->jail_tap, l->guest_tap);
		if (p[1].revents != 0)
			carry(l->guest_tap, l->jail_tap);
	}
}

static int open_ns(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static void enter(int ns)
{
	cr_assert_eq(setns(ns, CLONE_NEWNET), 0);
}

static void set_mac(const char *name, const unsigned char mac[6])
{
	CLEANUP(fd_closep) int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_hwaddr.sa_family = ARPHRD_ETHER };

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	cr_assert_eq(ioctl(s, SIOCSIFHWADDR, &ifr), 0);
	cr_assert_eq(ioctl(s, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags |= IFF_UP;
	cr_assert_eq(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
}

static struct sockaddr_in address(const char *text, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	cr_assert_eq(inet_pton(AF_INET, text, &a.sin_addr), 1);
	return a;
}

/* What the agent does. */
static void make_guest(struct link *l)
{
	static const unsigned char mac[6] = GUEST_NET_MAC;
	CLEANUP(fd_closep) int s = -1;
	CLEANUP(fd_closep) int rtnl = -1;
	struct sockaddr_in gw = address(GUEST_NET_DNS, 0), any = address("0.0.0.0", 0);
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };

	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	l->guest_ns = open_ns();
	l->guest_tap = tap_queue("eth0");
	cr_assert_geq(l->guest_tap, 0);
	set_mac("eth0", mac);
	rtnl = rtnl_open();
	cr_assert_eq(rtnl_add_address(rtnl, (int)if_nametoindex("eth0"), GUEST_NET_ADDRESS,
				      GUEST_NET_PREFIX),
		     0);
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(&route.rt_gateway, &gw, sizeof(gw));
	memcpy(&route.rt_dst, &any, sizeof(any));
	memcpy(&route.rt_genmask, &any, sizeof(any));
	cr_assert_eq(ioctl(s, SIOCADDRT, &route), 0);
}

static void open_link(struct link *l)
{
	static const unsigned char mac[6] = GUEST_NET_GATEWAY_MAC;

	if (unshare(CLONE_NEWNET) < 0)
		cr_skip_test("network namespaces need root: %s", strerror(errno));
	l->jail_ns = open_ns();
	cr_assert_eq(gateway_harden(), 0);
	l->jail_tap = tap_queue("tap0");
	cr_assert_geq(l->jail_tap, 0);
	set_mac("tap0", mac);
	cr_assert_eq(gateway_open("tap0", &l->gw), 0);
	make_guest(l);
	cr_assert_eq(pipe2(l->stop, O_CLOEXEC), 0);
	cr_assert_eq(pthread_create(&l->carrier, NULL, carrier, l), 0);
}

static void close_link(struct link *l)
{
	fd_closep(&l->stop[1]);
	cr_assert_eq(pthread_join(l->carrier, NULL), 0);
	fd_closep(&l->stop[0]);
	gateway_close(&l->gw);
	fd_closep(&l->jail_tap);
	fd_closep(&l->guest_tap);
	fd_closep(&l->jail_ns);
	fd_closep(&l->guest_ns);
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* The guest connects from `source` (NULL = its own address): the connection, which may be under
 * way. */
static int dial(const char *source, const char *to, uint16_t port)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = address(to, port);

	cr_assert_geq(s, 0);
	if (source != NULL) {
		struct sockaddr_in from = address(source, 0);
		cr_assert_eq(bind(s, (struct sockaddr *)&from, sizeof(from)), 0);
	}
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
		cr_assert_eq(errno, EINPROGRESS);
	return s;
}

/* How a connection that was under way has ended: 0 = it is there. */
static int outcome(int s)
{
	struct pollfd p = { .fd = s, .events = POLLOUT };
	int e = 0;
	socklen_t len = sizeof(e);

	cr_assert_eq(poll(&p, 1, WAIT_MS), 1);
	cr_assert_eq(getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &len), 0);
	return e;
}

/* A connection to `to` comes out at `listener`, which knows what it was for; bytes go both ways. */
static void expect_accepted(int listener, const char *to, uint16_t port)
{
	CLEANUP(fd_closep) int guest = dial(NULL, to, port);
	CLEANUP(fd_closep) int conn = -1;
	struct sockaddr_in local = { 0 }, peer = { 0 }, want = address(to, port);
	socklen_t len = sizeof(local);
	char got[8] = "";

	cr_assert(readable(listener, WAIT_MS), "%s:%u", to, port);
	conn = accept4(listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
	cr_assert_geq(conn, 0);
	len = sizeof(local);
	cr_assert_eq(getsockname(conn, (struct sockaddr *)&local, &len), 0);
	cr_expect_eq(local.sin_addr.s_addr, want.sin_addr.s_addr, "%s:%u", to, port);
	cr_expect_eq(local.sin_port, want.sin_port);
	cr_expect_eq(peer.sin_addr.s_addr, htonl(GUEST_NET_ADDRESS));
	cr_assert_eq(outcome(guest), 0);
	cr_assert_eq(write(guest, "ask", 3), 3);
	cr_assert(readable(conn, WAIT_MS));
	cr_assert_eq(read(conn, got, sizeof(got)), 3);
	cr_assert_eq(write(conn, "tell", 4), 4);
	cr_assert(readable(guest, WAIT_MS));
	cr_assert_eq(read(guest, got, sizeof(got)), 4);
}

static void set_in_jail(const struct link *l, const char *path, const char *value)
{
	CLEANUP(fd_closep) int fd = -1;

	enter(l->jail_ns);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, value, strlen(value)), 0);
	enter(l->guest_ns);
}

Test(gateway, tcp_to_anywhere_comes_out_at_one_socket)
{
	struct link l;

	open_link(&l);
	expect_accepted(l.gw.tcp, "8.8.8.8", 443);
	expect_accepted(l.gw.tcp, "169.254.169.254", 80);
	expect_accepted(l.gw.tcp, GUEST_NET_DNS, 22);
	expect_accepted(l.gw.tcp, "192.168.1.1", 1);
	expect_accepted(l.gw.dns_tcp, GUEST_NET_DNS, 53);
	close_link(&l);
}

Test(gateway, no_resolver_but_the_gateway)
{
	struct link l;
	int s;

	open_link(&l);
	s = dial(NULL, "8.8.8.8", 53);
	cr_expect_eq(outcome(s), ECONNREFUSED);
	fd_closep(&s);
	expect_accepted(l.gw.dns_tcp, GUEST_NET_DNS, 53);
	close_link(&l);
}

Test(gateway, nothing_is_connected_without_who_decides)
{
	struct link l;
	int s;

	open_link(&l);
	expect_accepted(l.gw.tcp, "1.1.1.1", 80);
	fd_closep(&l.gw.steer);
	s = dial(NULL, "1.1.1.1", 80);
	cr_expect_eq(outcome(s), ECONNREFUSED);
	fd_closep(&s);
	close_link(&l);
}

static int udp_to(const char *to, uint16_t port)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = address(to, port);

	cr_assert_geq(s, 0);
	cr_assert_eq(connect(s, (struct sockaddr *)&a, sizeof(a)), 0);
	return s;
}

/* The kernel of the jail's side refuses it: the error arrives at the guest's socket. */
static void expect_udp_refused(const char *to, uint16_t port)
{
	CLEANUP(fd_closep) int s = udp_to(to, port);
	struct pollfd p = { .fd = s, .events = POLLIN };
	char c;

	cr_assert_eq(write(s, "?", 1), 1);
	cr_assert_eq(poll(&p, 1, WAIT_MS), 1, "%s:%u", to, port);
	cr_expect_lt(read(s, &c, 1), 0);
	cr_expect_eq(errno, ECONNREFUSED, "%s:%u", to, port);
}

Test(gateway, udp_only_to_the_resolver)
{
	CLEANUP(fd_closep) int s = -1;
	struct sockaddr_in from = { 0 };
	socklen_t len = sizeof(from);
	struct link l;
	char got[16];

	open_link(&l);
	s = udp_to(GUEST_NET_DNS, 53);
	cr_assert_eq(write(s, "query", 5), 5);
	cr_assert(readable(l.gw.dns_udp, WAIT_MS));
	cr_assert_eq(recvfrom(l.gw.dns_udp, got, sizeof(got), 0, (struct sockaddr *)&from, &len),
		     5);
	cr_assert_eq(sendto(l.gw.dns_udp, "answer", 6, 0, (struct sockaddr *)&from, len), 6);
	cr_assert(readable(s, WAIT_MS));
	cr_expect_eq(read(s, got, sizeof(got)), 6);
	expect_udp_refused("8.8.8.8", 53);
	expect_udp_refused("8.8.8.8", 443);
	expect_udp_refused(GUEST_NET_DNS, 123);
	close_link(&l);
}

/* A query in two fragments; the control lets the namespace keep them. */
Test(gateway, fragments_are_dropped)
{
	CLEANUP(fd_closep) int s = -1;
	static const char query[3000];
	struct link l;
	char got[4096];

	open_link(&l);
	s = udp_to(GUEST_NET_DNS, 53);
	cr_assert_eq(write(s, query, sizeof(query)), (ssize_t)sizeof(query));
	cr_expect_not(readable(l.gw.dns_udp, SILENT_MS));
	set_in_jail(&l, "/proc/sys/net/ipv4/ipfrag_high_thresh", "4194304");
	cr_assert_eq(write(s, query, sizeof(query)), (ssize_t)sizeof(query));
	cr_assert(readable(l.gw.dns_udp, WAIT_MS));
	cr_expect_eq(read(l.gw.dns_udp, got, sizeof(got)), (ssize_t)sizeof(query));
	close_link(&l);
}

static uint16_t checksum(const uint16_t *words, size_t n)
{
	uint32_t sum = 0;

	while (n-- > 0)
		sum += *words++;
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static bool echoes(const char *to, int ms)
{
	CLEANUP(fd_closep) int s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	union {
		struct icmphdr head;
		uint16_t words[4];
	} q = { .head = { .type = ICMP_ECHO, .un.echo.id = 7 } };
	struct sockaddr_in a = address(to, 0);

	cr_assert_geq(s, 0);
	q.head.checksum = checksum(q.words, 4);
	cr_assert_eq(sendto(s, &q, sizeof(q), 0, (struct sockaddr *)&a, sizeof(a)),
		     (ssize_t)sizeof(q));
	return readable(s, ms);
}

Test(gateway, no_echo_in_the_name_of_others)
{
	struct link l;

	open_link(&l);
	cr_expect_not(echoes("8.8.8.8", SILENT_MS));
	cr_expect_not(echoes(GUEST_NET_DNS, SILENT_MS));
	set_in_jail(&l, "/proc/sys/net/ipv4/icmp_echo_ignore_all", "0");
	cr_expect(echoes("8.8.8.8", WAIT_MS));
	close_link(&l);
}

static void add_guest_address(uint32_t addr)
{
	CLEANUP(fd_closep) int rtnl = rtnl_open();

	cr_assert_eq(rtnl_add_address(rtnl, (int)if_nametoindex("eth0"), addr, 32), 0);
}

/* Neither an address of nobody's nor the gateway's own. */
Test(gateway, source_addresses_are_the_guests)
{
	CLEANUP(fd_closep) int in = -1;
	CLEANUP(fd_closep) int gateways = -1;
	struct link l;

	open_link(&l);
	add_guest_address(0x0a630001U);	      /* 10.99.0.1 */
	add_guest_address(GUEST_NET_GATEWAY); /* the gateway's own */
	in = dial("10.99.0.1", "8.8.8.8", 80);
	cr_expect_not(readable(l.gw.tcp, SILENT_MS));
	gateways = dial(GUEST_NET_DNS, "8.8.8.8", 80);
	cr_expect_not(readable(l.gw.tcp, SILENT_MS));
	expect_accepted(l.gw.tcp, "8.8.8.8", 80);
	close_link(&l);
}

static unsigned neighbours(const struct link *l)
{
	char text[4096];
	unsigned lines = 0;

	enter(l->jail_ns);
	cr_assert_gt(fd_read_file(AT_FDCWD, "/proc/thread-self/net/arp", text, sizeof(text)), 0);
	enter(l->guest_ns);
	for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	return lines - 1; /* the head */
}

/* The host's table of neighbours is one for all namespaces: a guest can't fill it. */
Test(gateway, neighbours_are_not_learnt)
{
	struct link l;

	open_link(&l);
	cr_expect_eq(neighbours(&l), 1);
	for (uint32_t i = 0; i < 50; i++) {
		char text[20];
		int s;
		add_guest_address(0x0a640001U + i);
		(void)snprintf(text, sizeof(text), "10.100.0.%u", i + 1);
		s = dial(text, "8.8.4.4", 80);
		fd_closep(&s);
	}
	expect_accepted(l.gw.tcp, "8.8.8.8", 80);
	cr_expect_eq(neighbours(&l), 1);
	close_link(&l);
}

Test(gateway, no_ipv6)
{
	struct link l;
	char text[1024];

	open_link(&l);
	enter(l.jail_ns);
	if (access("/proc/thread-self/net/if_inet6", F_OK) == 0) {
		cr_assert_geq(fd_read_file(AT_FDCWD, "/proc/thread-self/net/if_inet6", text,
					   sizeof(text)),
			      0);
		cr_expect_null(strstr(text, "tap0"));
	}
	enter(l.guest_ns);
	close_link(&l);
}
