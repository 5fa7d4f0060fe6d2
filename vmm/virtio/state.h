/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - a virtio device's state as bytes: the transport and the queues, as in virtio 1.2. What
 * a type keeps beyond that is its own (virtio_dev_ops.save and .load).
 *
 * The bytes that are loaded are hostile: they say no more than a driver could have said through
 * the registers, and are checked by the same functions.
 */
#ifndef VMM_VIRTIO_STATE_H
#define VMM_VIRTIO_STATE_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/virtio/virtio.h"

#define VIRTIO_STATE_BYTES_MAX	 1024U
#define VIRTIO_PRIVATE_BYTES_MAX 4096U

/* Writes the state of a paused device to dst (VIRTIO_STATE_BYTES_MAX); its size. */
size_t virtio_state_save(struct virtio_dev *dev, void *dst);

/*
 * Loads it into a device of the same kind that nobody has used, and which is paused from then on
 * (virtio_dev_resume). The device's memory is loaded already. -EINVAL (damaged), -ENOTSUP (of
 * another device: type, queues, features or configuration differ), with err. Control thread.
 */
MUST_USE int virtio_state_load(struct virtio_dev *dev, const void *src, size_t len,
			       struct err *err);

#endif
