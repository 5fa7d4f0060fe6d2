/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages: questions of a guest, answers of a resolver, good and bad ones. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "egress/dns.h"

struct msg {
	uint8_t data[2048];
	size_t len;
};

static void put(struct msg *m, const void *p, size_t n)
{
	cr_assert_leq(m->len + n, sizeof(m->data));
	memcpy(m->data + m->len, p, n);
	m->len += n;
}
#define PUT(m, literal) put(m, literal, sizeof(literal) - 1)

#define Q_EXAMPLE "\3www\7example\3org\0\0\1\0\1"

static const char name[] = "www.example.org";

static void question(struct msg *m, uint16_t type)
{
	m->len = dns_query_build(m->data, 0x1234, name, type);
}

Test(dns, a_question)
{
	struct msg m = { .len = 0 };
	struct dns_query q;

	question(&m, DNS_TYPE_AAAA);
	cr_assert_eq(dns_query_parse(m.data, m.len, &q), 0);
	cr_assert_eq(q.id, 0x1234);
	cr_assert_str_eq(q.name, name);
	cr_assert_eq(q.type, DNS_TYPE_AAAA);
	cr_assert(q.recursion);
	for (size_t n = 0; n < m.len; n++) {
		int r = dns_query_parse(m.data, n, &q);

		cr_assert_eq(r, n < 12 ? -EBADMSG : DNS_FORMERR, "%zu", n);
	}
}

Test(dns, case_is_sent_back)
{
	struct msg m = { .len = 0 }, a;
	struct dns_query q;

	PUT(&m, "\0\1\1\0\0\1\0\0\0\0\0\0\3wWw\7eXample\3ORG\0\0\1\0\1");
	cr_assert_eq(dns_query_parse(m.data, m.len, &q), 0);
	cr_assert_str_eq(q.name, name);
	a.len = dns_answer_build(a.data, &q, DNS_REFUSED, NULL, 0, 0);
	cr_assert_eq(a.len, m.len);
	cr_assert_eq(memcmp(a.data + 12, m.data + 12, m.len - 12), 0);
	cr_assert_eq(a.data[2] & 0x80, 0x80);
	cr_assert_eq(a.data[3] & 0xf, DNS_REFUSED);
}

Test(dns, questions_that_are_refused)
{
	static const struct {
		const char *what;
		const char *bytes;
		size_t len;
		int want;
	} all[] = {
#define CASE(what, bytes, want) { what, bytes, sizeof(bytes) - 1, want }
		CASE("an answer", "\0\1\x81\0\0\1\0\0\0\0\0\0" Q_EXAMPLE, -EBADMSG),
		CASE("a status request", "\0\1\x11\0\0\1\0\0\0\0\0\0" Q_EXAMPLE, DNS_NOTIMP),
		CASE("truncated", "\0\1\3\0\0\1\0\0\0\0\0\0" Q_EXAMPLE, DNS_FORMERR),
		CASE("no question", "\0\1\1\0\0\0\0\0\0\0\0\0", DNS_FORMERR),
		CASE("two questions", "\0\1\1\0\0\2\0\0\0\0\0\0" Q_EXAMPLE Q_EXAMPLE, DNS_FORMERR),
		CASE("an answer's record", "\0\1\1\0\0\1\0\1\0\0\0\0" Q_EXAMPLE, DNS_FORMERR),
		CASE("compressed", "\0\1\1\0\0\1\0\0\0\0\0\0\3www\xc0\x0c\0\1\0\1", DNS_FORMERR),
		CASE("a loop", "\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", DNS_FORMERR),
		CASE("a long label", "\0\1\1\0\0\1\0\0\0\0\0\0\100www\0\0\1\0\1", DNS_FORMERR),
		CASE("bytes behind it", "\0\1\1\0\0\1\0\0\0\0\0\0" Q_EXAMPLE "x", DNS_FORMERR),
		CASE("class CHAOS", "\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\3", DNS_REFUSED),
		CASE("the root", "\0\1\1\0\0\1\0\0\0\0\0\0\0\0\1\0\1", DNS_REFUSED),
		CASE("a dot in a label", "\0\1\1\0\0\1\0\0\0\0\0\0\3a.b\3org\0\0\1\0\1",
		     DNS_REFUSED),
		CASE("a blank", "\0\1\1\0\0\1\0\0\0\0\0\0\3a b\3org\0\0\1\0\1", DNS_REFUSED),
		CASE("a NUL", "\0\1\1\0\0\1\0\0\0\0\0\0\3a\0b\3org\0\0\1\0\1", DNS_REFUSED),
		CASE("an address",
		     "\0\1\1\0\0\1\0\0\0\0\0\0\003"
		     "127\001"
		     "0\001"
		     "0\001"
		     "1\0\0\1\0\1",
		     DNS_REFUSED),
		CASE("two OPT", "\0\1\1\0\0\1\0\0\0\0\0\2" Q_EXAMPLE, DNS_FORMERR),
		CASE("TSIG", "\0\1\1\0\0\1\0\0\0\0\0\1" Q_EXAMPLE "\0\0\xfa\0\xff\0\0\0\0\0\0",
		     DNS_FORMERR),
		CASE("OPT",
		     "\0\1\1\0\0\1\0\0\0\0\0\1" Q_EXAMPLE "\0\0\x29\x10\0\0\0\0\0\0\4\0\1\0\0", 0),
		CASE("OPT cut off",
		     "\0\1\1\0\0\1\0\0\0\0\0\1" Q_EXAMPLE "\0\0\x29\x10\0\0\0\0\0\0\5\0\1\0\0",
		     DNS_FORMERR),
	};
	struct dns_query q;
	uint8_t out[DNS_UDP_MAX];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int r = dns_query_parse(all[i].bytes, all[i].len, &q);

		cr_assert_eq(r, all[i].want, "%s: %d", all[i].what, r);
		if (r > 0) /* whatever it was, it can be answered */
			cr_assert_geq(dns_answer_build(out, &q, (enum dns_rcode)r, NULL, 0, 0), 12);
	}
}

