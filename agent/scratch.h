/* SPDX-License-Identifier: Apache-2.0 */
/* scratch.h - the optional writable disk: an ext4 is made on it when it is blank. For PID 1. */
#ifndef AGENT_SCRATCH_H
#define AGENT_SCRATCH_H

#include "base/compiler.h"
#include "base/err.h"

/*
 * Leaves an ext4 on the disk: there already, or made by the mke2fs of the image mounted at
 * `image_root`. A disk that holds anything else is refused, not overwritten.
 */
MUST_USE int scratch_prepare(const char *disk, const char *image_root, struct err *err);

#endif
