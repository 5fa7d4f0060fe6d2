/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of the public API: credentials, tenants, names, and what E2B's requests ask for.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/auth.h"
#include "api/daemon/cors.h"
#include "api/daemon/credential.h"
#include "api/daemon/e2b_view.h"
#include "api/daemon/hostmask.h"
#include "api/daemon/profile.h"
#include "api/daemon/route.h"
#include "api/daemon/tenant.h"
#include "base/num.h"

static struct err err;

/* ---- Credentials --------------------------------------------------------------------------- */

/* What an unmodified SDK computed for a token, byte by byte. */
Test(api, signature)
{
	struct credential_url u = { .path = "/home/user/a.txt",
				    .operation = "read",
				    .user = "",
				    .expiration = "1795200328" };
	char got[CREDENTIAL_SIGNATURE_LEN + 1];

	credential_sign(&u, "ea_test_token", got);
	cr_assert_str_eq(got, "v1_h0Yduct+ngKCpqNXGkYNMugrBF7Y3ATuVJEfBSB2f54");
	u = (struct credential_url){ .path = "", .operation = "write", .user = "" };
	credential_sign(&u, "ea_test_token", got);
	cr_assert_str_eq(got, "v1_qSBi8CO9KbybvOjPxPJViowNhozA935nQfaW9Z0wnIQ");
}

Test(api, keys_and_tokens)
{
	const uint8_t secret[32] = { 1 }, another[32] = { 2 };
	char a[CREDENTIAL_KEY_LEN + 1], b[CREDENTIAL_KEY_LEN + 1], big[200];
	char t[4][CREDENTIAL_TOKEN_LEN + 1];
	uint8_t hash[32], hash2[32];

	credential_key_make(a);
	credential_key_make(b);
	cr_assert_str_neq(a, b);
	cr_assert_eq(strncmp(a, "e2b_", 4), 0);
	cr_assert_eq(strspn(a + 4, "0123456789abcdef"), 40);
	cr_assert_eq(credential_key_hash(a, hash), 0);
	cr_assert_eq(credential_key_hash(b, hash2), 0);
	cr_assert_neq(memcmp(hash, hash2, 32), 0);
	cr_assert_eq(credential_key_hash("", hash), -EINVAL);
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	cr_assert_eq(credential_key_hash(big, hash), -EINVAL);
	credential_token(secret, CREDENTIAL_ACCESS, "i1", t[0]);
	credential_token(secret, CREDENTIAL_TRAFFIC, "i1", t[1]);
	credential_token(secret, CREDENTIAL_ACCESS, "i2", t[2]);
	credential_token(another, CREDENTIAL_ACCESS, "i1", t[3]);
	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < i; j++)
			cr_assert(!credential_equal(t[i], t[j]));
	credential_token(secret, CREDENTIAL_ACCESS, "i1", t[1]);
	cr_assert(credential_equal(t[0], t[1]));
	cr_assert(!credential_equal(t[0], ""));
	t[1][42] = '\0';
	cr_assert(!credential_equal(t[0], t[1]));
}

Test(api, origins)
{
	static const char *const good[] = { "https://a.example", "http://localhost:3000",
					    "http://[::1]:8080", "https://[::1]" };
	static const char *const bad[] = { "",
					   "*",
					   "null",
					   "a.example",
					   "https://",
					   "ftp://a.example",
					   "https://a.example/",
					   "https://a.example/x",
					   "https://A.example",
					   "https://a.example:443",
					   "http://a.example:80",
					   "https://a.example:0",
					   "https://a.example:080",
					   "https://a.example:65536",
					   "https://a.example:",
					   "https://u@a.example",
					   "https://*.example",
					   "https://a.example\r\nX: y",
					   "https://[::1",
					   "https://[]",
					   "https://a b",
					   "https://a.example,https://b.example" };
	struct cors c = { 0 };
	char big[400] = "https://";

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(cors_add(&c, bad[i], &err), -EINVAL, "%s", bad[i]);
	memset(big + 8, 'a', sizeof(big) - 9);
	cr_expect_eq(cors_add(&c, big, &err), -EINVAL);
	cr_expect_eq(c.count, 0);
	for (size_t i = 0; i < CORS_ORIGINS_MAX; i++)
		cr_expect_eq(cors_add(&c, good[i % ARRAY_SIZE(good)], &err), 0, "%s",
			     good[i % ARRAY_SIZE(good)]);
	cr_expect_eq(cors_add(&c, good[0], &err), -ENOSPC);
}

