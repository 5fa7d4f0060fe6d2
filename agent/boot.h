/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - from the kernel's start of /init to a system in which commands can run. For PID 1.
 *
 * Order: /dev, standard descriptors, modules (if any), disks, root, the system's file systems,
 * loopback. No process is started (but mke2fs for a blank scratch disk) and nothing is waited for
 * but disks. Without a disk the initramfs stays the root.
 */
#ifndef AGENT_BOOT_H
#define AGENT_BOOT_H

#include "base/compiler.h"
#include "base/err.h"

MUST_USE int boot_system(struct err *err);

#endif
