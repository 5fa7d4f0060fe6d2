/* SPDX-License-Identifier: Apache-2.0 */
/* The parsers of api/http: heads, bodies, targets. Each refusal stands beside something that
 * passes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/body.h"
#include "api/http/head.h"
#include "api/http/target.h"
#include "base/num.h"

static char text[65536];
static struct http_head head;

static unsigned request(const char *s)
{
	size_t len = strlen(s);

	memcpy(text, s, len + 1);
	cr_assert_eq(http_head_length(text, len, 0), (ssize_t)len, "%s", s);
	return http_request_parse(text, len, &head);
}

static int response(const char *s, const char *method)
{
	size_t len = strlen(s);

	memcpy(text, s, len + 1);
	return http_response_parse(text, len, method, &head);
}

Test(http_head, request)
{
	cr_assert_eq(request("POST /a?b=c HTTP/1.1\r\nHost: h:1\r\nContent-Length: 12\r\n"
			     "X-Y:  spaced out \t\r\nConnection: keep-alive, Close\r\n\r\n"),
		     0);
	cr_assert_str_eq(head.method, "POST");
	cr_assert_str_eq(head.target, "/a?b=c");
	cr_assert_str_eq(head.host, "h:1");
	cr_assert_str_eq(http_head_field(&head, "x-y"), "spaced out");
	cr_assert_eq(head.body, HTTP_BODY_LENGTH);
	cr_assert_eq(head.length, 12);
	cr_assert(head.close && !head.upgrade);
	cr_assert_eq(request("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
			     "Upgrade: websocket\r\n\r\n"),
		     0);
	cr_assert(head.upgrade && !head.close);
	cr_assert_eq(request("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
			     "Expect: 100-continue\r\n\r\n"),
		     0);
	cr_assert(head.body == HTTP_BODY_CHUNKED && head.expect);
	cr_assert_eq(request("GET / HTTP/1.0\r\n\r\n"), 0);
	cr_assert(head.close && head.host == NULL);
}

Test(http_head, requests_that_two_could_read_differently)
{
	static const struct {
		unsigned status;
		const char *text;
	} cases[] = {
		{ 0, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n" },
		{ 400,
		  "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n" },
		{ 400,
		  "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
		       "Transfer-Encoding: chunked\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
		       "Transfer-Encoding: chunked\r\n\r\n" },
		{ 501, "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" },
		{ 501, "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n" },
		{ 400, "GET / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost : h\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\n X: folded\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\nX: a\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nX: a\x01z\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: h\r\nnothing\r\n\r\n" },
		{ 400, "GET  / HTTP/1.1\r\nHost: h\r\n\r\n" },
		{ 400, "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n" },
		{ 400, "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n" },
		{ 400, "GET /# HTTP/1.1\r\nHost: h\r\n\r\n" },
		{ 400, "G@T / HTTP/1.1\r\nHost: h\r\n\r\n" },
		{ 400, "GET /\r\n\r\n" },
		{ 400, "GET / http/1.1\r\nHost: h\r\n\r\n" },
		{ 505, "GET / HTTP/2.0\r\nHost: h\r\n\r\n" },
		{ 505, "GET / HTTP/1.9\r\nHost: h\r\n\r\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_assert_eq(request(cases[i].text), cases[i].status, "%s", cases[i].text);
}

Test(http_head, bounds)
{
	static char big[HTTP_HEAD_MAX + 8];
	size_t n;

	memset(big, 'a', sizeof(big));
	cr_assert_eq(http_head_length(big, 100, 0), 0);
	cr_assert_eq(http_head_length(big, HTTP_HEAD_MAX, 0), -EFBIG);
	memcpy(big + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
	cr_assert_eq(http_head_length(big, sizeof(big), 0), HTTP_HEAD_MAX);
	cr_assert_eq(http_head_length(big, sizeof(big), HTTP_HEAD_MAX - 2), HTTP_HEAD_MAX);
	n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n");
	for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "X-%u: y\r\n", i);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n");
	cr_assert_eq(http_request_parse(text, n, &head), 431);
	n = (size_t)snprintf(text, sizeof(text), "GET /");
	memset(text + n, 'x', HTTP_TARGET_MAX);
	n += HTTP_TARGET_MAX;
	n += (size_t)snprintf(text + n, sizeof(text) - n, " HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_assert_eq(http_request_parse(text, n, &head), 414);
	/* A NUL in the middle of it. */
	n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: hi\r\n\r\n");
	text[23] = '\0';
	cr_assert_eq(http_request_parse(text, n, &head), 400);
}