Test(api, hosts)
{
	static const char *const good[] = { "localhost",
					    "LOCALHOST:80",
					    "127.0.0.1",
					    "10.1.2.3:3",
					    "[::1]:3000",
					    "[::1]",
					    "3000-i1.localhost:8443",
					    "sb.example.org",
					    "49983-i1.sb.example.org:1" };
	static const char *const bad[] = { "",
					   "evil.example",
					   "notlocalhost",
					   "localhost.evil.example",
					   "example.org",
					   "xsb.example.org",
					   "sb.example.org.evil",
					   ":80",
					   "1.2.3" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		cr_assert(auth_host_ok(good[i], "sb.example.org"), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert(!auth_host_ok(bad[i], "sb.example.org"), "%s", bad[i]);
	cr_assert(!auth_host_ok(NULL, NULL));
	cr_assert(!auth_host_ok("sb.example.org", NULL));
}

#define ID "iabcdefghij012345678"

Test(api, routes)
{
	static const struct {
		enum route_kind kind;
		const char *id;
		unsigned port;
		const char *target, *fields;
	} cases[] = {
		{ ROUTE_CONTROL, "", 0, "/v2/sandboxes", "Host: localhost\r\n" },
		{ ROUTE_CONTROL, "", 0, "/files?path=x", "Host: localhost\r\n" },
		{ ROUTE_SANDBOX, ID, 49983, "/x",
		  "Host: h\r\nE2b-Sandbox-Id: " ID "\r\nE2b-Sandbox-Port: 49983\r\n" },
		{ ROUTE_SANDBOX, ID, 80, "/x",
		  "Host: h\r\nE2b-Sandbox-Id: " ID "-client\r\nE2b-Sandbox-Port: 80\r\n" },
		{ ROUTE_SANDBOX, "", 80, "/x",
		  "Host: h\r\nE2b-Sandbox-Id: ../x\r\nE2b-Sandbox-Port: 80\r\n" },
		{ ROUTE_MALFORMED, "", 0, "/x", "Host: h\r\nE2b-Sandbox-Id: " ID "\r\n" },
		{ ROUTE_MALFORMED, "", 0, "/x", "Host: h\r\nE2b-Sandbox-Port: 80\r\n" },
		{ ROUTE_MALFORMED, "", 0, "/x",
		  "Host: h\r\nE2b-Sandbox-Id: " ID "\r\nE2b-Sandbox-Port: 65536\r\n" },
		{ ROUTE_SANDBOX, ID, 3000, "/x", "Host: 3000-" ID ".localhost:8443\r\n" },
		{ ROUTE_SANDBOX, "", 3000, "/x", "Host: 3000-nobody.localhost\r\n" },
		{ ROUTE_CONTROL, "", 0, "/x", "Host: 3000-" ID "\r\n" },
		{ ROUTE_CONTROL, "", 0, "/x", "Host: 0-" ID ".localhost\r\n" },
		{ ROUTE_CONTROL, "", 0, "/x", "Host: 99999-" ID ".localhost\r\n" },
		{ ROUTE_TOKEN, "", 49983, "/health", "Host: h\r\nX-Access-Token: t\r\n" },
		{ ROUTE_CONTROL, "", 0, "/health",
		  "Host: h\r\nX-Access-Token: t\r\nX-API-Key: k\r\n" },
		{ ROUTE_SIGNATURE, "", 49983, "/files?path=a&signature=v1_x", "Host: h\r\n" },
		{ ROUTE_SIGNATURE, "", 49983, "/files?signature=v1_x", "Host: h\r\n" },
		{ ROUTE_CONTROL, "", 0, "/other?signature=v1_x", "Host: h\r\n" },
	};
	struct http_head h;
	struct route r;
	char text[512], path[64];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n%s\r\n", cases[i].target,
				 cases[i].fields);
		cr_assert_eq(http_request_parse(text, (size_t)n, &h), 0);
		snprintf(path, sizeof(path), "%s", h.target);
		path[strcspn(path, "?")] = '\0';
		route_find(&h, path, &r);
		cr_assert_eq(r.kind, cases[i].kind, "%zu: %d", i, (int)r.kind);
		if (r.kind == ROUTE_SANDBOX)
			cr_assert_str_eq(r.id, cases[i].id, "%zu", i);
		if (cases[i].port != 0)
			cr_assert_eq(r.port, cases[i].port, "%zu", i);
	}
	cr_assert(route_is_internal("/init") && route_is_internal("///init/") &&
		  route_is_internal("/freeze") && route_is_internal("/%69nit") &&
		  route_is_internal("/./init") && route_is_internal("/a/../init") &&
		  route_is_internal("/a%zz"));
	cr_assert(!route_is_internal("/initial") && !route_is_internal("/files") &&
		  !route_is_internal("/"));
}

