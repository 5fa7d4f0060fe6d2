/* SPDX-License-Identifier: Apache-2.0 */
/* What one casemated writes of a sandbox the next one reads, and nothing else. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/record.h"
#include "base/num.h"

static struct err err;

static struct record full(void)
{
	static const struct spec_limits any = {
		.memory_max = INT64_MAX, .scratch_max = INT64_MAX, .kernel = "k", .image = "i"
	};
	static const char spec[] =
		"{\"vcpus\":3,\"memory_bytes\":134217728,\"scratch_bytes\":1048576,\"timeout_ms\":5000,"
		"\"on_timeout\":\"pause-files\",\"hostname\":\"box\",\"user\":\"me\",\"cwd\":\"/a b\","
		"\"envs\":{\"A\":\"\\u00e4\\n\",\"B\":\"\"},\"huge_pages\":\"transparent\","
		"\"root\":\"pmem\",\"cpuset_cpus\":\"0-3\",\"cpuset_mems\":\"0\"}";
	struct record r = { .files_only = true,
			    .resting = true,
			    .path = "fork",
			    .parent = "iaaaaaaaaaaaaaaaaaaa",
			    .origin = UINT64_C(0xfedcba9876543210),
			    .end_unix_ms = INT64_C(1795274174948),
			    .token = { 1, 0, 255 },
			    .image = { 9, 8, 7 },
			    .kernel_release = "6.1",
			    .agent_version = "0.1" };

	cr_assert_eq(spec_parse(spec, sizeof(spec) - 1, &any, &r.spec, &err), 0, "%s", err.msg);
	memset(r.spec.digest, 'a', SPEC_DIGEST_LEN);
	r.profile = profile_new();
	r.profile->metadata = json_pack("{s:s}", "who", "\"me\"");
	memcpy(r.profile->template, "base", 5);
	r.profile->auto_resume = r.profile->private_traffic = true;
	memcpy(r.profile->mask_host, "x:${PORT}", 10);
	return r;
}

Test(record, round_trip)
{
	struct record a = full(), b;
	char *text = record_write(&a), *again;

	cr_assert_not_null(text);
	cr_assert_eq(record_read(text, &b, &err), 0, "%s", err.msg);
	cr_assert_eq(b.spec.vcpus, 3);
	cr_assert_eq(b.spec.memory_bytes, 134217728);
	cr_assert_eq(b.spec.huge_pages, SPEC_PAGES_TRANSPARENT);
	cr_assert_eq(b.spec.root, SPEC_ROOT_PMEM);
	cr_assert(b.spec.pause_on_timeout && b.spec.pause_files);
	cr_assert_eq(b.spec.envs_count, 2);
	cr_assert_str_eq(b.spec.digest, a.spec.digest);
	cr_assert_str_eq(b.spec.cwd, "/a b");
	cr_assert_eq(b.origin, a.origin);
	cr_assert_eq(b.end_unix_ms, a.end_unix_ms);
	cr_assert_eq(memcmp(b.token, a.token, sizeof(a.token)), 0);
	cr_assert_eq(memcmp(b.image, a.image, sizeof(a.image)), 0);
	cr_assert(b.resting && !b.parked && b.files_only);
	cr_assert(b.profile->auto_resume && b.profile->private_traffic && !b.profile->secure);
	cr_assert(profile_matches(b.profile, "who=%22me%22"));
	cr_assert_str_eq(b.profile->mask_host, "x:${PORT}");
	again = record_write(&b);
	cr_assert_str_eq(again, text);
	free(text);
	free(again);
	record_done(&b);
	profile_free(a.profile);
	a.profile = NULL;
	text = record_write(&a);
	cr_assert_eq(record_read(text, &b, &err), 0, "%s", err.msg);
	cr_assert_null(b.profile);
	free(text);
	record_done(&a);
	record_done(&b);
}

/* A member of a profile that an earlier casemated didn't write; one that it would not have written.
 */
Test(record, masks)
{
	struct record a = full(), b;
	char *text = record_write(&a), *again;
	json_t *o = json_loads(text, 0, NULL), *profile = json_object_get(o, "profile");

	(void)json_object_del(profile, "mask_host");
	again = json_dumps(o, 0);
	cr_assert_eq(record_read(again, &b, &err), 0, "%s", err.msg);
	cr_assert_str_eq(b.profile->mask_host, "");
	record_done(&b);
	free(again);
	(void)json_object_set_new(profile, "mask_host", json_string("a\r\nX: y"));
	again = json_dumps(o, 0);
	cr_assert_eq(record_read(again, &b, &err), -EINVAL);
	free(again);
	free(text);
	json_decref(o);
	record_done(&a);
}

/* A connection can't be written down. */
Test(record, not_what_hangs_on_something)
{
	struct record a = full();

	a.spec.lease = true;
	cr_assert_null(record_write(&a));
	record_done(&a);
}

/* Each member, missing or of another kind, is refused. */
Test(record, refusals)
{
	static const char *const bad[] = { "",
					   "{}",
					   "[]",
					   "null",
					   "{\"version\":2}",
					   "{\"version\":1}",
					   "{\"version\":1,\"version\":1}" };
	struct record a = full(), b;
	char *text = record_write(&a), *again;
	json_t *o = json_loads(text, 0, NULL);
	unsigned members = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(record_read(bad[i], &b, &err), -EINVAL, "%s", bad[i]);
	for (void *it = json_object_iter(o); it != NULL; it = json_object_iter_next(o, it)) {
		for (int kind = 0; kind < 2; kind++) {
			json_t *copy = json_deep_copy(o);
			if (kind == 0)
				(void)json_object_del(copy, json_object_iter_key(it));
			else
				(void)json_object_set_new(copy, json_object_iter_key(it),
							  json_pack("[i]", 1));
			/* What a casemated before this one didn't write. */
			const bool may_lack =
				kind == 0 && strcmp(json_object_iter_key(it), "files_only") == 0;
			again = json_dumps(copy, 0);
			cr_assert_eq(record_read(again, &b, &err), may_lack ? 0 : -EINVAL, "%s",
				     again);
			if (may_lack) {
				cr_assert(!b.files_only);
				record_done(&b);
			}
			free(again);
			json_decref(copy);
		}
		members++;
	}
	cr_assert_eq(members, 15);
	(void)json_object_set_new(json_object_get(o, "spec"), "lease", json_true());
	again = json_dumps(o, 0);
	cr_assert_eq(record_read(again, &b, &err), -EINVAL);
	free(again);
	(void)json_object_del(json_object_get(o, "spec"), "lease");
	(void)json_object_set_new(o, "digest", json_string("../etc"));
	again = json_dumps(o, 0);
	cr_assert_eq(record_read(again, &b, &err), -EINVAL);
	free(again);
	(void)json_object_set_new(o, "digest", json_string(""));
	(void)json_object_set_new(o, "parent", json_string("../etc"));
	again = json_dumps(o, 0);
	cr_assert_eq(record_read(again, &b, &err), -EINVAL);
	free(again);
	free(text);
	json_decref(o);
	record_done(&a);
}
