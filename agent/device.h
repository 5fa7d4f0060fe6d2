/* SPDX-License-Identifier: Apache-2.0 */
/* device.h - kernel modules and the devices that they bring. For PID 1 in the initramfs. */
#ifndef AGENT_DEVICE_H
#define AGENT_DEVICE_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

#define DEVICE_WAIT_MS 5000

/*
 * Loads what DIR/load names, one file of DIR a line, in that order. 1: done, 0: there is no such
 * list (a kernel without modules), or -errno.
 */
MUST_USE int device_load_modules(const char *dir, struct err *err);

#define DEVICE_PMEM "/dev/pmem0"

/* Static strings. */
struct device_disks {
	const char *root;    /* NULL = there is no disk */
	const char *scratch; /* NULL = none */
};

/*
 * Waits until each virtio disk that the kernel knows of has its node in /dev (pmem appears some
 * time after its driver has found it, modules are free to take their time), and says which is
 * which: the first is the root and the second the scratch disk; with root=/dev/pmem0 on the
 * kernel's command line the root is that, and the first disk is scratch. Another root= means that
 * there must be /dev/vda. 0, or -errno after DEVICE_WAIT_MS.
 */
MUST_USE int device_find_disks(struct device_disks *ret, struct err *err);

#endif
