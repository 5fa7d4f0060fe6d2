/* SPDX-License-Identifier: Apache-2.0 */
/* What POST /v1/sandboxes accepts, and that it accepts nothing else. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/spec.h"
#include "base/num.h"

static const struct spec_limits limits = { .memory_max = UINT64_C(4) * GIB,
					   .scratch_max = UINT64_C(16) * GIB,
					   .kernel = "default",
					   .image = "base" };

static int parse(const char *text, struct spec *s, struct err *err)
{
	return spec_parse(text, strlen(text), &limits, s, err);
}

static void refuse(const char *text, const char *reason)
{
	struct err err = { 0 };
	struct spec s;

	cr_assert_eq(parse(text, &s, &err), -EINVAL, "%s", text);
	cr_assert_not_null(strstr(err.msg, reason), "%s: \"%s\"", text, err.msg);
}

Test(spec, defaults)
{
	struct err err = { 0 };
	struct spec s;

	cr_assert_eq(parse("", &s, &err), 0);
	cr_assert_eq(s.vcpus, 1);
	cr_assert_eq(s.memory_bytes, UINT64_C(512) * MIB);
	cr_assert_str_eq(s.kernel, "default");
	cr_assert_str_eq(s.image, "base");
	cr_assert_not(s.lease);
	cr_assert_eq(s.timeout_ms, 0);
	cr_assert(!s.pause_on_timeout);
	cr_assert_eq(s.envs_count, 0);
	spec_done(&s);
}

Test(spec, everything)
{
	struct err err = { 0 };
	struct spec s;

	cr_assert_eq(
		parse("{\"vcpus\":32,\"memory_bytes\":67108864,\"kernel\":\"k-1.2_x\",\"image\":"
		      "\"i\",\"envs\":{\"A\":\"b=c\",\"_2\":\"\"},\"user\":\"nobody\",\"cwd\":"
		      "\"/tmp\",\"timeout_ms\":1500,\"on_timeout\":\"pause\",\"scratch_bytes\":1048576,\"hostname\":"
		      "\"h\",\"lease\":true,\"huge_pages\":\"hugetlb\",\"root\":\"pmem\",\"cpu_template\":{}}",
		      &s, &err),
		0, "%s", err.msg);
	cr_assert_eq(s.vcpus, 32);
	cr_assert_eq(s.memory_bytes, 64 * MIB);
	cr_assert_str_eq(s.kernel, "k-1.2_x");
	cr_assert_str_eq(s.image, "i");
	cr_assert_eq(s.envs_count, 2);
	cr_assert_str_eq(s.envs[0].name, "A");
	cr_assert_str_eq(s.envs[0].value, "b=c");
	cr_assert_str_eq(s.user, "nobody");
	cr_assert_str_eq(s.cwd, "/tmp");
	cr_assert_eq(s.timeout_ms, 1500);
	cr_assert(s.pause_on_timeout);
	cr_assert_eq(s.scratch_bytes, MIB);
	cr_assert_str_eq(s.hostname, "h");
	cr_assert(s.lease);
	cr_assert_eq(s.huge_pages, SPEC_PAGES_HUGETLB);
	cr_assert_eq(s.root, SPEC_ROOT_PMEM);
	cr_assert_not_null(s.cpu);
	spec_done(&s);
	spec_done(&s); /* twice is fine */
}

Test(spec, what_happens_then)
{
	struct err err = { 0 };
	struct spec s;

	cr_assert_eq(parse("{\"on_timeout\":\"pause-files\"}", &s, &err), 0, "%s", err.msg);
	cr_assert(s.pause_on_timeout && s.pause_files);
	cr_assert_str_eq(spec_on_timeout(&s), "pause-files");
	cr_assert_eq(parse("{\"on_timeout\":\"pause\"}", &s, &err), 0, "%s", err.msg);
	cr_assert(s.pause_on_timeout && !s.pause_files);
	cr_assert_str_eq(spec_on_timeout(&s), "pause");
	cr_assert_eq(parse("{}", &s, &err), 0, "%s", err.msg);
	cr_assert_str_eq(spec_on_timeout(&s), "end");
}

