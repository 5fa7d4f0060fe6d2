/* SPDX-License-Identifier: Apache-2.0 */
/* The policy: what it decides, and what is refused as a policy. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "egress/policy.h"

static struct policy *policy(const char *text)
{
	struct policy *p;
	struct err err = { 0 };

	cr_assert_eq(policy_parse(text, strlen(text), &p, &err), 0, "%s: %s", text, err.msg);
	return p;
}

static enum policy_verdict decide(const struct policy *p, const char *name, const char *address,
				  uint16_t port)
{
	struct addr a;

	cr_assert_eq(addr_parse(address, &a), 0);
	return policy_decide(p, name, &a, port);
}

Test(policy, that_says_nothing_allows_nothing)
{
	struct policy *p = policy("{}");
	size_t n;

	cr_assert_eq(decide(p, NULL, "8.8.8.8", 443), POLICY_DENY_REST);
	cr_assert_eq(decide(p, "example.org", "8.8.8.8", 443), POLICY_DENY_REST);
	cr_assert_not(policy_resolves(p, "example.org"));
	cr_assert_not(policy_wants_name(p, 443));
	cr_assert_null(policy_proxy(p));
	(void)policy_resolvers(p, &n);
	cr_assert_eq(n, 0);
	policy_free(p);
}

Test(policy, internet_is_not_the_neighbourhood)
{
	struct policy *p = policy("{\"allow_internet_access\": true}");

	cr_assert_eq(decide(p, NULL, "8.8.8.8", 25), POLICY_ALLOW);
	cr_assert_eq(decide(p, NULL, "2606:4700::1", 25), POLICY_ALLOW);
	cr_assert_eq(decide(p, NULL, "169.254.169.254", 80), POLICY_DENY_SPECIAL);
	cr_assert_eq(decide(p, "metadata.example", "169.254.169.254", 80), POLICY_DENY_SPECIAL);
	cr_assert_eq(decide(p, NULL, "::ffff:10.0.0.1", 80), POLICY_DENY_SPECIAL);
	cr_assert(policy_resolves(p, "anything.example"));
	cr_assert_not(policy_wants_name(p, 443));
	policy_free(p);
}

Test(policy, allow_beats_deny)
{
	struct policy *p = policy("{\"allowOut\": [\"1.1.1.1\", \"8.8.8.0/24:53\", \"10.0.0.1\"],"
				  "\"denyOut\": [\"0.0.0.0/0\"], \"allow_internet_access\": true}");

	cr_assert_eq(decide(p, NULL, "1.1.1.1", 443), POLICY_ALLOW);
	cr_assert_eq(decide(p, NULL, "1.1.1.2", 443), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, NULL, "8.8.8.8", 53), POLICY_ALLOW);
	cr_assert_eq(decide(p, NULL, "8.8.8.8", 54), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, NULL, "2606:4700::1", 443), POLICY_DENY_LISTED, "0/0 is everything");
	cr_assert_eq(decide(p, NULL, "10.0.0.1", 443), POLICY_DENY_SPECIAL,
		     "a tenant can't lift it");
	policy_free(p);
}

Test(policy, deny_lists)
{
	struct policy *p = policy(
		"{\"denyOut\": [\"8.8.0.0/16\", \"1.1.1.1:443\", \"2606::/16\", \"[2607::/16]:80\"],"
		"\"allow_internet_access\": true}");
	cr_assert_eq(decide(p, NULL, "8.8.1.1", 1), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, "a.example", "8.8.1.1", 443), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, NULL, "8.9.1.1", 1), POLICY_ALLOW);
	cr_assert_eq(decide(p, NULL, "1.1.1.1", 443), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, NULL, "1.1.1.1", 80), POLICY_ALLOW);
	cr_assert_eq(decide(p, NULL, "2606::1", 80), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, NULL, "2607::1", 80), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, NULL, "2607::1", 81), POLICY_ALLOW);
	policy_free(p);
}

Test(policy, names)
{
	struct policy *p =
		policy("{\"allowOut\": [\"Example.org\", \"*.cdn.example\", \"git.example:22\"],"
		       "\"denyOut\": [\"0.0.0.0/0\"]}");

	cr_assert_eq(decide(p, "example.org", "8.8.8.8", 443), POLICY_ALLOW);
	cr_assert_eq(decide(p, "example.org", "8.8.8.8", 80), POLICY_ALLOW);
	cr_assert_eq(decide(p, "example.org", "8.8.8.8", 8080), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, "git.example", "8.8.8.8", 22), POLICY_ALLOW);
	cr_assert_eq(decide(p, "git.example", "8.8.8.8", 443), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, "a.b.cdn.example", "8.8.8.8", 443), POLICY_ALLOW);
	cr_assert_eq(decide(p, "cdn.example", "8.8.8.8", 443), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, NULL, "8.8.8.8", 443), POLICY_DENY_LISTED);
	cr_assert_eq(decide(p, "example.org", "127.0.0.1", 443), POLICY_DENY_SPECIAL, "rebinding");
	cr_assert_eq(decide(p, "example.org", "::1", 443), POLICY_DENY_SPECIAL);
	cr_assert(policy_resolves(p, "git.example"));
	cr_assert_not(policy_resolves(p, "cdn.example"));
	cr_assert(policy_wants_name(p, 80));
	cr_assert(policy_wants_name(p, 22));
	cr_assert_not(policy_wants_name(p, 25));
	policy_free(p);
}

Test(policy, the_operator)
{
	struct policy *p = policy("{\"allow_internet_access\": true, \"operator\":"
				  "{\"allow\": [\"10.1.0.0/16:80\"], \"deny\": [\"9.9.9.9\"]}}");

	cr_assert_eq(decide(p, NULL, "10.1.2.3", 80), POLICY_ALLOW);
	cr_assert_eq(decide(p, NULL, "10.1.2.3", 81), POLICY_DENY_SPECIAL);
	cr_assert_eq(decide(p, NULL, "10.2.2.3", 80), POLICY_DENY_SPECIAL);
	cr_assert_eq(decide(p, NULL, "9.9.9.9", 80), POLICY_DENY_OPERATOR);
	policy_free(p);
	/* What the operator lifts isn't allowed by that. */
	p = policy("{\"operator\": {\"allow\": [\"10.1.0.0/16\"]}}");
	cr_assert_eq(decide(p, NULL, "10.1.2.3", 80), POLICY_DENY_REST);
	policy_free(p);
}

