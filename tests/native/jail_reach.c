/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a guest's socket to a server and back, through everything but the VM: a "guest" in a network
 * namespace of its own, whose frames a thread carries to another queue of the jail's tap; the
 * gateway; the real casemate-egress under the jailer's filter and its own; and a server in the
 * network namespace that the jailer has. What isn't allowed stands beside what is.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
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
#include "jailer/rtnl.h"
#include "tests/native/jail_rig.h"
#include "tests/native/tap.h"

#define SERVER 0x0a630002U /* 10.99.0.2 */
#define PORT   8080

static struct rig g;
static int server_ns = -1, guest_ns = -1;
static int taps[2], stop[2];
static pthread_t carrier_thread;

static int open_ns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0, "%s", path);
	return fd;
}

static void bring_up(const char *name, const unsigned char *mac)
{
	CLEANUP(fd_closep) int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_hwaddr.sa_family = ARPHRD_ETHER };

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (mac != NULL) {
		memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
		cr_assert_eq(ioctl(s, SIOCSIFHWADDR, &ifr), 0);
	}
	cr_assert_eq(ioctl(s, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags |= IFF_UP;
	cr_assert_eq(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
}

static void add_address(const char *name, uint32_t addr, unsigned prefix)
{
	CLEANUP(fd_closep) int rtnl = rtnl_open();

	cr_assert_eq(rtnl_add_address(rtnl, (int)if_nametoindex(name), addr, prefix), 0);
}

static struct sockaddr_in address(uint32_t addr, uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(addr) };
}

static void *carrier(void *arg)
{
	(void)arg;
	for (;;) {
		struct pollfd p[] = { { .fd = taps[0], .events = POLLIN },
				      { .fd = taps[1], .events = POLLIN },
				      { .fd = stop[0], .events = POLLIN } };
		char frame[65536];
		if (poll(p, 3, -1) < 0 || p[2].revents != 0)
			return NULL;
		for (int i = 0; i < 2; i++) {
			ssize_t n = p[i].revents != 0 ? read(taps[i], frame, sizeof(frame)) : 0;
			if (n > 0 && write(taps[1 - i], frame, (size_t)n) < 0)
				return NULL;
		}
	}
}

/* The jailer inherits this namespace, casemate-egress enters it. */
static void setup(void)
{
	rig_require();
	if (access("/dev/net/tun", R_OK | W_OK) < 0 || unshare(CLONE_NEWNET) < 0)
		cr_skip_test("/dev/net/tun and network namespaces: %s", strerror(errno));
	server_ns = open_ns("/proc/thread-self/ns/net");
	bring_up("lo", NULL);
	add_address("lo", SERVER, 32);
	g = (struct rig){
		.vmm = VMM_BIN, .nic_queues = 1, .test_option = "--egress", .test_value = EGRESS_BIN
	};
	rig_prepare(&g);
	rig_start_jailer(&g);
	rig_connect(&g);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_reach, .init = setup, .fini = teardown, .timeout = 60);

static void make_guest(const struct rig_jail *j)
{
	static const unsigned char mac[6] = GUEST_NET_MAC;
	const struct sockaddr_in gw = address(GUEST_NET_GATEWAY, 0), any = address(0, 0);
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	CLEANUP(fd_closep) int s = -1;
	CLEANUP(fd_closep) int jail_ns = -1;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)j->pid);
	jail_ns = open_ns(path);
	cr_assert_eq(setns(jail_ns, CLONE_NEWNET), 0);
	taps[0] = tap_queue("tap0");
	cr_assert_geq(taps[0], 0, "%s", strerror(-taps[0]));
	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	guest_ns = open_ns("/proc/thread-self/ns/net");
	taps[1] = tap_queue("eth0");
	bring_up("eth0", mac);
	add_address("eth0", GUEST_NET_ADDRESS, GUEST_NET_PREFIX);
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(&route.rt_gateway, &gw, sizeof(gw));
	memcpy(&route.rt_dst, &any, sizeof(any));
	memcpy(&route.rt_genmask, &any, sizeof(any));
	cr_assert_eq(ioctl(s, SIOCADDRT, &route), 0);
	cr_assert_eq(pipe2(stop, O_CLOEXEC), 0);
	cr_assert_eq(pthread_create(&carrier_thread, NULL, carrier, NULL), 0);
}

