/* SPDX-License-Identifier: Apache-2.0 */
/* mount.h - the sandbox's file systems. For PID 1, before anything else runs. */
#ifndef AGENT_MOUNT_H
#define AGENT_MOUNT_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

/* /dev of the initramfs: the disks' nodes appear there. */
MUST_USE int mount_dev(struct err *err);

/* /proc and /sys of the initramfs, for those who must look for devices. */
MUST_USE int mount_proc_sys(struct err *err);

/*
 * The sandbox's root: `image` (EROFS, read-only) under an overlay whose upper half is on
 * `scratch` (ext4, made when the disk is blank; NULL = a tmpfs), with /dev moved into it. Then
 * makes it "/"; what the initramfs held is freed. *ret_scratch: the scratch's top directory, which
 * no path leads to afterwards; -1 without one.
 */
MUST_USE int mount_root(const char *image, const char *scratch, int *ret_scratch, struct err *err);

/* What a Linux system has mounted: proc, sys, devpts, shm, run, tmp, cgroup2... */
MUST_USE int mount_system(struct err *err);

#endif
