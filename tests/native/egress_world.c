/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/egress_world.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http/head.h"
#include "base/fd.h"
#include "base/num.h"
#include "egress/dns.h"

/* What the world's names are. Two addresses: the first can't be connected to. */
static const struct {
	const char *name;
	const char *addresses[3];
} names[] = {
	{ "example.org", { "8.1.1.1" } },
	{ "www.example.org", { "8.1.1.1" } },
	{ "six.example.org", { "2606:4700::1" } },
	{ "api.example.org", { "8.1.1.2" } },
	{ "other.example", { "8.1.1.3" } },
	{ "private.example", { "10.9.9.9" } },
	{ "metadata.example", { "169.254.169.254" } },
	{ "mixed.example", { "10.9.9.9", "8.1.1.3" } },
	{ "host.example", { "5.5.5.1" } },
	{ "long.example", { "8.1.1.1" } }, /* by TCP only */
	{ "socks.example", { WORLD_SOCKS } },
	{ "dead.example", { "8.1.1.77" } }, /* nobody listens there */
};

static void start(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	cr_assert_eq(pthread_create(&t, NULL, fn, arg), 0);
	(void)pthread_detach(t);
}

struct serving {
	int fd;
	char banner[320];
};

/* A whole head, or any other bytes; what was read so far stands in buf. */
static ssize_t read_something(int fd, char *buf, size_t *have, size_t cap)
{
	for (;;) {
		ssize_t n = *have == 0 ? 0 : http_head_length(buf, *have, 0);

		if (*have > 0 && (buf[0] < 'A' || buf[0] > 'Z'))
			return (ssize_t)*have;
		if (n != 0)
			return n;
		n = recv(fd, buf + *have, cap - *have, 0);
		if (n <= 0)
			return -1;
		*have += (size_t)n;
	}
}

static void send_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

static void answer_http(int fd, const char *banner, const char *head, size_t len)
{
	char text[HTTP_HEAD_MAX + 512];
	int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s\n",
			 strlen(banner) + 1 + len, banner);

	send_all(fd, text, (size_t)n);
	send_all(fd, head, len);
}

static void *serve_one(void *arg)
{
	struct serving *s = arg;
	char buf[HTTP_HEAD_MAX];
	size_t have = 0;
	ssize_t n;
	bool said = false;

	while ((n = read_something(s->fd, buf, &have, sizeof(buf))) > 0) {
		if (buf[0] >= 'A' && buf[0] <= 'Z') {
			answer_http(s->fd, s->banner, buf, (size_t)n);
		} else {
			if (!said)
				send_all(s->fd, s->banner, strlen(s->banner));
			said = true;
			send_all(s->fd, buf, (size_t)n);
		}
		have -= (size_t)n;
		memmove(buf, buf + n, have);
	}
	close(s->fd);
	free(s);
	return NULL;
}

static void serve_socket(int fd, const char *banner)
{
	struct serving *s = calloc(1, sizeof(*s));

	s->fd = fd;
	(void)snprintf(s->banner, sizeof(s->banner), "%s", banner);
	start(serve_one, s);
}

static void *serve(void *arg)
{
	struct serving *s = arg;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0)
		serve_socket(fd, s->banner);
	return NULL;
}

void world_serve(struct world *w, const char *address, uint16_t port)
{
	struct serving *s = calloc(1, sizeof(*s));
	bool hosts_own = strncmp(address, "5.5.5.", 6) == 0 || strcmp(address, "2606::5") == 0;
	static char known[32][64];
	size_t i = 0;

	while (known[i][0] != '\0' && strcmp(known[i], address) != 0)
		i++;
	if (known[i][0] == '\0') {
		(void)snprintf(known[i], sizeof(known[i]), "%s", address);
		if (!hosts_own)
			net_world_address(&w->net, address);
	}
	s->fd = net_socket(&w->net, hosts_own ? NET_HOST : NET_WORLD, SOCK_STREAM, address, port);
	(void)snprintf(s->banner, sizeof(s->banner), "%s", address);
	start(serve, s);
}

static size_t find_addresses(struct world *w, const struct dns_query *q, struct addr *addrs)
{
	const char *const *texts = NULL;
	static const char *const before[] = { "8.1.1.1", NULL }, *const after[] = { "10.9.9.9",
										    NULL };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].name, q->name) == 0)
			texts = names[i].addresses;
	if (strcmp(q->name, "rebind.example") == 0)
		texts = atomic_fetch_add(&w->rebinds, 1) < atomic_load(&w->rebind_after) ? before
											 : after;
	for (; texts != NULL && *texts != NULL; texts++) {
		cr_assert_eq(addr_parse(*texts, &addrs[n]), 0);
		n += addr_is_v4(&addrs[n]) == (q->type == DNS_TYPE_A);
	}
	return n;
}

