/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sparse.h - copies a part of a file to a part of another one, holes as holes, in steps short
 * enough for a loop that has other work. The bytes are a guest's; they are copied and nothing else.
 *
 * What is a hole or all zeros in the source isn't written: the destination must have zeros there.
 * One thread.
 */
#ifndef JAILER_SPARSE_H
#define JAILER_SPARSE_H

#include <stdint.h>

#include "base/compiler.h"

struct sparse {
	int from, to; /* borrowed */
	uint64_t from_at, to_at, left;
};

/* Copies at most 256 KiB: 1 = there is more, 0 = done, -EIO: the source is too short, or another
 * -errno of either file. */
MUST_USE int sparse_step(struct sparse *c);

/*
 * Instead: `to`, an empty file of at least so many bytes, shares the first bytes of `from`, copy on
 * write, where the file system can. 0, -EOPNOTSUPP: it can't, copy them; or another -errno.
 */
MUST_USE int sparse_share(int from, int to, uint64_t bytes);

#endif
