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

/*
 * Waits until each virtio disk that the kernel knows of has its node in /dev. With built-in
 * drivers that is so before PID 1 starts; look = true when modules were loaded. A root= on the
 * command line means that there must be /dev/vda. 0, or -errno after DEVICE_WAIT_MS.
 */
MUST_USE int device_wait_disks(bool look, struct err *err);

#endif
