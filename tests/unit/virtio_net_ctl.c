/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net: what is changed while it runs: queue pairs, link, limits, resets, pauses. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/le.h"
#include "base/num.h"
#include "net_rig.h"
#include "vmm/virtio/state.h"

#define BIT(n)	 (UINT64_C(1) << (n))
#define QUIET_MS 100

static const struct net_hdr plain;

static void expect_frame(struct net_rig *r, unsigned pair, size_t len, uint8_t seed)
{
	struct net_hdr h;

	cr_assert_eq(net_guest_recv(r, pair, &h, seed, NET_WAIT_MS), (ssize_t)len);
}

static void expect_quiet(struct net_rig *r, unsigned pair)
{
	uint32_t head, len;

	cr_expect_not(drv_wait_used(&r->d, 2 * pair, &head, &len, QUIET_MS));
}

/* ---- Queue pairs ---------------------------------------------------------------------------- */

/* Sends a command on queue q; the device's answer, 0xee: none. */
static uint8_t command(struct net_rig *r, unsigned q, const void *cmd, uint32_t len)
{
	uint64_t at = drv_alloc(&r->d, 16, 1);
	const struct drv_seg s[] = { { at, len, false }, { at + 8, 1, true } };
	uint8_t status = 0xee;
	uint32_t head, used;

	drv_write(&r->d, at, cmd, len);
	drv_write(&r->d, at + 8, &status, 1);
	cr_assert_geq(drv_post(&r->d, q, s, 2, false), 0);
	if (drv_wait_used(&r->d, q, &head, &used, NET_WAIT_MS))
		cr_expect_eq(used, 1);
	drv_read(&r->d, at + 8, &status, 1);
	return status;
}

static uint8_t set_pairs(struct net_rig *r, unsigned pairs)
{
	const uint8_t cmd[] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, (uint8_t)pairs,
				(uint8_t)(pairs >> 8) };

	return command(r, 2 * 4, cmd, sizeof(cmd));
}

Test(virtio_net_pairs, frames_of_every_tap_arrive)
{
	struct net_rig r;

	net_rig_open(&r, 4, 0);
	net_post(&r, 0, 16, 2048);
	/* One pair in use: all taps end there. */
	for (unsigned t = 0; t < 4; t++) {
		cr_assert(net_host_send(&r, t, plain, 100, (uint8_t)t));
		expect_frame(&r, 0, 100, (uint8_t)t);
	}
	/* Four: each has its own. */
	cr_expect_eq(set_pairs(&r, 4), VIRTIO_NET_OK);
	for (unsigned t = 0; t < 4; t++) {
		net_post(&r, t, 2, 2048);
		cr_assert(net_host_send(&r, t, plain, 100, (uint8_t)t));
		expect_frame(&r, t, 100, (uint8_t)t);
		net_guest_send(&r, t, plain, 60, (uint8_t)t, 1);
		uint8_t frame[64];
		struct net_hdr h;
		cr_expect_eq(net_host_recv(&r, t, &h, frame, sizeof(frame), NET_WAIT_MS), 60);
		cr_expect(net_is_pattern(frame, 60, (uint8_t)t));
	}
	/* Three: the fourth tap goes back to the first. */
	cr_expect_eq(set_pairs(&r, 3), VIRTIO_NET_OK);
	cr_assert(net_host_send(&r, 3, plain, 100, 33));
	expect_frame(&r, 0, 100, 33);
	net_rig_done(&r);
}

