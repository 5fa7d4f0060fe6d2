/* SPDX-License-Identifier: Apache-2.0 */
/* net.h - the guest's network card: what net.c (tests) and bench_net.c share. */
#ifndef TESTS_GUEST_NET_H
#define TESTS_GUEST_NET_H

#include "guest.h"

#define NET_F_CSUM	 (1ULL << 0)
#define NET_F_GUEST_CSUM (1ULL << 1)
#define NET_F_MAC	 (1ULL << 5)
#define NET_F_GUEST_TSO4 (1ULL << 7)
#define NET_F_HOST_TSO4	 (1ULL << 11)
#define NET_F_MRG_RXBUF	 (1ULL << 15)
#define NET_F_STATUS	 (1ULL << 16)
#define NET_F_CTRL_VQ	 (1ULL << 17)
#define NET_F_MQ	 (1ULL << 22)

#define NET_NEEDS_CSUM 1U
#define NET_GSO_TCPV4  1U

#define NET_HOST_ADDR  0x01004d0aU /* 10.77.0.1 and .2, as they lie in memory */
#define NET_GUEST_ADDR 0x02004d0aU

#define PROTO_ICMP 1U
#define PROTO_TCP  6U
#define PROTO_UDP  17U

struct net_hdr {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
struct __attribute__((packed)) eth_hdr {
	uint8_t dst[6], src[6];
	uint16_t type; /* big-endian, as all that follows */
};
struct __attribute__((packed)) ip_hdr {
	uint8_t version, tos;
	uint16_t total, id, fragment;
	uint8_t ttl, protocol;
	uint16_t csum;
	uint32_t src, dst;
};
/* A frame as it lies in a buffer: its headers up to IP's. */
struct __attribute__((packed)) frame {
	struct net_hdr net;
	struct eth_hdr eth;
	struct ip_hdr ip;
	uint8_t data[];
};
#define FRAME_HEADERS (sizeof(struct eth_hdr) + sizeof(struct ip_hdr))
#define ETH_TYPE_IP   0x0008U /* 0x0800 */

static inline uint16_t be16(uint16_t v)
{
	return (uint16_t)(v << 8 | v >> 8);
}
/* The card's own address, from its configuration. */
void net_mac(const struct vdev *nic, uint8_t mac[6]);
/* Internet checksum over len bytes (RFC 1071), on top of `sum`. */
uint16_t net_csum(const void *data, size_t len, uint32_t sum);
/* Fills a frame's headers: from the guest to the host, `payload` bytes of this protocol. */
void net_headers(struct frame *f, const uint8_t src[6], const uint8_t dst[6], uint8_t protocol,
		 uint16_t payload);

#endif
