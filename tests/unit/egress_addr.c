/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, prefixes and names: what is the same, what is refused, what is never reached. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/compiler.h"
#include "egress/addr.h"
#include "egress/name.h"

static struct addr addr(const char *text)
{
	struct addr a;

	cr_assert_eq(addr_parse(text, &a), 0, "%s", text);
	return a;
}

static bool in(const char *prefix, const char *address)
{
	struct prefix p;
	struct addr a = addr(address);

	cr_assert_eq(prefix_parse(prefix, &p), 0, "%s", prefix);
	return prefix_has(&p, &a);
}

Test(addr, a_mapped_address_is_the_address)
{
	struct addr a = addr("::ffff:10.1.2.3"), b = addr("10.1.2.3");
	struct sockaddr_storage ss;
	char text[ADDR_TEXT_MAX];
	uint16_t port;

	cr_assert(addr_equal(&a, &b));
	cr_assert_eq(addr_to_sockaddr(&a, 80, &ss), sizeof(struct sockaddr_in));
	cr_assert_eq(addr_from_sockaddr(&ss, &b, &port), 0);
	cr_assert(addr_equal(&a, &b));
	cr_assert_eq(port, 80);
	addr_format(&a, text);
	cr_assert_str_eq(text, "10.1.2.3");
	a = addr("2606:4700::1");
	cr_assert_eq(addr_to_sockaddr(&a, 1, &ss), sizeof(struct sockaddr_in6));
	addr_format(&a, text);
	cr_assert_str_eq(text, "2606:4700::1");
	ss.ss_family = AF_UNIX;
	cr_assert_eq(addr_from_sockaddr(&ss, &b, NULL), -EAFNOSUPPORT);
}

Test(addr, prefixes)
{
	cr_assert(in("10.0.0.0/8", "10.255.255.255"));
	cr_assert_not(in("10.0.0.0/8", "11.0.0.0"));
	cr_assert(in("10.9.9.9/8", "10.0.0.1"), "bits behind the prefix don't count");
	cr_assert(in("8.8.8.8", "8.8.8.8"));
	cr_assert_not(in("8.8.8.8", "8.8.8.9"));
	cr_assert(in("8.8.8.8/31", "8.8.8.9"));
	cr_assert(in("0.0.0.0/0", "255.1.2.3"));
	cr_assert_not(in("0.0.0.0/0", "2606::1"));
	cr_assert(in("::/0", "2606::1"));
	cr_assert_not(in("::/0", "8.8.8.8"));
	cr_assert(in("2606:4700::/33", "2606:4700:7fff::1"));
	cr_assert_not(in("2606:4700::/33", "2606:4700:8000::1"));
	cr_assert(in("::ffff:10.0.0.0/104", "10.1.1.1"));
}

Test(addr, what_is_no_prefix)
{
	static const char *const bad[] = {
		"",	      "/8",	"10.0.0.0/33",	     "10.0.0.0/",  "10.0.0.0/-1",
		"10.0.0/8",   "::/129", "1.2.3.4/8/8",	     "010.0.0.1",  "1.2.3.4%1",
		"fe80::1%lo", "0x7f.1", "::ffff:1.2.3.4/95", "example.org"
	};
	struct prefix p;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(prefix_parse(bad[i], &p), -EINVAL, "%s", bad[i]);
}

