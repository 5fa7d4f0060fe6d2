/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/route.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"

#define STALE_MAX 8U /* answers to earlier questions that are passed over; there are none */

struct request {
	struct nlmsghdr h;
	struct rtmsg route;
	struct rtattr dst;
	uint8_t addr[16]; /* 4 of them are used for IPv4 */
};
_Static_assert(sizeof(struct request) == NLMSG_LENGTH(sizeof(struct rtmsg)) + RTA_LENGTH(16),
	       "no padding between header, message and attribute");

int route_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? -errno : fd;
}

static int ask(int sock, const struct addr *a, uint32_t seq)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const size_t len = addr_is_v4(a) ? 4 : 16;
	struct request q = {
		.h = { .nlmsg_len = (uint32_t)(sizeof(q) - 16 + len),
		       .nlmsg_type = RTM_GETROUTE,
		       .nlmsg_flags = NLM_F_REQUEST,
		       .nlmsg_seq = seq },
		.route = { .rtm_family = len == 4 ? AF_INET : AF_INET6,
			   .rtm_dst_len = (uint8_t)(len * 8) },
		.dst = { .rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = RTA_DST },
	};

	memcpy(q.addr, a->b + 16 - len, len);
	return sendto(sock, &q, q.h.nlmsg_len, 0, (const struct sockaddr *)&kernel,
		      sizeof(kernel)) == (ssize_t)q.h.nlmsg_len
		       ? 0
		       : -EIO;
}

/* The type of the route, RTN_*; or a negative errno, which may be the kernel's: no route. */
static int take_answer(const uint8_t *data, size_t len, uint32_t seq)
{
	struct nlmsghdr h;
	struct nlmsgerr e;
	struct rtmsg route;

	if (len < sizeof(h))
		return -EBADMSG;
	memcpy(&h, data, sizeof(h));
	if (h.nlmsg_seq != seq)
		return -EAGAIN;
	if (h.nlmsg_type == NLMSG_ERROR && len >= NLMSG_LENGTH(sizeof(e))) {
		memcpy(&e, data + NLMSG_HDRLEN, sizeof(e));
		return e.error < 0 ? e.error : -EBADMSG;
	}
	if (h.nlmsg_type != RTM_NEWROUTE || len < NLMSG_LENGTH(sizeof(route)))
		return -EBADMSG;
	memcpy(&route, data + NLMSG_HDRLEN, sizeof(route));
	return route.rtm_type;
}

/* The kernel answers before sendto returns. */
static int receive(int sock, uint32_t seq)
{
	for (unsigned i = 0; i < STALE_MAX; i++) {
		uint8_t data[1024];
		struct sockaddr_nl from = { 0 };
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(sock, data, sizeof(data), MSG_DONTWAIT,
				     (struct sockaddr *)&from, &len);
		int r;

		if (n < 0)
			return -EIO;
		r = from.nl_pid == 0 ? take_answer(data, (size_t)n, seq) : -EAGAIN;
		if (r != -EAGAIN)
			return r;
	}
	return -EIO;
}

bool route_is_own(int sock, const struct addr *a)
{
	static uint32_t seq;
	int type = ask(sock, a, ++seq);

	if (type == 0)
		type = receive(sock, seq);
	/* Nowhere to go isn't here: then it can't be connected to either. */
	return type != RTN_UNICAST && type != -ENETUNREACH && type != -EHOSTUNREACH;
}