Test(spec, names_the_bad_field)
{
	refuse("[]", "object");
	refuse("nul", "body: line 1");
	refuse("{} {}", "body: line 1");
	refuse("{\"vcpus\":1,\"vcpus\":2}", "duplicate");
	refuse("{\"vpcus\":1}", "vpcus: unknown field");
	refuse("{\"a\\nb\":1}", "a\\x0ab: unknown field");
	refuse("{\"vcpus\":0}", "vcpus");
	refuse("{\"vcpus\":33}", "vcpus");
	refuse("{\"vcpus\":1.5}", "vcpus: must be a whole number");
	refuse("{\"vcpus\":\"1\"}", "vcpus: must be a whole number");
	refuse("{\"vcpus\":null}", "vcpus");
	refuse("{\"memory_bytes\":0}", "too little");
	refuse("{\"memory_bytes\":-1}", "memory_bytes");
	refuse("{\"memory_bytes\":4294967298}", "more than this host has");
	refuse("{\"memory_bytes\":67108865}", "multiple of 2 MiB");
	refuse("{\"scratch_bytes\":17179869185}", "scratch_bytes");
	refuse("{\"scratch_bytes\":5}", "multiple of 1 MiB");
	refuse("{\"timeout_ms\":86400001}", "timeout_ms");
	refuse("{\"on_timeout\":\"kill\"}", "on_timeout: must be end, pause or pause-files");
	refuse("{\"on_timeout\":true}", "on_timeout: must be end, pause or pause-files");
	refuse("{\"huge_pages\":\"1G\"}", "huge_pages: must be none");
	refuse("{\"cpuset_cpus\":\"0 \"}", "cpuset_cpus: has a character");
	refuse("{\"cpuset_mems\":0}", "cpuset_mems: must be a string");
	refuse("{\"huge_pages\":true}", "huge_pages: must be none");
	refuse("{\"root\":\"disk\"}", "root: must be blk or pmem");
	refuse("{\"root\":null}", "root: must be blk or pmem");
	refuse("{\"cpu_template\":[]}", "cpu_template: must be an object");
	refuse("{\"lease\":1}", "lease: must be true or false");
}

/* Names become paths in the jailer's store. */
Test(spec, names_stay_in_the_store)
{
	refuse("{\"image\":\"\"}", "image");
	refuse("{\"image\":\"..\"}", "image");
	refuse("{\"image\":\".hidden\"}", "image");
	refuse("{\"image\":\"a/b\"}", "image");
	refuse("{\"image\":\"Upper\"}", "image");
	refuse("{\"kernel\":\"/etc/passwd\"}", "kernel");
	refuse("{\"kernel\":\"a\\u0000b\"}", "body");
	refuse("{\"kernel\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
	       "kernel: longer than 64");
}

Test(spec, texts)
{
	refuse("{\"hostname\":\"a b\"}", "hostname");
	refuse("{\"user\":\"a b\"}", "user");
	refuse("{\"cwd\":\"relative\"}", "cwd: must be an absolute path");
	refuse("{\"envs\":[]}", "envs: must be an object");
	refuse("{\"envs\":{\"A\":1}}", "envs: A: must be a string");
	refuse("{\"envs\":{\"1A\":\"\"}}", "not a variable name");
	refuse("{\"envs\":{\"\":\"\"}}", "not a variable name");
	refuse("{\"envs\":{\"A=B\":\"\"}}", "not a variable name");
}

Test(spec, too_many_variables)
{
	char text[16384] = "{\"envs\":{";
	size_t len = strlen(text);

	for (unsigned i = 0; i <= SPEC_ENVS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\"V%u\":\"x\"",
					i > 0 ? "," : "", i);
	snprintf(text + len, sizeof(text) - len, "}}");
	refuse(text, "more than 256 variables");
}

