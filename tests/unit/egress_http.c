/* SPDX-License-Identifier: Apache-2.0 */
/* What the first bytes of a connection say, and the requests of one, whole and byte by byte. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egress/inspect.h"
#include "egress/sniff.h"
#include "tests/unit/egress_hello.h"

static struct policy *policy;
static const struct policy_rule *rule;
static unsigned asked;

static int decide(void *arg, const struct http_head *h, const struct policy_rule **ret_rule)
{
	(void)arg;
	asked++;
	if (h->host == NULL || strcmp(h->host, "a.example") != 0)
		return -EACCES;
	*ret_rule = rule;
	return 0;
}

static void make_rule(void)
{
	static const char text[] = "{\"rules\": {\"a.example\": [{\"transform\": {\"headers\":"
				   "{\"Authorization\": \"Bearer s3cret\", \"X-B\": \"2\"}}}]}}";

	cr_assert_eq(policy_parse(text, sizeof(text) - 1, &policy, NULL), 0);
	rule = policy_rule_for(policy, "a.example");
}

static void drop_rule(void)
{
	policy_free(policy);
	rule = NULL;
}

/* All of text in pieces of `step`, with `room` bytes taken from the output each time: what came
 * out, and the result. */
static int pass(const char *text, size_t len, size_t step, char *out_text, size_t cap)
{
	struct inspect i;
	struct buf in, out;
	size_t have = 0;
	int r = 0;

	buf_init(&in, 65536);
	buf_init(&out, 65536);
	inspect_init(&i, decide, NULL);
	for (size_t at = 0; at < len && r == 0; at += step) {
		size_t n = len - at < step ? len - at : step;

		cr_assert_eq(buf_put(&in, text + at, n), 0);
		do {
			r = inspect_move(&i, &in, &out);
			n = buf_len(&out);
			cr_assert_lt(have + n, cap);
			if (n > 0)
				memcpy(out_text + have, buf_head(&out), n);
			buf_consume(&out, n);
			have += n;
		} while (r == 0 && n > 0);
	}
	out_text[have] = '\0';
	buf_done(&in);
	buf_done(&out);
	return r;
}

/* The same in two ways of cutting. */
static int pass_both(const char *text, char *out_text, size_t cap)
{
	char *again = malloc(cap);
	int r = pass(text, strlen(text), 1, again, cap);

	cr_assert_eq(pass(text, strlen(text), 65536, out_text, cap), r);
	if (r == 0)
		cr_assert_str_eq(out_text, again);
	free(again);
	return r;
}

Test(inspect, passes_what_is_allowed)
{
	char out[4096];

	cr_assert_eq(pass_both("GET /x HTTP/1.1\r\nHost:a.example  \r\nX-A: 1\r\n\r\n", out,
			       sizeof(out)),
		     0);
	cr_assert_str_eq(out, "GET /x HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\n\r\n");
}

Test(inspect, each_request)
{
	static const char text[] =
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc"
		"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n0\r\n\r\n"
		"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
	char out[4096];

	asked = 0;
	cr_assert_eq(pass_both(text, out, sizeof(out)), 0);
	cr_assert_str_eq(out, text);
	cr_assert_eq(asked, 6);
	cr_assert_eq(pass_both("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
			       "GET /evil HTTP/1.1\r\nHost: b.example\r\n\r\n",
			       out, sizeof(out)),
		     -EACCES);
	cr_assert_null(strstr(out, "evil"));
}

Test(inspect, empty_lines_between_requests)
{
	char out[4096];

	cr_assert_eq(pass_both("\r\nGET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n\r\n\r\n"
			       "GET /2 HTTP/1.1\r\nHost: a.example\r\n\r\n",
			       out, sizeof(out)),
		     0);
	cr_assert_str_eq(out, "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n"
			      "GET /2 HTTP/1.1\r\nHost: a.example\r\n\r\n");
}

Test(inspect, sets_headers, .init = make_rule, .fini = drop_rule)
{
	char out[4096];

	cr_assert_eq(pass_both("GET / HTTP/1.1\r\nhost: a.example\r\nAUTHORIZATION: x\r\n"
			       "authorization: y\r\nX-A: 1\r\n\r\n",
			       out, sizeof(out)),
		     0);
	cr_assert_str_eq(out, "GET / HTTP/1.1\r\nhost: a.example\r\nX-A: 1\r\n"
			      "Authorization: Bearer s3cret\r\nX-B: 2\r\n\r\n");
	cr_assert_eq(pass_both("TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", out, sizeof(out)),
		     -EACCES);
	cr_assert_str_eq(out, "");
}

