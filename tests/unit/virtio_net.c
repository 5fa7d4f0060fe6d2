/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net against sockets that stand for taps: frames both ways, buffers, features, pairs, link.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/le.h"
#include "base/num.h"
#include "net_rig.h"

#define BIT(n)	 (UINT64_C(1) << (n))
#define NEEDS	 VIRTIO_NET_HDR_F_NEEDS_CSUM
#define QUIET_MS 100
#define TSO_BITS                                                                                   \
	(BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |                             \
	 BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | \
	 BIT(VIRTIO_NET_F_HOST_ECN))

static const struct net_hdr plain;

static struct net_hdr tso(void)
{
	return (struct net_hdr){ .flags = NEEDS,
				 .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				 .hdr_len = le16_put(54),
				 .gso_size = le16_put(1448),
				 .csum_start = le16_put(34),
				 .csum_offset = le16_put(16) };
}

/* Without a driver's help: nothing more arrives within a moment. */
static void expect_quiet(struct net_rig *r, unsigned pair)
{
	uint32_t head, len;

	cr_expect_not(drv_wait_used(&r->d, 2 * pair, &head, &len, QUIET_MS));
}

static void expect_frame(struct net_rig *r, unsigned pair, size_t len, uint8_t seed,
			 unsigned buffers)
{
	struct net_hdr h;

	cr_assert_eq(net_guest_recv(r, pair, &h, seed, NET_WAIT_MS), (ssize_t)len);
	cr_expect_eq(le16_get(h.num_buffers), buffers);
}

static void expect_sent(struct net_rig *r, unsigned tap, size_t len, uint8_t seed)
{
	static uint8_t frame[NET_FRAME_MAX + 1];
	struct net_hdr h;

	cr_assert_eq(net_host_recv(r, tap, &h, frame, sizeof(frame), NET_WAIT_MS), (ssize_t)len);
	cr_expect(net_is_pattern(frame, len, seed));
}

static void expect_nothing_sent(struct net_rig *r, unsigned tap)
{
	uint8_t frame[64];
	struct net_hdr h;

	cr_expect_eq(net_host_recv(r, tap, &h, frame, sizeof(frame), 0), -1);
}

static void expect_broken(struct net_rig *r)
{
	uint64_t end = now_ms() + NET_WAIT_MS;

	while (!drv_broken(&r->d) && now_ms() < end)
		(void)usleep(1000);
	cr_expect(drv_broken(&r->d));
}

/* ---- The configuration ---------------------------------------------------------------------- */

Test(virtio_net, configuration)
{
	struct virtio_net_spec spec = net_spec(1);
	struct net_rig r;
	uint8_t c[12];

	net_rig_new(&r, &spec);
	for (unsigned i = 0; i < sizeof(c); i++)
		virtio_mmio_read(r.d.dev, VIRTIO_MMIO_CONFIG + i, &c[i], 1);
	cr_expect_eq(memcmp(c, spec.mac, sizeof(spec.mac)), 0);
	cr_expect_eq(c[6], VIRTIO_NET_S_LINK_UP);
	cr_expect_eq(c[8], 1);
	cr_expect_eq(c[10] | c[11] << 8, 1500);
	cr_expect((drv_offered(&r.d) & BIT(VIRTIO_NET_F_MTU)) != 0);
	cr_expect_eq(drv_offered(&r.d) & (BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_VQ)), 0);
	cr_expect_eq(r.d.dev->queues_count, 2);
	net_rig_done(&r);
}

Test(virtio_net, impossible_cards)
{
	const int taps[VIRTIO_NET_PAIRS_MAX] = { -1, -1, -1, -1 };
	struct virtio_net_spec bad[6];
	struct virtio_dev *dev;
	struct gmem m = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = net_spec(1);
	bad[0].pairs = 0;
	bad[1].pairs = VIRTIO_NET_PAIRS_MAX + 1;
	bad[2].mac[0] = 1;
	memset(bad[3].mac, 0, sizeof(bad[3].mac));
	bad[4].mtu = VIRTIO_NET_MTU_MIN - 1;
	bad[5].mtu = VIRTIO_NET_MTU_MAX + 1;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(virtio_net_new(&m, &bad[i], taps, &dev), -EINVAL, "%zu", i);
}

