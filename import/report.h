/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - what an import tells about its image, as JSON. */
#ifndef IMPORT_REPORT_H
#define IMPORT_REPORT_H

#include <jansson.h>

#include "base/compiler.h"
#include "base/err.h"
#include "import/apply.h"
#include "import/digest.h"
#include "import/erofs.h"
#include "import/oci.h"

struct report {
	enum source_format format;
	size_t layers;
	struct digest blob[IMPORT_LAYERS_MAX], diff[IMPORT_LAYERS_MAX];
	struct digest manifest; /* of an OCI image */
	bool has_manifest;
	json_t *config; /* NULL: a plain tar has none. Owned. */
	struct digest image;
	uint64_t image_bytes;
	uint32_t inodes;
	struct apply_counts counts;
};

/* The digest of a whole file, from its beginning. */
MUST_USE int report_hash(int fd, struct digest *ret, struct err *err);
/* *ret is the caller's. */
MUST_USE int report_make(const struct report *r, json_t **ret, struct err *err);

#endif