Test(virtio_net_pairs, commands_that_are_refused)
{
	static const uint8_t unknown_class[] = { 0, 0, 1, 0 }, unknown_command[] = { 4, 9, 1, 0 };
	static const uint8_t cut[] = { 4, 0, 1 }, nothing[] = { 4, 0 };
	struct net_rig r;

	net_rig_open(&r, 4, 0);
	cr_expect_eq(set_pairs(&r, 0), VIRTIO_NET_ERR);
	cr_expect_eq(set_pairs(&r, 5), VIRTIO_NET_ERR);
	cr_expect_eq(set_pairs(&r, 0x8001), VIRTIO_NET_ERR);
	cr_expect_eq(command(&r, 8, unknown_class, 4), VIRTIO_NET_ERR);
	cr_expect_eq(command(&r, 8, unknown_command, 4), VIRTIO_NET_ERR);
	cr_expect_eq(command(&r, 8, cut, 3), VIRTIO_NET_ERR);
	cr_expect_eq(command(&r, 8, nothing, 2), VIRTIO_NET_ERR);
	cr_expect_not(drv_broken(&r.d));
	cr_expect_eq(set_pairs(&r, 2), VIRTIO_NET_OK);
	net_rig_done(&r);
}

/* Queues that the driver didn't set up can't be used. */
Test(virtio_net_pairs, queues_that_are_not_there)
{
	struct virtio_net_spec spec = net_spec(4);
	struct net_rig r;

	net_rig_new(&r, &spec);
	drv_negotiate(&r.d, 0);
	for (unsigned q = 0; q < 3; q++)
		drv_queue_setup(&r.d, q, 64);
	drv_queue_setup(&r.d, 8, 64);
	drv_driver_ok(&r.d);
	cr_expect_eq(set_pairs(&r, 2), VIRTIO_NET_ERR);
	cr_expect_eq(set_pairs(&r, 1), VIRTIO_NET_OK);
	net_rig_done(&r);
}

/* Without MQ the control queue is the third (virtio 1.2, 5.1.2). */
Test(virtio_net_pairs, control_queue_of_a_driver_that_knows_one_pair)
{
	static const uint8_t cmd[] = { 4, 0, 2, 0 };
	struct net_rig r;

	net_rig_open(&r, 4, BIT(VIRTIO_NET_F_MQ));
	cr_expect_eq(command(&r, 2, cmd, 4), VIRTIO_NET_ERR);
	net_rig_done(&r);
}

Test(virtio_net_pairs, command_against_the_rules)
{
	const struct drv_seg no_answer = { 0x200000, 4, false };
	uint64_t end = now_ms() + NET_WAIT_MS;
	struct net_rig r;

	net_rig_open(&r, 2, 0);
	(void)drv_post(&r.d, 4, &no_answer, 1, false);
	while (!drv_broken(&r.d) && now_ms() < end)
		(void)usleep(1000);
	cr_expect(drv_broken(&r.d));
	net_rig_done(&r);
}

/* A frame that waits in a pair that is given up is lost, and its buffers are not. */
Test(virtio_net_pairs, pair_is_given_up_in_the_middle_of_a_frame)
{
	struct net_hdr big = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			       .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			       .gso_size = le16_put(1000) };
	struct net_rig r;

	net_rig_open(&r, 4, 0);
	cr_expect_eq(set_pairs(&r, 2), VIRTIO_NET_OK);
	net_post(&r, 1, 2, 1000);
	cr_assert(net_host_send(&r, 1, big, 5000, 1));
	expect_quiet(&r, 1);
	cr_expect_eq(set_pairs(&r, 1), VIRTIO_NET_OK);
	cr_expect_eq(net_counter(&r, NET_RX_DROPPED), 1);
	cr_expect_eq(set_pairs(&r, 2), VIRTIO_NET_OK);
	cr_assert(net_host_send(&r, 1, plain, 60, 2));
	expect_frame(&r, 1, 60, 2);
	net_rig_done(&r);
}

/* ---- Link ----------------------------------------------------------------------------------- */

static uint8_t status_of(struct net_rig *r)
{
	uint8_t v;

	virtio_mmio_read(r->d.dev, VIRTIO_MMIO_CONFIG + 6, &v, 1);
	return v;
}

