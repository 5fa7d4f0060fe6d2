/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer.h - one layer: a blob, uncompressed as it is read, and the tar in it, entry by entry.
 *
 * Both the blob's bytes and the uncompressed ones are hashed and counted as they pass, all of them,
 * also those after the archive's end. Sequential; one thread.
 */
#ifndef IMPORT_LAYER_H
#define IMPORT_LAYER_H

#include <archive.h>
#include <archive_entry.h>
#include <openssl/sha.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "import/digest.h"
#include "import/source.h"

struct layer {
	struct blob blob;
	struct archive *raw; /* uncompresses */
	struct archive *tar; /* reads what raw gives */
	SHA256_CTX blob_hash, diff_hash;
	uint64_t diff_bytes; /* uncompressed, so far */
	uint64_t budget;     /* how many there may be */
	struct err err;	     /* of a callback; code 0: libarchive's own words */
};

/* As blob_open(). budget: how many uncompressed bytes are accepted. Close it also after a failure.
 */
MUST_USE int layer_open(struct layer *l, const struct source *s, const char *name, uint64_t budget,
			struct err *err);
void layer_close(struct layer *l);

/* 1 and the next entry, valid until the next call; 0 at the end; -errno. */
MUST_USE int layer_next(struct layer *l, struct archive_entry **ret, struct err *err);
/* 1 and bytes of the entry at an offset that only grows (between are zeroes); 0 at its end; -errno.
 */
MUST_USE int layer_data(struct layer *l, const void **ret, size_t *ret_len, uint64_t *ret_offset,
			struct err *err);
/* Reads what is left and tells the digests of the blob and of what was in it. */
MUST_USE int layer_finish(struct layer *l, struct digest *ret_blob, struct digest *ret_diff,
			  struct err *err);

#endif
