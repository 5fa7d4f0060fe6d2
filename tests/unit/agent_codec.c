/* SPDX-License-Identifier: Apache-2.0 */
/* agent_codec.c - the pure parts of the agent's HTTP side. */
#include <agent.pb-c.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "agent/access.h"
#include "agent/connect/envelope.h"
#include "agent/gunzip.h"
#include "agent/json/base64.h"
#include "agent/json/codec.h"
#include "agent/multipart.h"
#include "agent/path.h"
#include "agent/range.h"
#include "api/rpc/rpc.h"
#include "base/json_text.h"

#define START  (&casemate__agent__v1__start_request__descriptor)
#define SIGNAL (&casemate__agent__v1__send_signal_request__descriptor)
#define INPUT  (&casemate__agent__v1__process_input__descriptor)
#define INIT   (&casemate__agent__v1__init_request__descriptor)
#define END    (&casemate__agent__v1__process_event__end_event__descriptor)
#define ENTRY  (&casemate__agent__v1__entry_info__descriptor)

/* ---- JSON -------------------------------------------------------------------------------- */

/* Decodes, and encodes what came of it. NULL: refused. */
static const char *round_trip(const ProtobufCMessageDescriptor *d, const char *text)
{
	static char out[4096];
	ProtobufCMessage *msg = NULL;
	struct buf wire, json;
	struct err err;
	int r;

	buf_init(&wire, 65536);
	buf_init(&json, sizeof(out) - 1);
	r = json_decode(d, text, strlen(text), &wire, &err);
	if (r == 0)
		msg = rpc_unpack(d, buf_head(&wire), buf_len(&wire));
	if (msg != NULL) {
		cr_assert_eq(json_encode(msg, &json), 0);
		memcpy(out, buf_head(&json), buf_len(&json));
		out[buf_len(&json)] = '\0';
		protobuf_c_message_free_unpacked(msg, NULL);
	}
	buf_done(&wire);
	buf_done(&json);
	return msg != NULL ? out : NULL;
}

