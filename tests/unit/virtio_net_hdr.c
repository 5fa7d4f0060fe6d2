/* SPDX-License-Identifier: Apache-2.0 */
/* The header in front of a frame: what of a guest's reaches the host, and the other way. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/num.h"
#include "vmm/virtio/net.h"

#define BIT(n) (UINT64_C(1) << (n))
#define ALL    UINT64_MAX

struct fields {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

static struct net_hdr make(struct fields f)
{
	return (struct net_hdr){ .flags = f.flags,
				 .gso_type = f.gso_type,
				 .hdr_len = le16_put(f.hdr_len),
				 .gso_size = le16_put(f.gso_size),
				 .csum_start = le16_put(f.csum_start),
				 .csum_offset = le16_put(f.csum_offset),
				 .num_buffers = le16_put(f.num_buffers) };
}

static bool equal(const struct net_hdr *a, const struct net_hdr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

#define NEEDS VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TSO4  VIRTIO_NET_HDR_GSO_TCPV4
#define TSO6  VIRTIO_NET_HDR_GSO_TCPV6
#define ECN   VIRTIO_NET_HDR_GSO_ECN

Test(net_hdr, what_is_right_passes)
{
	static const struct {
		struct fields in;
		uint64_t len;
		struct fields out;
	} cases[] = {
		{ { 0 }, 14, { 0 } },
		{ { 0 }, NET_FRAME_MAX, { 0 } },
		/* A checksum, up to the last bytes of the frame. */
		{ { NEEDS, 0, 0, 0, 34, 6, 0 }, 60, { NEEDS, 0, 0, 0, 34, 6, 0 } },
		{ { NEEDS, 0, 0, 0, 34, 16, 0 }, 52, { NEEDS, 0, 0, 0, 34, 16, 0 } },
		/* Segmented frames; a header length that can't be true is replaced. */
		{ { NEEDS, TSO4, 66, 1448, 34, 16, 0 },
		  65550,
		  { NEEDS, TSO4, 66, 1448, 34, 16, 0 } },
		{ { NEEDS, TSO4, 1, 48, 34, 16, 0 }, 55, { NEEDS, TSO4, 54, 48, 34, 16, 0 } },
		{ { NEEDS, TSO4, 60000, 48, 34, 16, 0 }, 1000, { NEEDS, TSO4, 54, 48, 34, 16, 0 } },
		{ { NEEDS, TSO6 | ECN, 86, 1428, 54, 16, 0 },
		  9000,
		  { NEEDS, TSO6 | ECN, 86, 1428, 54, 16, 0 } },
		/* What only the other direction knows, or nobody, doesn't get through. */
		{ { 0xfe, 0, 77, 88, 99, 11, 22 }, 60, { 0 } },
		{ { NEEDS | 0xf0, 0, 77, 88, 34, 6, 22 }, 60, { NEEDS, 0, 0, 0, 34, 6, 0 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct net_hdr in = make(cases[i].in), want = make(cases[i].out), out;
		memset(&out, 0xee, sizeof(out));
		cr_expect(net_hdr_from_guest(&in, ALL, cases[i].len, &out), "case %zu", i);
		cr_expect(equal(&out, &want), "case %zu", i);
	}
}

