/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap.h - a tap in a network namespace of its own, as the jailer makes one for a sandbox. For
 * tests, benchmarks and vmm-run: the calling process moves into the namespace, for good.
 */
#ifndef TESTS_NATIVE_TAP_H
#define TESTS_NATIVE_TAP_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/vmm_fds.h"

#define TAP_NAME "tap0"
/* The host's end of the link, and the guest's, which the host's neighbour table has already. */
#define TAP_HOST_ADDR  0x0a4d0001U /* 10.77.0.1/24 */
#define TAP_GUEST_ADDR 0x0a4d0002U

struct tap {
	int queues[VMM_TAPS_MAX];
	unsigned count;
	int index; /* of the interface */
	uint8_t host_mac[6];
};

/* Enters a new network namespace: 0 or -errno (-EPERM: neither root nor user namespaces). */
int tap_enter_netns(void);
/* A queue of that tap, which is made if it isn't there yet: the fd or -errno. */
int tap_queue(const char *name);
/* Makes the tap with so many queues, up, with its addresses: 0 or -errno. mtu 0 = the default. */
int tap_open(struct tap *t, unsigned queues, const uint8_t guest_mac[6], unsigned mtu);
void tap_close(struct tap *t);
/* A packet socket on it that sees and sends whole frames, each behind a 10-byte virtio_net_hdr
 * (PACKET_VNET_HDR): the fd or -errno. */
int tap_packet_socket(const struct tap *t);

#endif
