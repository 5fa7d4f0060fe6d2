/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/gateway_rig.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/proto/guest_net.h"
#include "base/fd.h"
#include "jailer/rtnl.h"
#include "tests/native/tap.h"

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

void link_enter(int ns)
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

struct sockaddr_in link_address(const char *text, uint16_t port)
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
	struct sockaddr_in gw = link_address(GUEST_NET_DNS, 0), any = link_address("0.0.0.0", 0);
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

void link_open(struct link *l)
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

void link_close(struct link *l)
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

bool link_readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

int link_dial(const char *source, const char *to, uint16_t port)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = link_address(to, port);

	cr_assert_geq(s, 0);
	if (source != NULL) {
		struct sockaddr_in from = link_address(source, 0);
		cr_assert_eq(bind(s, (struct sockaddr *)&from, sizeof(from)), 0);
	}
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
		cr_assert_eq(errno, EINPROGRESS);
	return s;
}

int link_outcome(int s)
{
	struct pollfd p = { .fd = s, .events = POLLOUT };
	int e = 0;
	socklen_t len = sizeof(e);

	cr_assert_eq(poll(&p, 1, WAIT_MS), 1);
	cr_assert_eq(getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &len), 0);
	return e;
}

void link_expect_accepted(int listener, const char *to, uint16_t port)
{
	CLEANUP(fd_closep) int guest = link_dial(NULL, to, port);
	CLEANUP(fd_closep) int conn = -1;
	struct sockaddr_in local = { 0 }, peer = { 0 }, want = link_address(to, port);
	socklen_t len = sizeof(local);
	char got[8] = "";

	cr_assert(link_readable(listener, WAIT_MS), "%s:%u", to, port);
	conn = accept4(listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
	cr_assert_geq(conn, 0);
	len = sizeof(local);
	cr_assert_eq(getsockname(conn, (struct sockaddr *)&local, &len), 0);
	cr_expect_eq(local.sin_addr.s_addr, want.sin_addr.s_addr, "%s:%u", to, port);
	cr_expect_eq(local.sin_port, want.sin_port);
	cr_expect_eq(peer.sin_addr.s_addr, htonl(GUEST_NET_ADDRESS));
	cr_assert_eq(link_outcome(guest), 0);
	cr_assert_eq(write(guest, "ask", 3), 3);
	cr_assert(link_readable(conn, WAIT_MS));
	cr_assert_eq(read(conn, got, sizeof(got)), 3);
	cr_assert_eq(write(conn, "tell", 4), 4);
	cr_assert(link_readable(guest, WAIT_MS));
	cr_assert_eq(read(guest, got, sizeof(got)), 4);
}