Test(dns, the_longest_question_has_the_longest_answer)
{
	char text[NAME_CAP], *p = text;
	struct addr addrs[EGRESS_ADDRS_MAX];
	uint8_t out[DNS_UDP_MAX];
	struct dns_query q;
	struct dns_answer a;
	size_t len;

	memset(text, 'a', sizeof(text));
	for (size_t i = 63; i < 253; i += 64)
		p[i] = '.';
	text[253] = '\0';
	for (size_t i = 0; i < EGRESS_ADDRS_MAX; i++)
		cr_assert_eq(addr_parse("2606:4700::1", &addrs[i]), 0);
	len = dns_query_build(out, 7, text, DNS_TYPE_AAAA);
	cr_assert_eq(dns_query_parse(out, len, &q), 0);
	cr_assert_str_eq(q.name, text);
	len = dns_answer_build(out, &q, DNS_NOERROR, addrs, EGRESS_ADDRS_MAX, 60);
	cr_assert_leq(len, DNS_UDP_MAX);
	/* The reader of answers understands the writer of answers. */
	cr_assert_eq(dns_answer_parse(out, len, 7, text, DNS_TYPE_AAAA, &a), 0);
	cr_assert_eq(a.count, EGRESS_ADDRS_MAX);
	cr_assert_eq(a.ttl, 60);
	cr_assert(addr_equal(&a.addrs[7], &addrs[7]));
}

/* An answer with the question for www.example.org; what follows is the records. */
static void answer(struct msg *m, unsigned count)
{
	question(m, DNS_TYPE_A);
	m->data[2] |= 0x80;
	m->data[7] = (uint8_t)count;
}

static int parse(const struct msg *m, struct dns_answer *a)
{
	return dns_answer_parse(m->data, m->len, 0x1234, name, DNS_TYPE_A, a);
}

#define A_RECORD(ttl, bytes) "\xc0\x0c\0\1\0\1\0\0\0" ttl "\0\4" bytes

Test(dns, an_answer)
{
	struct msg m = { .len = 0 };
	struct dns_answer a;
	struct addr want;

	answer(&m, 2);
	PUT(&m, A_RECORD("\x3c", "\x08\x08\x08\x08") A_RECORD("\x0a", "\x08\x08\x04\x04"));
	cr_assert_eq(parse(&m, &a), 0);
	cr_assert_eq(a.count, 2);
	cr_assert_eq(a.ttl, 10);
	cr_assert_eq(addr_parse("8.8.4.4", &want), 0);
	cr_assert(addr_equal(&a.addrs[1], &want));
	for (size_t n = 0; n < m.len; n++)
		cr_assert_eq(dns_answer_parse(m.data, n, 0x1234, name, DNS_TYPE_A, &a), -EBADMSG);
}