Test(policy, rules)
{
	struct policy *p = policy(
		"{\"rules\": {\"api.example\": [{\"transform\": {\"headers\":"
		"{\"Authorization\": \"Bearer s3cret\", \"X-A\": \"\"}}}],"
		"\"*.example\": [{\"transform\": {\"headers\": {\"X-B\": \"1\"}}}, {},"
		"{\"transform\": {\"headers\": {\"X-C\": \"2\"}}}], \"*.deep.example\": []}}");
	const struct policy_rule *r = policy_rule_for(p, "api.example");

	cr_assert_eq(r->count, 2);
	cr_assert_str_eq(r->headers[0].value, "Bearer s3cret");
	r = policy_rule_for(p, "www.example");
	cr_assert_eq(r->count, 2);
	cr_assert_str_eq(r->headers[1].name, "X-C");
	cr_assert_eq(policy_rule_for(p, "a.deep.example")->count, 0, "the longest");
	cr_assert_null(policy_rule_for(p, "example"));
	cr_assert_not(policy_resolves(p, "api.example"), "a rule doesn't allow");
	cr_assert(policy_wants_name(p, 80));
	cr_assert(policy_wants_name(p, 443));
	cr_assert_not(policy_wants_name(p, 8080));
	policy_free(p);
}

Test(policy, proxy_and_resolvers)
{
	struct policy *p = policy(
		"{\"egressProxy\": {\"address\": \"proxy.example:1080\", \"username\": \"u\","
		"\"password\": \"p\"}, \"resolvers\": [\"9.9.9.9\", \"[2620:fe::fe]:5353\"]}");
	struct policy *q = policy("{\"egressProxy\": {\"address\": \"[2606::1]:1\"}}");
	struct policy *none = policy("{\"egressProxy\": null}");
	const struct policy_endpoint *e;
	size_t n;

	cr_assert_str_eq(policy_proxy(p)->host, "proxy.example");
	cr_assert_eq(policy_proxy(p)->port, 1080);
	cr_assert_str_eq(policy_proxy(p)->password, "p");
	e = policy_resolvers(p, &n);
	cr_assert_eq(n, 2);
	cr_assert_eq(e[0].port, 53);
	cr_assert_eq(e[1].port, 5353);
	cr_assert_str_eq(policy_proxy(q)->host, "");
	cr_assert_eq(policy_proxy(q)->port, 1);
	cr_assert(policy_same_proxy(p, p));
	cr_assert_not(policy_same_proxy(p, q));
	cr_assert_not(policy_same_proxy(p, none));
	cr_assert(policy_same_proxy(none, none));
	policy_free(p);
	policy_free(q);
	policy_free(none);
}

