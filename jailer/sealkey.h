/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealkey.h - the host's key for the seals of snapshots: 32 random bytes in the store's file
 * seal.key (root's, mode 0600), made when there is none.
 *
 * It never leaves this process: it lies in a page of its own that isn't inherited by fork or clone
 * (so no jail has ever had it, not even before its exec), isn't dumped and isn't swapped out.
 * Whoever has it can make snapshots that this host takes for its own; without it, those on the disk
 * are lost.
 */
#ifndef JAILER_SEALKEY_H
#define JAILER_SEALKEY_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "jailer/snapseal.h"
#include "jailer/store.h"

struct sealkey {
	const uint8_t *bytes; /* SNAPSEAL_KEY_BYTES; NULL = closed */
};

/* Reads or makes it; also the start of libsodium. Refuses a file that isn't root's alone or has
 * another size: -EPERM, -EINVAL or another -errno, with err. */
MUST_USE int sealkey_open(struct sealkey *k, const struct store *s, struct err *err);
void sealkey_close(struct sealkey *k);

#endif
