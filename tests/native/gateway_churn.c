/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 500 slots of a network, one after the other, as the pool makes and drops them: each gets what
 * leaves traces in a kernel (a question, the beginning of a connection that is never finished,
 * frames from other addresses), and the next one knows nothing of it. Without the guest's kernel:
 * its frames are written to the tap.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/proto/guest_net.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/native/gateway_rig.h"
#include "tests/native/tap.h"
#include "vmm/virtio/virtio.h"

#define SLOTS 500U

struct frame {
	uint8_t virtio[VIRTIO_NET_HDR_BYTES];
	struct ethhdr eth;
	struct iphdr ip;
	uint16_t rest[12]; /* UDP and 16 bytes, or TCP and 4 */
} __attribute__((packed));

static uint16_t checksum(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void send_frame(int tap, uint8_t protocol, uint32_t from, uint32_t to, const void *rest)
{
	static const uint8_t gateway[6] = GUEST_NET_GATEWAY_MAC, guest[6] = GUEST_NET_MAC;
	struct frame f = { .eth.h_proto = htons(ETH_P_IP) };
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .ttl = 64,
			    .protocol = protocol,
			    .tot_len = htons(sizeof(ip) + sizeof(f.rest)),
			    .saddr = htonl(from),
			    .daddr = htonl(to) };

	ip.check = checksum(&ip, sizeof(ip), 0);
	memcpy(f.eth.h_dest, gateway, 6);
	memcpy(f.eth.h_source, guest, 6);
	memcpy(&f.ip, &ip, sizeof(ip));
	memcpy(f.rest, rest, sizeof(f.rest));
	cr_assert_eq(write(tap, &f, sizeof(f)), (ssize_t)sizeof(f), "%s", strerror(errno));
}

static void send_question(int tap, uint32_t from, uint16_t slot)
{
	const uint16_t udp[12] = { htons(4000), htons(53), htons(24), 0, slot };

	send_frame(tap, IPPROTO_UDP, from, GUEST_NET_GATEWAY, udp);
}

/* A SYN; what it is answered, nobody reads. */
static void send_syn(int tap, uint32_t from, uint32_t to)
{
	struct {
		struct tcphdr tcp;
		uint8_t options[4];
	} s = { .tcp = { .source = htons(5000),
			 .dest = htons(80),
			 .doff = 6,
			 .syn = 1,
			 .window = htons(1000) } };
	const uint32_t sum = (from >> 16) + (from & 0xffff) + (to >> 16) + (to & 0xffff) +
			     IPPROTO_TCP + sizeof(s);

	_Static_assert(sizeof(s) == sizeof(uint16_t[12]), "the rest of a frame");
	s.tcp.check = checksum(&s, sizeof(s), sum);
	send_frame(tap, IPPROTO_TCP, from, to, &s);
}

static unsigned lines_of(const char *path)
{
	char text[8192];
	unsigned lines = 0;

	cr_assert_geq(fd_read_file(AT_FDCWD, path, text, sizeof(text)), 0, "%s", path);
	for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	return lines;
}

/* The number behind `field` in the line of `row` that has the numbers; they come in pairs. */
static uint64_t ip_counter(const char *field)
{
	char text[8192], *names, *values, *n_save, *v_save, *n, *v;
	uint64_t count = UINT64_MAX;

	cr_assert_gt(fd_read_file(AT_FDCWD, "/proc/thread-self/net/snmp", text, sizeof(text)), 0);
	names = strstr(text, "Ip: ");
	cr_assert_not_null(names);
	values = strchr(names, '\n');
	cr_assert_not_null(values);
	*values++ = '\0';
	values[strcspn(values, "\n")] = '\0';
	n = strtok_r(names, " ", &n_save);
	v = strtok_r(values, " ", &v_save);
	for (; n != NULL && v != NULL;
	     n = strtok_r(NULL, " ", &n_save), v = strtok_r(NULL, " ", &v_save))
		if (strcmp(n, field) == 0)
			cr_assert_eq(parse_u64(v, 0, UINT64_MAX, &count), 0);
	cr_assert_neq(count, UINT64_MAX, "%s", field);
	return count;
}

struct traces {
	unsigned neighbours, routes, connections;
	uint64_t received;
};

static struct traces traces(void)
{
	return (struct traces){
		.neighbours = lines_of("/proc/thread-self/net/arp"),
		.routes = lines_of("/proc/thread-self/net/route"),
		.connections = lines_of("/proc/thread-self/net/tcp"),
		.received = ip_counter("InReceives"),
	};
}

static void set_mac(const char *name)
{
	static const unsigned char mac[6] = GUEST_NET_GATEWAY_MAC;
	CLEANUP(fd_closep) int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_hwaddr.sa_family = ARPHRD_ETHER };

	memcpy(ifr.ifr_name, name, strlen(name));
	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	cr_assert_eq(ioctl(s, SIOCSIFHWADDR, &ifr), 0);
}

static int make_slot(struct gateway *gw)
{
	int tap;

	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	cr_assert_eq(gateway_harden(), 0);
	tap = tap_queue(TAP_NAME);
	cr_assert_geq(tap, 0);
	set_mac(TAP_NAME);
	cr_assert_eq(gateway_open(TAP_NAME, gw), 0);
	return tap;
}

static void use_slot(int tap, const struct gateway *gw, uint16_t slot)
{
	uint16_t got[16];

	send_question(tap, GUEST_NET_ADDRESS, slot);
	send_question(tap, GUEST_NET_ADDRESS + 7, slot); /* of nobody's: dropped */
	send_syn(tap, GUEST_NET_ADDRESS, 0x08080808);
	send_syn(tap, GUEST_NET_ADDRESS, 0x0a000000U + slot);
	cr_assert(link_readable(gw->dns_udp, WAIT_MS), "slot %u", slot);
	cr_assert_eq(recv(gw->dns_udp, got, sizeof(got), 0), 16);
	cr_assert_eq(got[0], slot, "another slot's question");
	cr_assert_lt(recv(gw->dns_udp, got, sizeof(got), MSG_DONTWAIT), 0, "slot %u", slot);
	cr_assert_lt(accept4(gw->tcp, NULL, NULL, SOCK_CLOEXEC), 0, "slot %u", slot);
}

Test(gateway_churn, nothing_crosses_over, .timeout = 120)
{
	struct traces first = { 0 }, now;

	if (unshare(CLONE_NEWNET) < 0)
		cr_skip_test("network namespaces need root: %s", strerror(errno));
	for (uint16_t slot = 0; slot < SLOTS; slot++) {
		struct gateway gw;
		int tap = make_slot(&gw);

		now = traces();
		if (slot == 0)
			first = now;
		cr_assert_eq(memcmp(&now, &first, sizeof(now)), 0,
			     "slot %u: %u neighbours, %u routes, %u connections, %llu packets",
			     slot, now.neighbours, now.routes, now.connections,
			     (unsigned long long)now.received);
		cr_assert_eq(now.received, 0);
		use_slot(tap, &gw, slot);
		now = traces();
		/* The traces are real: or the comparison above could not fail. */
		cr_assert_geq(now.received, 4);
		cr_assert_geq(now.connections, first.connections + 1, "slot %u", slot);
		gateway_close(&gw);
		fd_closep(&tap);
	}
}