#define RULE(headers) "{\"rules\": {\"a.example\": [{\"transform\": {\"headers\": " headers "}}]}}"

Test(policy, refused)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{",
		"{\"allowOut\": [], \"allowOut\": []}",
		"{\"unknown\": 1}",
		"{\"allowPublicTraffic\": true}",
		"{\"allowOut\": \"1.1.1.1\"}",
		"{\"allowOut\": [1]}",
		"{\"allowOut\": [\"\"]}",
		"{\"allowOut\": [\"*\"]}",
		"{\"allowOut\": [\"a b\"]}",
		"{\"allowOut\": [\"http://example.org\"]}",
		"{\"allowOut\": [\"example.org/24\"]}",
		"{\"allowOut\": [\"example.org:0\"]}",
		"{\"allowOut\": [\"example.org:65536\"]}",
		"{\"allowOut\": [\"1.2.3.4/33\"]}",
		"{\"allowOut\": [\"1.2.3.4.\"]}",
		"{\"allowOut\": [\"[::1]x\"]}",
		"{\"allowOut\": [\"[::1\"]}",
		"{\"allowOut\": [\"a.example\\u0000\"]}",
		"{\"allowOut\": [\"a.example\"], \"allow_internet_access\": true}",
		"{\"denyOut\": [\"example.org\"]}",
		"{\"allow_internet_access\": 1}",
		"{\"operator\": {\"allow\": [\"example.org\"]}}",
		"{\"operator\": {\"other\": []}}",
		"{\"operator\": []}",
		"{\"resolvers\": [\"dns.example\"]}",
		"{\"resolvers\": [\"1.1.1.1\", \"1.1.1.2\", \"1.1.1.3\", \"1.1.1.4\"]}",
		"{\"egressProxy\": {}}",
		"{\"egressProxy\": {\"address\": \"proxy.example\"}}",
		"{\"egressProxy\": {\"address\": \"pro xy:1\"}}",
		"{\"egressProxy\": {\"address\": \"p.example:1\", \"username\": \"u\"}}",
		"{\"egressProxy\": {\"address\": \"p.example:1\", \"scheme\": \"http\"}}",
		"{\"rules\": []}",
		"{\"rules\": {\"a b\": []}}",
		"{\"rules\": {\"a.example\": {}}}",
		"{\"rules\": {\"a.example\": [1]}}",
		"{\"rules\": {\"a.example\": [{\"transform\": {}}]}}",
		"{\"rules\": {\"a.example\": [{\"transform\": {\"headers\": {}, \"body\": 1}}]}}",
		RULE("[]"),
		RULE("{\"X\": 1}"),
		RULE("{\"\": \"v\"}"),
		RULE("{\"X Y\": \"v\"}"),
		RULE("{\"X\": \"a\\r\\nEvil: 1\"}"),
		RULE("{\"X\": \"1\", \"x\": \"2\"}"),
		RULE("{\"Host\": \"b.example\"}"),
		RULE("{\"transfer-encoding\": \"chunked\"}"),
		RULE("{\"Content-Length\": \"1\"}"),
		RULE("{\"Connection\": \"close\"}"),
	};
	struct policy *p;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = { 0 };
		int r = policy_parse(bad[i], strlen(bad[i]), &p, &err);

		cr_assert_eq(r, -EINVAL, "%s", bad[i]);
		cr_assert_neq(err.msg[0], '\0');
	}
}

#define HTTPS_RULE(allow, host)                                                   \
	"{\"allowOut\": [" allow "], \"rules\": {\"" host "\": [{\"transform\": " \
	"{\"headers\": {\"X\": \"1\"}}}]}}"