Test(json, good)
{
	static const struct {
		const ProtobufCMessageDescriptor *d;
		const char *in, *out;
	} rows[] = {
		{ START, "{}", "{}" },
		{ START, " { \"tag\" : \"x\" } ", "{\"tag\":\"x\"}" },
		/* What the JS SDK sends. */
		{ START,
		  "{\"process\":{\"cmd\":\"/bin/bash\",\"args\":[\"-l\",\"-c\",\"cat\"],\"envs\":{"
		  "\"A\":\"b\"},\"cwd\":\"/tmp\"},\"stdin\":true}",
		  "{\"process\":{\"cmd\":\"/bin/bash\",\"args\":[\"-l\",\"-c\",\"cat\"],\"envs\":{"
		  "\"A\":\"b\"},\"cwd\":\"/tmp\"},\"stdin\":true}" },
		/* A member of a oneof is there even with its default value. */
		{ START, "{\"stdin\":false}", "{\"stdin\":false}" },
		{ START, "{\"timeoutMs\":\"12\"}", "{\"timeoutMs\":\"12\"}" },
		{ START, "{\"timeout_ms\":12}", "{\"timeoutMs\":\"12\"}" },
		{ START, "{\"unknown\":[{\"a\":[1,-2.5e3,true,null,\"x\"]}],\"tag\":null}", "{}" },
		{ START, "{\"tag\":\"\\u00e9\\ud83d\\ude00\\n\\\"\\\\\"}",
		  "{\"tag\":\"\xc3\xa9\xf0\x9f\x98\x80\\n\\\"\\\\\"}" },
		{ SIGNAL, "{\"signal\":\"SIGNAL_SIGKILL\"}", "{\"signal\":\"SIGNAL_SIGKILL\"}" },
		{ SIGNAL, "{\"signal\":9}", "{\"signal\":\"SIGNAL_SIGKILL\"}" },
		{ SIGNAL, "{\"signal\":-3}", "{\"signal\":-3}" },
		{ INPUT, "{\"pty\":\"aGkK\"}", "{\"pty\":\"aGkK\"}" },
		{ INPUT, "{\"pty\":\"_-8\"}", "{\"pty\":\"/+8=\"}" },
		{ INPUT, "{\"stdin\":\"\"}", "{\"stdin\":\"\"}" },
		{ END, "{\"exitCode\":-1,\"exited\":true}", "{\"exitCode\":-1,\"exited\":true}" },
		{ END, "{\"exitCode\":-2147483648}", "{\"exitCode\":-2147483648}" },
		{ ENTRY, "{\"size\":\"-9223372036854775808\",\"mode\":4294967295}",
		  "{\"size\":\"-9223372036854775808\",\"mode\":4294967295}" },
		{ INIT, "{\"timestamp\":\"2026-11-20T18:44:28.358Z\"}",
		  "{\"timestamp\":\"2026-11-20T18:44:28.358000000Z\"}" },
		{ INIT, "{\"timestamp\":\"2026-11-20T20:44:28+02:00\"}",
		  "{\"timestamp\":\"2026-11-20T18:44:28Z\"}" },
		{ INIT, "{\"envVars\":{\"a\":\"1\",\"b\":\"\"}}",
		  "{\"envVars\":{\"a\":\"1\",\"b\":\"\"}}" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *out = round_trip(rows[i].d, rows[i].in);
		cr_assert_not_null(out, "%s", rows[i].in);
		cr_expect_str_eq(out, rows[i].out);
	}
}

Test(json, bad)
{
	static const struct {
		const ProtobufCMessageDescriptor *d;
		const char *in;
	} rows[] = {
		{ START, "" },
		{ START, "{" },
		{ START, "[]" },
		{ START, "{}x" },
		{ START, "{} {}" },
		{ START, "{\"tag\":\"x\",}" },
		{ START, "{\"tag\" \"x\"}" },
		{ START, "{\"tag\":x}" },
		{ START, "{\"tag\":1}" },
		{ START, "{tag:\"x\"}" },
		{ START, "{\"tag\":\"x}" },
		{ START, "{\"tag\":\"\x01\"}" },
		{ START, "{\"tag\":\"\xff\"}" },
		{ START, "{\"tag\":\"\xc0\xaf\"}" },
		{ START, "{\"tag\":\"\\u0000\"}" },
		{ START, "{\"tag\":\"\\ud83d\"}" },
		{ START, "{\"tag\":\"\\ude00\"}" },
		{ START, "{\"tag\":\"\\x\"}" },
		{ START, "{\"stdin\":1}" },
		{ START, "{\"stdin\":tru}" },
		{ START, "{\"process\":[]}" },
		{ START, "{\"process\":{\"args\":{}}}" },
		{ START, "{\"process\":{\"envs\":{\"a\":1}}}" },
		{ START, "{\"timeoutMs\":-1}" },
		{ START, "{\"timeoutMs\":18446744073709551616}" },
		{ START, "{\"timeoutMs\":1.5}" },
		{ SIGNAL, "{\"signal\":\"SIGNAL_NONE\"}" },
		{ SIGNAL, "{\"signal\":2147483648}" },
		{ SIGNAL, "{\"number\":4294967296}" },
		{ INPUT, "{\"pty\":\"a\"}" },
		{ INPUT, "{\"pty\":\"a*==\"}" },
		{ INPUT, "{\"pty\":\"aGkK=\"}" },
		{ INIT, "{\"timestamp\":\"yesterday\"}" },
		{ INIT, "{\"timestamp\":\"2026-11-20T18:44:28\"}" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_null(round_trip(rows[i].d, rows[i].in), "%s", rows[i].in);
}

Test(json, depth)
{
	char text[256] = "{\"x\":";
	size_t n = strlen(text);

	memset(text + n, '[', JSON_DEPTH_MAX - 1);
	memset(text + n + JSON_DEPTH_MAX - 1, ']', JSON_DEPTH_MAX - 1);
	text[n + 2 * (JSON_DEPTH_MAX - 1)] = '}';
	cr_expect_not_null(round_trip(START, text));
	memset(text + n, '[', JSON_DEPTH_MAX);
	memset(text + n + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	text[n + 2 * JSON_DEPTH_MAX] = '}';
	cr_expect_null(round_trip(START, text));
}

Test(json, bound)
{
	static const char text[] = "{\"tag\":\"0123456789\"}";
	struct buf wire;
	struct err err;

	buf_init(&wire, 8);
	cr_expect_eq(json_decode(START, text, strlen(text), &wire, &err), -ENOSPC);
	buf_done(&wire);
}

/* File names are bytes; JSON is UTF-8. */
Test(json, any_bytes)
{
	struct buf out;

	buf_init(&out, 256);
	cr_assert_eq(json_put_string(&out, "a\xff\"\x1f\xe2\x82", 6), 0);
	cr_expect_eq(buf_len(&out), strlen("\"a\xef\xbf\xbd\\\"\\u001f\xef\xbf\xbd\xef\xbf\xbd\""));
	cr_expect_eq(memcmp(buf_head(&out), "\"a\xef\xbf\xbd\\\"\\u001f\xef\xbf\xbd\xef\xbf\xbd\"",
			    buf_len(&out)),
		     0);
	buf_done(&out);
}

/* ---- Base64, envelopes ------------------------------------------------------------------- */

Test(base64, both_ways)
{
	static const char *const rows[][2] = { { "", "" },
					       { "b", "Yg==" },
					       { "ba", "YmE=" },
					       { "bar", "YmFy" },
					       { "barf", "YmFyZg==" } };

	for (size_t i = 0; i < 5; i++) {
		char text[16] = "";
		uint8_t bytes[16];
		base64_encode((const uint8_t *)rows[i][0], strlen(rows[i][0]), text);
		cr_expect_str_eq(text, rows[i][1]);
		ssize_t n = base64_decode(text, strlen(text), bytes);
		cr_expect_eq(n, (ssize_t)strlen(rows[i][0]));
		cr_expect_eq(memcmp(bytes, rows[i][0], strlen(rows[i][0])), 0);
	}
}

Test(envelope, all)
{
	uint8_t b[] = { 0, 0, 0, 0, 2, '{', '}' };

	cr_expect_eq(envelope_get(b, 7, 2), 7);
	cr_expect_eq(envelope_get(b, 6, 2), 0);
	cr_expect_eq(envelope_get(b, 4, 2), 0);
	cr_expect_eq(envelope_get(b, 7, 1), -EMSGSIZE);
	b[0] = ENVELOPE_COMPRESSED;
	cr_expect_eq(envelope_get(b, 7, 2), -EPROTO);
	b[0] = ENVELOPE_END;
	cr_expect_eq(envelope_get(b, 1, 2), -EPROTO);
	envelope_put(b, 2, 0x01020304);
	cr_expect_eq(memcmp(b, "\x02\x01\x02\x03\x04", 5), 0);
}

/* ---- Access ------------------------------------------------------------------------------ */

/* Signatures that the published JS SDK made. */
Test(access, signature_of_the_sdk)
{
	char s[ACCESS_SIGNATURE_MAX];
	struct err err;

	cr_assert_eq(access_sign("/home/user/a.txt", "read", "", "ea_test_token", "1795200328", s),
		     0);
	cr_expect_str_eq(s, "v1_h0Yduct+ngKCpqNXGkYNMugrBF7Y3ATuVJEfBSB2f54");
	cr_expect_eq(access_check_signature(s, "/home/user/a.txt", "read", NULL, "ea_test_token",
					    "1795200328", 1795200328, &err),
		     0);
	cr_expect_eq(access_check_signature(s, "/home/user/a.txt", "read", NULL, "ea_test_token",
					    "1795200328", 1795200329, &err),
		     -EACCES);
	cr_expect_str_eq(err.msg, "signature is already expired");
	cr_assert_eq(access_sign("", "write", "", "ea_test_token", NULL, s), 0);
	cr_expect_str_eq(s, "v1_qSBi8CO9KbybvOjPxPJViowNhozA935nQfaW9Z0wnIQ");
}

Test(access, every_part_counts)
{
	char s[ACCESS_SIGNATURE_MAX];
	struct err e;

	cr_assert_eq(access_sign("/a", "read", "root", "t", "99", s), 0);
	cr_expect_eq(access_check_signature(s, "/a", "read", "root", "t", "99", 1, &e), 0);
	cr_expect_eq(access_check_signature(s, "/b", "read", "root", "t", "99", 1, &e), -EACCES);
	cr_expect_eq(access_check_signature(s, "/a", "write", "root", "t", "99", 1, &e), -EACCES);
	cr_expect_eq(access_check_signature(s, "/a", "read", NULL, "t", "99", 1, &e), -EACCES);
	cr_expect_eq(access_check_signature(s, "/a", "read", "root", "u", "99", 1, &e), -EACCES);
	cr_expect_eq(access_check_signature(s, "/a", "read", "root", "t", "98", 1, &e), -EACCES);
	cr_expect_eq(access_check_signature(s, "/a", "read", "root", "t", NULL, 1, &e), -EACCES);
	cr_expect_eq(access_check_signature(NULL, "/a", "read", "root", "t", "99", 1, &e), -EACCES);
}

Test(access, token)
{
	cr_expect(access_token_is("abc", "abc"));
	cr_expect(access_token_is("", NULL));
	cr_expect(access_token_is("", "anything"));
	cr_expect_not(access_token_is("abc", NULL));
	cr_expect_not(access_token_is("abc", ""));
	cr_expect_not(access_token_is("abc", "ab"));
	cr_expect_not(access_token_is("abc", "abcd"));
	cr_expect_not(access_token_is("abc", "abd"));
}

/* ---- Ranges, paths ----------------------------------------------------------------------- */

Test(range, all)
{
	static const struct {
		const char *field;
		int r;
		uint64_t first, length;
	} rows[] = {
		{ "bytes=0-0", 1, 0, 1 },
		{ "bytes=2-4", 1, 2, 3 },
		{ "bytes=2-", 1, 2, 8 },
		{ "bytes=-3", 1, 7, 3 },
		{ "bytes=-99", 1, 0, 10 },
		{ "bytes=5-99", 1, 5, 5 },
		{ "bytes=10-", -ERANGE, 0, 0 },
		{ "bytes=-0", -ERANGE, 0, 0 },
		{ "bytes=4-2", 0, 0, 0 },
		{ "bytes=-", 0, 0, 0 },
		{ "bytes=a-b", 0, 0, 0 },
		{ "bytes=0-1,3-4", 0, 0, 0 },
		{ "lines=1-2", 0, 0, 0 },
		{ "bytes=", 0, 0, 0 },
		{ "bytes=1-99999999999999999999999999", 0, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct range got = { 0 };
		cr_expect_eq(range_parse(rows[i].field, 10, &got), rows[i].r, "%s", rows[i].field);
		cr_expect_eq(got.first, rows[i].first, "%s", rows[i].field);
		cr_expect_eq(got.length, rows[i].length, "%s", rows[i].field);
	}
}

Test(path, expand)
{
	static const char *const rows[][2] = {
		{ "", "/work" },
		{ "~", "/home/u" },
		{ "~/a", "/home/u/a" },
		{ "a", "/home/u/a" },
		{ "a//b/./c/", "/home/u/a/b/c" },
		{ "/", "/" },
		{ "//", "/" },
		{ "/a/../b", "/b" },
		{ "/..", "/" },
		{ "/../../a", "/a" },
		{ "../x", "/home/x" },
		{ "../../../..", "/" },
		{ "/a/..", "/" },
		{ "/a/b/../..", "/" },
		{ "/...", "/..." },
		{ "a~b", "/home/u/a~b" },
		{ "/a/.b/..c", "/a/.b/..c" },
	};
	char dst[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(path_expand(rows[i][0], "/home/u", "/work", dst, sizeof(dst), NULL),
			     0);
		cr_expect_str_eq(dst, rows[i][1], "%s -> %s", rows[i][0], dst);
	}
	cr_expect_eq(path_expand("", "/home/u", NULL, dst, sizeof(dst), NULL), 0);
	cr_expect_str_eq(dst, "/home/u");
	cr_expect_eq(path_expand("~root/x", "/home/u", NULL, dst, sizeof(dst), NULL), -EINVAL);
	cr_expect_eq(path_expand("/home/u/x", "/", NULL, dst, 9, NULL), -ENAMETOOLONG);
}

/* ---- Multipart --------------------------------------------------------------------------- */

struct parts {
	char text[512]; /* "name:filename=data;" of each */
	bool fail;
};

static void add(struct parts *p, const void *data, size_t len)
{
	size_t n = strlen(p->text);

	cr_assert(n + len < sizeof(p->text));
	memcpy(p->text + n, data, len);
	p->text[n + len] = '\0';
}

static int on_begin(const struct multipart_part *part, void *arg)
{
	struct parts *p = arg;

	add(p, part->name, strlen(part->name));
	add(p, ":", 1);
	add(p, part->filename, strlen(part->filename));
	add(p, "=", 1);
	return p->fail ? -ENOSPC : 0;
}

static int on_data(const uint8_t *data, size_t len, void *arg)
{
	add(arg, data, len);
	return 0;
}

static int on_end(void *arg)
{
	add(arg, ";", 1);
	return 0;
}

static const struct multipart_ops ops = { .begin = on_begin, .data = on_data, .end = on_end };

/* Fed `step` bytes at a time. */
static int take_apart(const char *body, size_t step, struct parts *p)
{
	struct multipart m;
	size_t len = strlen(body);
	int r;

	cr_assert_eq(multipart_init(&m, "multipart/form-data; boundary=XX", &ops, p), 0);
	r = 0;
	for (size_t at = 0; r == 0 && at < len; at += step)
		r = multipart_feed(&m, (const uint8_t *)body + at,
				   len - at < step ? len - at : step);
	if (r == 0)
		r = multipart_finish(&m);
	multipart_done(&m);
	return r;
}

#define PART(name) "Content-Disposition: form-data; name=\"file\"; filename=\"" name "\"\r\n"

Test(multipart, good)
{
	static const char *const rows[][2] = {
		{ "--XX\r\n" PART("/a") "\r\nhello\r\n--XX--\r\n", "file:/a=hello;" },
		{ "--XX\r\n" PART("a") "\r\none\r\n--XX\r\n" PART(
			  "b") "Content-Type: x/y\r\n\r\ntwo\r\n"
			       "--XX--",
		  "file:a=one;file:b=two;" },
		{ "preamble\r\n--XX  \r\n" PART("e") "\r\n\r\n--XX--\r\nepilogue --XX",
		  "file:e=;" },
		/* What looks like a delimiter, and isn't one. */
		{ "--XX\r\n" PART("d") "\r\n--XX \r\r\n-\r\n--X\r\n--XX--",
		  "file:d=--XX \r\r\n-\r\n--X;" },
		{ "--XX\r\n\r\nx\r\n--XX--", ":=x;" },
		{ "--XX\r\ncontent-disposition: form-data; name=\"a;b\\\"c\"; x=y\r\n\r\n\r\n--XX--",
		  "a;b\"c:=;" },
		{ "--XX\r\nContent-Disposition: form-data; name=n; filename=\"x\"; "
		  "filename*=UTF-8''%c3%a9%20\r\n\r\n\r\n--XX--",
		  "n:\xc3\xa9 =;" },
		{ "--XX--", "" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t step = 1; step < 200; step += step < 12 ? 1 : 187) {
			struct parts p = { 0 };
			cr_expect_eq(take_apart(rows[i][0], step, &p), 0, "%s", rows[i][0]);
			cr_expect_str_eq(p.text, rows[i][1]);
		}
	}
}

Test(multipart, bad)
{
	static const char *const rows[] = {
		"",
		"--XX",
		"--XX\r\n" PART("/a") "\r\nhello",
		"--XX\r\n" PART("/a") "\r\nhello\r\n--XX",
		"--XX\r\n" PART("/a"),
		"--XXX\r\n" PART("/a") "\r\nhello\r\n--XX--",
		"--XX\r\nno colon\r\n\r\n\r\n--XX--",
		"--XX\r\nContent-Disposition: form-data; name=\"a\r\n\r\n\r\n--XX--",
		"--XX\r\nContent-Disposition: form-data; filename*=latin1''x\r\n\r\n\r\n--XX--",
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct parts p = { 0 };
		cr_expect_lt(take_apart(rows[i], 7, &p), 0, "%s", rows[i]);
	}
}

Test(multipart, errors_of_callbacks)
{
	struct parts p = { .fail = true };

	cr_expect_eq(take_apart("--XX\r\n" PART("a") "\r\nx\r\n--XX--", 100, &p), -ENOSPC);
}

Test(multipart, boundary)
{
	static const char *const bad[] = { "text/plain", "multipart/form-data",
					   "multipart/form-data; boundary=",
					   "multipart/form-data; boundary=\"x",
					   "multipart/mixed; boundary=x" };
	struct multipart m;
	struct parts p;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(multipart_init(&m, bad[i], &ops, &p), -EINVAL, "%s", bad[i]);
	cr_expect_eq(
		multipart_init(&m, "Multipart/Form-Data; charset=x; boundary=\"a b\"", &ops, &p),
		0);
	cr_expect_str_eq(m.delimiter, "\r\n--a b");
	multipart_done(&m);
}

/* ---- gzip -------------------------------------------------------------------------------- */

static int on_plain(const uint8_t *data, size_t len, void *arg)
{
	struct buf *b = arg;

	return buf_put(b, data, len);
}

Test(gunzip, all)
{
	/* "hello", as the JS SDK packs it. */
	static const uint8_t packed[] = { 0x1f, 0x8b, 8,    0,	  0,	0,    0, 0, 0,
					  3,	0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0x86,
					  0xa6, 0x10, 0x36, 5,	  0,	0,    0 };

	for (size_t step = 1; step <= sizeof(packed); step += 6) {
		struct gunzip *g;
		struct buf out;
		buf_init(&out, 64);
		cr_assert_eq(gunzip_new(&g), 0);
		for (size_t at = 0; at < sizeof(packed); at += step) {
			size_t n = sizeof(packed) - at < step ? sizeof(packed) - at : step;
			cr_assert_eq(gunzip_feed(g, packed + at, n, on_plain, &out), 0);
		}
		cr_expect_eq(gunzip_finish(g), 0);
		cr_expect_eq(buf_len(&out), 5);
		cr_expect_eq(memcmp(buf_head(&out), "hello", 5), 0);
		cr_expect_eq(gunzip_feed(g, packed, 1, on_plain, &out),
			     -EBADMSG); /* more after it */
		gunzip_free(g);
		buf_done(&out);
	}
}

Test(gunzip, bad)
{
	static const uint8_t junk[] = { 'n', 'o', 't', ' ', 'g', 'z', 'i', 'p' };
	static const uint8_t half[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb };
	struct gunzip *g;
	struct buf out;

	buf_init(&out, 64);
	cr_assert_eq(gunzip_new(&g), 0);
	cr_expect_eq(gunzip_feed(g, junk, sizeof(junk), on_plain, &out), -EBADMSG);
	gunzip_free(g);
	cr_assert_eq(gunzip_new(&g), 0);
	cr_expect_eq(gunzip_feed(g, half, sizeof(half), on_plain, &out), 0);
	cr_expect_eq(gunzip_finish(g), -EBADMSG);
	gunzip_free(g);
	buf_done(&out);
}