Test(inspect, trace_without_a_secret)
{
	char out[4096];

	cr_assert_eq(pass_both("TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", out, sizeof(out)), 0);
}

Test(inspect, what_two_readers_could_read_differently)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1\nHost: a.example\n\nGET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : a.example\r\n\r\n",
		("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"CONNECT b.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"PRI * HTTP/2.0\r\nHost: a.example\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc",
	};
	char out[4096];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(pass_both(bad[i], out, sizeof(out)), -EPROTO, "%s", bad[i]);
}

Test(inspect, after_the_last_request_nothing)
{
	char out[4096];

	cr_assert_eq(pass_both("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
			       "GET /evil HTTP/1.1\r\nHost: b.example\r\n\r\n",
			       out, sizeof(out)),
		     0);
	cr_assert_null(strstr(out, "evil"));
}

Test(inspect, an_upgrade_is_opaque)
{
	char out[4096];

	cr_assert_eq(pass_both("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\n"
			       "Upgrade: websocket\r\n\r\nanything\n",
			       out, sizeof(out)),
		     0);
	cr_assert_not_null(strstr(out, "\r\n\r\nanything\n"));
}

/* Many small requests, each with headers to be set: the output waits for room, nothing is lost. */
Test(inspect, waits_for_room, .init = make_rule, .fini = drop_rule)
{
	static const char one[] = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
	static char text[60000], out[600000];
	size_t len = 0, found = 0;

	while (len + sizeof(one) < sizeof(text)) {
		memcpy(text + len, one, sizeof(one) - 1);
		len += sizeof(one) - 1;
	}
	cr_assert_eq(pass(text, len, 65536, out, sizeof(out)), 0);
	for (const char *p = out; (p = strstr(p, "s3cret")) != NULL; p++)
		found++;
	cr_assert_eq(found, len / (sizeof(one) - 1));
}

Test(inspect, a_head_that_never_ends)
{
	static char text[70000], out[4096];

	memset(text, 'x', sizeof(text));
	memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
	cr_assert_eq(pass(text, 40000, 40000, out, sizeof(out)), -EFBIG);
}

static enum sniff_kind sniff(const void *data, size_t len, struct sniff *s)
{
	for (size_t n = 1; n < len; n++)
		if (sniff_parse(data, n, n - 1, s) != -EAGAIN)
			return s->kind;
	cr_assert_eq(sniff_parse(data, len, len - 1, s), 0);
	return s->kind;
}
#define SNIFF(text, s) sniff(text, strlen(text), s)

Test(sniff, kinds)
{
	struct tls_text hello;
	struct sniff s;

	cr_assert_eq(SNIFF("GET / HTTP/1.1\r\nHost: Example.org:80\r\n\r\n", &s), SNIFF_HTTP);
	cr_assert_str_eq(s.name, "example.org");
	cr_assert_eq(SNIFF("GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", &s), SNIFF_HTTP);
	cr_assert_str_eq(s.name, "");
	cr_assert_eq(SNIFF("GET / HTTP/1.0\r\n\r\n", &s), SNIFF_HTTP);
	cr_assert_str_eq(s.name, "");
	cr_assert_eq(SNIFF("GET / HTTP/1.1\r\n\r\n", &s), SNIFF_OTHER, "must have a Host");
	cr_assert_eq(SNIFF("SSH-2.0-x\r\n", &s), SNIFF_OTHER);
	cr_assert_eq(SNIFF("\1\2", &s), SNIFF_OTHER);
	tls_hello(&hello, "example.org", 0);
	cr_assert_eq(sniff(hello.data, hello.len, &s), SNIFF_TLS);
	cr_assert_str_eq(s.name, "example.org");
	tls_hello(&hello, "example.org", TLS_ECH);
	cr_assert_eq(sniff(hello.data, hello.len, &s), SNIFF_TLS);
	cr_assert_str_eq(s.name, "");
	cr_assert_eq(sniff_parse("", 0, 0, &s), -EAGAIN);
}

/* However it goes on, at SNIFF_MAX there is an answer. */
Test(sniff, has_an_end)
{
	static char text[SNIFF_MAX];
	struct sniff s;

	memset(text, 'A', sizeof(text));
	cr_assert_eq(sniff_parse(text, sizeof(text), 0, &s), 0);
	memcpy(text, "GET /", 5);
	cr_assert_eq(sniff_parse(text, sizeof(text), 0, &s), 0);
	memcpy(text, "\x16\3\1\x3f\xff\1\0\x2f\xf0", 9);
	cr_assert_eq(sniff_parse(text, sizeof(text), 0, &s), 0);
}