Test(http_head, response)
{
	cr_assert_eq(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET"), 0);
	cr_assert(head.status == 200 && head.body == HTTP_BODY_LENGTH && head.length == 5);
	cr_assert_str_eq(head.reason, "OK");
	cr_assert_eq(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD"), 0);
	cr_assert_eq(head.body, HTTP_BODY_NONE);
	cr_assert_eq(response("HTTP/1.1 204\r\n\r\n", "GET"), 0);
	cr_assert_eq(head.body, HTTP_BODY_NONE);
	cr_assert_eq(response("HTTP/1.1 200 \r\n\r\n", "GET"), 0);
	cr_assert(head.body == HTTP_BODY_UNTIL_CLOSE && head.close);
	cr_assert_eq(response("HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", "GET"), 0);
	cr_assert_eq(head.body, HTTP_BODY_NONE);
	cr_assert_eq(response("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
			      "GET"),
		     0);
	cr_assert(head.upgrade);
	cr_assert_eq(response("HTTP/1.1 99 x\r\n\r\n", "GET"), -EPROTO);
	cr_assert_eq(response("HTTP/1.1 600 x\r\n\r\n", "GET"), -EPROTO);
	cr_assert_eq(response("HTTP/2 200 x\r\n\r\n", "GET"), -EPROTO);
	cr_assert_eq(response("HTTP/1.1 200 a\x01\r\n\r\n", "GET"), -EPROTO);
	cr_assert_eq(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
			      "Transfer-Encoding: chunked\r\n\r\n",
			      "GET"),
		     -EPROTO);
}

/* The body of s, fed in pieces of `step` bytes; NULL = refused or not complete. */
static const char *body_of(const char *s, size_t step)
{
	static char out[4096];
	struct http_head h = { .body = HTTP_BODY_CHUNKED };
	struct http_body b;
	size_t at = 0, got = 0, len = strlen(s);

	http_body_init(&b, &h);
	while (at < len && !b.done) {
		const void *data;
		size_t n;
		ssize_t used = http_body_take(&b, s + at, MIN(step, len - at), &data, &n);
		if (used < 0)
			return NULL;
		cr_assert_gt(used, 0);
		memcpy(out + got, data, n);
		got += n;
		at += (size_t)used;
	}
	out[got] = '\0';
	return b.done && at == len ? out : NULL;
}

Test(http_head, chunks)
{
	static const char *const bad[] = {
		"5\r\nhello\r\n0\r\n",
		"5\nhello\r\n0\r\n\r\n",
		"5\r\nhelloX\r\n0\r\n\r\n",
		"\r\nhello\r\n0\r\n\r\n",
		"g\r\nhello\r\n0\r\n\r\n",
		" 5\r\nhello\r\n0\r\n\r\n",
		"-5\r\nhello\r\n0\r\n\r\n",
		"5 \r\nhello\r\n0\r\n\r\n",
		"0x5\r\nhello\r\n0\r\n\r\n",
		"5\r\nhello\r\n0\r\n\rX\n",
		"0\r\nA: b\n\r\n",
		"5;\nhello\r\n0\r\n\r\n",
		"1000000000000000\r\nhello",
		"5\r\nhello\n0\r\n\r\n",
		"0\r\n\r\r\n",
	};

	for (size_t step = 1; step < 40; step += 3) {
		cr_assert_str_eq(body_of("5\r\nhello\r\n0\r\n\r\n", step), "hello");
		cr_assert_str_eq(
			body_of("5;a=b\r\nhello\r\n1\r\n!\r\n0;z\r\nT: u\r\nV: w\r\n\r\n", step),
			"hello!");
		cr_assert_str_eq(body_of("0\r\n\r\n", step), "");
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
			cr_assert_null(body_of(bad[i], step), "%s", bad[i]);
	}
	static char long_line[4096] = "5;";
	memset(long_line + 2, 'x', 3000);
	cr_assert_null(body_of(long_line, 4096));
	static char trailers[8192] = "0\r\nX: ";
	memset(trailers + 6, 'x', 5000);
	cr_assert_null(body_of(trailers, 8192));
}

Test(http_head, length_and_end)
{
	struct http_head h = { .body = HTTP_BODY_LENGTH, .length = 3 };
	struct http_body b;
	const void *data;
	size_t n;

	http_body_init(&b, &h);
	cr_assert_eq(http_body_take(&b, "ab", 2, &data, &n), 2);
	cr_assert_eq(http_body_end(&b), -EPROTO);
	cr_assert_eq(http_body_take(&b, "cGET /", 6, &data, &n), 1);
	cr_assert(n == 1 && b.done);
	h.body = HTTP_BODY_UNTIL_CLOSE;
	http_body_init(&b, &h);
	cr_assert_eq(http_body_take(&b, "abc", 3, &data, &n), 3);
	cr_assert(!b.done);
	cr_assert_eq(http_body_end(&b), 0);
}

Test(http_head, targets)
{
	struct http_arg args[HTTP_QUERY_MAX];
	struct http_params p;
	char s[64], path[8 + HTTP_PARAM_MAX + 1];

	cr_assert(http_path_matches("/a/{}/b", "/a/x%3Ay/b", &p));
	cr_assert_str_eq(p.text[0], "x:y");
	cr_assert_str_eq(p.text[1], "");
	cr_assert(http_path_matches("/a/{}/b/{}/c", "/a/x/b/%2Fy/c", &p));
	cr_assert_str_eq(p.text[0], "x");
	cr_assert_str_eq(p.text[1], "/y");
	cr_assert(!http_path_matches("/a/{}/b/{}", "/a/x/b/", &p));
	cr_assert(http_path_matches("/a/*", "/a/b/c", &p));
	cr_assert(!http_path_matches("/a/{}", "/a/", &p));
	cr_assert(!http_path_matches("/a/{}", "/a/b/c", &p));
	cr_assert(!http_path_matches("/a/{}", "/a/b%0", &p));
	cr_assert(!http_path_matches("/a/{}", "/a/b%00", &p));
	memset(path, 'x', sizeof(path) - 1);
	memcpy(path, "/a/", 3);
	path[3 + HTTP_PARAM_MAX] = '\0';
	cr_assert(http_path_matches("/a/{}", path, &p));
	path[3 + HTTP_PARAM_MAX] = 'x';
	path[3 + HTTP_PARAM_MAX + 1] = '\0';
	cr_assert(!http_path_matches("/a/{}", path, &p));
	snprintf(s, sizeof(s), "%s", "a=1&b=x+y%26&&c");
	cr_assert_eq(http_query_parse(s, args), 3);
	cr_assert_str_eq(args[1].value, "x y&");
	cr_assert_str_eq(args[2].name, "c");
	cr_assert_str_eq(args[2].value, "");
	snprintf(s, sizeof(s), "%s", "a=%zz");
	cr_assert_eq(http_query_parse(s, args), -EINVAL);
	char many[200] = "";
	for (unsigned i = 0; i <= HTTP_QUERY_MAX; i++)
		memcpy(many + 4 * i, "a=1&", 4);
	cr_assert_eq(http_query_parse(many, args), -E2BIG);
}

Test(http_head, lists)
{
	cr_assert(http_list_has("close", "close"));
	cr_assert(http_list_has("a, CLOSE ,b", "close"));
	cr_assert(!http_list_has("closed", "close"));
	cr_assert(!http_list_has("", "close"));
	cr_assert(!http_list_has(",,", "close"));
}
