/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "egress/dnsd.h"
#include "egress/question.h"

#define ROUND_MAX 32U /* questions a turn of the loop: others want theirs, too */

struct control {
	_Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	size_t len;
};

struct slot {
	struct question question; /* first: what is answered is found by it */
	struct dnsd_udp *dnsd;
	struct slot *next; /* free */
	struct sockaddr_storage peer;
	socklen_t peer_len;
	struct control at; /* the address that was asked */
};

struct dnsd_udp {
	struct egress *egress;
	struct loop_io *io;
	int fd;
	struct slot *free;
	struct slot slots[EGRESS_DNS_PENDING_MAX + 1]; /* and one for who is turned away */
};

static void on_answered(struct question *q, const uint8_t *answer, size_t len)
{
	struct slot *s = (struct slot *)q;
	struct iovec iov = { .iov_len = len };
	struct msghdr m = { .msg_name = &s->peer,
			    .msg_namelen = s->peer_len,
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = s->at.len > 0 ? s->at.bytes : NULL,
			    .msg_controllen = s->at.len };

	/* sendmsg only reads. */
	iov.iov_base = (void *)(uintptr_t)answer;
	/* A guest that takes no answers gets none. */
	if (len > 0)
		(void)sendmsg(s->dnsd->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	s->next = s->dnsd->free;
	s->dnsd->free = s;
}

/* Keeps which address was asked, to answer from it: not the interface, which a route chooses. */
static void keep_address(struct control *c, struct msghdr *m)
{
	struct cmsghdr *h = CMSG_FIRSTHDR(m), *out = (struct cmsghdr *)(void *)c->bytes;

	c->len = 0;
	if (h == NULL)
		return;
	memset(c->bytes, 0, sizeof(c->bytes));
	if (h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo in, reply = { 0 };

		memcpy(&in, CMSG_DATA(h), sizeof(in));
		reply.ipi_spec_dst = in.ipi_addr;
		*out = (struct cmsghdr){ CMSG_LEN(sizeof(reply)), IPPROTO_IP, IP_PKTINFO };
		memcpy(CMSG_DATA(out), &reply, sizeof(reply));
		c->len = CMSG_SPACE(sizeof(reply));
	} else if (h->cmsg_level == IPPROTO_IPV6 && h->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo in, reply = { 0 };

		memcpy(&in, CMSG_DATA(h), sizeof(in));
		reply.ipi6_addr = in.ipi6_addr;
		*out = (struct cmsghdr){ CMSG_LEN(sizeof(reply)), IPPROTO_IPV6, IPV6_PKTINFO };
		memcpy(CMSG_DATA(out), &reply, sizeof(reply));
		c->len = CMSG_SPACE(sizeof(reply));
	}
}

/* One datagram. False: there is none. */
static bool receive(struct dnsd_udp *d)
{
	struct slot *s = d->free;
	uint8_t msg[DNS_UDP_MAX];
	struct iovec iov = { .iov_base = msg, .iov_len = sizeof(msg) };
	struct control c;
	struct msghdr m = { .msg_name = &s->peer,
			    .msg_namelen = sizeof(s->peer),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = c.bytes,
			    .msg_controllen = sizeof(c.bytes) };
	ssize_t n = recvmsg(d->fd, &m, MSG_DONTWAIT);

	if (n < 0)
		return false;
	s->peer_len = m.msg_namelen;
	keep_address(&s->at, &m);
	d->free = s->next;
	if (d->free == NULL) { /* the last slot isn't to wait in */
		struct dns_query *q = &s->question.query;
		uint8_t out[DNS_UDP_MAX];

		count_add(&d->egress->counts, COUNT_DNS_OVERLOAD, 1);
		if (dns_query_parse(msg, (size_t)n, q) < 0)
			on_answered(&s->question, NULL, 0);
		else
			on_answered(&s->question, out,
				    dns_answer_build(out, q, DNS_SERVFAIL, NULL, 0, 0));
		return true;
	}
	/* A datagram that was cut off (MSG_TRUNC) is malformed: no question is that long. */
	question_ask(&s->question, d->egress, msg, (size_t)n, on_answered);
	return true;
}

static void on_datagrams(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	(void)io;
	(void)fd;
	(void)events;
	for (unsigned i = 0; i < ROUND_MAX && receive(arg); i++)
		;
}

int dnsd_udp_new(struct egress *e, int fd, struct dnsd_udp **ret)
{
	const int on = 1;
	struct dnsd_udp *d;
	int domain, r;
	socklen_t len = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return -errno;
	r = domain == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on))
			       : setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	if (r < 0)
		return -errno;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	d->egress = e;
	d->fd = fd;
	for (size_t i = 0; i < ARRAY_SIZE(d->slots); i++) {
		d->slots[i].dnsd = d;
		d->slots[i].next = d->free;
		d->free = &d->slots[i];
	}
	r = loop_io_add(e->loop, fd, EPOLLIN, on_datagrams, d, &d->io);
	if (r < 0) {
		free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void dnsd_udp_free(struct dnsd_udp *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(d->slots); i++)
		question_cancel(&d->slots[i].question);
	loop_io_del(d->io);
	free(d);
}