Test(virtio_net_link, down_loses_frames_and_up_brings_new_ones)
{
	uint8_t frame[64];
	struct net_hdr h;
	struct net_rig r;
	uint32_t generation;

	net_rig_open(&r, 1, 0);
	net_post(&r, 0, 8, 2048);
	(void)drv_irqs(&r.d);
	generation = drv_get(&r.d, VIRTIO_MMIO_CONFIG_GENERATION);
	virtio_net_set_link(r.d.dev, false);
	cr_expect_neq(drv_get(&r.d, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	cr_expect_eq(drv_get(&r.d, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG,
		     VIRTIO_MMIO_INT_CONFIG);
	cr_expect_geq(drv_irqs(&r.d), 1);
	cr_expect_eq(status_of(&r), 0);
	cr_assert(net_host_send(&r, 0, plain, 60, 1));
	net_guest_send(&r, 0, plain, 60, 1, 1);
	cr_expect(net_counted(&r, NET_RX_DROPPED, 1));
	cr_expect_eq(net_counter(&r, NET_TX_DROPPED), 1);
	expect_quiet(&r, 0);
	cr_expect_eq(net_host_recv(&r, 0, &h, frame, sizeof(frame), 0), -1);
	virtio_net_set_link(r.d.dev, true);
	cr_expect_eq(status_of(&r), VIRTIO_NET_S_LINK_UP);
	cr_assert(net_host_send(&r, 0, plain, 60, 2));
	expect_frame(&r, 0, 60, 2);
	net_guest_send(&r, 0, plain, 60, 3, 1);
	cr_expect_eq(net_host_recv(&r, 0, &h, frame, sizeof(frame), NET_WAIT_MS), 60);
	net_rig_done(&r);
}

Test(virtio_net_link, no_interrupt_when_nothing_changes)
{
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	(void)drv_irqs(&r.d);
	virtio_net_set_link(r.d.dev, true);
	cr_expect_eq(drv_get(&r.d, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG, 0);
	net_rig_done(&r);
}

/* ---- Limits --------------------------------------------------------------------------------- */

#define LIMIT_FRAMES 20U /* beyond the burst */
#define LIMIT_RATE   100U

/* Twenty frames beyond the burst at a hundred a second: 0.2 s, whatever else. */
static void expect_paced(uint64_t begin, uint64_t least_ms)
{
	uint64_t took = now_ms() - begin;

	cr_expect_geq(took, least_ms);
	cr_expect_lt(took, least_ms + 2000);
}

Test(virtio_net_limits, sending_by_frames)
{
	const struct limits none = { 0 }, some = { .operations = { LIMIT_RATE, 5 } };
	struct net_rig r;
	uint64_t begin;

	net_rig_open(&r, 1, 0);
	virtio_net_set_limits(r.d.dev, &none, &some);
	begin = now_ms();
	for (unsigned i = 0; i < LIMIT_FRAMES + 5; i++)
		net_guest_send(&r, 0, plain, 60, 1, 1);
	expect_paced(begin, 190);
	cr_expect_geq(net_counter(&r, NET_TX_THROTTLED), 10);
	cr_expect_eq(net_counter(&r, NET_TX_FRAMES), LIMIT_FRAMES + 5);
	net_rig_done(&r);
}

Test(virtio_net_limits, receiving_by_bytes)
{
	const struct limits none = { 0 }, some = { .bytes = { LIMIT_RATE * 1000, 5000 } };
	struct net_rig r;
	uint64_t begin;

	net_rig_open(&r, 1, 0);
	virtio_net_set_limits(r.d.dev, &some, &none);
	net_post(&r, 0, LIMIT_FRAMES + 6, 2048);
	begin = now_ms();
	/* One more than the burst: the last frame is paid for by the next. */
	for (unsigned i = 0; i < LIMIT_FRAMES + 6; i++) {
		cr_assert(net_host_send(&r, 0, plain, 1000, (uint8_t)i));
		expect_frame(&r, 0, 1000, (uint8_t)i);
	}
	expect_paced(begin, 190);
	cr_expect_geq(net_counter(&r, NET_RX_THROTTLED), 10);
	net_rig_done(&r);
}

/* A frame that would wait for minutes leaves when the limit is taken away. */
Test(virtio_net_limits, change_is_felt_at_once)
{
	const struct limits none = { 0 }, tight = { .bytes = { 1, 1 } };
	struct drv_seg s = { 0x200000, 72, false };
	struct net_rig r;
	uint32_t head, len;

	net_rig_open(&r, 1, 0);
	virtio_net_set_limits(r.d.dev, &tight, &tight);
	net_guest_send(&r, 0, plain, 60, 1, 1); /* a full bucket lets one pass */
	cr_assert_geq(drv_post(&r.d, 1, &s, 1, false), 0);
	net_post(&r, 0, 4, 2048);
	cr_assert(net_host_send(&r, 0, plain, 60, 1));
	cr_assert(net_host_send(&r, 0, plain, 60, 2));
	cr_assert(net_host_send(&r, 0, plain, 60, 3));
	expect_frame(&r, 0, 60, 1);
	expect_frame(&r, 0, 60, 2); /* the first one's debt passed with the full bucket */
	expect_quiet(&r, 0);
	cr_expect_not(drv_wait_used(&r.d, 1, &head, &len, QUIET_MS));
	virtio_net_set_limits(r.d.dev, &none, &none);
	cr_expect(drv_wait_used(&r.d, 1, &head, &len, NET_WAIT_MS));
	expect_frame(&r, 0, 60, 3);
	net_rig_done(&r);
}

/* ---- Resets and pauses ---------------------------------------------------------------------- */

Test(virtio_net_reset, in_the_middle_of_a_frame)
{
	struct net_hdr big = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			       .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			       .gso_size = le16_put(1000) };
	struct net_rig r;
	struct net_hdr h;
	ssize_t got;

	net_rig_open(&r, 1, 0);
	for (unsigned i = 0; i < 20; i++) {
		net_post(&r, 0, 2, 1000);
		cr_assert(net_host_send(&r, 0, big, 5000, 1));
		if (i % 2 == 0)
			(void)usleep(1000);
		drv_start(&r.d, 0);
	}
	/* What is left of them, and then a frame of the new life. */
	net_post(&r, 0, 200, 1000);
	cr_assert(net_host_send(&r, 0, plain, 60, 1));
	do {
		got = net_guest_recv(&r, 0, &h, 1, NET_WAIT_MS);
		cr_assert(got == 5000 || got == 60, "%zd", got);
	} while (got != 60);
	net_rig_done(&r);
}

Test(virtio_net_reset, taps_of_a_stopped_device_are_left_alone)
{
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	drv_set(&r.d, VIRTIO_MMIO_STATUS, 0);
	cr_assert(net_host_send(&r, 0, plain, 60, 1));
	(void)usleep(20000);
	drv_start(&r.d, 0);
	net_post(&r, 0, 1, 2048);
	expect_frame(&r, 0, 60, 1);
	net_rig_done(&r);
}

Test(virtio_net_pause, nothing_moves_until_it_ends)
{
	struct drv_seg s = { 0x200000, 72, false };
	uint32_t head, len;
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	net_post(&r, 0, 4, 2048);
	virtio_dev_pause(r.d.dev);
	cr_assert(net_host_send(&r, 0, plain, 60, 1));
	cr_assert_geq(drv_post(&r.d, 1, &s, 1, false), 0);
	expect_quiet(&r, 0);
	cr_expect_not(drv_wait_used(&r.d, 1, &head, &len, QUIET_MS));
	virtio_dev_resume(r.d.dev);
	expect_frame(&r, 0, 60, 1);
	cr_expect(drv_wait_used(&r.d, 1, &head, &len, NET_WAIT_MS));
	net_rig_done(&r);
}

Test(virtio_net_pause, in_the_middle_of_a_frame)
{
	struct net_hdr big = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			       .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			       .gso_size = le16_put(1000) };
	struct net_rig r;

	net_rig_open(&r, 1, 0);
	net_post(&r, 0, 2, 1000);
	cr_assert(net_host_send(&r, 0, big, 5000, 1));
	expect_quiet(&r, 0);
	cr_expect_neq(r.d.dev->queues[0].avail_next, r.d.dev->queues[0].used_next);
	virtio_dev_pause(r.d.dev);
	cr_expect_eq(r.d.dev->queues[0].avail_next, r.d.dev->queues[0].used_next);
	virtio_dev_resume(r.d.dev);
	cr_assert(net_host_send(&r, 0, plain, 60, 2));
	expect_frame(&r, 0, 60, 2);
	net_rig_done(&r);
}

/* ---- State ---------------------------------------------------------------------------------- */

static void load(struct net_rig *r, const uint8_t *state, size_t len, int want)
{
	pthread_mutex_lock(&r->d.dev->lock);
	cr_expect_eq(r->d.dev->ops->load(r->d.dev, state, len), want);
	pthread_mutex_unlock(&r->d.dev->lock);
}

Test(virtio_net_state, pairs_and_link)
{
	uint8_t state[VIRTIO_PRIVATE_BYTES_MAX];
	struct net_rig r;
	size_t len;

	net_rig_open(&r, 4, 0);
	cr_expect_eq(set_pairs(&r, 3), VIRTIO_NET_OK);
	virtio_net_set_link(r.d.dev, false);
	virtio_dev_pause(r.d.dev);
	pthread_mutex_lock(&r.d.dev->lock);
	len = r.d.dev->ops->save(r.d.dev, state);
	pthread_mutex_unlock(&r.d.dev->lock);
	virtio_dev_resume(r.d.dev);
	drv_start(&r.d, 0); /* one pair again */
	virtio_net_set_link(r.d.dev, true);
	virtio_dev_pause(r.d.dev);
	load(&r, state, len, 0);
	cr_expect_eq(status_of(&r), 0);
	cr_expect_eq(CONTAINER_OF(r.d.dev, struct net, dev)->active, 3);
	virtio_dev_resume(r.d.dev);
	net_rig_done(&r);
}

Test(virtio_net_state, hostile)
{
	static const struct {
		size_t at;
		uint8_t value;
		int want;
	} bad[] = { { 0, 3, -ENOTSUP }, { 6, 1, -ENOTSUP }, { 8, 0, -EINVAL }, { 8, 5, -EINVAL },
		    { 9, 1, -EINVAL },	{ 10, 2, -EINVAL }, { 11, 1, -EINVAL } };
	uint8_t good[VIRTIO_PRIVATE_BYTES_MAX], state[sizeof(good)];
	struct net_rig r;
	size_t len;

	net_rig_open(&r, 4, 0);
	virtio_dev_pause(r.d.dev);
	pthread_mutex_lock(&r.d.dev->lock);
	len = r.d.dev->ops->save(r.d.dev, good);
	pthread_mutex_unlock(&r.d.dev->lock);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(state, good, len);
		state[bad[i].at] = bad[i].value;
		load(&r, state, len, bad[i].want);
	}
	load(&r, good, len - 1, -EINVAL);
	load(&r, good, len + 1, -EINVAL);
	load(&r, NULL, 0, -EINVAL);
	load(&r, good, len, 0);
	virtio_dev_resume(r.d.dev);
	net_rig_done(&r);
}

/* Pairs whose queues a driver has not set up can't be in use. */
Test(virtio_net_state, pairs_without_queues)
{
	const uint8_t state[12] = { 2, 0, 0, 0, 0, 1, 0xdc, 5, 4, 0, 1, 0 };
	struct virtio_net_spec spec = net_spec(4);
	struct net_rig r;

	net_rig_new(&r, &spec);
	virtio_dev_pause(r.d.dev);
	load(&r, state, sizeof(state), -EINVAL);
	virtio_dev_resume(r.d.dev);
	net_rig_done(&r);
}
