/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapseal.h - the seal of a snapshot: what this host vouches for when a snapshot comes back from
 * a disk. docs/SNAPSHOT.md has every byte and says what it proves and what it doesn't.
 *
 * It is made of digests, so that the key is needed for a few bytes only: BLAKE2b-256 of the state
 * and of the memory (memdigest.h), the machine that they are of, and a keyed BLAKE2b-256 over all
 * of that. The hash is libsodium's.
 *
 * Pure. sodium_init() must have been called (sealkey_open does).
 */
#ifndef JAILER_SNAPSEAL_H
#define JAILER_SNAPSEAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "jailer/request.h"

#define SNAPSEAL_VERSION      1U
#define SNAPSEAL_BYTES	      224U
#define SNAPSEAL_KEY_BYTES    32U
#define SNAPSEAL_DIGEST_BYTES 32U

struct snapseal {
	uint32_t vcpus, nic_queues;
	uint64_t memory_bytes, scratch_bytes;
	uint64_t state_bytes;
	char image[REQUEST_NAME_MAX + 1];
	uint8_t state[SNAPSEAL_DIGEST_BYTES];
	uint8_t memory[SNAPSEAL_DIGEST_BYTES];
};

/* Of a state file's bytes. */
void snapseal_digest(const void *data, size_t len, uint8_t ret[SNAPSEAL_DIGEST_BYTES]);

/* What a request's machine says, without the digests. */
void snapseal_describe(struct snapseal *s, const struct request *q);

void snapseal_make(const struct snapseal *s, const uint8_t key[SNAPSEAL_KEY_BYTES],
		   uint8_t ret[SNAPSEAL_BYTES]);
/*
 * Opens a seal of any length that anybody may have written. 0; -EINVAL: not a seal; -ENOTSUP: of
 * another version; -EKEYREJECTED: with another host's key, or altered. *ret and err's text.
 */
MUST_USE int snapseal_open(const void *data, size_t len, const uint8_t key[SNAPSEAL_KEY_BYTES],
			   struct snapseal *ret, struct err *err);
/* Is it of the machine that is asked for? 0 or -EINVAL with err. */
MUST_USE int snapseal_check(const struct snapseal *s, const struct request *q, struct err *err);

#endif
