/* SPDX-License-Identifier: Apache-2.0 */
/* What an image says about its processes: what is let in, and what of it counts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/image_config.h"
#include "base/compiler.h"

static const struct spec_limits limits = { .memory_max = UINT64_C(1) << 32,
					   .kernel = "k",
					   .image = "i" };

static int check(const char *text, char **ret)
{
	json_t *in = json_loads(text, JSON_DECODE_ANY, NULL);
	struct err err = { 0 };
	int r;

	cr_assert_not_null(in, "%s", text);
	r = image_config_check(in, ret, &err);
	cr_expect(r == 0 || err.msg[0] != '\0', "%s", text);
	json_decref(in);
	return r;
}

Test(image_config, keeps_what_is_known)
{
	char *text = NULL;
	struct err err = { 0 };

	cr_assert_eq(check("{\"cmd\":[\"a b\",\"\"],\"env\":[\"A=1=2\",\"B.x=\"],\"user\":\"u:g\","
			   "\"workdir\":\"/w\",\"entrypoint\":[],\"labels\":{\"x\":1}}",
			   &text),
		     0);
	cr_expect_str_eq(text, "{\"cmd\":[\"a b\",\"\"],\"entrypoint\":[],\"env\":[\"A=1=2\","
			       "\"B.x=\"],\"user\":\"u:g\",\"workdir\":\"/w\"}");
	free(text);
	cr_assert_eq(image_config_check(NULL, &text, &err), 0);
	cr_expect_str_eq(text, "{}");
	free(text);
}

Test(image_config, refuses_what_could_mislead)
{
	static const char *const bad[] = {
		"[]",
		"{\"env\":{}}",
		"{\"env\":[1]}",
		"{\"env\":[\"A\"]}",
		"{\"env\":[\"=x\"]}",
		"{\"env\":[\"A B=x\"]}",
		"{\"env\":[\"A\\u001b=x\"]}",
		"{\"user\":\"a\\nb\"}",
		"{\"user\":7}",
		"{\"user\":\"a b\"}",
		"{\"env\":[\"1A=x\"]}",
		"{\"env\":[\"A$=x\"]}",
		"{\"workdir\":\"w\"}",
		"{\"workdir\":\"/\\u001b\"}",
		"{\"cmd\":\"sh\"}",
		"{\"entrypoint\":[[]]}",
	};
	char *text = NULL, *many;
	json_t *list = json_array(), *o = json_pack("{s:o}", "cmd", list);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(check(bad[i], &text), -EINVAL, "%s", bad[i]);
	for (unsigned i = 0; i <= IMAGE_CONFIG_ARGS_MAX; i++)
		cr_assert_eq(json_array_append_new(list, json_string("x")), 0);
	many = json_dumps(o, 0);
	cr_expect_eq(check(many, &text), -EINVAL);
	free(many);
	cr_assert_eq(json_array_remove(list, 0), 0);
	many = json_dumps(o, 0);
	cr_expect_eq(check(many, &text), 0);
	free(text);
	free(many);
	json_decref(o);
}

static void parse(const char *body, struct spec *s)
{
	struct err err = { 0 };

	cr_assert_eq(spec_parse(body, strlen(body), &limits, s, &err), 0, "%s", err.msg);
}

static const char *env(const struct spec *s, const char *name)
{
	const char *found = NULL;

	for (size_t i = 0; i < s->envs_count; i++) {
		if (strcmp(s->envs[i].name, name) != 0)
			continue;
		cr_expect_null(found, "%s twice", name);
		found = s->envs[i].value;
	}
	return found;
}

Test(image_config, a_request_counts_more_than_the_image)
{
	static const char config[] = "{\"env\":[\"A=image\",\"B=first\",\"B=second\",\"C=\"],"
				     "\"user\":\"u\",\"workdir\":\"/image\"}";
	struct err err = { 0 };
	struct spec s;

	parse("{\"envs\":{\"A\":\"mine\"},\"cwd\":\"/mine\"}", &s);
	cr_assert_eq(image_config_apply(config, &s, &err), 0, "%s", err.msg);
	cr_expect_str_eq(env(&s, "A"), "mine");
	cr_expect_str_eq(env(&s, "B"), "second");
	cr_expect_str_eq(env(&s, "C"), "");
	cr_expect_eq(s.envs_count, 3);
	cr_expect_str_eq(s.user, "u");
	cr_expect_str_eq(s.cwd, "/mine");
	spec_done(&s);
	parse("{}", &s);
	cr_assert_eq(image_config_apply("{}", &s, &err), 0);
	cr_expect_eq(s.envs_count, 0);
	cr_expect_str_eq(s.user, "");
	spec_done(&s);
}

Test(image_config, too_many_together_is_refused)
{
	json_t *envs = json_object(), *list = json_array();
	json_t *body = json_pack("{s:o}", "envs", envs), *config = json_pack("{s:o}", "env", list);
	struct err err = { 0 };
	struct spec s;
	char name[16], *text;

	for (unsigned i = 0; i < SPEC_ENVS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "V%u", i);
		cr_assert_eq(json_object_set_new(envs, name, json_string("")), 0);
	}
	cr_assert_eq(json_array_append_new(list, json_string("V0=is there")), 0);
	text = json_dumps(body, 0);
	parse(text, &s);
	free(text);
	text = json_dumps(config, 0);
	cr_expect_eq(image_config_apply(text, &s, &err), 0, "%s", err.msg); /* the control */
	free(text);
	cr_assert_eq(json_array_append_new(list, json_string("W=one more")), 0);
	text = json_dumps(config, 0);
	cr_expect_eq(image_config_apply(text, &s, &err), -EINVAL);
	free(text);
	spec_done(&s);
	json_decref(body);
	json_decref(config);
}
