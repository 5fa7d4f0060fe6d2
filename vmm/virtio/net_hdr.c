/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: what stands in the header decides how the host's kernel cuts a frame into
 * packets and where it writes checksums. The kernel checks it too, but its checks have had holes
 * and all tenants share it, so what reaches it is built here, field by field, from a copy.
 */
#include "base/num.h"
#include "vmm/virtio/net.h"

#define IPV4_HEADER	20U
#define IPV6_HEADER	40U
#define TCP_HEADER	20U
#define TCP_CSUM_OFFSET 16U
/* No TCP sends less at once (tcp_min_snd_mss of Linux): cutting 64 KiB into crumbs is an attack on
 * the host, not traffic. */
#define GSO_SIZE_MIN 48U

static bool has(uint64_t features, unsigned bit)
{
	return (features >> bit & 1U) != 0;
}

/* The feature that allows a segmented frame of this type; -1: there is none. */
static int gso_feature(uint8_t type, int tso4, int tso6)
{
	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return tso4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return tso6;
	default:
		return -1;
	}
}

static bool gso_allowed(uint8_t type, uint64_t features, int tso4, int tso6, unsigned ecn)
{
	int bit = gso_feature(type, tso4, tso6);

	if (bit < 0 || !has(features, (unsigned)bit))
		return false;
	return (type & VIRTIO_NET_HDR_GSO_ECN) == 0 || has(features, ecn);
}

static bool copy_csum(const struct net_hdr *h, uint64_t features, uint64_t len, struct net_hdr *ret)
{
	uint64_t start = le16_get(h->csum_start), offset = le16_get(h->csum_offset);

	if (!has(features, VIRTIO_NET_F_CSUM))
		return false;
	if (start < NET_FRAME_MIN || !range_fits(start + offset, sizeof(uint16_t), len))
		return false;
	ret->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	ret->csum_start = h->csum_start;
	ret->csum_offset = h->csum_offset;
	return true;
}

static bool copy_gso(const struct net_hdr *h, uint64_t features, uint64_t len, struct net_hdr *ret)
{
	bool v6 = (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV6;
	uint64_t start = le16_get(ret->csum_start), hdr_len = le16_get(h->hdr_len);
	uint64_t headers = start + TCP_HEADER;

	if (!gso_allowed(h->gso_type, features, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6,
			 VIRTIO_NET_F_HOST_ECN))
		return false;
	/* Segments get checksums of their own (5.1.6.2.1): of TCP, behind an IP header. */
	if (ret->flags == 0 || le16_get(ret->csum_offset) != TCP_CSUM_OFFSET ||
	    start < NET_FRAME_MIN + (v6 ? IPV6_HEADER : IPV4_HEADER))
		return false;
	if (le16_get(h->gso_size) < GSO_SIZE_MIN || headers >= len)
		return false;
	/* A hint about how much the host should look at in one piece: kept where it can be true. */
	if (hdr_len < headers || hdr_len > len)
		hdr_len = headers;
	ret->gso_type = h->gso_type;
	ret->gso_size = h->gso_size;
	ret->hdr_len = le16_put((uint16_t)hdr_len);
	return true;
}

bool net_hdr_from_guest(const struct net_hdr *h, uint64_t features, uint64_t len,
			struct net_hdr *ret)
{
	struct net_hdr out = { 0 };

	if (len < NET_FRAME_MIN || len > NET_FRAME_MAX)
		return false;
	/* Flags that a device doesn't know are ignored (5.1.6.2.2). */
	if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 && !copy_csum(h, features, len, &out))
		return false;
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE && !copy_gso(h, features, len, &out))
		return false;
	*ret = out;
	return true;
}

bool net_hdr_to_guest(struct net_hdr *h, uint64_t features, uint64_t len, unsigned mtu)
{
	if (len < NET_FRAME_MIN || len > NET_FRAME_MAX)
		return false;
	if (!has(features, VIRTIO_NET_F_GUEST_CSUM)) {
		if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0)
			return false; /* a checksum that is not one */
		h->flags = 0;
	}
	h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return !has(features, VIRTIO_NET_F_MTU) || len <= NET_FRAME_OVERHEAD + mtu;
	return gso_allowed(h->gso_type, features, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,
			   VIRTIO_NET_F_GUEST_ECN);
}
