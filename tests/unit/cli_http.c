/* SPDX-License-Identifier: Apache-2.0 */
/* The strict parser of the daemon's answers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/http_parse.h"
#include "base/compiler.h"

static ssize_t parse(const char *text, struct http_head *h)
{
	return http_head_parse(text, strlen(text), h);
}

Test(head, with_a_length)
{
	static const char text[] =
		"HTTP/1.1 201 Created\r\nContent-Length: 12\r\nX-Y:  z \r\n\r\n{}";
	struct http_head h;

	cr_assert_eq(parse(text, &h), (ssize_t)sizeof(text) - 3);
	cr_assert_eq(h.status, 201);
	cr_assert_eq(h.body, HTTP_BODY_LENGTH);
	cr_assert_eq(h.length, 12);
	cr_assert_not(h.close);
}

/* Cut anywhere, it asks for more; it never takes a part for the whole. */
Test(head, every_prefix)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	struct http_head h;

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		cr_assert_eq(http_head_parse(text, i, &h), 0, "%zu", i);
	cr_assert_eq(parse(text, &h), (ssize_t)sizeof(text) - 1);
	cr_assert_eq(h.body, HTTP_BODY_CHUNKED);
	cr_assert(h.close);
}

Test(head, upgrade)
{
	struct http_head h;

	cr_assert_gt(parse("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
			   "Upgrade: TTRPC\r\n\r\n",
			   &h),
		     0);
	cr_assert(h.upgrade_ttrpc);
	cr_assert_eq(h.body, HTTP_BODY_NONE);
	cr_assert_gt(parse("HTTP/1.1 200 OK\r\nUpgrade: ttrpc\r\n\r\n", &h), 0);
	cr_assert_not(h.upgrade_ttrpc);
}

Test(head, refused)
{
	static const char *const bad[] = {
		"HTTP/1.0 200 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 099 x\r\n\r\n",
		"HTTP/1.1 600 x\r\n\r\n",
		"http/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\n\n",
		"HTTP/1.1 200 OK\r\rX",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
		"HTTP/1.1 200 OK\r\nSp ace: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n",
		"\r\n\r\n",
	};
	struct http_head h;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(parse(bad[i], &h), -EPROTO, "%zu: %s", i, bad[i]);
	cr_assert_eq(http_head_parse("HTTP/1.1 200 \0\r\n\r\n", 18, &h), -EPROTO);
}

Test(head, too_long)
{
	static char text[HTTP_HEAD_MAX + 100] = "HTTP/1.1 200 OK\r\nA: ";
	struct http_head h;

	memset(text + 20, 'x', sizeof(text) - 20);
	cr_assert_eq(http_head_parse(text, HTTP_HEAD_MAX - 1, &h), 0);
	cr_assert_eq(http_head_parse(text, sizeof(text), &h), -EFBIG);
}

/* Decodes all of text, fed in steps of `step` bytes; -1 when refused, -2 without an end. */
static int decode(const char *text, size_t len, size_t step, char *out, size_t cap)
{
	struct http_chunks c = { .state = 0 };
	size_t at = 0, avail = 0, got = 0;
	bool end = false;

	while (!end) {
		const char *piece;
		size_t piece_len;
		if (avail < len)
			avail = avail + step < len ? avail + step : len;
		ssize_t n = http_chunks_next(&c, text + at, avail - at, &piece, &piece_len, &end);
		if (n < 0)
			return -1;
		cr_assert_leq((size_t)n, avail - at);
		if (n == 0 && !end && avail == len)
			return -2;
		at += (size_t)n;
		cr_assert_leq(got + piece_len, cap);
		memcpy(out + got, piece, piece_len);
		got += piece_len;
	}
	return (int)got;
}

Test(chunks, whole_and_in_pieces)
{
	static const char text[] = "5\r\nhello\r\n00A\r\n, chunked \r\n5\r\nworld\r\n0\r\n\r\n";
	char out[64];

	for (size_t step = 1; step < sizeof(text); step++) {
		int n = decode(text, sizeof(text) - 1, step, out, sizeof(out));
		cr_assert_eq(n, 20, "step %zu: %d", step, n);
		cr_assert_eq(memcmp(out, "hello, chunked world", 20), 0);
	}
	cr_assert_eq(decode("0\r\n\r\n", 5, 5, out, sizeof(out)), 0);
}

Test(chunks, refused)
{
	static const char *const bad[] = {
		"x\r\n",
		"\r\n",
		"5 \r\nhello\r\n",
		"5;ext=1\r\nhello\r\n",
		"-5\r\nhello\r\n",
		"5\nhello\n",
		"5\r\nhelloX",
		"123456789\r\n",
		"0\r\nTrailer: x\r\n",
		"5\r\nhello\r\r",
	};
	char out[64];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(decode(bad[i], strlen(bad[i]), 64, out, sizeof(out)), -1, "%zu: %s", i,
			     bad[i]);
	cr_assert_eq(decode("5\r\nhel", 6, 6, out, sizeof(out)), -2);
}