/* A driver that takes a feature without the one that it builds on. */
Test(virtio_net, features_that_do_not_go_together)
{
	static const uint64_t without[] = {
		BIT(VIRTIO_NET_F_CSUM),
		BIT(VIRTIO_NET_F_GUEST_CSUM),
		BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6),
		BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6),
		BIT(VIRTIO_NET_F_CTRL_VQ),
	};
	struct virtio_net_spec spec = net_spec(2);
	struct net_rig r;

	net_rig_new(&r, &spec);
	for (size_t i = 0; i < ARRAY_SIZE(without); i++) {
		drv_negotiate(&r.d, without[i]);
		cr_expect_eq(drv_get(&r.d, VIRTIO_MMIO_STATUS) & 8, 0, "%zu", i);
	}
	drv_negotiate(&r.d, 0);
	cr_expect_eq(drv_get(&r.d, VIRTIO_MMIO_STATUS) & 8, 8);
	net_rig_done(&r);
}

static bool offload_becomes(unsigned flags)
{
	uint64_t end = now_ms() + NET_WAIT_MS;

	while (__atomic_load_n(&net_offload_calls, __ATOMIC_ACQUIRE) == 0 ||
	       net_offload_flags != flags) {
		if (now_ms() > end)
			return false;
		(void)usleep(1000);
	}
	return true;
}

/* The host is told what the driver takes; it is told once, and not more often than it may be. */
Test(virtio_net, host_is_told_what_the_driver_takes)
{
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	cr_expect(offload_becomes(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN));
	drv_start(&r.d, 0);
	net_post(&r, 0, 1, 2048);
	cr_assert(net_host_send(&r, 0, plain, 60, 1));
	expect_frame(&r, 0, 60, 1, 1);
	cr_expect_eq(net_offload_calls, 1);
	drv_start(&r.d, TSO_BITS);
	cr_expect(offload_becomes(TUN_F_CSUM));
	drv_start(&r.d, TSO_BITS | BIT(VIRTIO_NET_F_GUEST_CSUM));
	cr_expect(offload_becomes(0));
	net_rig_done(&r);
}

Test(virtio_net, host_is_not_told_in_a_storm)
{
	struct net_rig r;
	uint64_t begin = now_ms();
	unsigned allowed;

	net_rig_open(&r, 1, 0);
	while (now_ms() < begin + 300) {
		r.d.brk = 0x10000;
		drv_start(&r.d, TSO_BITS);
		(void)usleep(500);
		r.d.brk = 0x10000;
		drv_start(&r.d, 0);
		(void)usleep(500);
	}
	allowed = 5 + (unsigned)((now_ms() - begin) / 1000);
	cr_expect_geq(net_offload_calls, 2);
	cr_expect_leq(net_offload_calls, allowed);
	/* It serves on once the limit allows. */
	net_post(&r, 0, 1, 2048);
	cr_assert(net_host_send(&r, 0, plain, 60, 1));
	expect_frame(&r, 0, 60, 1, 1);
	net_rig_done(&r);
}

/* ---- Towards the guest ---------------------------------------------------------------------- */

Test(virtio_net, frames_of_all_lengths_arrive)
{
	static const struct {
		size_t len;
		unsigned buffers;
	} cases[] = { { 14, 1 },   { 60, 1 },	{ 1514, 1 }, { 2036, 1 },
		      { 2037, 2 }, { 4084, 2 }, { 4085, 3 } };
	struct net_rig r;

	net_rig_open(&r, 1, BIT(VIRTIO_NET_F_MTU));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		net_post(&r, 0, cases[i].buffers, 2048);
		cr_assert(net_host_send(&r, 0, plain, cases[i].len, (uint8_t)i));
		expect_frame(&r, 0, cases[i].len, (uint8_t)i, cases[i].buffers);
	}
	cr_expect_eq(net_counter(&r, NET_RX_FRAMES), ARRAY_SIZE(cases));
	net_rig_done(&r);
}

