/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http/body.h"

#include <errno.h>

#include "base/num.h"

#define CHUNK_DIGITS_MAX 15U /* so that a size fits 63 bits */

enum chunk_state {
	CHUNK_FIRST_DIGIT,
	CHUNK_DIGITS,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER_START, /* of a line */
	CHUNK_TRAILER,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
};

void http_body_init(struct http_body *b, const struct http_head *h)
{
	*b = (struct http_body){ .kind = h->body,
				 .left = h->body == HTTP_BODY_LENGTH ? h->length : 0,
				 .done = h->body == HTTP_BODY_NONE };
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int on_digit(struct http_body *b, unsigned char c)
{
	int d = hex_digit(c);

	if (d >= 0) {
		if (b->line >= CHUNK_DIGITS_MAX)
			return -EPROTO;
		b->left = b->left * 16 + (uint64_t)d;
		b->state = CHUNK_DIGITS;
		return 0;
	}
	if (b->state == CHUNK_FIRST_DIGIT)
		return -EPROTO;
	b->state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
	return c == '\r' || c == ';' ? 0 : -EPROTO;
}

/* One byte that is not data. */
static int on_framing(struct http_body *b, unsigned char c)
{
	const enum chunk_state s = (enum chunk_state)b->state;

	switch (s) {
	case CHUNK_FIRST_DIGIT:
	case CHUNK_DIGITS:
		return on_digit(b, c);
	case CHUNK_EXTENSION:
		if (c == '\r')
			b->state = CHUNK_SIZE_LF;
		return c == '\n' || b->line > HTTP_CHUNK_LINE_MAX ? -EPROTO : 0;
	case CHUNK_SIZE_LF:
		b->state = b->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_START;
		b->line = 0;
		return c == '\n' ? 0 : -EPROTO;
	case CHUNK_DATA_CR:
		b->state = CHUNK_DATA_LF;
		return c == '\r' ? 0 : -EPROTO;
	case CHUNK_DATA_LF:
		b->state = CHUNK_FIRST_DIGIT;
		b->line = 0;
		return c == '\n' ? 0 : -EPROTO;
	case CHUNK_TRAILER_START:
	case CHUNK_TRAILER:
		if (c == '\r')
			b->state = s == CHUNK_TRAILER ? CHUNK_TRAILER_LF : CHUNK_END_LF;
		else
			b->state = CHUNK_TRAILER;
		return c == '\n' || b->line > HTTP_TRAILERS_MAX ? -EPROTO : 0;
	case CHUNK_TRAILER_LF:
		b->state = CHUNK_TRAILER_START;
		return c == '\n' ? 0 : -EPROTO;
	case CHUNK_END_LF:
		b->done = true;
		return c == '\n' ? 0 : -EPROTO;
	case CHUNK_DATA:
		break;
	}
	return -EPROTO;
}

static ssize_t take_chunked(struct http_body *b, const unsigned char *p, size_t len,
			    const void **ret_data, size_t *ret_len)
{
	size_t used = 0;

	while (used < len && !b->done) {
		if (b->state == CHUNK_DATA) {
			size_t n = (size_t)MIN(b->left, (uint64_t)(len - used));
			*ret_data = p + used;
			*ret_len = n;
			b->left -= n;
			if (b->left == 0)
				b->state = CHUNK_DATA_CR;
			return (ssize_t)(used + n);
		}
		if (on_framing(b, p[used]) < 0)
			return -EPROTO;
		b->line++;
		if (b->state == CHUNK_FIRST_DIGIT)
			b->line = 0;
		used++;
	}
	return (ssize_t)used;
}

ssize_t http_body_take(struct http_body *b, const void *data, size_t len, const void **ret_data,
		       size_t *ret_len)
{
	size_t n = len;

	*ret_data = data;
	*ret_len = 0;
	if (b->done || len == 0)
		return 0;
	if (b->kind == HTTP_BODY_CHUNKED)
		return take_chunked(b, data, len, ret_data, ret_len);
	if (b->kind == HTTP_BODY_LENGTH) {
		n = (size_t)MIN(b->left, (uint64_t)len);
		b->left -= n;
		b->done = b->left == 0;
	}
	*ret_len = n;
	return (ssize_t)n;
}

int http_body_end(struct http_body *b)
{
	if (b->kind == HTTP_BODY_UNTIL_CLOSE)
		b->done = true;
	return b->done ? 0 : -EPROTO;
}
