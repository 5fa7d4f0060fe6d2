/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_BLK_POOL_H
#define FUZZ_BLK_POOL_H

#include <stdbool.h>

#include "vmm/virtio/blk_pool.h"

/* Does the first request that waits, and gives back what is done if asked: false, none waited. */
bool fuzz_pool_run(struct blk_lane *lane, bool reap);

#endif
