/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_pace.h - may a transfer that can't be told not to wait (a file system without RWF_NOWAIT) be
 * done on the drive's own thread, where the requests behind it would wait too? Pure arithmetic,
 * private to the drive's files.
 *
 * A transfer that took long has waited for the storage, or its thread was not given a processor: a
 * busy host does that to any one of them, but hardly to several in a row. So only the third in a
 * row shows that the storage is slow. Then none is done inline for a while, and a single one that
 * is slow again is enough to go on so.
 */
#ifndef VMM_VIRTIO_BLK_PACE_H
#define VMM_VIRTIO_BLK_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define BLK_PACE_SLOW_NS  UINT64_C(1000000)
#define BLK_PACE_SLOW_ROW 3U
#define BLK_PACE_REST_NS  UINT64_C(100000000)

/* All zero at first. */
struct blk_pace {
	uint64_t rest_until_ns;
	unsigned slow; /* in a row, up to BLK_PACE_SLOW_ROW */
};

static inline bool blk_pace_may(const struct blk_pace *p, uint64_t now_ns)
{
	return now_ns >= p->rest_until_ns;
}

/* A transfer was done inline. */
static inline void blk_pace_took(struct blk_pace *p, uint64_t start_ns, uint64_t end_ns)
{
	if (end_ns - start_ns <= BLK_PACE_SLOW_NS) {
		p->slow = 0;
		return;
	}
	if (p->slow < BLK_PACE_SLOW_ROW)
		p->slow++;
	if (p->slow == BLK_PACE_SLOW_ROW)
		p->rest_until_ns = end_ns + BLK_PACE_REST_NS;
}

#endif
