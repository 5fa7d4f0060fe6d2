/* SPDX-License-Identifier: Apache-2.0 */
/* What templates, tags and builds may be called, and which image a reference stands for. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/template_ref.h"
#include "base/num.h"

#define LONG "0123456789012345678901234567890123456789012345678901234567890123" /* 64 */

static struct err err;

Test(template_ref, names_and_tags)
{
	static const char *const bad[] = { "",
					   ":",
					   "a:",
					   "a:b:c",
					   ":b",
					   "A",
					   "a b",
					   "a/b",
					   "a.b",
					   "a:b/c",
					   "tags",
					   "aliases",
					   "a:B",
					   "a\n",
					   "a:b\n",
					   LONG "x",
					   "a:" LONG "x",
					   "\xc3\xa4",
					   "t0123456789012345678" };
	struct template_ref r;

	cr_assert_eq(template_ref_parse("e2b-tests_1", &r, &err), 0);
	cr_expect_str_eq(r.name, "e2b-tests_1");
	cr_expect_str_eq(r.tag, "");
	cr_assert_eq(template_ref_parse(LONG ":" LONG, &r, &err), 0);
	cr_expect_str_eq(r.tag, LONG);
	cr_assert_eq(template_ref_parse("a:v1.0-rc_2", &r, &err), 0);
	cr_expect_str_eq(r.tag, "v1.0-rc_2");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(template_ref_parse(bad[i], &r, &err), -EINVAL, "%s", bad[i]);
	/* An id finds one, but names none. */
	cr_expect_eq(template_ref_find("t0123456789012345678:v1", &r), 0);
	cr_expect_str_eq(r.name, "t0123456789012345678");
	cr_expect_eq(template_ref_find("tags", &r), -EINVAL);
}

Test(template_ref, ids_have_their_form_and_differ)
{
	char a[TEMPLATE_ID_LEN + 1], b[TEMPLATE_ID_LEN + 1], c[BUILD_ID_LEN + 1],
		d[BUILD_ID_LEN + 1];

	template_id_make(a);
	template_id_make(b);
	cr_expect(template_id_ok(a) && template_id_ok(b), "%s %s", a, b);
	cr_expect_str_neq(a, b);
	cr_expect_not(template_id_ok("t01234567890123456789"));
	cr_expect_not(template_id_ok("i0123456789012345678"));
	build_id_make(c);
	build_id_make(d);
	cr_expect(build_id_ok(c) && build_id_ok(d), "%s %s", c, d);
	cr_expect_str_neq(c, d);
	cr_expect_eq(c[14], '4', "%s", c);
	c[3] = 'G';
	cr_expect_not(build_id_ok(c));
	d[8] = '0';
	cr_expect_not(build_id_ok(d));
	cr_expect_not(build_id_ok(""));
}

Test(template_ref, images)
{
	static const struct {
		const char *ref, *name;
	} good[] = {
		{ "debian", "debian" },
		{ "ubuntu:22.04", "ubuntu-22.04" },
		{ "docker.io/library/alpine:latest", "alpine-latest" },
		{ "oven/bun", "bun" },
		{ "localhost:5000/a/b:1", "b-1" },
		{ "base", "fallback" },
		{ "e2bdev/base:latest", "fallback" },
	};
	static const char *const bad[] = { "",	     ".",	   "a/",  "A",	  "a b",
					   LONG "x", "a@sha256:0", "a\n", "a/..", "a/.x" };
	char name[SPEC_NAME_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cr_assert_eq(template_image_name(good[i].ref, "fallback", name, &err), 0, "%s",
			     good[i].ref);
		cr_expect_str_eq(name, good[i].name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(template_image_name(bad[i], "fallback", name, &err), -EINVAL, "%s",
			     bad[i]);
}
