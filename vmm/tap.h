/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap.h - the queues of taps that a VMM is given. Who made them has bound them to their interface;
 * here they are only looked at, and told what the guest can take.
 */
#ifndef VMM_TAP_H
#define VMM_TAP_H

#include "base/compiler.h"
#include "base/err.h"

/* Is fd a tap queue as the network device needs it (IFF_NO_PI, IFF_VNET_HDR, a header of
 * VIRTIO_NET_HDR_BYTES)? Makes it non-blocking: 0, -EINVAL or another -errno with err. */
MUST_USE int tap_prepare(int fd, struct err *err);

/* A virtio_net_offload_fn: TUNSETOFFLOAD. */
MUST_USE int tap_set_offload(int fd, unsigned flags);

#endif