/* ---- Tenants ------------------------------------------------------------------------------- */

Test(api, tenants)
{
	struct store_tenant want = { .name = "alice",
				     .sandboxes_max = 2,
				     .memory_max = 300,
				     .vcpus_max = 3,
				     .creates_per_min = 3 };
	struct store *store;
	struct tenants *all;
	struct tenant *t;

	cr_assert_eq(store_open(NULL, &store, &err), 0);
	cr_assert_eq(tenants_new(store, &all, &err), 0, "%s", err.msg);
	cr_assert_not_null(tenants_local(all));
	cr_assert_eq(tenants_put(all, &want, &t, &err), 0);
	cr_assert_eq(tenants_find(all, "alice"), t);
	cr_assert_eq(tenant_admit(t, 100, 1, &err), 0);
	tenant_charge(t, 100, 1);
	cr_assert_eq(tenant_admit(t, 201, 1, &err), -EDQUOT, "memory");
	cr_assert_eq(tenant_admit(t, UINT64_MAX, 1, &err), -EDQUOT, "memory that wraps");
	cr_assert_eq(tenant_admit(t, 200, 3, &err), -EDQUOT, "vCPUs");
	cr_assert_eq(tenant_admit(t, 200, 2, &err), 0);
	tenant_charge(t, 200, 2);
	cr_assert_eq(tenant_admit(t, 0, 0, &err), -EDQUOT, "sandboxes");
	tenant_release(t, 200, 2);
	cr_assert_eq(tenant_admit(t, 200, 2, &err), 0);
	cr_assert_eq(tenant_admit(t, 200, 2, &err), -EAGAIN, "the fourth within a minute");
	for (unsigned i = 0; i < 500; i++)
		cr_assert_eq(tenant_admit(tenants_local(all), 1, 1, &err), 0, "%s", err.msg);
	snprintf(want.name, sizeof(want.name), "Not OK");
	cr_assert_eq(tenants_put(all, &want, &t, &err), -EINVAL);
	tenants_free(all);
	cr_assert_eq(tenants_new(store, &all, &err), 0);
	cr_assert_not_null(tenants_find(all, "alice"), "they are in the store");
	tenants_free(all);
	store_close(store);
}

/* ---- E2B's requests ------------------------------------------------------------------------ */

static const struct spec_limits limits = { .memory_max = UINT64_C(4) << 30,
					   .scratch_max = UINT64_C(256) << 30,
					   .kernel = "default",
					   .image = "default" };

static int parse(const char *body, unsigned v, struct spec *spec, struct profile **p)
{
	return profile_parse(body, strlen(body), v, &limits, spec, p, &err);
}

