/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway of a jail's network: what a guest reaches by it. Each refusal has its positive
 * control.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/proto/guest_net.h"
#include "base/fd.h"
#include "jailer/rtnl.h"
#include "tests/native/gateway_rig.h"

static void set_in_jail(const struct link *l, const char *path, const char *value)
{
	CLEANUP(fd_closep) int fd = -1;

	link_enter(l->jail_ns);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, value, strlen(value)), 0);
	link_enter(l->guest_ns);
}

Test(gateway, tcp_to_anywhere_comes_out_at_one_socket)
{
	struct link l;

	link_open(&l);
	link_expect_accepted(l.gw.tcp, "8.8.8.8", 443);
	link_expect_accepted(l.gw.tcp, "169.254.169.254", 80);
	link_expect_accepted(l.gw.tcp, GUEST_NET_DNS, 22);
	link_expect_accepted(l.gw.tcp, "192.168.1.1", 1);
	link_expect_accepted(l.gw.dns_tcp, GUEST_NET_DNS, 53);
	link_close(&l);
}

Test(gateway, no_resolver_but_the_gateway)
{
	struct link l;
	int s;

	link_open(&l);
	s = link_dial(NULL, "8.8.8.8", 53);
	cr_expect_eq(link_outcome(s), ECONNREFUSED);
	fd_closep(&s);
	link_expect_accepted(l.gw.dns_tcp, GUEST_NET_DNS, 53);
	link_close(&l);
}

Test(gateway, nothing_is_connected_without_who_decides)
{
	struct link l;
	int s;

	link_open(&l);
	link_expect_accepted(l.gw.tcp, "1.1.1.1", 80);
	fd_closep(&l.gw.steer);
	s = link_dial(NULL, "1.1.1.1", 80);
	cr_expect_eq(link_outcome(s), ECONNREFUSED);
	fd_closep(&s);
	link_close(&l);
}

static int udp_to(const char *to, uint16_t port)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = link_address(to, port);

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

	link_open(&l);
	s = udp_to(GUEST_NET_DNS, 53);
	cr_assert_eq(write(s, "query", 5), 5);
	cr_assert(link_readable(l.gw.dns_udp, WAIT_MS));
	cr_assert_eq(recvfrom(l.gw.dns_udp, got, sizeof(got), 0, (struct sockaddr *)&from, &len),
		     5);
	cr_assert_eq(sendto(l.gw.dns_udp, "answer", 6, 0, (struct sockaddr *)&from, len), 6);
	cr_assert(link_readable(s, WAIT_MS));
	cr_expect_eq(read(s, got, sizeof(got)), 6);
	expect_udp_refused("8.8.8.8", 53);
	expect_udp_refused("8.8.8.8", 443);
	expect_udp_refused(GUEST_NET_DNS, 123);
	link_close(&l);
}

/* A query in two fragments; the control lets the namespace keep them. */
Test(gateway, fragments_are_dropped)
{
	CLEANUP(fd_closep) int s = -1;
	static const char query[3000];
	struct link l;
	char got[4096];

	link_open(&l);
	s = udp_to(GUEST_NET_DNS, 53);
	cr_assert_eq(write(s, query, sizeof(query)), (ssize_t)sizeof(query));
	cr_expect_not(link_readable(l.gw.dns_udp, SILENT_MS));
	set_in_jail(&l, "/proc/sys/net/ipv4/ipfrag_high_thresh", "4194304");
	cr_assert_eq(write(s, query, sizeof(query)), (ssize_t)sizeof(query));
	cr_assert(link_readable(l.gw.dns_udp, WAIT_MS));
	cr_expect_eq(read(l.gw.dns_udp, got, sizeof(got)), (ssize_t)sizeof(query));
	link_close(&l);
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
	struct sockaddr_in a = link_address(to, 0);

	cr_assert_geq(s, 0);
	q.head.checksum = checksum(q.words, 4);
	cr_assert_eq(sendto(s, &q, sizeof(q), 0, (struct sockaddr *)&a, sizeof(a)),
		     (ssize_t)sizeof(q));
	return link_readable(s, ms);
}

Test(gateway, no_echo_in_the_name_of_others)
{
	struct link l;

	link_open(&l);
	cr_expect_not(echoes("8.8.8.8", SILENT_MS));
	cr_expect_not(echoes(GUEST_NET_DNS, SILENT_MS));
	set_in_jail(&l, "/proc/sys/net/ipv4/icmp_echo_ignore_all", "0");
	cr_expect(echoes("8.8.8.8", WAIT_MS));
	link_close(&l);
}

/* Packets of other protocols with a packet inside: nothing opens them, and none has a listener. The
 * same packet by itself arrives. */
