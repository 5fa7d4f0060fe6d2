/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.h - the two ways through a layer: once for its names and attributes, which go into the
 * tree, and once for the bytes of those files that are still there when all layers are in it.
 */
#ifndef IMPORT_APPLY_H
#define IMPORT_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "import/erofs.h"
#include "import/layer.h"
#include "import/tree.h"

struct apply_counts {
	uint32_t entries; /* of all layers */
	uint32_t xattrs_dropped;
};

/* Refuses devices, fifos, sockets, and whatever tree.h and path.h refuse; err names the entry. */
MUST_USE int apply_names(struct tree *t, struct layer *l, uint32_t number, bool whiteouts,
			 struct apply_counts *counts, struct err *err);

/* How far the second way is, over all layers. */
struct apply_cursor {
	uint32_t file;	/* the first of erofs.files that isn't written */
	uint32_t entry; /* of all layers */
};

/* A layer that isn't what it was the first time is -EINVAL, or noticed by its digest. */
MUST_USE int apply_bytes(const struct erofs *e, struct layer *l, uint32_t number,
			 struct apply_cursor *c, int fd, struct err *err);

#endif
