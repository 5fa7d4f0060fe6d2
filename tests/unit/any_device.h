/* SPDX-License-Identifier: Apache-2.0 */
/* any_device.h - one device of each type that there is, for what must hold for all of them. */
#ifndef TESTS_UNIT_ANY_DEVICE_H
#define TESTS_UNIT_ANY_DEVICE_H

#include "vmm/virtio/virtio.h"

#define ANY_DISK_BYTES 65536U
#define ANY_GUEST_CID  42U

/* The device of virtio_dev_types[type], with all that it can offer. *ret_host: the host's end of
 * what it is connected to, the caller's; -1 where it needs nothing. A type that isn't known here is
 * a bug: whoever adds one adds it here. */
struct virtio_dev *any_device_new(size_t type, struct gmem *m, int *ret_host);

#endif
