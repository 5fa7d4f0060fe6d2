/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/bench/vmm_host.h"
#include "tests/bench/vmm_machine.h"

#define ECHO_PORT   7
#define STREAM_PORT 1024U
#define FLOOD_PORT  8
#define HEADERS	    54U /* Ethernet, IPv4, TCP */
#define FLOOD_BYTES 60000U

static uint8_t frame[HEADERS + FLOOD_BYTES];

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* A TCP segment of no connection, which the guest takes whole. */
static void make_frame(const struct tap *t, const uint8_t guest_mac[6])
{
	static const uint8_t ip[20] = { 0x45, 0, 0,  0,	 0, 0, 0,  0,  64, IPPROTO_TCP,
					0,    0, 10, 77, 0, 1, 10, 77, 0,  2 };
	uint32_t sum = 0;

	memcpy(frame, guest_mac, 6);
	memcpy(frame + 6, t->host_mac, 6);
	put16(frame + 12, 0x0800);
	memcpy(frame + 14, ip, sizeof(ip));
	put16(frame + 16, sizeof(frame) - 14);
	for (size_t i = 14; i < 34; i += 2)
		sum += (uint32_t)frame[i] << 8 | frame[i + 1];
	put16(frame + 24, ~((sum & 0xffff) + (sum >> 16)) & 0xffff);
	put16(frame + 34, ECHO_PORT);
	put16(frame + 36, ECHO_PORT);
	frame[46] = 0x50; /* a header of 20 bytes */
	frame[47] = 0x10; /* ACK */
}

static void flood(int packet, unsigned frames)
{
	struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				    .hdr_len = HEADERS,
				    .gso_size = 1448,
				    .csum_start = 34,
				    .csum_offset = 16 };
	const struct iovec iov[2] = { { &h, sizeof(h) }, { frame, sizeof(frame) } };

	for (unsigned i = 0; i < frames; i++)
		if (writev(packet, iov, 2) < 0)
			_exit(1);
}

static int udp_socket(uint16_t port)
{
	const struct sockaddr_in addr = { .sin_family = AF_INET,
					  .sin_port = htons(port),
					  .sin_addr.s_addr = htonl(TAP_HOST_ADDR) };
	CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		bench_die("UDP port %u: %s", (unsigned)port, strerror(errno));
	return fd_steal(&fd);
}

int host_tcp_listen(void)
{
	const struct sockaddr_in addr = { .sin_family = AF_INET,
					  .sin_port = htons(STREAM_PORT),
					  .sin_addr.s_addr = htonl(TAP_HOST_ADDR) };
	CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0)
		bench_die("TCP port %u: %s", STREAM_PORT, strerror(errno));
	return fd_steal(&fd);
}

NORETURN static void serve(int echo, int ask, int packet)
{
	struct pollfd p[2] = { { .fd = echo, .events = POLLIN }, { .fd = ask, .events = POLLIN } };
	uint8_t data[2048];

	for (;;) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n;

		if (poll(p, 2, -1) < 0)
			_exit(1);
		if ((p[0].revents & POLLIN) != 0) {
			n = recvfrom(echo, data, sizeof(data), 0, (struct sockaddr *)&from, &len);
			if (n >= 0)
				(void)sendto(echo, data, (size_t)n, 0, (struct sockaddr *)&from,
					     len);
		}
		if ((p[1].revents & POLLIN) != 0 && recv(ask, data, sizeof(data), 0) > 0)
			flood(packet, data[0]);
	}
}

pid_t host_net(const struct tap *tap, const uint8_t guest_mac[6])
{
	int echo = udp_socket(ECHO_PORT), ask = udp_socket(FLOOD_PORT);
	int packet = tap_packet_socket(tap);
	pid_t pid = fork();

	if (packet < 0 || pid < 0)
		bench_die("net: no packet socket");
	make_frame(tap, guest_mac);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(echo, ask, packet);
	}
	fd_closep(&echo);
	fd_closep(&ask);
	fd_closep(&packet);
	return pid;
}