/* G25: each differs in one thing from a header that passes. */
Test(net_hdr, what_is_wrong_does_not)
{
	static const struct {
		struct fields in;
		uint64_t len;
	} cases[] = {
		{ { 0 }, 0 },
		{ { 0 }, 13 },
		{ { 0 }, NET_FRAME_MAX + 1 },
		{ { 0 }, UINT64_MAX },
		{ { NEEDS, 0, 0, 0, 13, 6, 0 }, 60 },	   /* in the Ethernet header */
		{ { NEEDS, 0, 0, 0, 34, 16, 0 }, 51 },	   /* one byte beyond the end */
		{ { NEEDS, 0, 0, 0, 65535, 6, 0 }, 1500 }, /* far beyond */
		{ { NEEDS, 0, 0, 0, 34, 65535, 0 }, 1500 },
		{ { NEEDS, 0, 0, 0, 65535, 65535, 0 }, 65550 }, /* a sum that wraps in 16 bits */
		{ { 0, TSO4, 54, 1448, 34, 16, 0 }, 9000 },	/* no checksum */
		{ { NEEDS, TSO4, 54, 0, 34, 16, 0 }, 9000 },	/* segments of nothing */
		{ { NEEDS, TSO4, 54, 1, 34, 16, 0 }, 9000 },	/* crumbs */
		{ { NEEDS, TSO4, 54, 47, 34, 16, 0 }, 9000 },
		{ { NEEDS, TSO4, 54, 1448, 34, 6, 0 }, 9000 },	  /* the checksum is not TCP's */
		{ { NEEDS, TSO4, 54, 1448, 33, 16, 0 }, 9000 },	  /* no room for an IP header */
		{ { NEEDS, TSO6, 74, 1448, 53, 16, 0 }, 9000 },	  /* nor for this one */
		{ { NEEDS, TSO4, 54, 1448, 34, 16, 0 }, 54 },	  /* nothing behind the headers */
		{ { NEEDS, TSO4, 54, 1448, 8990, 16, 0 }, 9009 }, /* the TCP header is cut */
		{ { NEEDS, VIRTIO_NET_HDR_GSO_UDP, 42, 1448, 34, 6, 0 }, 9000 },
		{ { NEEDS, 5, 42, 1448, 34, 6, 0 }, 9000 }, /* UDP_L4 */
		{ { NEEDS, ECN, 54, 1448, 34, 16, 0 }, 9000 },
		{ { NEEDS, 0x7f, 54, 1448, 34, 16, 0 }, 9000 },
		{ { NEEDS, 0xff, 54, 1448, 34, 16, 0 }, 9000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct net_hdr in = make(cases[i].in), out;
		memset(&out, 0xee, sizeof(out));
		cr_expect_not(net_hdr_from_guest(&in, ALL, cases[i].len, &out), "case %zu", i);
		cr_expect_eq(out.flags, 0xee, "case %zu: written", i);
	}
}

Test(net_hdr, only_what_was_negotiated)
{
	const struct net_hdr csum = make((struct fields){ NEEDS, 0, 0, 0, 34, 16, 0 });
	const struct net_hdr tso4 = make((struct fields){ NEEDS, TSO4, 54, 1448, 34, 16, 0 });
	const struct net_hdr tso6 = make((struct fields){ NEEDS, TSO6, 74, 1448, 54, 16, 0 });
	const struct net_hdr ecn = make((struct fields){ NEEDS, TSO4 | ECN, 54, 1448, 34, 16, 0 });
	struct net_hdr out;

	cr_expect_not(net_hdr_from_guest(&csum, ~BIT(VIRTIO_NET_F_CSUM), 9000, &out));
	cr_expect_not(net_hdr_from_guest(&tso4, ~BIT(VIRTIO_NET_F_HOST_TSO4), 9000, &out));
	cr_expect_not(net_hdr_from_guest(&tso6, ~BIT(VIRTIO_NET_F_HOST_TSO6), 9000, &out));
	cr_expect_not(net_hdr_from_guest(&ecn, ~BIT(VIRTIO_NET_F_HOST_ECN), 9000, &out));
	cr_expect(net_hdr_from_guest(&tso4, ~BIT(VIRTIO_NET_F_HOST_ECN), 9000, &out));
}

/* ---- Towards the guest ---------------------------------------------------------------------- */

static bool to_guest(struct fields f, uint64_t without, uint64_t len, struct net_hdr *ret)
{
	*ret = make(f);
	return net_hdr_to_guest(ret, ALL & ~without, len, 1500);
}

Test(net_hdr, what_the_guest_can_take)
{
	struct net_hdr h;

	cr_expect(to_guest((struct fields){ 0 }, 0, 1518, &h));
	cr_expect(to_guest((struct fields){ NEEDS, TSO4, 54, 1448, 34, 16, 0 }, 0, 65550, &h));
	cr_expect_eq(h.flags, NEEDS);
	cr_expect(to_guest((struct fields){ VIRTIO_NET_HDR_F_DATA_VALID | 0x80, 0, 0, 0, 0, 0, 0 },
			   0, 60, &h));
	cr_expect_eq(h.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	cr_expect(to_guest((struct fields){ VIRTIO_NET_HDR_F_DATA_VALID, 0, 0, 0, 0, 0, 0 },
			   BIT(VIRTIO_NET_F_GUEST_CSUM), 60, &h));
	cr_expect_eq(h.flags, 0);
}

Test(net_hdr, what_the_guest_can_not_take)
{
	struct net_hdr h;

	cr_expect_not(to_guest((struct fields){ 0 }, 0, 13, &h));
	cr_expect_not(to_guest((struct fields){ 0 }, 0, 1519, &h), "larger than the MTU");
	cr_expect(to_guest((struct fields){ 0 }, BIT(VIRTIO_NET_F_MTU), 1519, &h));
	cr_expect_not(to_guest((struct fields){ NEEDS, 0, 0, 0, 34, 16, 0 },
			       BIT(VIRTIO_NET_F_GUEST_CSUM), 60, &h));
	cr_expect_not(to_guest((struct fields){ NEEDS, TSO4, 54, 1448, 34, 16, 0 },
			       BIT(VIRTIO_NET_F_GUEST_TSO4), 9000, &h));
	cr_expect_not(to_guest((struct fields){ NEEDS, TSO6, 74, 1448, 54, 16, 0 },
			       BIT(VIRTIO_NET_F_GUEST_TSO6), 9000, &h));
	cr_expect_not(to_guest((struct fields){ NEEDS, TSO4 | ECN, 54, 1448, 34, 16, 0 },
			       BIT(VIRTIO_NET_F_GUEST_ECN), 9000, &h));
	cr_expect_not(to_guest((struct fields){ NEEDS, VIRTIO_NET_HDR_GSO_UDP, 42, 1448, 34, 6, 0 },
			       0, 9000, &h));
}
