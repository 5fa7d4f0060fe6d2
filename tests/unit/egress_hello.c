/* SPDX-License-Identifier: Apache-2.0 */
/* ClientHellos: whole, in pieces, cut anywhere, and malformed one field at a time. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/egress_hello.h"

static const char host[] = "www.example.org";

static int parse(const struct tls_text *t, struct hello *h)
{
	return hello_parse(t->data, t->len, h);
}

Test(hello, has_a_name)
{
	struct tls_text t;
	struct hello h;

	tls_hello(&t, host, 0);
	cr_assert(hello_begins(t.data, t.len));
	cr_assert_eq(parse(&t, &h), 0);
	cr_assert_str_eq(h.name, host);
	cr_assert_not(h.encrypted);
	t.data[t.len++] = 0x17; /* early data behind it */
	cr_assert_eq(parse(&t, &h), 0);
}

Test(hello, every_piece_of_it_asks_for_more)
{
	struct tls_text t;
	struct hello h;

	tls_hello(&t, host, 0);
	for (size_t n = 0; n < t.len; n++)
		cr_assert_eq(hello_parse(t.data, n, &h), -EAGAIN, "%zu of %zu", n, t.len);
}

Test(hello, in_records)
{
	struct tls_text whole, cut;
	struct hello h;

	tls_hello(&whole, host, 0);
	for (size_t piece = whole.len; piece >= (whole.len - 5) / EGRESS_RECORDS_MAX + 1; piece--) {
		tls_cut(&cut, &whole, piece);
		cr_assert_eq(parse(&cut, &h), 0, "%zu", piece);
		cr_assert_str_eq(h.name, host);
	}
	tls_cut(&cut, &whole, 1);
	cr_assert_eq(parse(&cut, &h), -EPROTO, "a record for each byte");
}

Test(hello, without_a_name)
{
	struct tls_text t;
	struct hello h;

	tls_hello(&t, NULL, 0);
	cr_assert_eq(parse(&t, &h), 0);
	cr_assert_str_eq(h.name, "");
	tls_hello(&t, "10.0.0.1", 0);
	cr_assert_eq(parse(&t, &h), 0);
	cr_assert_str_eq(h.name, "", "an address is no name");
	tls_hello(&t, "a\tb", 0);
	cr_assert_eq(parse(&t, &h), 0);
	cr_assert_str_eq(h.name, "");
}

Test(hello, with_a_hidden_name)
{
	struct tls_text t;
	struct hello h;

	tls_hello(&t, host, TLS_ECH);
	cr_assert_eq(parse(&t, &h), 0);
	cr_assert(h.encrypted);
}

Test(hello, two_names_are_none)
{
	struct tls_text t;
	struct hello h;

	tls_hello(&t, host, TLS_TWICE);
	cr_assert_eq(parse(&t, &h), -EPROTO);
	tls_hello(&t, host, TLS_TWO_IN_ONE);
	cr_assert_eq(parse(&t, &h), -EPROTO);
	tls_hello(&t, host, TLS_TAIL);
	cr_assert_eq(parse(&t, &h), -EPROTO);
}

Test(hello, is_none)
{
	struct tls_text t;
	struct hello h;

	tls_hello(&t, host, 0);
	t.data[0] = 23;
	cr_assert_not(hello_begins(t.data, t.len));
	cr_assert_eq(parse(&t, &h), -EPROTO);
	tls_hello(&t, host, 0);
	t.data[1] = 2;
	cr_assert_eq(parse(&t, &h), -EPROTO, "version");
	tls_hello(&t, host, 0);
	t.data[5] = 2;
	cr_assert_eq(parse(&t, &h), -EPROTO, "a ServerHello");
	tls_hello(&t, host, 0);
	t.data[6] = 1;
	cr_assert_eq(parse(&t, &h), -EPROTO, "64 KiB");
	tls_hello(&t, host, 0);
	t.data[3] = t.data[4] = 0;
	cr_assert_eq(parse(&t, &h), -EPROTO, "an empty record");
	cr_assert_not(hello_begins("GET / HTTP/1.1", 14));
	cr_assert_not(hello_begins("", 0));
}

/* No byte that is changed may lead the reader astray (asan watches); the name is checked or none.
 */
Test(hello, any_byte_changed)
{
	struct tls_text t;
	struct hello h;

	tls_hello(&t, host, 0);
	for (size_t i = 0; i < t.len; i++) {
		for (unsigned v = 0; v < 256; v += 5) {
			uint8_t was = t.data[i];
			int r;

			t.data[i] = (uint8_t)v;
			r = parse(&t, &h);
			cr_assert(r == 0 || r == -EPROTO || r == -EAGAIN);
			t.data[i] = was;
		}
	}
}
