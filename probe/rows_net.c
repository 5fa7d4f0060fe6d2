/* SPDX-License-Identifier: Apache-2.0 */
/* rows_net.c - attacks through sockets and network interfaces. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_alg.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe/attack.h"
#include "vmm/vmm_fds.h"

static struct ifreq nic(const char *name)
{
	struct ifreq q = { 0 };

	(void)snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
	return q;
}

/* The number of the host's interface; asking for it is what V39 is about. */
static int find_nic(const struct scene *s)
{
	struct ifreq q = nic(s->nic);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	return ioctl(fd, SIOCGIFINDEX, &q) < 0 ? -errno : q.ifr_ifindex;
}

static int see_nic(const struct scene *s)
{
	int index = find_nic(s);

	return index < 0 ? index : 0;
}

static int packet_socket(const struct scene *s)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	a.sll_ifindex = find_nic(s);
	if (a.sll_ifindex < 0)
		return a.sll_ifindex;
	return attack_result(bind(fd, (const struct sockaddr *)&a, sizeof(a)));
}

static int raw_socket(const struct scene *s)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

	if (fd < 0)
		return -errno;
	return attack_result(
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, s->nic, (socklen_t)strlen(s->nic) + 1));
}

static int vsock(const struct scene *s)
{
	(void)s;
	return attack_result(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int alg_socket(const struct scene *s)
{
	struct sockaddr_alg a = { .salg_family = AF_ALG,
				  .salg_type = "hash",
				  .salg_name = "sha256" };
	int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)s;
	if (fd < 0)
		return -errno;
	return attack_result(bind(fd, (const struct sockaddr *)&a, sizeof(a)));
}

static int make_tap(const struct scene *s)
{
	struct ifreq q = nic("casetap%d");
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	(void)s;
	q.ifr_flags = IFF_TAP | IFF_NO_PI;
	return fd < 0 ? -errno : attack_result(ioctl(fd, TUNSETIFF, &q));
}

/* The tap that is ours, turned into the host's; or a fresh one. */
static int take_tap(const struct scene *s)
{
	struct ifreq q = nic(s->nic);
	int fd;

	q.ifr_flags = IFF_TAP | IFF_NO_PI;
	if (ioctl(VMM_FD_TAP0, TUNSETIFF, &q) == 0)
		return 0;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : attack_result(ioctl(fd, TUNSETIFF, &q));
}

const struct attack attacks_net[] = {
	{ "V35", "a packet socket on the host's interface", packet_socket, 0 },
	{ "V36", "a raw socket on the host's interface", raw_socket, 0 },
	{ "V37", "an AF_VSOCK socket", vsock, ATTACK_NEEDS_X | ATTACK_ANYWHERE },
	{ "V38", "an AF_ALG socket", alg_socket, ATTACK_NEEDS_X | ATTACK_ANYWHERE },
	{ "V39", "see the host's interface", see_nic, 0 },
	{ "V42", "make a tap", make_tap, ATTACK_ANYWHERE },
	{ "V72", "attach to the host's tap", take_tap, 0 },
	{ NULL, NULL, NULL, 0 },
};
