/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/memdigest.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/le.h"
#include "base/num.h"

#define BLOCK	    (64 * KIB)
#define STEP_BLOCKS 4U

static void add(struct memdigest *d, const void *data, size_t len)
{
	if (crypto_generichash_blake2b_update(&d->hash, data, len) != 0)
		BUG("BLAKE2b");
}

static void add_number(struct memdigest *d, uint64_t v)
{
	const le64_t le = le64_put(v);

	add(d, &le, sizeof(le));
}

void memdigest_begin(struct memdigest *d, int fd, uint64_t bytes)
{
	BUG_ON(bytes % BLOCK != 0);
	d->fd = fd;
	d->bytes = bytes;
	d->at = 0;
	if (crypto_generichash_blake2b_init(&d->hash, NULL, 0, SNAPSEAL_DIGEST_BYTES) != 0)
		BUG("BLAKE2b");
	add_number(d, bytes);
}

/* The next block that isn't a hole: 0 and d->at, which is d->bytes when there is none. */
static int skip_hole(struct memdigest *d)
{
	off_t data = lseek(d->fd, (off_t)d->at, SEEK_DATA);

	if (data < 0 && errno != ENXIO)
		return -errno;
	d->at = data < 0 ? d->bytes : MIN((uint64_t)data / BLOCK * BLOCK, d->bytes);
	return 0;
}

int memdigest_step(struct memdigest *d)
{
	static uint8_t block[BLOCK]; /* one thread */
	static const uint8_t zeros[BLOCK];
	int r = 0;

	for (unsigned i = 0; i < STEP_BLOCKS && d->at < d->bytes && r == 0; i++) {
		r = skip_hole(d);
		if (r < 0 || d->at == d->bytes)
			break;
		r = fd_pread_full(d->fd, block, BLOCK, d->at);
		if (r == 0 && memcmp(block, zeros, BLOCK) != 0) {
			add_number(d, d->at / BLOCK);
			add(d, block, BLOCK);
		}
		d->at += BLOCK;
	}
	explicit_bzero(block, sizeof(block)); /* a tenant's */
	return r < 0 ? r : d->at < d->bytes;
}

void memdigest_end(struct memdigest *d, uint8_t ret[SNAPSEAL_DIGEST_BYTES])
{
	BUG_ON(d->at != d->bytes);
	if (crypto_generichash_blake2b_final(&d->hash, ret, SNAPSEAL_DIGEST_BYTES) != 0)
		BUG("BLAKE2b");
}
