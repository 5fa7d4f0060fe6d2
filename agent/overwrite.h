/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overwrite.h - opens a file for its new content, where it is: the same inode, so that watchers,
 * links and open descriptors see it. (WriteFile of ttrpc replaces instead: file_write.c.)
 */
#ifndef AGENT_OVERWRITE_H
#define AGENT_OVERWRITE_H

#include "agent/place.h"
#include "base/compiler.h"

/* With the user's rights, or rooted.h's. Makes the file (0644) and its directories (0755), or
 * empties it, and makes it the user's where the user may: the descriptor, -EISDIR, -EINVAL (no
 * regular file), -errno. */
MUST_USE int overwrite_open(const struct place *p, struct err *err);

#endif
