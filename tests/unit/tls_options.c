/* SPDX-License-Identifier: Apache-2.0 */
/* casemate-tls's command line, and who counts as one client. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "api/tls/options.h"
#include "api/tls/source.h"
#include "base/num.h"
#include "tests/unit/options_parse.h"

Test(tls_options, good)
{
	struct options o;

	cr_assert_eq(PARSE_NOTHING(&o), 0);
	cr_assert_eq(o.listen_count, 1);
	cr_assert_str_eq(o.listen[0], "127.0.0.1:8443");
	cr_assert_str_eq(o.to, "/run/casemate/net.sock");
	cr_assert_eq(o.handshake_ms, 10000);
	cr_assert_eq(PARSE(&o, "--listen", "[::1]:1", "--listen", "0.0.0.0:443", "--name", "a-1.b",
			   "--connections", "4096", "--per-source", "1", "--grace", "300ms"),
		     0);
	cr_assert_eq(o.listen_count, 2);
	cr_assert_eq(o.conns, 4096);
	cr_assert_eq(o.grace_ms, 300);
	cr_assert_str_eq(o.names[0], "a-1.b");
	cr_assert_eq(PARSE(&o, "--certificate", "a", "--key", "b"), 0);
}

Test(tls_options, bad)
{
	/* What a certificate's syntax would take for something else is no name. */
	static const char *const names[] = { "",    ".",   "a.",  ".a",	 "a..b",
					     "-a",  "a-",  "A",	  "*.a", "a,DNS:b",
					     "a b", "a\n", "a_b", "@x",	 "a/b" };
	static char label[65], name[240];
	struct options o;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		cr_assert_eq(PARSE(&o, "--name", names[i]), -EINVAL, "%s", names[i]);
	memset(label, 'a', 64);
	cr_assert_eq(PARSE(&o, "--name", label), -EINVAL);
	label[63] = '\0';
	cr_assert_eq(PARSE(&o, "--name", label), 0);
	for (size_t i = 0; i < 231; i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	cr_assert_eq(PARSE(&o, "--name", name), -EINVAL);
	name[230] = '\0';
	cr_assert_eq(PARSE(&o, "--name", name), 0);
	cr_assert_eq(PARSE(&o, "--certificate", "a"), -EINVAL);
	cr_assert_eq(PARSE(&o, "--key", "a"), -EINVAL);
	cr_assert_eq(PARSE(&o, "--certificate", "a", "--key", "b", "--name", "c"), -EINVAL);
	cr_assert_eq(PARSE(&o, "--connections", "0"), -EINVAL);
	cr_assert_eq(PARSE(&o, "--connections", "4097"), -EINVAL);
	cr_assert_eq(PARSE(&o, "--grace", "0"), -EINVAL);
	cr_assert_eq(PARSE(&o, "--idle-timeout", "25h"), -EINVAL);
	cr_assert_eq(PARSE(&o, "--listen"), -EINVAL);
	cr_assert_eq(PARSE(&o, "--nothing"), -EINVAL);
	cr_assert_eq(PARSE(&o, "more"), -EINVAL);
	cr_assert_eq(PARSE(&o, "--listen", "a", "--listen", "b", "--listen", "c", "--listen", "d",
			   "--listen", "e"),
		     -EINVAL);
}

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage a = { 0 };
	struct sockaddr_in *four = (void *)&a;
	struct sockaddr_in6 *six = (void *)&a;

	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		a.ss_family = AF_INET;
	} else {
		cr_assert_eq(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
		a.ss_family = AF_INET6;
	}
	return a;
}

static int from(struct sources *s, const char *text)
{
	struct sockaddr_storage a = address(text);

	return source_take(s, &a);
}

Test(tls_source, counts)
{
	const struct sockaddr_storage none = { .ss_family = AF_UNIX };
	struct sources *s;
	int a, b, c;

	cr_assert_eq(sources_new(8, 2, &s), 0);
	a = from(s, "192.0.2.1");
	cr_assert_geq(a, 0);
	cr_assert_eq(from(s, "::ffff:192.0.2.1"), a, "the same client by another door");
	cr_assert_eq(from(s, "192.0.2.1"), -EDQUOT);
	b = from(s, "192.0.2.2");
	cr_assert(b >= 0 && b != a);
	c = from(s, "2001:db8:0:1::1");
	cr_assert(c >= 0 && c != a && c != b);
	cr_assert_eq(from(s, "2001:db8:0:1:ffff::2"), c, "a /64 is one client");
	cr_assert_eq(from(s, "2001:db8:0:1::3"), -EDQUOT);
	cr_assert_geq(from(s, "2001:db8:0:2::1"), 0);
	cr_assert_eq(source_take(s, &none), -EINVAL);
	source_give_back(s, a);
	cr_assert_eq(from(s, "192.0.2.1"), a);
	/* A slot that is free again is anybody's. */
	source_give_back(s, a);
	source_give_back(s, a);
	cr_assert_eq(from(s, "192.0.2.3"), a);
	sources_free(s);
}
