/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - from the kernel's start of /init to a system in which commands can run. For PID 1.
 *
 * Two parts, so that the host can be called in between and its answer takes no time of its own:
 * nothing is served before the second is done. No process is started (but mke2fs for a blank
 * scratch disk) and nothing is waited for but disks.
 */
#ifndef AGENT_BOOT_H
#define AGENT_BOOT_H

#include "base/compiler.h"
#include "base/err.h"

/* /dev, standard descriptors, modules (if any), disks, root. Without a disk the initramfs stays
 * the root. ret_scratch: as of mount_root. */
MUST_USE int boot_root(int *ret_scratch, struct err *err);

/* The system's file systems, loopback, settings. */
MUST_USE int boot_system(struct err *err);

#endif
