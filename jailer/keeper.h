/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h - takes an image in: a stream of bytes becomes a file of blobs.h.
 *
 * Theory of operation. Reading, hashing and flushing gigabytes would hold up everybody who wants a
 * jail, so each image has a process of its own. It is a fork of the jailer with three descriptors
 * (the stream, the new file, the socket for its report), no capability, and a filter under which it
 * can read, write, flush and end (keeper.policy). It doesn't look at what it copies. The jailer
 * gives the file its name when the process has said what the digest is.
 *
 * The stream ends early when its sender gives up: then there is no file. A process that is told to
 * end in the middle of a flush may take its time, and counts until then. Everything belongs to the
 * loop's thread.
 */
#ifndef JAILER_KEEPER_H
#define JAILER_KEEPER_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "jailer/blobs.h"

#define KEEPER_JOBS_MAX 2U
#define KEEPER_MS_MAX	(UINT64_C(30) * 60 * 1000) /* for one image, from first byte to name */

struct keeper;
struct keeper_job;

struct kept {
	char digest[BLOB_DIGEST_LEN + 1];
	bool existed; /* it was there already */
	bool verity;  /* the kernel checks each of its blocks */
};
/* The end of a job, which is gone when this returns: r = 0 and kept, or -errno and err. */
typedef void keeper_fn(void *arg, int r, const struct kept *kept, const struct err *err);

/* b outlives it. */
MUST_USE int keeper_new(struct loop *l, const struct blobs *b, struct keeper **ret);
/* Drops all jobs without a word. NULL is fine. */
void keeper_free(struct keeper *k);

/*
 * Reads `bytes` from stream (the caller's) until its end. digest: what they must be, or "".
 * 0: fn is called once, later; -errno with err: as blobs_room, -EBUSY (too many at a time).
 */
MUST_USE int keeper_store(struct keeper *k, int stream, uint64_t bytes, const char *digest,
			  keeper_fn *fn, void *arg, struct keeper_job **ret, struct err *err);
/* fn won't be called any more. */
void keeper_cancel(struct keeper_job *j);

#endif
