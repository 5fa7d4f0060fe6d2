/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h - a bounded byte queue: bytes go in at the end and come out at the front.
 *
 * It grows by doubling up to max and never beyond (-ENOSPC). A buffer is owned by one thread.
 * Pointers from buf_head and buf_reserve live until the next call that adds to the buffer.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct buf {
	uint8_t *data; /* NULL until the first byte */
	size_t cap;
	size_t off; /* first byte that is still to be read */
	size_t end; /* one past the last byte */
	size_t max; /* hard ceiling of end - off */
};

void buf_init(struct buf *b, size_t max);
/* Frees the memory; the buffer may be used again. */
void buf_done(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->off;
}
static inline size_t buf_room(const struct buf *b)
{
	return b->max - buf_len(b);
}
/* The first byte; buf_len bytes may be read there. NULL when empty. */
const uint8_t *buf_head(const struct buf *b);

/* Appends len bytes, all or nothing: 0, -ENOSPC (max), -ENOMEM. */
MUST_USE int buf_put(struct buf *b, const void *data, size_t len);
/* Room for len bytes at the end, to be filled and then committed. NULL: would exceed max. */
MUST_USE uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len);
/* Drops len bytes from the front. len <= buf_len. */
void buf_consume(struct buf *b, size_t len);

#endif
