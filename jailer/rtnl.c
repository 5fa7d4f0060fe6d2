/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"

#define ATTRS_MAX 64

/* Head, body and attributes; all lengths are multiples of four. */
struct request {
	struct nlmsghdr head;
	union {
		struct ifaddrmsg addr;
		struct ndmsg neighbour;
		struct rtmsg route;
		unsigned char bytes[sizeof(struct rtmsg) + ATTRS_MAX];
	} body;
};

_Static_assert(NLMSG_ALIGN(sizeof(struct ifaddrmsg)) == sizeof(struct ifaddrmsg) &&
		       NLMSG_ALIGN(sizeof(struct ndmsg)) == sizeof(struct ndmsg) &&
		       NLMSG_ALIGN(sizeof(struct rtmsg)) == sizeof(struct rtmsg),
	       "attributes follow at once");

static struct request make(uint16_t type, size_t body)
{
	return (struct request){
		.head = { .nlmsg_len = (uint32_t)(sizeof(struct nlmsghdr) + body),
			  .nlmsg_type = type,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL },
	};
}

static void add(struct request *q, uint16_t type, const void *data, size_t len)
{
	const struct rtattr a = { .rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type };
	size_t at = q->head.nlmsg_len - sizeof(q->head);

	BUG_ON(at + RTA_SPACE(len) > sizeof(q->body));
	memcpy(q->body.bytes + at, &a, sizeof(a));
	memcpy(q->body.bytes + at + RTA_LENGTH(0), data, len);
	q->head.nlmsg_len += (uint32_t)RTA_SPACE(len);
}

static void add_u32(struct request *q, uint16_t type, uint32_t value)
{
	add(q, type, &value, sizeof(value));
}

/* The kernel answers before the request returns. */
static int transact(int rtnl, const struct request *q)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr err;
		unsigned char rest[256]; /* it quotes the request */
	} answer = { 0 };
	ssize_t n;
	int r = fd_write_full(rtnl, q, q->head.nlmsg_len);

	if (r < 0)
		return r;
	n = read(rtnl, &answer, sizeof(answer));
	if (n < 0)
		return -errno;
	if (n < (ssize_t)(sizeof(answer.head) + sizeof(answer.err)) ||
	    answer.head.nlmsg_type != NLMSG_ERROR || answer.err.error > 0)
		return -EPROTO;
	return answer.err.error;
}

int rtnl_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? -errno : fd;
}

int rtnl_add_address(int rtnl, int ifindex, uint32_t addr, unsigned prefix)
{
	struct request q = make(RTM_NEWADDR, sizeof(struct ifaddrmsg));

	q.body.addr = (struct ifaddrmsg){ .ifa_family = AF_INET,
					  .ifa_prefixlen = (uint8_t)prefix,
					  .ifa_index = (uint32_t)ifindex };
	add_u32(&q, IFA_LOCAL, htonl(addr));
	add_u32(&q, IFA_ADDRESS, htonl(addr));
	return transact(rtnl, &q);
}

int rtnl_add_neighbour(int rtnl, int ifindex, uint32_t addr, const unsigned char mac[6])
{
	struct request q = make(RTM_NEWNEIGH, sizeof(struct ndmsg));

	q.body.neighbour = (struct ndmsg){ .ndm_family = AF_INET,
					   .ndm_ifindex = ifindex,
					   .ndm_state = NUD_PERMANENT };
	add_u32(&q, NDA_DST, htonl(addr));
	add(&q, NDA_LLADDR, mac, 6);
	return transact(rtnl, &q);
}

int rtnl_add_local_default(int rtnl)
{
	struct request q = make(RTM_NEWROUTE, sizeof(struct rtmsg));

	q.body.route = (struct rtmsg){ .rtm_family = AF_INET,
				       .rtm_table = RT_TABLE_MAIN,
				       .rtm_protocol = RTPROT_STATIC,
				       .rtm_scope = RT_SCOPE_HOST,
				       .rtm_type = RTN_LOCAL };
	add_u32(&q, RTA_OIF, RTNL_LOOPBACK);
	return transact(rtnl, &q);
}
