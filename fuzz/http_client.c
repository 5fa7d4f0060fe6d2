/* SPDX-License-Identifier: Apache-2.0 */
/* The CLI's parser of the daemon's answers: a head, and then its chunks. */
#include <stddef.h>
#include <stdint.h>

#include "api/cli/http_parse.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed_chunks(const char *text, size_t len)
{
	struct http_chunks c = { .state = 0 };
	bool end = false;

	for (size_t at = 0; at < len && !end;) {
		const char *piece = NULL;
		size_t piece_len;
		ssize_t n = http_chunks_next(&c, text + at, len - at, &piece, &piece_len, &end);
		if (n < 0)
			return;
		/* It takes what it is given and no more, and its pieces lie within that. */
		BUG_ON((size_t)n > len - at || (n == 0 && !end));
		BUG_ON(piece_len > 0 &&
		       (piece < text + at || piece + piece_len > text + at + (size_t)n));
		at += (size_t)n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct http_head h;
	ssize_t n = http_head_parse(text, size, &h);

	if (n <= 0)
		return 0;
	BUG_ON((size_t)n > size || h.status < 100 || h.status > 599);
	/* A whole head stays one when more follows, and a part of it is never one. */
	BUG_ON(n > 1 && http_head_parse(text, (size_t)n - 1, &h) != 0);
	if (h.body == HTTP_BODY_CHUNKED)
		feed_chunks(text + n, size - (size_t)n);
	return 0;
}
