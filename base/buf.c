/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

#define BUF_FIRST_BYTES 256

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

const uint8_t *buf_head(const struct buf *b)
{
	return buf_len(b) > 0 ? b->data + b->off : NULL;
}

/* Makes room for more than `need` bytes in all, as far as max allows. The data is at the front. */
static bool grow(struct buf *b, size_t need)
{
	size_t cap = b->cap > 0 ? b->cap : BUF_FIRST_BYTES;
	uint8_t *data;

	do
		cap = cap <= b->max / 2 ? cap * 2 : b->max;
	while (cap < need);
	if (cap == 0)
		cap = 1; /* max is 0: still a pointer that is not NULL */
	data = realloc(b->data, cap);
	if (data == NULL)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
	size_t used = buf_len(b);

	if (len > b->max - used)
		return NULL;
	if (len <= b->cap - b->end && b->data != NULL)
		return b->data + b->end;
	if (b->off > 0) {
		BUG_ON(b->data == NULL);
		memmove(b->data, b->data + b->off, used);
		b->off = 0;
		b->end = used;
	}
	/* More than half full counts as full: otherwise each small step at the end of a long queue
	 * would move all of it to the front again. */
	bool crowded = used > b->cap / 2 && b->cap < b->max;
	if ((crowded || len > b->cap - used || b->data == NULL) && !grow(b, used + len) &&
	    len > b->cap - used)
		return NULL;
	return b->data + b->end;
}

void buf_commit(struct buf *b, size_t len)
{
	BUG_ON(len > b->cap - b->end);
	b->end += len;
}

int buf_put(struct buf *b, const void *data, size_t len)
{
	uint8_t *p;

	if (len == 0)
		return 0;
	if (len > buf_room(b))
		return -ENOSPC;
	p = buf_reserve(b, len);
	if (p == NULL)
		return -ENOMEM;
	memcpy(p, data, len);
	buf_commit(b, len);
	return 0;
}

void buf_consume(struct buf *b, size_t len)
{
	BUG_ON(len > buf_len(b));
	b->off += len;
	if (b->off == b->end)
		b->off = b->end = 0;
}
