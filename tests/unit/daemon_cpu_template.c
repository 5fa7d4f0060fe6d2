/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON form of CPU templates: the shipped ones, and everything that is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/cpu_template.h"
#include "base/compiler.h"

static int parse(const char *text, struct cpu_template *t, struct err *err)
{
	json_t *v = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	int r;

	cr_assert_not_null(v, "%s", text);
	r = cpu_template_parse(v, t, err);
	json_decref(v);
	return r;
}

static void refuse(const char *text, const char *reason)
{
	struct cpu_template t = { .cpuid_count = 77 };
	struct err err = { 0 };

	cr_expect_eq(parse(text, &t, &err), -EINVAL, "%s", text);
	cr_expect_eq(t.cpuid_count, 77, "the result was touched");
	cr_expect_not_null(strstr(err.msg, reason), "%s: \"%s\"", text, err.msg);
}

Test(cpu_template, reads_all_of_it)
{
	struct cpu_template_message m;
	struct cpu_template t;
	struct err err = { 0 };

	cr_assert_eq(parse("{\"description\":\"d\",\"cpuid\":[{\"leaf\":\"0x80000001\",\"ecx\":5},"
			   "{\"leaf\":7,\"subleaf\":1,\"eax\":\"0xFf\",\"ebx\":1,\"edx\":2}],"
			   "\"msrs\":[{\"index\":\"0x10a\",\"mask\":\"0xffffffffffffffff\","
			   "\"value\":4}]}",
			   &t, &err),
		     0, "%s", err.msg);
	cr_expect_eq(t.cpuid_count, 2);
	cr_expect_eq(t.cpuid[0].leaf, 0x80000001);
	cr_expect_eq(t.cpuid[0].subleaf, 0);
	cr_expect_eq(t.cpuid[0].eax, UINT32_MAX, "a register that isn't named stays");
	cr_expect_eq(t.cpuid[0].ecx, 5);
	cr_expect_eq(t.cpuid[1].eax, 0xff);
	cr_expect_eq(t.msrs_count, 1);
	cr_expect_eq(t.msrs[0].mask, UINT64_MAX);
	cpu_template_encode(&t, &m);
	cr_expect_eq(m.msg.n_cpuid, 2);
	cr_expect_eq(m.msg.cpuid[1]->index, 1);
	cr_expect_eq(m.msg.cpuid[1]->edx, 2);
	cr_expect_eq(m.msg.msrs[0]->value, 4);
}

Test(cpu_template, empty_is_no_change)
{
	struct cpu_template t;
	struct err err;

	cr_assert_eq(parse("{}", &t, &err), 0);
	cr_expect_eq(t.cpuid_count + t.msrs_count, 0);
}

Test(cpu_template, refusals)
{
	refuse("[]", "must be an object");
	refuse("{\"cpu\":[]}", "cpu: unknown field");
	refuse("{\"cpuid\":{}}", "cpuid: must be a list");
	refuse("{\"cpuid\":[1]}", "cpuid 0: must be an object");
	refuse("{\"cpuid\":[{}]}", "leaf is missing");
	refuse("{\"cpuid\":[{\"leaf\":1,\"esx\":1}]}", "cpuid 0: esx: unknown field");
	refuse("{\"cpuid\":[{\"leaf\":-1}]}", "leaf: must be a number");
	refuse("{\"cpuid\":[{\"leaf\":1.5}]}", "leaf: must be a number");
	refuse("{\"cpuid\":[{\"leaf\":\"1\"}]}", "leaf: must be a number");
	refuse("{\"cpuid\":[{\"leaf\":\"0x\"}]}", "leaf: must be a number");
	refuse("{\"cpuid\":[{\"leaf\":\"0xg\"}]}", "leaf: must be a number");
	refuse("{\"cpuid\":[{\"leaf\":\"0x1 \"}]}", "leaf: must be a number");
	refuse("{\"cpuid\":[{\"leaf\":\"0x11111111111111111\"}]}", "leaf: must be a number");
	refuse("{\"cpuid\":[{\"leaf\":4294967296}]}", "leaf: must be a number");
	refuse("{\"cpuid\":[{\"leaf\":1,\"eax\":\"0x100000000\"}]}", "eax: must be a number");
	refuse("{\"msrs\":[{\"index\":1,\"mask\":1}]}", "msrs 0: value is missing");
	refuse("{\"description\":1}", "description");
}

Test(cpu_template, lists_are_bounded)
{
	struct cpu_template t;
	struct err err = { 0 };
	json_t *root = json_object(), *list = json_array();

	for (unsigned i = 0; i < CPU_TEMPLATE_CPUID_MAX; i++)
		(void)json_array_append_new(list, json_pack("{s:i}", "leaf", (int)i));
	(void)json_object_set_new(root, "cpuid", list);
	cr_expect_eq(cpu_template_parse(root, &t, &err), 0);
	cr_expect_eq(t.cpuid_count, CPU_TEMPLATE_CPUID_MAX);
	(void)json_array_append_new(list, json_pack("{s:i}", "leaf", 1));
	cr_expect_eq(cpu_template_parse(root, &t, &err), -EINVAL);
	json_decref(root);
}

Test(cpu_template, shipped_ones_are_good)
{
	static const char *const names[] = { "x86-64-v2.json", "x86-64-v3.json" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct cpu_template t;
		struct err err = { 0 };
		char path[512];
		json_t *v;

		(void)snprintf(path, sizeof(path), "%s/%s", CPU_POLICIES, names[i]);
		v = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
		cr_assert_not_null(v, "%s", path);
		cr_expect_eq(cpu_template_parse(v, &t, &err), 0, "%s: %s", path, err.msg);
		cr_expect_gt(t.cpuid_count, 0);
		json_decref(v);
	}
}
