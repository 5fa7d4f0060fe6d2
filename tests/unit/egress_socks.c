/* SPDX-License-Identifier: Apache-2.0 */
/* SOCKS5, the client's side: the bytes of RFC 1928 and RFC 1929, and servers that say other things;
 * and the cache of answers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "egress/cache.h"
#include "egress/socks.h"

static const struct policy_proxy open_proxy = { .used = true };
static const struct policy_proxy with_password = { .used = true, .user = "ab", .password = "cde" };

static struct addr address(const char *text)
{
	struct addr a;

	cr_assert_eq(addr_parse(text, &a), 0);
	return a;
}

static void expect(const struct socks *s, const char *bytes, size_t len)
{
	uint8_t out[SOCKS_OUT_MAX];

	cr_assert_eq(socks_output(s, out), len);
	cr_assert_eq(memcmp(out, bytes, len), 0);
}
#define EXPECT(s, literal) expect(s, literal, sizeof(literal) - 1)

static int input(struct socks *s, const char *bytes, size_t len)
{
	cr_assert_eq(socks_wants(s), len);
	return socks_input(s, (const uint8_t *)bytes);
}
#define INPUT(s, literal) input(s, literal, sizeof(literal) - 1)

Test(socks, by_name)
{
	struct addr a = address("8.8.8.8");
	struct socks s;

	socks_init(&s, &open_proxy, "example.org", &a, 443);
	EXPECT(&s, "\5\1\0");
	cr_assert_eq(INPUT(&s, "\5\0"), 0);
	EXPECT(&s, "\5\1\0\3\x0b"
		   "example.org\1\xbb");
	cr_assert_eq(INPUT(&s, "\5\0\0\1"), 0);
	EXPECT(&s, "");
	cr_assert_not(socks_done(&s));
	cr_assert_eq(INPUT(&s, "\1\2\3\4\0\x50"), 0);
	cr_assert(socks_done(&s));
	cr_assert_eq(socks_wants(&s), 0);
}

Test(socks, by_address_with_a_password)
{
	struct addr four = address("1.2.3.4"), six = address("2606::5");
	struct socks s;

	socks_init(&s, &with_password, NULL, &four, 80);
	EXPECT(&s, "\5\1\2");
	cr_assert_eq(INPUT(&s, "\5\2"), 0);
	EXPECT(&s, "\1\2"
		   "ab\3"
		   "cde");
	cr_assert_eq(INPUT(&s, "\1\0"), 0);
	EXPECT(&s, "\5\1\0\1\1\2\3\4\0\x50");
	socks_init(&s, &open_proxy, NULL, &six, 80);
	cr_assert_eq(INPUT(&s, "\5\0"), 0);
	EXPECT(&s, "\5\1\0\4\x26\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\5\0\x50");
}

Test(socks, answers_with_names_and_long_addresses)
{
	struct addr a = address("8.8.8.8");
	struct socks s;
	uint8_t rest[SOCKS_IN_MAX] = { 0 };

	socks_init(&s, &open_proxy, "example.org", &a, 443);
	cr_assert_eq(INPUT(&s, "\5\0"), 0);
	cr_assert_eq(INPUT(&s, "\5\0\0\3"), 0);
	EXPECT(&s, "");
	cr_assert_eq(INPUT(&s, "\xff"), 0);
	cr_assert_eq(socks_wants(&s), 257);
	cr_assert_leq(socks_wants(&s), SOCKS_IN_MAX);
	cr_assert_eq(socks_input(&s, rest), 0);
	cr_assert(socks_done(&s));
}

Test(socks, refusals)
{
	struct addr a = address("8.8.8.8");
	struct socks s;

	socks_init(&s, &open_proxy, NULL, &a, 80);
	cr_assert_eq(INPUT(&s, "\4\0"), -EPROTO);
	cr_assert_eq(INPUT(&s, "\5\xff"), -EACCES);
	cr_assert_eq(INPUT(&s, "\5\2"), -EACCES, "there is no password to give");
	cr_assert_eq(INPUT(&s, "\5\0"), 0);
	cr_assert_eq(INPUT(&s, "\5\2\0\1"), -ECONNREFUSED);
	cr_assert_eq(INPUT(&s, "\5\0\1\1"), -EPROTO);
	cr_assert_eq(INPUT(&s, "\5\0\0\2"), -EPROTO);
	socks_init(&s, &with_password, NULL, &a, 80);
	cr_assert_eq(INPUT(&s, "\5\0"), -EACCES, "it doesn't ask for the password");
	cr_assert_eq(INPUT(&s, "\5\2"), 0);
	cr_assert_eq(INPUT(&s, "\1\1"), -EACCES);
	cr_assert_eq(INPUT(&s, "\5\0"), -EPROTO);
}

Test(socks, the_longest)
{
	static struct policy_proxy p = { .used = true };
	struct addr a = address("8.8.8.8");
	uint8_t out[SOCKS_OUT_MAX];
	struct socks s;
	char name[NAME_CAP];

	memset(p.user, 'u', EGRESS_SECRET_MAX);
	memset(p.password, 'p', EGRESS_SECRET_MAX);
	memset(name, 'n', EGRESS_NAME_MAX);
	name[EGRESS_NAME_MAX] = '\0';
	socks_init(&s, &p, name, &a, 80);
	cr_assert_eq(INPUT(&s, "\5\2"), 0);
	cr_assert_eq(socks_output(&s, out), 3 + 2 * EGRESS_SECRET_MAX);
	cr_assert_eq(INPUT(&s, "\1\0"), 0);
	cr_assert_eq(socks_output(&s, out), 4 + 1 + EGRESS_NAME_MAX + 2);
}

static struct dns_answer answer(uint32_t ttl, size_t count)
{
	struct dns_answer a = { .ttl = ttl, .count = count };

	return a;
}

Test(cache, keeps_for_a_bounded_time)
{
	struct dns_answer a = answer(1, 1), got;
	struct cache *c;

	cr_assert_eq(cache_new(&c), 0);
	cr_assert_not(cache_get(c, "a.example", DNS_TYPE_A, 0, &got));
	cache_put(c, "a.example", DNS_TYPE_A, &a, 1000);
	cr_assert(cache_get(c, "a.example", DNS_TYPE_A, 1000, &got));
	cr_assert_eq(got.ttl, EGRESS_TTL_MIN);
	cr_assert_not(cache_get(c, "a.example", DNS_TYPE_AAAA, 1000, &got));
	cr_assert(cache_get(c, "a.example", DNS_TYPE_A, 1000 + EGRESS_TTL_MIN * 1000 - 1, &got));
	cr_assert_eq(got.ttl, 1);
	cr_assert_not(cache_get(c, "a.example", DNS_TYPE_A, 1000 + EGRESS_TTL_MIN * 1000, &got));
	a = answer(INT32_MAX, 1);
	cache_put(c, "a.example", DNS_TYPE_A, &a, 1000);
	cr_assert(cache_get(c, "a.example", DNS_TYPE_A, 1000, &got));
	cr_assert_eq(got.ttl, EGRESS_TTL_MAX);
	a = answer(0, 0);
	cache_put(c, "a.example", DNS_TYPE_A, &a, 1000);
	cr_assert(cache_get(c, "a.example", DNS_TYPE_A, 1000, &got));
	cr_assert_eq(got.ttl, EGRESS_TTL_NEGATIVE);
	cache_clear(c);
	cr_assert_not(cache_get(c, "a.example", DNS_TYPE_A, 1000, &got));
	cache_free(c);
}

Test(cache, is_bounded)
{
	struct dns_answer a = answer(100, 1), got;
	struct cache *c;
	char name[NAME_CAP];

	cr_assert_eq(cache_new(&c), 0);
	for (unsigned i = 0; i < EGRESS_CACHE_MAX + 1; i++) {
		(void)snprintf(name, sizeof(name), "n%u.example", i);
		cache_put(c, name, DNS_TYPE_A, &a, 1000 + i);
	}
	cr_assert_not(cache_get(c, "n0.example", DNS_TYPE_A, 2000, &got), "it would go first");
	cr_assert(cache_get(c, "n1.example", DNS_TYPE_A, 2000, &got));
	cr_assert(cache_get(c, name, DNS_TYPE_A, 2000, &got));
	cache_free(c);
}