Test(addr, special_addresses_and_their_neighbours)
{
	static const struct {
		const char *text;
		bool special;
	} all[] = {
		{ "0.0.0.0", true },
		{ "1.0.0.0", false },
		{ "9.255.255.255", false },
		{ "10.0.0.0", true },
		{ "10.255.255.255", true },
		{ "11.0.0.0", false },
		{ "100.63.255.255", false },
		{ "100.64.0.0", true },
		{ "100.100.100.200", true },
		{ "100.128.0.0", false },
		{ "126.1.1.1", false },
		{ "127.0.0.1", true },
		{ "127.255.0.1", true },
		{ "128.0.0.1", false },
		{ "168.63.129.16", true },
		{ "168.63.129.17", false },
		{ "169.253.1.1", false },
		{ "169.254.169.254", true },
		{ "172.15.255.255", false },
		{ "172.16.0.1", true },
		{ "172.31.255.255", true },
		{ "172.32.0.0", false },
		{ "192.0.0.192", true },
		{ "192.0.1.1", false },
		{ "192.0.2.1", true },
		{ "192.88.99.1", true },
		{ "192.168.0.1", true },
		{ "192.169.0.1", false },
		{ "198.17.0.1", false },
		{ "198.18.0.1", true },
		{ "198.19.255.255", true },
		{ "198.20.0.1", false },
		{ "198.51.100.1", true },
		{ "203.0.113.255", true },
		{ "203.0.114.0", false },
		{ "223.255.255.255", false },
		{ "224.0.0.1", true },
		{ "239.1.1.1", true },
		{ "240.0.0.1", true },
		{ "255.255.255.255", true },
		{ "8.8.8.8", false },
		{ "::", true },
		{ "::1", true },
		{ "::ffff:127.0.0.1", true },
		{ "::ffff:8.8.8.8", false },
		{ "::8.8.8.8", true },
		{ "64:ff9b::8.8.8.8", true },
		{ "100::1", true },
		{ "fc00::1", true },
		{ "fd00:ec2::254", true },
		{ "fe80::1", true },
		{ "fec0::1", true },
		{ "ff02::1", true },
		{ "2001::1", true },
		{ "2001:1ff::1", true },
		{ "2001:200::1", false },
		{ "2001:db8::1", true },
		{ "2001:db9::1", false },
		{ "2002:7f00:1::", true },
		{ "2003::1", false },
		{ "2606:4700::1111", false },
		{ "3fff:1::1", true },
		{ "3fff:ffff::1", false },
		{ "4000::1", true },
		{ "5f00::1", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct addr a = addr(all[i].text);

		cr_assert_eq(addr_is_special(&a), all[i].special, "%s", all[i].text);
	}
}

static const char *norm(const char *text, char *buf)
{
	return name_normalize(text, strlen(text), buf) == 0 ? buf : NULL;
}

Test(name, normal_form)
{
	char label63[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.org";
	char name[NAME_CAP], longest[300];

	cr_assert_str_eq(norm("ExAmple.ORG.", name), "example.org");
	cr_assert_str_eq(norm("a", name), "a");
	cr_assert_str_eq(norm("_dmarc.x--y.org", name), "_dmarc.x--y.org");
	cr_assert_str_eq(norm("xn--bcher-kva.example", name), "xn--bcher-kva.example");
	cr_assert_str_eq(norm("1.2.3.4a", name), "1.2.3.4a");
	cr_assert_str_eq(norm(label63, name), label63);
	memset(longest, 'a', sizeof(longest));
	for (size_t i = 1; i < 253; i += 2)
		longest[i] = '.';
	longest[253] = '\0';
	cr_assert_str_eq(norm(longest, name), longest);
	longest[253] = '.';
	longest[254] = '\0';
	cr_assert_not_null(norm(longest, name), "the dot at the end isn't counted");
	longest[253] = 'a';
	cr_assert_null(norm(longest, name));
}

Test(name, refused)
{
	static const char *const bad[] = {
		"",
		".",
		"..",
		"a..b",
		".a",
		"a b",
		"a/b",
		"a@b",
		"b\xc3\xbc",
		"-a.org",
		"a-.org",
		"1.2.3.4",
		"127.1",
		"0x7f",
		"a.0x",
		"1",
		"a.123",
		"[::1]",
		"a:80",
		"*.org",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.org"
	};
	char name[NAME_CAP];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_null(norm(bad[i], name), "%s", bad[i]);
	cr_assert_eq(name_normalize("a\0b", 3, name), -EINVAL);
}

static bool matches(const char *pattern, const char *name)
{
	struct name_pattern p;

	cr_assert_eq(name_pattern_parse(pattern, strlen(pattern), &p), 0, "%s", pattern);
	return name_matches(&p, name);
}

Test(name, patterns)
{
	struct name_pattern p;

	cr_assert(matches("Example.org", "example.org"));
	cr_assert_not(matches("example.org", "www.example.org"));
	cr_assert_not(matches("example.org", "example.org.evil.net"));
	cr_assert(matches("*.example.org", "www.example.org"));
	cr_assert(matches("*.example.org", "a.b.example.org"));
	cr_assert_not(matches("*.example.org", "example.org"));
	cr_assert_not(matches("*.example.org", "evilexample.org"));
	cr_assert_not(matches("*.example.org", ".example.org"));
	cr_assert_eq(name_pattern_parse("*", 1, &p), -EINVAL);
	cr_assert_eq(name_pattern_parse("*.", 2, &p), -EINVAL);
	cr_assert_eq(name_pattern_parse("a.*.org", 7, &p), -EINVAL);
}

Test(name, of_a_host_field)
{
	static const char *const bad[] = { "",	  "1.2.3.4",  "[::1]",	   "[::1]:80",
					   "a:",  "a:0",      "a:65536",   "a:80:80",
					   "a@b", "user@a:1", "1.2.3.4:80" };
	char name[NAME_CAP];

	cr_assert_eq(name_from_host("Example.org", name), 0);
	cr_assert_str_eq(name, "example.org");
	cr_assert_eq(name_from_host("example.org.:8080", name), 0);
	cr_assert_str_eq(name, "example.org");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(name_from_host(bad[i], name), -EINVAL, "%s", bad[i]);
}