Test(gateway, tunnels_end_here)
{
	static const int protocols[] = {
		IPPROTO_IPIP, IPPROTO_GRE,  IPPROTO_IPV6, IPPROTO_ESP,
		IPPROTO_AH,   IPPROTO_SCTP, IPPROTO_DCCP, IPPROTO_UDPLITE
	};
	struct {
		struct iphdr ip;
		uint16_t udp[4];
		uint8_t data[12];
	} inner = { .ip = { .version = 4,
			    .ihl = 5,
			    .ttl = 64,
			    .protocol = IPPROTO_UDP,
			    .tot_len = htons(sizeof(inner)),
			    .saddr = htonl(GUEST_NET_ADDRESS),
			    .daddr = htonl(GUEST_NET_GATEWAY) },
		    .udp = { htons(4000), htons(53), htons(20), 0 } };
	struct sockaddr_in gw = link_address(GUEST_NET_DNS, 0);
	struct link l;
	char got[64];

	link_open(&l);
	inner.ip.check = checksum((const uint16_t *)&inner.ip, sizeof(inner.ip) / 2);
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		CLEANUP(fd_closep)
		int s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, protocols[i]);
		cr_assert_geq(s, 0, "%d: %s", protocols[i], strerror(errno));
		cr_assert_eq(
			sendto(s, &inner, sizeof(inner), 0, (struct sockaddr *)&gw, sizeof(gw)),
			(ssize_t)sizeof(inner));
	}
	cr_expect_not(link_readable(l.gw.dns_udp, SILENT_MS));
	cr_expect_not(link_readable(l.gw.tcp, 0));
	{
		CLEANUP(fd_closep) int s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
		cr_assert_eq(
			sendto(s, &inner, sizeof(inner), 0, (struct sockaddr *)&gw, sizeof(gw)),
			(ssize_t)sizeof(inner));
	}
	cr_assert(link_readable(l.gw.dns_udp, WAIT_MS));
	cr_expect_eq(read(l.gw.dns_udp, got, sizeof(got)), (ssize_t)sizeof(inner.data));
	link_close(&l);
}

/* Two sandboxes: whatever one of them dials, also its own and the other's address, the other's
 * gateway sees none of it. */
Test(gateway, sandboxes_do_not_meet)
{
	static const char *const to[] = { "8.8.8.8", GUEST_NET_DNS, "10.213.255.255", "224.0.0.1" };
	struct link a, b;

	link_open(&a);
	link_open(&b);
	for (size_t turn = 0; turn < 2; turn++) {
		const struct link *own = turn == 0 ? &a : &b, *other = turn == 0 ? &b : &a;
		link_enter(own->guest_ns);
		for (size_t i = 0; i < ARRAY_SIZE(to) - 1; i++)
			link_expect_accepted(own->gw.tcp, to[i], 80);
		for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
			CLEANUP(fd_closep) int s = udp_to(to[i], 53);
			(void)!write(s, "?", 1);
		}
		cr_assert(link_readable(own->gw.dns_udp, WAIT_MS), "its own resolver");
		cr_expect_not(link_readable(other->gw.tcp, turn == 0 ? SILENT_MS : 0));
		if (turn == 0)
			cr_expect_not(link_readable(other->gw.dns_udp, 0));
	}
	link_close(&b);
	link_close(&a);
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

	link_open(&l);
	add_guest_address(0x0a630001U);	      /* 10.99.0.1 */
	add_guest_address(GUEST_NET_GATEWAY); /* the gateway's own */
	in = link_dial("10.99.0.1", "8.8.8.8", 80);
	cr_expect_not(link_readable(l.gw.tcp, SILENT_MS));
	gateways = link_dial(GUEST_NET_DNS, "8.8.8.8", 80);
	cr_expect_not(link_readable(l.gw.tcp, SILENT_MS));
	link_expect_accepted(l.gw.tcp, "8.8.8.8", 80);
	link_close(&l);
}

static unsigned neighbours(const struct link *l)
{
	char text[4096];
	unsigned lines = 0;

	link_enter(l->jail_ns);
	cr_assert_gt(fd_read_file(AT_FDCWD, "/proc/thread-self/net/arp", text, sizeof(text)), 0);
	link_enter(l->guest_ns);
	for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	return lines - 1; /* the head */
}

/* The host's table of neighbours is one for all namespaces: a guest can't fill it. */
Test(gateway, neighbours_are_not_learnt)
{
	struct link l;

	link_open(&l);
	cr_expect_eq(neighbours(&l), 1);
	for (uint32_t i = 0; i < 50; i++) {
		char text[20];
		int s;
		add_guest_address(0x0a640001U + i);
		(void)snprintf(text, sizeof(text), "10.100.0.%u", i + 1);
		s = link_dial(text, "8.8.4.4", 80);
		fd_closep(&s);
	}
	link_expect_accepted(l.gw.tcp, "8.8.8.8", 80);
	cr_expect_eq(neighbours(&l), 1);
	link_close(&l);
}

Test(gateway, no_ipv6)
{
	struct link l;
	char text[1024];

	link_open(&l);
	link_enter(l.jail_ns);
	if (access("/proc/thread-self/net/if_inet6", F_OK) == 0) {
		cr_assert_geq(fd_read_file(AT_FDCWD, "/proc/thread-self/net/if_inet6", text,
					   sizeof(text)),
			      0);
		cr_expect_null(strstr(text, "tap0"));
	}
	link_enter(l.guest_ns);
	link_close(&l);
}
