/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limiter.h - two token buckets, for bytes and for operations: what a drive, or one direction of
 * a nic, may do in a second. Pure: the caller brings the time. Not thread-safe.
 *
 * Something larger than the burst passes when its bucket is full, and is paid off afterwards: a
 * limit delays, it never refuses.
 */
#ifndef VMM_VIRTIO_LIMITER_H
#define VMM_VIRTIO_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct limit_bucket {
	uint64_t rate;	/* units a second; 0 = no limit */
	uint64_t burst; /* 0 = rate */
};

struct limits {
	struct limit_bucket bytes;
	struct limit_bucket operations;
};

struct limiter_bucket {
	struct limit_bucket limit;
	int64_t tokens;	    /* negative: something large is being paid off */
	uint64_t refill_ns; /* time up to which tokens are accounted for */
};

struct limiter {
	struct limiter_bucket bytes, operations;
};

/* Sets or changes the limits of *l, which is zeroed memory at first. A bucket that gets its first
 * limit starts full; one whose limit changes keeps what is in it, up to the new burst, and its
 * debt. */
void limiter_set(struct limiter *l, const struct limits *limits, uint64_t now_ns);
/* May something of `bytes` (and one operation) start now? If so it is charged. If not,
 * *ret_wait_ns says when to ask again (at least 1). 0 bytes don't wait for the bytes' bucket. */
MUST_USE bool limiter_take(struct limiter *l, uint64_t bytes, uint64_t now_ns,
			   uint64_t *ret_wait_ns);
/* Gives back what was charged for something that didn't happen. */
void limiter_return(struct limiter *l, uint64_t bytes);

#endif
