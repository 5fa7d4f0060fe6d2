/* SPDX-License-Identifier: Apache-2.0 */
/* listing.h - the entries below a directory, bounded. With the rights in force. */
#ifndef AGENT_LISTING_H
#define AGENT_LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/entry.h"
#include "base/compiler.h"
#include "base/err.h"

#define LISTING_ENTRIES_MAX 16384
#define LISTING_DEPTH_MAX   64

struct listing {
	entry_pb **entries;
	size_t count, cap;
};

/* Names sorted, each directory followed by what is in it, down to `depth` levels (0 = 1). Symlinks
 * below path aren't followed; a directory that can't be read or has gone is empty. 0, -ENOENT,
 * -ENOTDIR, -E2BIG (too many entries), -errno. Free in any case. */
MUST_USE int listing_read(struct listing *l, const char *path, uint32_t depth, struct err *err);
void listing_free(struct listing *l);

#endif
