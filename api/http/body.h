/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.h - takes the body of an HTTP/1 message apart: framing out, bytes in. Chunk extensions and
 * trailers are bounded and dropped. Pure; fuzzed by fuzz/http_head.c. Any thread.
 */
#ifndef API_HTTP_BODY_H
#define API_HTTP_BODY_H

#include "api/http/head.h"

#define HTTP_CHUNK_LINE_MAX 256U  /* size and extension */
#define HTTP_TRAILERS_MAX   4096U /* bytes of all trailers */

struct http_body {
	enum http_body_kind kind;
	unsigned char state; /* body.c */
	bool done;	     /* the last byte has been taken */
	uint64_t left;	     /* of the length, or of the chunk */
	size_t line;	     /* bytes of the line, or of all trailers */
};

void http_body_init(struct http_body *b, const struct http_head *h);

/*
 * Takes the next piece of data: returns how many bytes it consumed (0 = more are needed, or done)
 * and sets *ret_data, *ret_len to the piece of body among them (*ret_len may be 0). -EPROTO.
 */
MUST_USE ssize_t http_body_take(struct http_body *b, const void *data, size_t len,
				const void **ret_data, size_t *ret_len);

/* The sender has closed: 0 when that is where the body ends, else -EPROTO: it was cut off. */
MUST_USE int http_body_end(struct http_body *b);

#endif