static size_t answer_dns(struct world *w, const uint8_t *msg, size_t len, bool stream,
			 uint8_t out[DNS_UDP_MAX])
{
	struct addr addrs[EGRESS_ADDRS_MAX];
	struct dns_query q;
	size_t n;

	atomic_fetch_add(&w->questions, 1);
	if (dns_query_parse(msg, len, &q) != 0)
		return 0;
	if (strcmp(q.name, "silent.example") == 0)
		return 0;
	if (strcmp(q.name, "long.example") == 0 && !stream) {
		n = dns_answer_build(out, &q, DNS_NOERROR, NULL, 0, 0);
		out[2] |= 2;
		return n;
	}
	n = find_addresses(w, &q, addrs);
	return dns_answer_build(out, &q, n == 0 ? DNS_NXDOMAIN : DNS_NOERROR, addrs, n, 1);
}

static void *serve_dns_udp(void *arg)
{
	struct world *w = arg;
	int fd = w->dns_udp;
	uint8_t msg[DNS_UDP_MAX], out[DNS_UDP_MAX];

	for (;;) {
		struct sockaddr_storage peer;
		socklen_t peer_len = sizeof(peer);
		ssize_t n = recvfrom(fd, msg, sizeof(msg), 0, (struct sockaddr *)&peer, &peer_len);
		size_t len = n <= 0 ? 0 : answer_dns(w, msg, (size_t)n, false, out);

		if (len > 0)
			(void)sendto(fd, out, len, 0, (struct sockaddr *)&peer, peer_len);
	}
	return NULL;
}

static void *serve_dns_tcp(void *arg)
{
	struct world *w = arg;
	int fd = w->dns_tcp;

	for (;;) {
		int c = accept(fd, NULL, NULL);
		uint8_t in[2 + DNS_UDP_MAX], out[2 + DNS_UDP_MAX];
		size_t len = 0;

		if (fd_read_full(c, in, 2) == 0 && in[0] < 2 &&
		    fd_read_full(c, in + 2, (size_t)(in[0] << 8 | in[1])) == 0)
			len = answer_dns(w, in + 2, (size_t)(in[0] << 8 | in[1]), true, out + 2);
		out[0] = (uint8_t)(len >> 8);
		out[1] = (uint8_t)len;
		if (len > 0)
			send_all(c, out, len + 2);
		close(c);
	}
	return NULL;
}

/* Wants user "u" and password "p" when they are offered. */
static void *serve_socks(void *arg)
{
	struct world *w = arg;
	int fd = w->socks;
	int c;

	while ((c = accept(fd, NULL, NULL)) >= 0) {
		uint8_t in[512];
		char banner[300], text[ADDR_TEXT_MAX];
		struct addr a;

		if (fd_read_full(c, in, 3) < 0)
			continue;
		send_all(c, in[2] == 2 ? "\5\2" : "\5\0", 2);
		if (in[2] == 2) {
			bool good = fd_read_full(c, in, 5) == 0 && memcmp(in, "\1\1u\1p", 5) == 0;

			send_all(c, good ? "\1\0" : "\1\1", 2);
			if (!good) {
				close(c);
				continue;
			}
		}
		if (fd_read_full(c, in, 5) < 0)
			continue;
		if (in[3] == 3) {
			size_t n = in[4];

			if (fd_read_full(c, in + 5, n + 2) < 0)
				continue;
			(void)snprintf(banner, sizeof(banner), "socks %.*s:%u", (int)n, in + 5,
				       (unsigned)(in[5 + n] << 8 | in[6 + n]));
		} else {
			if (fd_read_full(c, in + 5, 5) < 0)
				continue;
			a = addr_from_v4(in + 4);
			addr_format(&a, text);
			(void)snprintf(banner, sizeof(banner), "socks %s:%u", text,
				       (unsigned)(in[8] << 8 | in[9]));
		}
		send_all(c, "\5\0\0\1\0\0\0\0\0\0", 10);
		serve_socket(c, banner);
	}
	return NULL;
}

void world_make(struct world *w)
{
	memset(w, 0, sizeof(*w));
	net_make(&w->net);
	net_world_address(&w->net, WORLD_DNS);
	net_world_address(&w->net, WORLD_SOCKS);
	w->dns_udp = net_socket(&w->net, NET_WORLD, SOCK_DGRAM, WORLD_DNS, 53);
	w->dns_tcp = net_socket(&w->net, NET_WORLD, SOCK_STREAM, WORLD_DNS, 53);
	w->socks = net_socket(&w->net, NET_WORLD, SOCK_STREAM, WORLD_SOCKS, 1080);
	start(serve_dns_udp, w);
	start(serve_dns_tcp, w);
	start(serve_socks, w);
}