/* Deep nesting must end in a refusal, not in a stack overflow. */
Test(spec, deep_nesting)
{
	static char text[65536];
	struct err err = { 0 };
	struct spec s;

	memset(text, '[', sizeof(text));
	cr_assert_eq(spec_parse(text, sizeof(text), &limits, &s, &err), -EINVAL);
}

static int parse_fork(const char *text, struct spec_fork *q, struct err *err)
{
	return spec_parse_fork(text, strlen(text), q, err);
}

Test(spec, fork)
{
	static const struct {
		const char *text, *reason;
	} bad[] = {
		{ "[]", "object" },
		{ "{", "line 1" },
		{ "{\"count\":0}", "count: must be from 1 to 64" },
		{ "{\"count\":65}", "count" },
		{ "{\"count\":-1}", "count" },
		{ "{\"count\":1.5}", "whole number" },
		{ "{\"count\":1,\"count\":2}", "duplicate" },
		{ "{\"lease\":1}", "lease" },
		{ "{\"vcpus\":1}", "vcpus: unknown field" },
	};
	struct err err = { 0 };
	struct spec_fork q;

	cr_assert_eq(parse_fork("", &q, &err), 0);
	cr_assert(q.count == 1 && !q.lease);
	cr_assert_eq(parse_fork("{\"count\":64,\"lease\":true}", &q, &err), 0, "%s", err.msg);
	cr_assert(q.count == 64 && q.lease);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		q.count = 99;
		cr_expect_eq(parse_fork(bad[i].text, &q, &err), -EINVAL, "%s", bad[i].text);
		cr_expect_not_null(strstr(err.msg, bad[i].reason), "%s: \"%s\"", bad[i].text,
				   err.msg);
		cr_expect_eq(q.count, 99, "the result was touched");
	}
}

Test(spec, of_a_snapshot)
{
	struct err err = { 0 };
	struct spec s;

	cr_assert_eq(
		parse("{\"snapshot\":\"x\",\"timeout_ms\":5,\"envs\":{\"A\":\"1\"}}", &s, &err), 0,
		"%s", err.msg);
	cr_assert_str_eq(s.snapshot, "x");
	cr_assert_eq(s.timeout_ms, 5);
	spec_done(&s);
	refuse("{\"template\":\"\"}", "template");
	refuse("{\"template\":\"a/b\"}", "template");
	refuse("{\"template\":\"a:b\",\"vcpus\":1}", "vcpus: is the snapshot's");
	refuse("{\"template\":\"a:b\",\"snapshot\":\"x\"}", "template: not with");
	refuse("{\"snapshot\":\"\"}", "snapshot");
	refuse("{\"snapshot\":\"../x\"}", "snapshot");
	refuse("{\"snapshot\":\"x\",\"vcpus\":1}", "vcpus: is the snapshot's");
	refuse("{\"image\":\"base\",\"snapshot\":\"x\"}", "image: is the snapshot's");
	refuse("{\"snapshot\":\"x\",\"scratch_bytes\":0}", "scratch_bytes: is the snapshot's");
	cr_assert_eq(parse("{}", &s, &err), 0);
	cr_assert_str_eq(s.snapshot, "");
	spec_done(&s);
}

Test(spec, copy)
{
	struct err err = { 0 };
	struct spec a, b;

	cr_assert_eq(
		parse("{\"envs\":{\"A\":\"1\",\"B\":\"2\"},\"hostname\":\"h\",\"cpu_template\":{}}",
		      &a, &err),
		0, "%s", err.msg);
	cr_assert_eq(spec_copy(&a, &b), 0);
	cr_assert_neq(a.envs, b.envs);
	cr_assert_neq(a.cpu, b.cpu);
	spec_done(&a); /* what b has is its own */
	cr_assert_eq(b.envs_count, 2);
	cr_assert_str_eq(b.envs[0].value, strcmp(b.envs[0].name, "A") == 0 ? "1" : "2");
	cr_assert_str_eq(b.hostname, "h");
	cr_assert_not_null(b.cpu);
	spec_done(&b);
}