/* Headers for what is reached by TLS alone would mean that it can't be reached. */
Test(policy, headers_need_plain_http)
{
	static const char *const bad[] = {
		HTTPS_RULE("\"a.example:443\"", "a.example"),
		HTTPS_RULE("\"*.example:443\"", "a.example"),
		HTTPS_RULE("\"a.example:443\"", "*.example"),
		HTTPS_RULE("\"*.example:443\", \"b.test\"", "*.example"),
	};
	static const char *const good[] = {
		HTTPS_RULE("\"a.example\"", "a.example"),
		HTTPS_RULE("\"a.example:443\", \"*.example:8080\"", "a.example"),
		HTTPS_RULE("\"a.example:443\"", "b.example"),
		HTTPS_RULE("\"a.example:443\", \"192.0.2.1\"", "a.example"),
		HTTPS_RULE("", "a.example"),
		"{\"allowOut\": [\"a.example:443\"], \"rules\": {\"a.example\": [{}]}}",
	};
	struct err err = { 0 };
	struct policy *p;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_assert_eq(policy_parse(bad[i], strlen(bad[i]), &p, &err), 0, "%s", bad[i]);
		cr_assert(policy_has_headers(p));
		cr_assert_eq(policy_check_plain(p, &err), -EINVAL, "%s", bad[i]);
		cr_assert_not_null(strstr(err.msg, "plain HTTP"), "%s", err.msg);
		policy_free(p);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cr_assert_eq(policy_parse(good[i], strlen(good[i]), &p, &err), 0, "%s: %s", good[i],
			     err.msg);
		cr_assert_eq(policy_check_plain(p, &err), 0, "%s: %s", good[i], err.msg);
		policy_free(p);
	}
}

Test(policy, the_reason_has_no_secret)
{
	static const char *const bad[] = {
		"{\"egressProxy\": {\"address\": \"p.example:1\", \"password\": \"s3cret\"}}",
		RULE("{\"X\": \"s3cret\\n\"}"),
		"{\"rules\": s3cret",
	};
	struct policy *p;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = { 0 };

		cr_assert_eq(policy_parse(bad[i], strlen(bad[i]), &p, &err), -EINVAL);
		cr_assert_null(strstr(err.msg, "s3cret"), "%s", err.msg);
	}
}

static char *many(const char *head, const char *item, size_t count, const char *tail)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	cr_assert_not_null(f);
	(void)fputs(head, f);
	for (size_t i = 0; i < count; i++) {
		(void)fputs(i > 0 ? "," : "", f);
		(void)fprintf(f, "\"a%zu%s", i, item);
	}
	(void)fputs(tail, f);
	(void)fclose(f);
	return text;
}

static int parse_many(const char *head, const char *item, size_t count, const char *tail)
{
	char *text = many(head, item, count, tail);
	struct policy *p = NULL;
	int r = policy_parse(text, strlen(text), &p, NULL);

	policy_free(p);
	free(text);
	return r;
}

Test(policy, ceilings)
{
	static const char item[] = ".example\"", host[] = ".example\":[]", header[] = "\":\"\"";

	cr_assert_eq(parse_many("{\"allowOut\":[", item, EGRESS_DESTS_MAX, "]}"), 0);
	cr_assert_eq(parse_many("{\"allowOut\":[", item, EGRESS_DESTS_MAX + 1, "]}"), -E2BIG);
	cr_assert_eq(parse_many("{\"rules\":{", host, EGRESS_RULES_MAX, "}}"), 0);
	cr_assert_eq(parse_many("{\"rules\":{", host, EGRESS_RULES_MAX + 1, "}}"), -E2BIG);
	cr_assert_eq(parse_many("{\"rules\":{\"a.b\":[{\"transform\":{\"headers\":{", header,
				EGRESS_HEADERS_MAX, "}}}]}}"),
		     0);
	cr_assert_eq(parse_many("{\"rules\":{\"a.b\":[{\"transform\":{\"headers\":{", header,
				EGRESS_HEADERS_MAX + 1, "}}}]}}"),
		     -E2BIG);
	cr_assert_eq(parse_many("{\"allowOut\":[", item, 12000, "]}"), -E2BIG, "bytes");
}
