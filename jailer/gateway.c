/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/gateway.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/proto/guest_net.h"
#include "base/bug.h"
#include "base/fd.h"
#include "jailer/rtnl.h"

#define BACKLOG	 128
#define DNS_PORT 53

int gateway_harden(void)
{
	static const struct {
		const char *path, *value;
		bool optional; /* a kernel without IPv6 has none to switch off */
	} settings[] = {
		/* The host's end would give itself an address, and answer on it. */
		{ "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1", true },
		/* A new namespace has the host's: a host that routes would have made this one a
		 * router. First, because it sets others back. */
		{ "/proc/sys/net/ipv4/ip_forward", "0", false },
		{ "/proc/sys/net/ipv4/conf/all/rp_filter", "1", false },
		{ "/proc/sys/net/ipv4/conf/default/rp_filter", "1", false },
		{ "/proc/sys/net/ipv4/conf/all/accept_local", "0", false },
		{ "/proc/sys/net/ipv4/conf/default/accept_local", "0", false },
		{ "/proc/sys/net/ipv4/conf/all/route_localnet", "0", false },
		{ "/proc/sys/net/ipv4/conf/default/route_localnet", "0", false },
		{ "/proc/sys/net/ipv4/conf/all/accept_redirects", "0", false },
		{ "/proc/sys/net/ipv4/conf/default/accept_redirects", "0", false },
		{ "/proc/sys/net/ipv4/icmp_echo_ignore_all", "1", false },
		/* No memory for fragments, so none are kept; the lower one bounds the other. */
		{ "/proc/sys/net/ipv4/ipfrag_low_thresh", "0", false },
		{ "/proc/sys/net/ipv4/ipfrag_high_thresh", "0", false },
		/* The jailer may not bind the host's low ports, and needs not. */
		{ "/proc/sys/net/ipv4/ip_unprivileged_port_start", "53", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		CLEANUP(fd_closep) int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);
		int r;
		if (fd < 0 && errno == ENOENT && settings[i].optional)
			continue;
		if (fd < 0)
			return -errno;
		r = fd_write_full(fd, settings[i].value, strlen(settings[i].value));
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- Routes ------------------------------------------------------------------------------- */

static int bring_up(int sock, const char *name, int *ret_index)
{
	struct ifreq ifr = { 0 };

	BUG_ON(strlen(name) >= sizeof(ifr.ifr_name));
	memcpy(ifr.ifr_name, name, strlen(name));
	if (ioctl(sock, SIOCGIFINDEX, &ifr) < 0)
		return -errno;
	*ret_index = ifr.ifr_ifindex;
	if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static int add_routes(const char *tap)
{
	static const unsigned char guest_mac[6] = GUEST_NET_MAC;
	CLEANUP(fd_closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CLEANUP(fd_closep) int rtnl = rtnl_open();
	int r, lo = -1, index = -1;

	if (sock < 0)
		return -errno;
	if (rtnl < 0)
		return rtnl;
	r = bring_up(sock, "lo", &lo);
	if (r == 0 && lo != RTNL_LOOPBACK)
		r = -ENODEV;
	if (r == 0)
		r = bring_up(sock, tap, &index);
	if (r == 0)
		r = rtnl_add_address(rtnl, index, GUEST_NET_GATEWAY, GUEST_NET_PREFIX);
	if (r == 0)
		r = rtnl_add_neighbour(rtnl, index, GUEST_NET_ADDRESS, guest_mac);
	return r < 0 ? r : rtnl_add_local_default(rtnl);
}

/* ---- Sockets ------------------------------------------------------------------------------ */

/* Of the gateway's address; port 0 = any. */
static int make_socket(int type, uint16_t port)
{
	const struct sockaddr_in at = { .sin_family = AF_INET,
					.sin_port = htons(port),
					.sin_addr.s_addr = htonl(GUEST_NET_GATEWAY) };
	CLEANUP(fd_closep) int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		return -errno;
	return fd_steal(&fd);
}

/* Transparent: it may answer in the name of any address. Connections inherit that. */
static int make_listener(uint16_t port, bool transparent)
{
	CLEANUP(fd_closep) int fd = make_socket(SOCK_STREAM, port);
	const int one = 1;

	if (fd < 0)
		return fd;
	if ((transparent && setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one)) < 0) ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	return fd_steal(&fd);
}

/* ---- The program -------------------------------------------------------------------------- */

static int bpf(int command, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, command, attr, sizeof(*attr));

	return r < 0 ? -errno : (int)r;
}

/* A map of one: the socket. */
static int make_map(int sock)
{
	const uint32_t key = 0;
	const uint64_t value = (uint64_t)sock;
	CLEANUP(fd_closep) int map = -1;
	union bpf_attr attr;
	int r;

	memset(&attr, 0, sizeof(attr)); /* the kernel refuses non-zero padding */
	attr.map_type = BPF_MAP_TYPE_SOCKMAP;
	attr.key_size = sizeof(key);
	attr.value_size = sizeof(value);
	attr.max_entries = 1;
	map = bpf(BPF_MAP_CREATE, &attr);
	if (map < 0)
		return map;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)map;
	attr.key = (uint64_t)(uintptr_t)&key;
	attr.value = (uint64_t)(uintptr_t)&value;
	r = bpf(BPF_MAP_UPDATE_ELEM, &attr);
	return r < 0 ? r : fd_steal(&map);
}

/*
 * For each connection that arrives: TCP and not to the resolver's port? Then it is the map's one
 * socket's. All else takes the usual way, where only the gateway's port 53 is served.
 */
static int load_program(int map)
{
	const struct bpf_insn steer[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W,
		  .dst_reg = 2,
		  .src_reg = 6,
		  .off = offsetof(struct bpf_sk_lookup, protocol) },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 2, .off = 16, .imm = IPPROTO_TCP },
		{ .code = BPF_LDX | BPF_MEM | BPF_W,
		  .dst_reg = 2,
		  .src_reg = 6,
		  .off = offsetof(struct bpf_sk_lookup, local_port) },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 2, .off = 14, .imm = DNS_PORT },
		/* r0 = the socket, with a reference */
		{ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = -4, .imm = 0 },
		{ .code = BPF_DW | BPF_IMM, /* and BPF_LD, which is 0 */
		  .dst_reg = 1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map },
		{ .code = 0 }, /* the upper half of that */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10 },
		{ .code = BPF_ALU64 | BPF_ADD, .dst_reg = 2, .imm = -4 }, /* BPF_K is 0, too */
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .off = 7, .imm = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 7, .src_reg = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 7 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_sk_assign },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 7 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_sk_release },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = SK_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	static const char license[] = "Apache-2.0";
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SK_LOOKUP;
	attr.expected_attach_type = BPF_SK_LOOKUP;
	attr.insns = (uint64_t)(uintptr_t)steer;
	attr.insn_cnt = ARRAY_SIZE(steer);
	attr.license = (uint64_t)(uintptr_t)license;
	return bpf(BPF_PROG_LOAD, &attr);
}

