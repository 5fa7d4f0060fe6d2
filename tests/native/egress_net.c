/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/egress_net.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "egress/addr.h"

struct request {
	struct nlmsghdr h;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg addr;
		struct rtmsg route;
	};
	char attrs[512];
};

static struct rtattr *put_attr(struct request *q, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)q + NLMSG_ALIGN(q->h.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
	q->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
	return a;
}

static void end_attr(struct request *q, struct rtattr *a)
{
	a->rta_len = (unsigned short)((char *)q + q->h.nlmsg_len - (char *)a);
}

static struct request request(unsigned short type, size_t body, unsigned short flags)
{
	struct request q = { 0 };

	q.h.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
	q.h.nlmsg_type = type;
	q.h.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
	return q;
}

/* In the namespace of the moment. */
static void ask(struct request *q, const char *what)
{
	CLEANUP(fd_closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[1024];
	} answer;

	cr_assert_geq(fd, 0);
	cr_assert_eq(send(fd, q, q->h.nlmsg_len, 0), (ssize_t)q->h.nlmsg_len);
	cr_assert_geq(recv(fd, &answer, sizeof(answer), 0), (ssize_t)sizeof(answer.h));
	cr_assert_eq(answer.h.nlmsg_type, NLMSG_ERROR);
	cr_assert_eq(answer.e.error, 0, "%s: %s", what, strerror(-answer.e.error));
}

static void up(const char *name)
{
	struct request q = request(RTM_NEWLINK, sizeof(q.link), 0);

	q.link.ifi_index = (int)if_nametoindex(name);
	q.link.ifi_flags = q.link.ifi_change = IFF_UP;
	ask(&q, name);
}

static void make_veth(const char *name, const char *peer, int peer_ns)
{
	struct request q = request(RTM_NEWLINK, sizeof(q.link), NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg none = { 0 };
	struct rtattr *info, *data, *other;

	(void)put_attr(&q, IFLA_IFNAME, name, strlen(name) + 1);
	info = put_attr(&q, IFLA_LINKINFO, NULL, 0);
	(void)put_attr(&q, IFLA_INFO_KIND, "veth", 5);
	data = put_attr(&q, IFLA_INFO_DATA, NULL, 0);
	other = put_attr(&q, VETH_INFO_PEER, &none, sizeof(none));
	(void)put_attr(&q, IFLA_IFNAME, peer, strlen(peer) + 1);
	(void)put_attr(&q, IFLA_NET_NS_FD, &peer_ns, sizeof(peer_ns));
	end_attr(&q, other);
	end_attr(&q, data);
	end_attr(&q, info);
	ask(&q, "veth");
}

static void add_address(const char *name, const char *text, unsigned char bits)
{
	struct request q = request(RTM_NEWADDR, sizeof(q.addr), NLM_F_CREATE | NLM_F_EXCL);
	struct addr a;

	cr_assert_eq(addr_parse(text, &a), 0);
	q.addr.ifa_family = addr_is_v4(&a) ? AF_INET : AF_INET6;
	q.addr.ifa_prefixlen = bits;
	q.addr.ifa_flags = IFA_F_NODAD;
	q.addr.ifa_index = if_nametoindex(name);
	(void)put_attr(&q, IFA_LOCAL, addr_is_v4(&a) ? a.b + 12 : a.b, addr_is_v4(&a) ? 4 : 16);
	ask(&q, text);
}

/* via NULL: everything is local, on lo. */
static void add_default(unsigned char family, const char *via)
{
	struct request q = request(RTM_NEWROUTE, sizeof(q.route), NLM_F_CREATE);
	unsigned lo = if_nametoindex("lo");
	struct addr a;

	q.route = (struct rtmsg){ .rtm_family = family,
				  .rtm_table = via == NULL ? RT_TABLE_LOCAL : RT_TABLE_MAIN,
				  .rtm_protocol = RTPROT_STATIC,
				  .rtm_scope = via == NULL && family == AF_INET ? RT_SCOPE_HOST
										: RT_SCOPE_UNIVERSE,
				  .rtm_type = via == NULL ? RTN_LOCAL : RTN_UNICAST };
	if (via == NULL) {
		(void)put_attr(&q, RTA_OIF, &lo, sizeof(lo));
	} else {
		cr_assert_eq(addr_parse(via, &a), 0);
		(void)put_attr(&q, RTA_GATEWAY, addr_is_v4(&a) ? a.b + 12 : a.b,
			       addr_is_v4(&a) ? 4 : 16);
	}
	ask(&q, "route");
}

static int own_ns(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static void enter(const struct net *n, enum net_place place)
{
	cr_assert_eq(setns(n->ns[place], CLONE_NEWNET), 0);
}

static int fresh_ns(void)
{
	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	up("lo");
	return own_ns();
}

void net_make(struct net *n)
{
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		cr_skip("no network namespace of our own: %s", strerror(errno));
	n->ns[NET_GUEST] = fresh_ns();
	add_default(AF_INET, NULL);
	add_default(AF_INET6, NULL);
	n->ns[NET_WORLD] = fresh_ns();
	n->ns[NET_HOST] = fresh_ns();
	make_veth("up0", "down0", n->ns[NET_WORLD]);
	up("up0");
	add_address("up0", "5.5.5.1", 29);
	add_address("up0", NET_HOST_SECOND, 29);
	add_address("up0", "2606::5", 64);
	add_address("up0", "2606::1", 64);
	enter(n, NET_WORLD);
	up("down0");
	add_address("down0", "5.5.5.2", 29);
	add_address("down0", "2606::2", 64);
	enter(n, NET_HOST);
	add_default(AF_INET, "5.5.5.2");
	add_default(AF_INET6, "2606::2");
}

void net_world_address(const struct net *n, const char *address)
{
	enter(n, NET_WORLD);
	add_address("down0", address, strchr(address, ':') == NULL ? 32 : 128);
	enter(n, NET_HOST);
}

int net_socket(const struct net *n, enum net_place place, int type, const char *address,
	       uint16_t port)
{
	bool six = address != NULL && strchr(address, ':') != NULL;
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const int on = 1, off = 0;
	struct sockaddr_storage ss;
	socklen_t len;
	struct addr a;
	int fd;

	enter(n, place);
	fd = socket(six ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address != NULL && strcmp(address, "::") == 0) {
		cr_assert_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
		cr_assert_eq(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	} else if (address != NULL) {
		cr_assert_eq(addr_parse(address, &a), 0);
		len = addr_to_sockaddr(&a, port, &ss);
		cr_assert_eq(bind(fd, (struct sockaddr *)&ss, len), 0, "%s: %s", address,
			     strerror(errno));
	}
	if (address != NULL && type == SOCK_STREAM)
		cr_assert_eq(listen(fd, 128), 0);
	enter(n, NET_HOST);
	return fd;
}

int net_dial(const struct net *n, const char *address, uint16_t port)
{
	struct timeval patience = { .tv_sec = 20 };
	struct sockaddr_storage ss;
	socklen_t len;
	struct addr a;
	int fd, r;

	cr_assert_eq(addr_parse(address, &a), 0);
	len = addr_to_sockaddr(&a, port, &ss);
	fd = net_socket(n, NET_GUEST, SOCK_STREAM, NULL, 0);
	if (!addr_is_v4(&a)) {
		close(fd);
		enter(n, NET_GUEST);
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		enter(n, NET_HOST);
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	r = connect(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : fd;
	if (r < 0)
		close(fd);
	return r;
}