Test(api, create)
{
	struct profile *p;
	struct spec s;

	cr_assert_eq(parse("{\"templateID\":\"base\",\"metadata\":{\"user\":\"abc\"},\"envVars\":"
			   "{\"FOO\":\"bar\"},\"timeout\":120,\"of_tomorrow\":{}}",
			   2, &s, &p),
		     0, "%s", err.msg);
	cr_assert_str_eq(s.image, "default");
	cr_assert_str_eq(s.envs[0].value, "bar");
	cr_assert_eq(s.timeout_ms, 120000);
	cr_assert(p->secure && !p->private_traffic);
	cr_assert(profile_matches(p, "user=abc"));
	cr_assert(profile_matches(p, "user%3Dabc") == false);
	cr_assert(!profile_matches(p, "user=abd"));
	cr_assert(!profile_matches(p, "other=abc"));
	cr_assert(!profile_matches(p, "user=%zz"));
	cr_assert(profile_matches(p, ""));
	profile_free(p);
	spec_done(&s);
	cr_assert_eq(parse("{\"templateID\":\"py3:v1\",\"secure\":true}", 1, &s, &p), 0);
	cr_assert_str_eq(s.image, "py3");
	cr_assert_eq(s.timeout_ms, 15000);
	cr_assert(p->secure);
	profile_free(p);
	spec_done(&s);
	cr_assert_eq(parse("{\"templateID\":\"base\",\"network\":{\"allowPublicTraffic\":false}}",
			   1, &s, &p),
		     0);
	cr_assert(!p->secure && p->private_traffic && !p->auto_resume);
	profile_free(p);
	spec_done(&s);
	cr_assert_eq(
		parse("{\"templateID\":\"base\",\"autoResume\":{\"enabled\":true}}", 2, &s, &p), 0);
	cr_assert(p->auto_resume && !s.pause_on_timeout);
	cr_assert_eq(s.scratch_bytes, 0);
	profile_free(p);
	spec_done(&s);
	/* Without its memory: then its files are on a disk. */
	cr_assert_eq(parse("{\"templateID\":\"base\",\"autoPause\":true,\"autoPauseMemory\":false}",
			   2, &s, &p),
		     0);
	cr_assert(s.pause_on_timeout && s.pause_files && s.scratch_bytes > 0);
	profile_free(p);
	spec_done(&s);
}

Test(api, hostmask)
{
	static const char *const bad[] = { "",	      "a b",	"a\r\nX: y", "a/b",
					   "u@h",     "${PORT", "${HOST}",   "$PORT",
					   "${port}", "h:${}",	"${PORT}${", "\xc3\xa4" };
	char text[HOSTMASK_MAX + 1], mask[HOSTMASK_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert(!hostmask_valid(bad[i]), "%s", bad[i]);
	cr_assert(hostmask_valid("${PORT}-x.example.com:${PORT}"));
	hostmask_expand("${PORT}-x.example.com:${PORT}", 65535, text);
	cr_assert_str_eq(text, "65535-x.example.com:65535");
	cr_assert(hostmask_valid("[::1]"));
	hostmask_expand("[::1]", 80, text);
	cr_assert_str_eq(text, "[::1]");
	/* The longest, as it is and with the longest port. */
	memset(mask, 'a', sizeof(mask));
	mask[HOSTMASK_MAX + 1] = '\0';
	cr_assert(!hostmask_valid(mask));
	mask[HOSTMASK_MAX] = '\0';
	cr_assert(hostmask_valid(mask));
	for (size_t i = 0; i + 7 <= HOSTMASK_MAX; i += 7)
		memcpy(mask + i, "${PORT}", 7);
	cr_assert(hostmask_valid(mask));
}

Test(api, create_mask)
{
	static const char *const bad[] = { "1", "\"\"", "\"a b\"", "\"a\\r\\nX: y\"", "[]" };
	char body[256];
	struct profile *p;
	struct spec s;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		(void)snprintf(body, sizeof(body),
			       "{\"templateID\":\"base\",\"network\":{\"maskRequestHost\":%s}}",
			       bad[i]);
		cr_assert_eq(parse(body, 2, &s, &p), -EINVAL, "%s", body);
		cr_assert_not_null(strstr(err.msg, "maskRequestHost"), "%s", err.msg);
	}
	cr_assert_eq(parse("{\"templateID\":\"base\",\"network\":{\"maskRequestHost\":null}}", 2,
			   &s, &p),
		     0);
	cr_assert_str_eq(p->mask_host, "");
	profile_free(p);
	spec_done(&s);
	cr_assert_eq(parse("{\"templateID\":\"base\",\"network\":{\"maskRequestHost\":"
			   "\"a.example:${PORT}\"}}",
			   2, &s, &p),
		     0);
	cr_assert_str_eq(p->mask_host, "a.example:${PORT}");
	profile_free(p);
	spec_done(&s);
}

