/* SPDX-License-Identifier: Apache-2.0 */
/* What clients are shown of a sandbox is written as text: is it JSON, whole, and theirs to read? */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/sandbox_internal.h"

static struct sandbox s;
static struct buf out;

static void begin(void)
{
	memset(&s, 0, sizeof(s));
	(void)snprintf(s.id, sizeof(s.id), "i0123456789abcdefghi");
	s.state = SANDBOX_RUNNING;
	s.path = SANDBOX_PATH_POOL;
	s.spec.vcpus = 2;
	s.spec.memory_bytes = UINT64_C(64) << 20;
	s.pid = 4711;
	s.uid = 1879048195;
	buf_init(&out, 16384);
}

static void end(void)
{
	buf_done(&out);
}

TestSuite(view, .init = begin, .fini = end);

/* The object that a client would have. */
static json_t *shown(void)
{
	json_t *o;

	cr_assert_eq(sandbox_put_json(&s, &out), 0);
	o = json_loadb((const char *)buf_head(&out), buf_len(&out), JSON_REJECT_DUPLICATES, NULL);
	cr_assert_not_null(o, "%.*s", (int)buf_len(&out), (const char *)buf_head(&out));
	return o;
}

static const char *text(const json_t *o, const char *object, const char *member)
{
	return json_string_value(json_object_get(json_object_get(o, object), member));
}

Test(view, a_running_one)
{
	json_t *o, *t;

	s.time_ns[SANDBOX_T_BEGIN] = 1000000000;
	s.time_ns[SANDBOX_T_JAILED] = 1000500000;
	s.time_ns[SANDBOX_T_RUNNING] = 1012345678;
	o = shown();
	t = json_object_get(o, "timings");
	cr_assert_str_eq(json_string_value(json_object_get(o, "id")), s.id);
	cr_assert_str_eq(json_string_value(json_object_get(o, "state")), "running");
	cr_assert_str_eq(json_string_value(json_object_get(o, "path")), "pool");
	cr_assert_eq(json_integer_value(json_object_get(o, "memory_bytes")), 67108864);
	cr_assert_eq(json_integer_value(json_object_get(json_object_get(o, "jail"), "uid")),
		     1879048195);
	cr_assert_float_eq(json_real_value(json_object_get(t, "jail_ms")), 0.5, 1e-9);
	cr_assert_float_eq(json_real_value(json_object_get(t, "total_ms")), 12.345678, 1e-9);
	cr_assert(json_is_null(json_object_get(t, "boot_ms")), "it has no such time");
	cr_assert(json_is_false(json_object_get(o, "lease")));
	cr_assert(json_is_null(json_object_get(o, "parent")));
	cr_assert(json_is_null(json_object_get(o, "end")), "it hasn't ended");
	cr_assert_null(json_object_get(o, "image_digest"));
	cr_assert_null(json_object_get(o, "build"));
	json_decref(o);
}

/* Quotes and escapes come from file names, guests and errors. */
Test(view, texts_stay_texts)
{
	json_t *o;

	(void)snprintf(s.spec.image, sizeof(s.spec.image), "a\",\"state\":\"x");
	(void)snprintf(s.kernel_release, sizeof(s.kernel_release), "6.1\\\x1f\"}");
	(void)snprintf(s.reason, sizeof(s.reason), "killed");
	(void)snprintf(s.fault, sizeof(s.fault), "line\n\xff");
	(void)snprintf(s.parent, sizeof(s.parent), "i2222222222222222222");
	s.spec.lease = true;
	o = shown();
	cr_assert_str_eq(json_string_value(json_object_get(o, "image")), s.spec.image);
	cr_assert_str_eq(json_string_value(json_object_get(o, "state")), "running");
	cr_assert_str_eq(text(o, "guest", "kernel_release"), s.kernel_release);
	cr_assert_str_eq(text(o, "end", "reason"), "killed");
	cr_assert_str_eq(text(o, "end", "detail"), "line\n\xef\xbf\xbd");
	cr_assert_str_eq(json_string_value(json_object_get(o, "parent")), s.parent);
	cr_assert(json_is_true(json_object_get(o, "lease")));
	json_decref(o);
}

/* Wherever the room ends, that is told: a client never gets half an object for a whole one. */
Test(view, too_little_room_is_told)
{
	size_t whole;

	(void)snprintf(s.reason, sizeof(s.reason), "killed");
	(void)snprintf(s.spec.digest, sizeof(s.spec.digest), "ab");
	cr_assert_eq(sandbox_put_json(&s, &out), 0);
	whole = buf_len(&out);
	for (size_t max = 0; max < whole; max++) {
		buf_done(&out);
		buf_init(&out, max);
		cr_assert_eq(sandbox_put_json(&s, &out), -ENOSPC, "%zu bytes", max);
	}
	buf_done(&out);
	buf_init(&out, whole);
	cr_assert_eq(sandbox_put_json(&s, &out), 0);
}
