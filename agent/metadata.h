/* SPDX-License-Identifier: Apache-2.0 */
/* metadata.h - what a client wants to be remembered of a file: extended attributes user.e2b.*, or
 * trusted.e2b.*, which are root's alone, where the file system has no user.*. */
#ifndef AGENT_METADATA_H
#define AGENT_METADATA_H

#include <stddef.h>

#include "agent/entry.h"
#include "api/http/head.h"
#include "base/compiler.h"
#include "base/err.h"

#define METADATA_PAIRS_MAX 64

struct metadata {
	size_t count;
	char *keys[METADATA_PAIRS_MAX]; /* lower case, without the prefix */
	char *values[METADATA_PAIRS_MAX];
};

/* From the X-Metadata-KEY fields of a request: 0, -EINVAL (too long or too many), -ENOMEM. Done in
 * any case. */
MUST_USE int metadata_from_head(struct metadata *m, const struct http_head *h, struct err *err);
void metadata_done(struct metadata *m);
/* The file has these and no others from now on: 0 or -errno. A file system without extended
 * attributes is fine as long as there is nothing to keep. */
MUST_USE int metadata_set(const struct metadata *m, int fd, struct err *err);

#endif
