/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/native/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "vmm/virtio/virtio.h"

int tap_enter_netns(void)
{
	if (unshare(CLONE_NEWNET) == 0)
		return 0;
	return unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 ? -errno : 0;
}

int tap_queue(const char *name)
{
	CLEANUP(fd_closep) int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	int header = (int)VIRTIO_NET_HDR_BYTES;

	if (fd < 0)
		return -errno;
	if (strlen(name) >= sizeof(ifr.ifr_name))
		return -ENAMETOOLONG;
	memcpy(ifr.ifr_name, name, strlen(name));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		return -errno;
	return fd_steal(&fd);
}

static void set_addr(struct sockaddr *sa, uint32_t addr)
{
	const struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(addr) };

	memcpy(sa, &in, sizeof(in));
}

/* Address, netmask, up, the guest as a neighbour. */
static int configure(int sock, struct tap *t, const uint8_t guest_mac[6], unsigned mtu)
{
	struct ifreq ifr = { 0 };
	struct arpreq arp = { .arp_flags = ATF_COM | ATF_PERM };

	memcpy(ifr.ifr_name, TAP_NAME, sizeof(TAP_NAME));
	ifr.ifr_mtu = (int)mtu;
	if (mtu != 0 && ioctl(sock, SIOCSIFMTU, &ifr) < 0)
		return -errno;
	set_addr(&ifr.ifr_addr, TAP_HOST_ADDR);
	if (ioctl(sock, SIOCSIFADDR, &ifr) < 0)
		return -errno;
	set_addr(&ifr.ifr_addr, 0xffffff00U);
	if (ioctl(sock, SIOCSIFNETMASK, &ifr) < 0)
		return -errno;
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(sock, SIOCSIFFLAGS, &ifr) < 0)
		return -errno;
	set_addr(&arp.arp_pa, TAP_GUEST_ADDR);
	arp.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(arp.arp_ha.sa_data, guest_mac, 6);
	memcpy(arp.arp_dev, TAP_NAME, sizeof(TAP_NAME));
	if (ioctl(sock, SIOCSARP, &arp) < 0)
		return -errno;
	if (ioctl(sock, SIOCGIFHWADDR, &ifr) < 0)
		return -errno;
	memcpy(t->host_mac, ifr.ifr_hwaddr.sa_data, 6);
	if (ioctl(sock, SIOCGIFINDEX, &ifr) < 0)
		return -errno;
	t->index = ifr.ifr_ifindex;
	return 0;
}

int tap_open(struct tap *t, unsigned queues, const uint8_t guest_mac[6], unsigned mtu)
{
	CLEANUP(fd_closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = 0;

	*t = (struct tap){ .count = 0 };
	if (sock < 0 || queues > VMM_TAPS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < queues && r >= 0; i++) {
		r = t->queues[i] = tap_queue(TAP_NAME);
		if (r >= 0)
			t->count++;
	}
	if (r >= 0)
		r = configure(sock, t, guest_mac, mtu);
	if (r < 0)
		tap_close(t);
	return r;
}

void tap_close(struct tap *t)
{
	for (; t->count > 0; t->count--)
		fd_closep(&t->queues[t->count - 1]);
}

int tap_packet_socket(const struct tap *t)
{
	CLEANUP(fd_closep)
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	const struct sockaddr_ll to = { .sll_family = AF_PACKET,
					.sll_protocol = htons(ETH_P_ALL),
					.sll_ifindex = t->index };
	const int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
	    bind(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return fd_steal(&fd);
}
