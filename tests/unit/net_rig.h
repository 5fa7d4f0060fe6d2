/* SPDX-License-Identifier: Apache-2.0 */
/* net_rig.h - a network device between a fake driver and socketpairs that stand for tap queues:
 * they, too, give and take a frame at a time, with its header in front. */
#ifndef TESTS_UNIT_NET_RIG_H
#define TESTS_UNIT_NET_RIG_H

#include "fake_driver.h"
#include "vmm/virtio/net.h"

#define NET_WAIT_MS 5000
#define NET_BUFFERS 64U /* of one page each, for receiving */

struct net_rig {
	struct drv d;
	int host[VIRTIO_NET_PAIRS_MAX]; /* the other ends */
	uint64_t rx_at, tx_at;		/* guest memory for buffers */
};

/* The flags that the device told the host last, and how often it did. */
extern unsigned net_offload_flags, net_offload_calls;

struct virtio_net_spec net_spec(unsigned pairs);
void net_rig_new(struct net_rig *r, const struct virtio_net_spec *spec); /* attached, not started */
void net_rig_open(struct net_rig *r, unsigned pairs, uint64_t without);	 /* and started */
void net_rig_done(struct net_rig *r);

/* Sends a frame to the guest; its bytes are pattern(seed). false: the socket is full. */
bool net_host_send(struct net_rig *r, unsigned tap, struct net_hdr h, size_t len, uint8_t seed);
/* Receives what the guest sent: the length of the frame, or -1 after timeout_ms. */
ssize_t net_host_recv(struct net_rig *r, unsigned tap, struct net_hdr *h, uint8_t *frame,
		      size_t cap, int timeout_ms);
/* Posts receive buffers of `bytes` each for pair p. */
void net_post(struct net_rig *r, unsigned p, unsigned count, uint32_t bytes);
/* Waits for a frame and checks its bytes: its header, and its length. -1: none came. */
ssize_t net_guest_recv(struct net_rig *r, unsigned p, struct net_hdr *h, uint8_t seed,
		       int timeout_ms);
/* Sends a frame with pattern(seed) in `pieces` descriptors and waits until it was used. */
void net_guest_send(struct net_rig *r, unsigned p, struct net_hdr h, uint32_t len, uint8_t seed,
		    unsigned pieces);
bool net_is_pattern(const uint8_t *frame, size_t len, uint8_t seed);
uint64_t net_counter(struct net_rig *r, enum net_counter c);
/* Waits until the counter has reached v. */
bool net_counted(struct net_rig *r, enum net_counter c, uint64_t v);

#endif