/* The longest frame, first through the spill, then straight into the buffers. */
Test(virtio_net, longest_frame_in_merged_buffers)
{
	struct net_rig r;
	struct net_hdr h;

	net_rig_open(&r, 1, 0);
	for (unsigned i = 0; i < 3; i++) {
		net_post(&r, 0, 43, 1536);
		cr_assert(net_host_send(&r, 0, tso(), NET_FRAME_MAX, (uint8_t)i));
		cr_assert_eq(net_guest_recv(&r, 0, &h, (uint8_t)i, NET_WAIT_MS), NET_FRAME_MAX);
		cr_expect_eq(le16_get(h.num_buffers), 43);
		cr_expect_eq(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
		cr_expect_eq(le16_get(h.gso_size), 1448);
		cr_expect_eq(h.flags, NEEDS);
	}
	/* A short one gives what it doesn't need back to the queue. */
	net_post(&r, 0, 43, 1536);
	cr_assert(net_host_send(&r, 0, plain, 100, 7));
	expect_frame(&r, 0, 100, 7, 1);
	cr_assert(net_host_send(&r, 0, tso(), 60000, 8));
	expect_frame(&r, 0, 60000, 8, 40);
	net_rig_done(&r);
}

Test(virtio_net, frame_waits_for_more_buffers)
{
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	net_post(&r, 0, 2, 1000);
	cr_assert(net_host_send(&r, 0, tso(), 5000, 3));
	cr_assert(net_host_send(&r, 0, plain, 60, 4));
	expect_quiet(&r, 0);
	net_post(&r, 0, 2, 1000);
	expect_quiet(&r, 0);
	net_post(&r, 0, 3, 1000);
	expect_frame(&r, 0, 5000, 3, 6);
	expect_frame(&r, 0, 60, 4, 1);
	net_rig_done(&r);
}

/* A queue that could never hold the frame: it is lost, and the next one arrives. */
Test(virtio_net, frame_larger_than_the_queue)
{
	struct virtio_net_spec spec = net_spec(1);
	struct net_rig r;

	net_rig_new(&r, &spec);
	drv_negotiate(&r.d, 0);
	drv_queue_setup(&r.d, 0, 4);
	drv_queue_setup(&r.d, 1, 4);
	drv_driver_ok(&r.d);
	net_post(&r, 0, 4, 1000);
	cr_assert(net_host_send(&r, 0, tso(), 5000, 3));
	cr_assert(net_host_send(&r, 0, plain, 60, 4));
	expect_frame(&r, 0, 60, 4, 1);
	cr_expect_eq(net_counter(&r, NET_RX_DROPPED), 1);
	net_rig_done(&r);
}

Test(virtio_net, buffers_in_many_pieces)
{
	struct drv_seg s[40];
	struct net_rig r;
	struct net_hdr h;
	uint64_t base;
	uint32_t head, len;
	uint8_t frame[60];

	net_rig_open(&r, 1, 0);
	base = drv_alloc(&r.d, 4096, 1);
	/* The header, too, in pieces of a byte. */
	for (unsigned i = 0; i < ARRAY_SIZE(s); i++)
		s[i] = (struct drv_seg){ base + i, i + 1 < ARRAY_SIZE(s) ? 1 : 1000, true };
	cr_assert_geq(drv_post(&r.d, 0, s, ARRAY_SIZE(s), true), 0);
	cr_assert(net_host_send(&r, 0, plain, sizeof(frame), 9));
	cr_assert(drv_wait_used(&r.d, 0, &head, &len, NET_WAIT_MS));
	cr_expect_eq(len, sizeof(h) + sizeof(frame));
	drv_read(&r.d, base, &h, sizeof(h));
	drv_read(&r.d, base + sizeof(h), frame, sizeof(frame));
	cr_expect_eq(le16_get(h.num_buffers), 1);
	cr_expect(net_is_pattern(frame, sizeof(frame), 9));
	net_rig_done(&r);
}

Test(virtio_net, without_mergeable_buffers)
{
	struct net_rig r;

	net_rig_open(&r, 1, BIT(VIRTIO_NET_F_MRG_RXBUF));
	net_post(&r, 0, 1, 1600);
	net_post(&r, 0, 1, NET_FRAME_MAX + 12);
	cr_assert(net_host_send(&r, 0, tso(), 1589, 1)); /* a byte too long for the first */
	cr_assert(net_host_send(&r, 0, plain, 1518, 2));
	cr_assert(net_host_send(&r, 0, tso(), NET_FRAME_MAX, 3));
	expect_frame(&r, 0, 1518, 2, 1);
	expect_frame(&r, 0, NET_FRAME_MAX, 3, 1);
	cr_expect_eq(net_counter(&r, NET_RX_DROPPED), 1);
	net_rig_done(&r);
}

Test(virtio_net, frames_that_the_driver_can_not_take)
{
	struct net_rig r;

	net_rig_open(&r, 1, TSO_BITS);
	net_post(&r, 0, 40, 2048);
	cr_assert(net_host_send(&r, 0, tso(), 9000, 1));
	cr_assert(net_host_send(&r, 0, plain, 13, 1));
	cr_assert(net_host_send(&r, 0, plain, NET_FRAME_MAX + 1, 1));
	cr_assert(net_host_send(&r, 0, plain, 1519, 1)); /* larger than the MTU */
	cr_assert(net_host_send(&r, 0, plain, 1518, 2));
	expect_frame(&r, 0, 1518, 2, 1);
	cr_expect_eq(net_counter(&r, NET_RX_DROPPED), 4);
	net_rig_done(&r);
}

Test(virtio_net, receive_buffers_against_the_rules)
{
	const struct drv_seg readable = { 0x200000, 2048, false };
	const struct drv_seg small = { 0x200000, 11, true };
	const struct drv_seg both[] = { { 0x200000, 16, false }, { 0x201000, 2048, true } };
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	(void)drv_post(&r.d, 0, &readable, 1, false);
	expect_broken(&r);
	drv_start(&r.d, 0);
	(void)drv_post(&r.d, 0, &small, 1, false);
	expect_broken(&r);
	drv_start(&r.d, 0);
	(void)drv_post(&r.d, 0, both, 2, false);
	expect_broken(&r);
	drv_start(&r.d, 0);
	net_post(&r, 0, 1, 2048);
	cr_assert(net_host_send(&r, 0, plain, 60, 1));
	expect_frame(&r, 0, 60, 1, 1);
	net_rig_done(&r);
}

static uint64_t cpu_us(void)
{
	struct rusage u;

	cr_assert_eq(getrusage(RUSAGE_SELF, &u), 0);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* G29: a guest that posts no buffers costs nothing, and gets its frames when it does. */
Test(virtio_net, without_buffers_nobody_spins)
{
	struct net_rig r;
	unsigned sent = 0;
	uint64_t before;

	net_rig_open(&r, 1, 0);
	cr_assert(net_counted(&r, NET_RX_STARVED, 1));
	while (sent < 20 && net_host_send(&r, 0, plain, 100, (uint8_t)sent))
		sent++;
	cr_assert_gt(sent, 5);
	(void)usleep(20000);
	before = cpu_us();
	(void)usleep(400000);
	cr_expect_lt(cpu_us() - before, 40000);
	cr_expect_eq(net_counter(&r, NET_RX_STARVED), 1);
	for (unsigned i = 0; i < sent; i++) {
		net_post(&r, 0, 1, 2048);
		expect_frame(&r, 0, 100, (uint8_t)i, 1);
	}
	cr_expect_eq(net_counter(&r, NET_RX_DROPPED), 0);
	net_rig_done(&r);
}

/* ---- From the guest ------------------------------------------------------------------------- */

Test(virtio_net, what_the_guest_sends)
{
	static const uint32_t lens[] = { 14, 60, 1514, 9000, NET_FRAME_MAX };
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		net_guest_send(&r, 0, plain, lens[i], (uint8_t)i, i % 2 == 0 ? 1 : 14);
		expect_sent(&r, 0, lens[i], (uint8_t)i);
	}
	cr_expect_eq(net_counter(&r, NET_TX_FRAMES), ARRAY_SIZE(lens));
	cr_expect_eq(net_counter(&r, NET_TX_MALFORMED), 0);
	net_rig_done(&r);
}

Test(virtio_net, header_reaches_the_host_cleaned)
{
	static uint8_t frame[NET_FRAME_MAX];
	struct net_hdr given = tso(), want = tso(), got;
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	given.flags = 0xff;
	given.num_buffers = le16_put(0x5555);
	net_guest_send(&r, 0, given, 60000, 3, 15);
	cr_assert_eq(net_host_recv(&r, 0, &got, frame, sizeof(frame), NET_WAIT_MS), 60000);
	cr_expect_eq(memcmp(&got, &want, sizeof(got)), 0);
	net_rig_done(&r);
}

/* G25: dropped and counted, and the device serves on: a program in the guest may have made it. */
Test(virtio_net, frames_that_no_driver_may_send)
{
	struct net_hdr crumbs = tso(), beyond = plain, type = tso();
	struct net_rig r;

	crumbs.gso_size = le16_put(1);
	beyond.flags = NEEDS;
	beyond.csum_start = le16_put(65535);
	type.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	net_rig_open(&r, 1, 0);
	net_guest_send(&r, 0, crumbs, 60000, 1, 1);
	net_guest_send(&r, 0, beyond, 1500, 1, 1);
	net_guest_send(&r, 0, type, 1500, 1, 1);
	net_guest_send(&r, 0, plain, 13, 1, 1);
	net_guest_send(&r, 0, plain, NET_FRAME_MAX + 1, 1, 1);
	expect_nothing_sent(&r, 0);
	cr_expect_eq(net_counter(&r, NET_TX_MALFORMED), 5);
	cr_expect_not(drv_broken(&r.d));
	net_guest_send(&r, 0, plain, 60, 2, 1);
	expect_sent(&r, 0, 60, 2);
	net_rig_done(&r);
}

Test(virtio_net, send_chains_against_the_rules)
{
	const struct drv_seg cut = { 0x200000, 11, false };
	const struct drv_seg both[] = { { 0x200000, 72, false }, { 0x201000, 1, true } };
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	(void)drv_post(&r.d, 1, &cut, 1, false);
	expect_broken(&r);
	drv_start(&r.d, 0);
	(void)drv_post(&r.d, 1, both, 2, false);
	expect_broken(&r);
	drv_start(&r.d, 0);
	net_guest_send(&r, 0, plain, 60, 2, 1);
	expect_sent(&r, 0, 60, 2);
	net_rig_done(&r);
}

/* A host that takes nothing: frames are lost, the guest isn't held up. */
Test(virtio_net, full_host_does_not_block)
{
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	for (unsigned i = 0; i < 2000 && net_counter(&r, NET_TX_DROPPED) == 0; i++)
		net_guest_send(&r, 0, plain, 9000, 1, 1);
	cr_expect_gt(net_counter(&r, NET_TX_DROPPED), 0);
	net_rig_done(&r);
}

/* A full queue in one kick: more than a round, and all of it is served. */
Test(virtio_net, more_than_a_round)
{
	struct drv_seg s = { 0x200000, 72, false };
	uint32_t head, len, used = 0;
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	for (unsigned round = 0; round < 8; round++)
		while (drv_post(&r.d, 1, &s, 1, false) >= 0)
			;
	while (drv_wait_used(&r.d, 1, &head, &len, 200))
		used++;
	cr_expect_geq(used, NET_QUEUE_SIZE);
	cr_expect_eq(net_counter(&r, NET_TX_FRAMES) + net_counter(&r, NET_TX_DROPPED), used);
	net_rig_done(&r);
}