Test(dns, an_answer_to_something_else)
{
	struct msg m = { .len = 0 };
	struct dns_answer a;

	answer(&m, 1);
	PUT(&m, A_RECORD("\x3c", "\x08\x08\x08\x08"));
	cr_assert_eq(dns_answer_parse(m.data, m.len, 0x1235, name, DNS_TYPE_A, &a), -EBADMSG);
	cr_assert_eq(dns_answer_parse(m.data, m.len, 0x1234, "example.org", DNS_TYPE_A, &a),
		     -EBADMSG);
	cr_assert_eq(dns_answer_parse(m.data, m.len, 0x1234, name, DNS_TYPE_AAAA, &a), -EBADMSG);
	m.data[2] &= 0x7f;
	cr_assert_eq(parse(&m, &a), -EBADMSG, "a question");
}

Test(dns, a_chain_of_names)
{
	struct msg m = { .len = 0 };
	struct dns_answer a;

	answer(&m, 3);
	PUT(&m, "\xc0\x0c\0\5\0\1\0\0\0\5\0\6\3cdn\xc0\x10");	 /* CNAME cdn.example.org */
	PUT(&m, "\xc0\x10\0\1\0\1\0\0\0\1\0\4\x01\x01\x01\x01"); /* example.org: not asked for */
	PUT(&m, "\3cdn\xc0\x10\0\1\0\1\0\0\0\x3c\0\4\x08\x08\x08\x08");
	cr_assert_eq(parse(&m, &a), 0);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.ttl, 5, "the chain's least");
	cr_assert_eq(a.addrs[0].b[15], 8);
}

Test(dns, malformed_answers)
{
	struct msg m = { .len = 0 };
	struct dns_answer a;

	answer(&m, 1);
	PUT(&m, "\xc0\x21\0\1\0\1\0\0\0\1\0\4\1\1\1\1"); /* a pointer to itself: at 33 */
	cr_assert_eq(m.data[33], 0xc0);
	cr_assert_eq(parse(&m, &a), -EBADMSG);
	answer(&m, 1);
	PUT(&m, "\xc0\xff\0\1\0\1\0\0\0\1\0\4\1\1\1\1"); /* beyond the end */
	cr_assert_eq(parse(&m, &a), -EBADMSG);
	answer(&m, 1);
	PUT(&m, "\xc0\x0c\0\1\0\1\0\0\0\1\0\5\1\1\1\1\1"); /* five bytes of address */
	cr_assert_eq(parse(&m, &a), -EBADMSG);
	answer(&m, 1);
	PUT(&m, "\xc0\x0c\0\5\0\1\0\0\0\1\0\4\1a\0x"); /* bytes behind a CNAME */
	cr_assert_eq(parse(&m, &a), -EBADMSG);
	answer(&m, 0);
	m.data[6] = 0xff; /* 65280 records */
	cr_assert_eq(parse(&m, &a), -EBADMSG);
}

Test(dns, an_endless_chain_ends)
{
	struct msg m = { .len = 0 };
	struct dns_answer a;

	answer(&m, 17);
	for (size_t i = 0; i < 17; i++)
		PUT(&m, "\xc0\x0c\0\5\0\1\0\0\0\5\0\2\xc0\x0c");
	cr_assert_eq(parse(&m, &a), -EBADMSG);
}

Test(dns, without_addresses)
{
	struct msg m = { .len = 0 };
	struct dns_answer a;

	answer(&m, 0);
	cr_assert_eq(parse(&m, &a), 0);
	cr_assert_eq(a.count, 0);
	m.data[3] |= DNS_NXDOMAIN;
	cr_assert_eq(parse(&m, &a), 0);
	cr_assert_eq(a.rcode, DNS_NXDOMAIN);
	m.data[2] |= 2;
	cr_assert_eq(parse(&m, &a), 0);
	cr_assert(a.truncated);
}

Test(dns, at_most_eight_addresses)
{
	struct msg m = { .len = 0 };
	struct dns_answer a;

	answer(&m, 20);
	for (size_t i = 0; i < 20; i++)
		PUT(&m, A_RECORD("\x3c", "\x08\x08\x08\x08"));
	cr_assert_eq(parse(&m, &a), 0);
	cr_assert_eq(a.count, EGRESS_ADDRS_MAX);
}

Test(dns, an_old_address_in_a_new_record_is_dropped)
{
	struct msg m = { .len = 0 };
	struct dns_answer a;

	question(&m, DNS_TYPE_AAAA);
	m.data[2] |= 0x80;
	m.data[7] = 1;
	PUT(&m, "\xc0\x0c\0\x1c\0\1\0\0\0\5\0\x10\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1");
	cr_assert_eq(dns_answer_parse(m.data, m.len, 0x1234, name, DNS_TYPE_AAAA, &a), 0);
	cr_assert_eq(a.count, 0);
}