/* The link holds the program, that holds the map; the map holds no socket up that is closed. */
static int steer_to(int sock)
{
	CLEANUP(fd_closep) int map = make_map(sock);
	CLEANUP(fd_closep) int prog = map < 0 ? map : load_program(map);
	CLEANUP(fd_closep) int ns = -1;
	union bpf_attr attr;

	if (prog < 0)
		return prog;
	ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return -errno;
	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog;
	attr.link_create.target_fd = (uint32_t)ns;
	attr.link_create.attach_type = BPF_SK_LOOKUP;
	return bpf(BPF_LINK_CREATE, &attr);
}

void gateway_close(struct gateway *g)
{
	fd_closep(&g->steer);
	fd_closep(&g->dns_tcp);
	fd_closep(&g->dns_udp);
	fd_closep(&g->tcp);
}

static int first_error(const struct gateway *g)
{
	const int fds[] = { g->tcp, g->dns_udp, g->dns_tcp, g->steer };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] < 0)
			return fds[i];
	}
	return 0;
}

int gateway_open(const char *tap, struct gateway *ret)
{
	struct gateway g = { -1, -1, -1, -1 };
	int r = add_routes(tap);

	if (r < 0)
		return r;
	g.tcp = make_listener(0, true);
	g.dns_udp = make_socket(SOCK_DGRAM, DNS_PORT);
	g.dns_tcp = make_listener(DNS_PORT, false);
	g.steer = g.tcp < 0 ? -1 : steer_to(g.tcp);
	r = first_error(&g);
	if (r < 0) {
		gateway_close(&g);
		return r;
	}
	*ret = g;
	return 0;
}
