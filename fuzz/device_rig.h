/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_rig.h - a driver that does anything with the queues and the configuration of one device:
 * the body of the targets for devices that live by their queues alone (balloon, console, pmem,
 * rng).
 */
#ifndef FUZZ_DEVICE_RIG_H
#define FUZZ_DEVICE_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "tests/unit/fake_driver.h"

struct device_rig {
	const uint8_t *data; /* what is left of the input */
	size_t len;
	struct drv d;
};

/* The next bytes of the input as a number, zeros at its end. */
uint64_t rig_take(struct device_rig *r, unsigned bytes);

struct device_rig_ops {
	/* Makes the device on &r->d.mem. */
	struct virtio_dev *(*make)(struct device_rig *r);
	/* Optional: the host does something to the device. */
	void (*host)(struct device_rig *r);
	/* Optional: the device's own invariants, after each step. */
	void (*check)(struct device_rig *r);
};

/* Plays the whole input; 0. */
int device_rig_run(const struct device_rig_ops *ops, const uint8_t *data, size_t len);

#endif
