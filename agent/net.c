/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/proto/guest_net.h"
#include "base/fd.h"

#define CARD	    "eth0"
#define NO_IPV6	    "/proc/sys/net/ipv6/conf/" CARD "/disable_ipv6"
#define RESOLV	    "/etc/resolv.conf"
#define RESOLV_TEXT "nameserver " GUEST_NET_DNS "\n"

static int bring_up(int sock, const char *name)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, name, strlen(name));
	if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static void put(struct sockaddr *to, uint32_t addr)
{
	const struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(addr) };

	memcpy(to, &a, sizeof(a));
}

static int set_address(int sock)
{
	struct ifreq ifr = { .ifr_name = CARD };

	put(&ifr.ifr_addr, GUEST_NET_ADDRESS);
	if (ioctl(sock, SIOCSIFADDR, &ifr) < 0)
		return -errno;
	put(&ifr.ifr_netmask, UINT32_MAX << (32 - GUEST_NET_PREFIX));
	return ioctl(sock, SIOCSIFNETMASK, &ifr) < 0 ? -errno : 0;
}

static int add_route(int sock)
{
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };

	put(&route.rt_dst, 0);
	put(&route.rt_genmask, 0);
	put(&route.rt_gateway, GUEST_NET_GATEWAY);
	return ioctl(sock, SIOCADDRT, &route) < 0 ? -errno : 0;
}

/* There is none to anywhere: a program that looks at its addresses had better not find one. */
static void no_ipv6(void)
{
	CLEANUP(fd_closep) int fd = open(NO_IPV6, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) /* a kernel without IPv6 has none to switch off */
		(void)!write(fd, "1", 1);
}

/* Whatever the image has there, often a link to what is not running: no other resolver answers. */
static int set_resolver(void)
{
	CLEANUP(fd_closep) int fd = -1;

	if (unlink(RESOLV) < 0 && errno != ENOENT && errno != ENOTDIR)
		return -errno;
	fd = open(RESOLV, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0; /* an image without /etc resolves nothing */
	return fd < 0 ? -errno : fd_write_full(fd, RESOLV_TEXT, strlen(RESOLV_TEXT));
}

int net_open(struct err *err)
{
	CLEANUP(fd_closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (sock < 0 && errno == EAFNOSUPPORT)
		return 0; /* a kernel without IP */
	if (sock < 0)
		return err_sys(err, -errno, "network");
	r = bring_up(sock, "lo");
	if (r < 0)
		return err_sys(err, r, "loopback");
	no_ipv6();
	r = bring_up(sock, CARD);
	if (r == -ENODEV)
		return 0; /* there is no card */
	if (r == 0)
		r = set_address(sock);
	if (r == 0)
		r = add_route(sock);
	if (r == 0)
		r = set_resolver();
	return r < 0 ? err_sys(err, r, CARD) : 0;
}
