/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memdigest.h - the digest of a guest's memory in a file: the same whether a page of zeros is a
 * hole or not, and in time for what isn't one.
 *
 * BLAKE2b-256 of: the size (le64); then, for each block of 64 KiB that isn't all zeros, its number
 * (le64) and its bytes. The bytes are a guest's; they are hashed and nothing else.
 *
 * Nothing here waits for anything but the file, which is a memfd; a step takes a fraction of a
 * millisecond, so that the caller's loop stays lively. One thread.
 */
#ifndef JAILER_MEMDIGEST_H
#define JAILER_MEMDIGEST_H

#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "jailer/snapseal.h"

struct memdigest {
	crypto_generichash_blake2b_state hash;
	int fd; /* borrowed */
	uint64_t bytes, at;
};

/* The file has `bytes`, a multiple of 64 KiB, and doesn't change. */
void memdigest_begin(struct memdigest *d, int fd, uint64_t bytes);
/* Some blocks: 1 = there is more, 0 = done, or -errno. */
MUST_USE int memdigest_step(struct memdigest *d);
/* After a 0. */
void memdigest_end(struct memdigest *d, uint8_t ret[SNAPSEAL_DIGEST_BYTES]);

#endif
