/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nic.c - the jail's own network interface: one persistent tap in a network namespace that has
 * nothing else. What it leads to is gateway.c's; without one there is no address and no route.
 *
 * The tap is made and let go before the jail is claimed, because closing an attached queue waits
 * for the kernel (some 30 ms) and attaching one doesn't. Whoever attaches later needs no privilege:
 * the tap belongs to the jail's uid. It goes with the namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/proto/guest_net.h"
#include "base/fd.h"
#include "jailer/gateway.h"
#include "jailer/stage.h"

#define TAP_FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)
#define VNET_HDR  12 /* struct virtio_net_hdr_v1 */

static int attach(int tun)
{
	struct ifreq ifr = { .ifr_flags = TAP_FLAGS };
	int size = VNET_HDR;

	memcpy(ifr.ifr_name, NIC_NAME, sizeof(NIC_NAME));
	if (ioctl(tun, TUNSETIFF, &ifr) < 0 || ioctl(tun, TUNSETVNETHDRSZ, &size) < 0)
		return -errno;
	return 0;
}

/* Up, with the same MAC everywhere: a guest that goes on from a snapshot knows it already. */
static int bring_up(void)
{
	static const unsigned char bytes[6] = GUEST_NET_GATEWAY_MAC;
	CLEANUP(fd_closep) int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq mac = { .ifr_hwaddr.sa_family = ARPHRD_ETHER }, flags = { 0 };

	if (s < 0)
		return -errno;
	memcpy(mac.ifr_name, NIC_NAME, sizeof(NIC_NAME));
	memcpy(flags.ifr_name, NIC_NAME, sizeof(NIC_NAME));
	memcpy(mac.ifr_hwaddr.sa_data, bytes, sizeof(bytes));
	if (ioctl(s, SIOCSIFHWADDR, &mac) < 0 || ioctl(s, SIOCGIFFLAGS, &flags) < 0)
		return -errno;
	flags.ifr_flags |= IFF_UP;
	return ioctl(s, SIOCSIFFLAGS, &flags) < 0 ? -errno : 0;
}

static int open_tun(void)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

/*
 * Should: leave a tap of the jail's uid, and unattached descriptors of this network namespace to
 * attach its queues with.
 * Mustn't: come after the root is gone, with it /dev/net/tun; leave a queue attached.
 */
int stage_nic(struct stage_env *env)
{
	CLEANUP(fd_closep) int first = -1;
	int r;

	if (!env->nic)
		return 0;
	/* The settings would be the host's. */
	if (layer_is_off(env, LAYER_NS))
		return -EPERM;
	r = gateway_harden();
	if (r < 0)
		return r;
	first = open_tun();
	if (first < 0)
		return first;
	r = attach(first);
	if (r < 0)
		return r;
	if (ioctl(first, TUNSETOWNER, (unsigned long)env->uid) < 0 ||
	    ioctl(first, TUNSETGROUP, (unsigned long)env->uid) < 0 ||
	    ioctl(first, TUNSETPERSIST, 1UL) < 0)
		return -errno;
	r = bring_up();
	for (int q = 0; q < VMM_TAPS_MAX && r == 0; q++) {
		CLEANUP(fd_closep) int fd = open_tun();
		if (fd < 0)
			r = fd;
		else if (dup3(fd, STAGE_FD_TUN + q, O_CLOEXEC) < 0)
			r = -errno;
	}
	return r;
}

/*
 * Should: attach as many queues as the VM has.
 * Mustn't: need a privilege: the uid owns the tap.
 */
int stage_tap(struct stage_env *env)
{
	int r = 0;

	if (env->nic_queues > 0 && !env->nic)
		return -EPROTO;
	for (unsigned q = 0; q < env->nic_queues && r == 0; q++)
		r = attach(STAGE_FD_TUN + (int)q);
	return r;
}
