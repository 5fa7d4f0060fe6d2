/* SPDX-License-Identifier: Apache-2.0 */
/* How a template is to be made: what is let in, and what is refused by name. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/recipe.h"
#include "base/num.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct err err;

static int parse(const char *text, struct recipe *r)
{
	err = (struct err){ 0 };
	return recipe_parse(text, strlen(text), r, &err);
}

Test(recipe, what_an_sdk_sends)
{
	struct recipe r;

	cr_assert_eq(
		parse("{\"fromImage\":\"debian:12\",\"force\":true,\"startCmd\":\"serve\","
		      "\"readyCmd\":\"sleep 1\",\"later\":[1],\"scratch_bytes\":1048576,\"steps\":["
		      "{\"type\":\"RUN\",\"args\":[\"make\",\"root\"],\"force\":false},"
		      "{\"type\":\"COPY\",\"args\":[\"a/*\",\"b\",\"u:g\",\"0755\"],"
		      "\"filesHash\":\"" HASH "\",\"force\":true},"
		      "{\"type\":\"COPY\",\"args\":[\"a..b\",\"/\",\"\",\"\"],\"filesHash\":"
		      "\"" HASH "\"},"
		      "{\"type\":\"ENV\",\"args\":[\"A\",\"1\",\"B\",\"\"]},"
		      "{\"type\":\"WORKDIR\",\"args\":[\"/app\"]},"
		      "{\"type\":\"USER\",\"args\":[\"user\"]}]}",
		      &r),
		0, "%s", err.msg);
	cr_expect_str_eq(r.image, "debian:12");
	cr_expect_null(r.template);
	cr_expect_str_eq(r.start, "serve");
	cr_expect_str_eq(r.ready, "sleep 1");
	cr_expect(r.force);
	cr_expect_eq(r.scratch_bytes, 1048576);
	cr_assert_eq(r.count, 6);
	cr_expect(!r.steps[0].force && r.steps[1].force);
	cr_expect_eq(r.steps[0].kind, RECIPE_RUN);
	cr_expect_str_eq(recipe_arg(&r.steps[0], 1), "root");
	cr_expect_str_eq(recipe_arg(&r.steps[0], 2), "");
	cr_expect_str_eq(r.steps[1].files, HASH);
	cr_expect_str_eq(recipe_kind_name(r.steps[3].kind), "ENV");
	recipe_done(&r);
	recipe_done(&r);
	cr_assert_eq(parse("{\"fromTemplate\":\"base\",\"fromImage\":\"\",\"startCmd\":null}", &r),
		     0, "%s", err.msg);
	cr_expect_str_eq(r.template, "base");
	cr_expect_null(r.start);
	cr_expect_eq(r.count, 0);
	cr_expect(!r.force && r.scratch_bytes == 0);
	recipe_done(&r);
}

Test(recipe, what_is_refused)
{
#define STEP(s)	   "{\"fromImage\":\"a\",\"steps\":[" s "]}"
#define COPY(args) STEP("{\"type\":\"COPY\",\"filesHash\":\"" HASH "\",\"args\":[" args "]}")
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "body" },
		{ "[]", "body" },
		{ "{", "body" },
		{ "{}", "fromImage" },
		{ "{\"fromImage\":\"a\",\"fromTemplate\":\"b\"}", "fromImage" },
		{ "{\"fromImage\":1}", "fromImage" },
		{ "{\"fromImage\":\"a\",\"startCmd\":[]}", "startCmd" },
		{ "{\"fromImage\":\"a\",\"steps\":{}}", "steps" },
		{ "{\"fromImage\":\"a\",\"force\":1}", "force" },
		{ "{\"fromImage\":\"a\",\"scratch_bytes\":1}", "scratch_bytes" },
		{ "{\"fromImage\":\"a\",\"scratch_bytes\":-1048576}", "scratch_bytes" },
		{ "{\"fromImage\":\"a\",\"scratch_bytes\":\"1M\"}", "scratch_bytes" },
		{ STEP("{\"type\":\"RUN\",\"args\":[\"a\"],\"force\":1}"), "force" },
		{ "{\"fromImage\":\"a\",\"defaultUser\":\"a b\"}", "defaultUser" },
		{ "{\"fromImage\":\"a\",\"defaultWorkdir\":\"x\"}", "defaultWorkdir" },
		{ STEP("1"), "steps[0]" },
		{ STEP("{\"type\":\"ADD\",\"args\":[\"a\"]}"), "type" },
		{ STEP("{\"type\":\"RUN\"}"), "args" },
		{ STEP("{\"type\":\"RUN\",\"args\":[]}"), "args" },
		{ STEP("{\"type\":\"RUN\",\"args\":[1]}"), "args" },
		{ STEP("{\"type\":\"RUN\",\"args\":[\"\"]}"), "RUN" },
		{ STEP("{\"type\":\"RUN\",\"args\":[\"a\\u0000b\"]}"), "body" },
		{ STEP("{\"type\":\"RUN\",\"args\":[\"a\",\"b c\"]}"), "RUN" },
		{ STEP("{\"type\":\"RUN\",\"args\":[\"a\",\"b\",\"c\"]}"), "args" },
		{ STEP("{\"type\":\"ENV\",\"args\":[\"A\"]}"), "args" },
		{ STEP("{\"type\":\"ENV\",\"args\":[\"A\",\"b\",\"c\"]}"), "ENV" },
		{ STEP("{\"type\":\"ENV\",\"args\":[\"1A\",\"b\"]}"), "ENV" },
		{ STEP("{\"type\":\"WORKDIR\",\"args\":[\"\"]}"), "WORKDIR" },
		{ STEP("{\"type\":\"USER\",\"args\":[\"\"]}"), "USER" },
		{ STEP("{\"type\":\"COPY\",\"args\":[\"a\",\"b\"]}"), "filesHash" },
		{ STEP("{\"type\":\"COPY\",\"args\":[\"a\",\"b\"],\"filesHash\":\"../x\"}"),
		  "filesHash" },
		{ COPY("\"/a\",\"b\""), "COPY" },
		{ COPY("\"a/../b\",\"b\""), "COPY" },
		{ COPY("\"..\",\"b\""), "COPY" },
		{ COPY("\"a\",\"\""), "COPY" },
		{ COPY("\"a\",\"b\",\"u;v\""), "COPY" },
		{ COPY("\"a\",\"b\",\"\",\"u+x\""), "COPY" },
		{ COPY("\"a\",\"b\",\"\",\"07777\""), "COPY" },
	};
	struct recipe r;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_eq(parse(bad[i].text, &r), -EINVAL, "%s", bad[i].text);
		cr_expect_not_null(strstr(err.msg, bad[i].why), "%s: %s", bad[i].text, err.msg);
	}
	cr_expect_eq(
		parse("{\"fromImage\":\"a\",\"fromImageRegistry\":{\"type\":\"registry\"}}", &r),
		-ENOTSUP);
	cr_expect_not_null(strstr(err.msg, "casemate image import"), "%s", err.msg);
}

Test(recipe, has_an_end)
{
	static char text[65536];
	struct recipe r;
	int n = snprintf(text, sizeof(text), "{\"fromImage\":\"a\",\"steps\":[");

	for (unsigned i = 0; i < RECIPE_STEPS_MAX; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "%s{\"type\":\"RUN\",\"args\":[\":\"]}", i > 0 ? "," : "");
	(void)snprintf(text + n, sizeof(text) - (size_t)n, "]}");
	cr_assert_eq(parse(text, &r), 0, "%s", err.msg);
	cr_expect_eq(r.count, RECIPE_STEPS_MAX);
	recipe_done(&r);
	(void)snprintf(text + n, sizeof(text) - (size_t)n,
		       ",{\"type\":\"RUN\",\"args\":[\":\"]}]}");
	cr_expect_eq(parse(text, &r), -EINVAL);
}