Test(api, create_refusals)
{
	static const struct {
		int code;
		const char *body;
	} cases[] = {
		{ -EINVAL, "" },
		{ -EINVAL, "[]" },
		{ -EINVAL, "{\"templateID\":1}" },
		{ -EINVAL, "{\"templateID\":\"\"}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"templateID\":\"base\"}" },
		{ -ENOENT, "{\"templateID\":\"../etc\"}" },
		{ -ENOENT, "{\"templateID\":\".hidden\"}" },
		{ -ENOENT, "{\"templateID\":\":v1\"}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"timeout\":0}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"timeout\":-1}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"timeout\":1.5}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"timeout\":99999999999}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"metadata\":[]}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"metadata\":{\"a\":1}}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"envVars\":{\"a b\":\"\"}}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"secure\":\"yes\"}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"network\":[]}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"autoPause\":1}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"autoPauseMemory\":false}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"autoPause\":true,\"autoPauseMemory\":false,"
			   "\"autoResume\":{\"enabled\":true}}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"autoResume\":{\"enabled\":1}}" },
		{ -EINVAL, "{\"templateID\":\"base\",\"autoResume\":true}" },
		{ -ENOTSUP, "{\"templateID\":\"base\",\"network\":{\"allowOut\":[\"1.1.1.1\"]}}" },
		{ -ENOTSUP, "{\"templateID\":\"base\",\"volumeMounts\":[{\"name\":\"v\"}]}" },
	};
	struct profile *p;
	struct spec s;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_assert_eq(parse(cases[i].body, 2, &s, &p), cases[i].code, "%s: %s",
			     cases[i].body, err.msg);
}

Test(api, timeouts)
{
	uint64_t ms = 1;

	cr_assert_eq(profile_parse_timeout("{\"timeout\":60}", 14, "timeout", true, 0, &ms, &err),
		     0);
	cr_assert_eq(ms, 60000);
	cr_assert_eq(profile_parse_timeout("{\"timeout\":-6}", 14, "timeout", true, 0, &ms, &err),
		     0);
	cr_assert_eq(ms, 0);
	cr_assert_eq(profile_parse_timeout("", 0, "timeout", false, 9, &ms, &err), 0);
	cr_assert_eq(ms, 9000);
	cr_assert_eq(profile_parse_timeout("", 0, "timeout", true, 9, &ms, &err), -EINVAL);
	cr_assert_eq(
		profile_parse_timeout("{\"timeout\":\"6\"}", 15, "timeout", true, 0, &ms, &err),
		-EINVAL);
	cr_assert_eq(profile_parse_timeout("null", 4, "timeout", false, 0, &ms, &err), -EINVAL);
}

Test(api, times)
{
	char text[E2B_TIME_LEN + 1];
	int64_t ms;

	e2b_time(INT64_C(1795200328358), text);
	cr_assert_str_eq(text, "2026-11-20T18:45:28.358Z");
	cr_assert_eq(e2b_time_parse(text, &ms), 0);
	cr_assert_eq(ms, INT64_C(1795200328358));
	cr_assert_eq(e2b_time_parse("2026-11-20T19:45:28+01:00", &ms), 0);
	cr_assert_eq(ms, INT64_C(1795200328000));
	cr_assert_eq(e2b_time_parse("2026-11-20T19:45:28", &ms), -EINVAL);
	cr_assert_eq(e2b_time_parse("2026-13-20T19:45:28Z", &ms), -EINVAL);
	cr_assert_eq(e2b_time_parse("now", &ms), -EINVAL);
	cr_assert_eq(e2b_time_parse("", &ms), -EINVAL);
}