static void policy(int control, const char *text)
{
	struct pollfd p = { .fd = control, .events = POLLIN };
	char got[256] = "";

	cr_assert_gt(send(control, text, strlen(text), 0), 0);
	cr_assert_eq(poll(&p, 1, 5000), 1);
	cr_assert_gt(recv(control, got, sizeof(got) - 1, 0), 0);
	cr_assert_not_null(strstr(got, "ended"), "%s", got);
}

/* The guest asks there: does it get the server's answer? */
static bool reaches(int listener, uint32_t addr, uint16_t port)
{
	CLEANUP(fd_closep) int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CLEANUP(fd_closep) int conn = -1;
	const struct sockaddr_in a = address(addr, port);
	const struct timeval patience = { .tv_sec = 5 };
	struct pollfd p = { .fd = listener, .events = POLLIN };
	char got[8] = "";

	cr_assert_eq(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	if (connect(s, (const struct sockaddr *)&a, sizeof(a)) < 0 || write(s, "ask", 3) != 3 ||
	    poll(&p, 1, 500) != 1)
		return false;
	conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	cr_assert_eq(read(conn, got, sizeof(got)), 3);
	cr_assert_eq(write(conn, "tell", 4), 4);
	return read(s, got, sizeof(got)) == 4;
}

Test(jail_reach, what_is_allowed_and_nothing_else)
{
	struct sockaddr_in a = address(SERVER, PORT);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fds[2] = { -1, -1 };
	Casemate__Jailer__V1__OpenNetworkRequest q =
		CASEMATE__JAILER__V1__OPEN_NETWORK_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	struct rpc_status st = { 0 };
	struct rig_jail j;
	char id[] = "net";

	cr_assert_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(listener, 8), 0);
	rig_create_ok(&g, id, &j);
	q.id = id;
	cr_assert_eq(rpc_call_wait(g.loop, g.conn, &jailer_methods[JAILER_OPEN_NETWORK], &q.base,
				   NULL, 10000, &st, &out, fds),
		     0);
	cr_assert_eq(st.code, RPC_OK, "%s", st.msg);
	protobuf_c_message_free_unpacked(out, NULL);
	make_guest(&j);
	cr_expect_not(reaches(listener, SERVER, PORT), "without a policy");
	policy(fds[0], "{\"policy\":{\"allowOut\":[\"10.99.0.2:8080\"]}}");
	cr_expect_not(reaches(listener, SERVER, PORT), "private, and this host's own");
	policy(fds[0], "{\"policy\":{\"allowOut\":[\"10.99.0.2:8080\"],"
		       "\"operator\":{\"allow\":[\"10.99.0.2\"]}}}");
	cr_expect(reaches(listener, SERVER, PORT), "allowed");
	cr_expect_not(reaches(listener, SERVER, PORT + 1), "another port");
	cr_expect_not(reaches(listener, 0xa9fea9feU, 80), "169.254.169.254");
	policy(fds[0], "{\"policy\":{\"allowOut\":[\"10.99.0.3\"],"
		       "\"operator\":{\"allow\":[\"10.99.0.0/24\"]}}}");
	cr_expect_not(reaches(listener, SERVER, PORT), "not any more");
	fd_closep(&stop[1]);
	cr_assert_eq(pthread_join(carrier_thread, NULL), 0);
	cr_assert_eq(setns(server_ns, CLONE_NEWNET), 0);
	fd_closep(&taps[0]);
	fd_closep(&taps[1]);
	fd_closep(&fds[0]);
	fd_closep(&fds[1]);
	fd_closep(&listener);
	cr_assert_eq(rig_destroy(&g, id), RPC_OK);
}
