/* SPDX-License-Identifier: Apache-2.0 */
/* What the jailer takes from casemated, and the identities that it gives. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jailer.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "jailer/cpuset.h"
#include "jailer/request.h"
#include "jailer/slot.h"

#define NAME_64 "0123456789012345678901234567890123456789012345678901234567890123"

static const struct request_limits limits = { .memory_max = 8 * GIB };

static Casemate__Jailer__V1__CreateRequest sane(void)
{
	Casemate__Jailer__V1__CreateRequest q = CASEMATE__JAILER__V1__CREATE_REQUEST__INIT;

	q.id = (char *)(uintptr_t) "one";
	q.kernel = (char *)(uintptr_t) "debian-6.1";
	q.image = (char *)(uintptr_t) "python_3";
	q.vcpus = 2;
	q.memory_bytes = 128 * MIB;
	q.scratch_bytes = GIB;
	return q;
}

static int check(const Casemate__Jailer__V1__CreateRequest *q)
{
	struct request out = { .vcpus = 99 };
	struct err err = { 0 };
	int r = request_check(q, false, &limits, &out, &err);

	if (r < 0) {
		cr_expect_eq(out.vcpus, 99, "the result was touched");
		cr_expect_neq(err.msg[0], '\0', "no reason");
	}
	return r;
}

Test(jailer_request, a_sane_one_is_taken_over)
{
	Casemate__Jailer__V1__CreateRequest q = sane();
	struct request out;
	struct err err;

	cr_assert_eq(request_check(&q, false, &limits, &out, &err), 0);
	cr_expect_str_eq(out.id, "one");
	cr_expect_str_eq(out.kernel, "debian-6.1");
	cr_expect_str_eq(out.image, "python_3");
	cr_expect_eq(out.vcpus, 2);
	cr_expect_eq(out.memory_bytes, 128 * MIB);
	cr_expect_eq(out.scratch_bytes, GIB);
}

/* One that boots from a kept disk has a disk; one that is restored says it elsewhere. */
Test(jailer_request, a_kept_disk)
{
	Casemate__Jailer__V1__CreateRequest q = sane();
	struct request out;
	struct err err;

	q.disk_id = (char *)(uintptr_t) "one";
	cr_assert_eq(request_check(&q, false, &limits, &out, &err), 0);
	cr_expect_str_eq(out.disk_id, "one");
	cr_expect_eq(out.scratch, -1);
	q.scratch_bytes = 0;
	cr_expect_eq(check(&q), -EINVAL);
	q = sane();
	q.disk_id = (char *)(uintptr_t) "../one";
	cr_expect_eq(check(&q), -EINVAL);
	q.disk_id = (char *)(uintptr_t) "one";
	q.kernel = (char *)(uintptr_t) "";
	cr_expect_eq(request_check(&q, true, &limits, &out, &err), -EINVAL);
}

Test(jailer_request, ids_and_names)
{
	static const char *const never[] = { "",  "/",	 "a/b",	     "..", ".",	  ".a",	      "a b",
					     "A", "a\n", "\xc3\xa4", "%s", "a:b", NAME_64 "4" };

	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		cr_expect_not(request_id_ok(never[i]), "id %s", never[i]);
		cr_expect_not(request_name_ok(never[i]), "name %s", never[i]);
	}
	cr_expect(request_id_ok(NAME_64));
	cr_expect(request_name_ok(NAME_64));
	cr_expect(request_id_ok("-rf"));
	cr_expect_not(request_id_ok("a.b"), "dots are for names");
	cr_expect_not(request_id_ok("a_b"));
	cr_expect(request_name_ok("a..b"));
	cr_expect(request_name_ok("_"));
}

Test(jailer_request, each_name_is_checked)
{
	Casemate__Jailer__V1__CreateRequest q = sane();

	q.id = (char *)(uintptr_t) "../x";
	cr_expect_eq(check(&q), -EINVAL);
	q = sane();
	q.kernel = (char *)(uintptr_t) "../x";
	cr_expect_eq(check(&q), -EINVAL);
	q = sane();
	q.image = (char *)(uintptr_t) "../x";
	cr_expect_eq(check(&q), -EINVAL);
}

Test(jailer_request, sizes_at_their_edges)
{
	static const struct {
		uint32_t vcpus;
		uint64_t memory, scratch;
		int want;
	} cases[] = {
		{ 0, 128 * MIB, 0, -ERANGE },
		{ 1, 128 * MIB, 0, 0 },
		{ 32, 128 * MIB, 0, 0 },
		{ 33, 128 * MIB, 0, -ERANGE },
		{ UINT32_MAX, 128 * MIB, 0, -ERANGE },
		{ 1, 0, 0, -ERANGE },
		{ 1, 62 * MIB, 0, -ERANGE },
		{ 1, 64 * MIB, 0, 0 },
		{ 1, 65 * MIB, 0, -EINVAL },
		{ 1, 64 * MIB + 1, 0, -EINVAL },
		{ 1, 8 * GIB, 0, 0 },
		{ 1, 8 * GIB + 2 * MIB, 0, -ERANGE },
		{ 1, UINT64_MAX, 0, -ERANGE },
		{ 1, 64 * MIB, 4096, 0 },
		{ 1, 64 * MIB, 4095, -EINVAL },
		{ 1, 64 * MIB, REQUEST_SCRATCH_MAX, 0 },
		{ 1, 64 * MIB, REQUEST_SCRATCH_MAX + 4096, -ERANGE },
		{ 1, 64 * MIB, UINT64_MAX, -ERANGE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		Casemate__Jailer__V1__CreateRequest q = sane();
		q.vcpus = cases[i].vcpus;
		q.memory_bytes = cases[i].memory;
		q.scratch_bytes = cases[i].scratch;
		cr_expect_eq(check(&q), cases[i].want, "case %zu", i);
	}
}

/* Text of the caller never comes back: it could be anything. */
Test(jailer_request, messages_do_not_repeat_bad_text)
{
	Casemate__Jailer__V1__CreateRequest q = sane();
	struct request out;
	struct err err;

	q.kernel = (char *)(uintptr_t) "\033[2Jevil";
	cr_assert_lt(request_check(&q, false, &limits, &out, &err), 0);
	cr_expect_null(strstr(err.msg, "evil"));
}

Test(jailer_slot, each_once_and_reused_late)
{
	static struct slots s;
	uint32_t first;

	slots_init(&s);
	cr_expect_eq(slots_free(&s), 0);
	for (unsigned b = 0; b < SLOT_BLOCKS; b++)
		slots_add_block(&s, b);
	cr_expect_eq(slots_free(&s), SLOT_COUNT);
	first = slot_take(&s);

	cr_expect_eq(first, 0);
	slot_put(&s, first);
	for (uint32_t i = 1; i < SLOT_COUNT; i++)
		cr_assert_eq(slot_take(&s), i, "slot 0 came back too early");
	cr_expect_eq(slot_take(&s), 0);
	cr_expect_eq(slot_take(&s), SLOT_NONE);
	slot_put(&s, 77);
	cr_expect_eq(slot_take(&s), 77);
}

static int by_text(const void *a, const void *b)
{
	return memcmp(a, b, SLOT_MCS_MAX);
}

Test(jailer_slot, identities_are_unique)
{
	static char levels[SLOT_COUNT][SLOT_MCS_MAX];

	for (uint32_t i = 0; i < SLOT_COUNT; i++) {
		const char *at = levels[i] + strlen("s0:c");
		uint64_t a, b;
		slot_level(i, levels[i]);
		cr_assert_eq(strncmp(levels[i], "s0:c", strlen("s0:c")), 0);
		cr_assert_eq(parse_u64_at(&at, 10, 1023, &a), 0);
		cr_assert_eq(strncmp(at, ",c", 2), 0, "%s", levels[i]);
		cr_assert_eq(parse_u64(at + 2, 0, 1023, &b), 0);
		cr_assert_lt(a, b, "%s", levels[i]);
		cr_assert_eq(slot_uid(i, SLOT_UID_BASE), SLOT_UID_BASE + i);
	}
	qsort(levels, SLOT_COUNT, SLOT_MCS_MAX, by_text);
	for (uint32_t i = 1; i < SLOT_COUNT; i++)
		cr_assert_neq(by_text(levels[i - 1], levels[i]), 0, "%s twice", levels[i]);
}

/* ---- Of a snapshot ----------------------------------------------------------------------- */

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int memfd(uint64_t bytes, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int check_snapshot(uint64_t state_bytes, int state_seals, uint64_t memory_bytes,
			  int memory_seals, struct request *q)
{
	int state = memfd(state_bytes, state_seals), memory = memfd(memory_bytes, memory_seals);
	Casemate__Jailer__V1__CreateRequest in = sane();
	struct err err = { 0 };
	int r;

	in.kernel = (char *)(uintptr_t) "";
	cr_assert_eq(request_check(&in, true, &limits, q, &err), 0, "%s", err.msg);
	r = request_check_snapshot(q, state, memory, &err);
	if (r < 0)
		cr_expect(q->state == -1 && q->memory == -1);
	(void)close(state);
	(void)close(memory);
	return r;
}

Test(jailer_request, snapshot)
{
	struct request q;

	cr_expect_eq(check_snapshot(4096, ALL_SEALS, 128 * MIB, ALL_SEALS, &q), 0);
	cr_expect(q.state >= 0 && q.memory >= 0);
	cr_expect_eq(check_snapshot(0, ALL_SEALS, 128 * MIB, ALL_SEALS, &q), -EINVAL);
	cr_expect_eq(check_snapshot(MIB + 1, ALL_SEALS, 128 * MIB, ALL_SEALS, &q), -EINVAL);
	cr_expect_eq(check_snapshot(4096, ALL_SEALS, 126 * MIB, ALL_SEALS, &q), -EINVAL);
	/* Each seal is needed, on both. */
	for (int bit = 1; bit <= F_SEAL_WRITE; bit <<= 1) {
		cr_expect_eq(check_snapshot(4096, ALL_SEALS & ~bit, 128 * MIB, ALL_SEALS, &q),
			     -EINVAL);
		cr_expect_eq(check_snapshot(4096, ALL_SEALS, 128 * MIB, ALL_SEALS & ~bit, &q),
			     -EINVAL);
	}
}

/* A memory in two files: the second is held to all that the first one is. */
static int check_split(size_t rest_bytes, int rest_seals)
{
	Casemate__Jailer__V1__CreateRequest in = sane();
	int state = memfd(4096, ALL_SEALS), memory = memfd(128 * MIB, ALL_SEALS);
	int rest = memfd(rest_bytes, rest_seals), r;
	struct err err = { 0 };
	struct request q;

	in.kernel = (char *)(uintptr_t) "";
	cr_assert_eq(request_check(&in, true, &limits, &q, &err), 0, "%s", err.msg);
	cr_expect_eq(q.rest, -1);
	r = request_check_split(&q, state, memory, rest, &err);
	cr_expect(r == 0 ? q.rest == rest && q.memory == memory : q.rest == -1);
	(void)close(state);
	(void)close(memory);
	(void)close(rest);
	return r;
}

Test(jailer_request, memory_in_two_files)
{
	cr_expect_eq(check_split(128 * MIB, ALL_SEALS), 0);
	cr_expect_eq(check_split(0, ALL_SEALS), -EINVAL);
	cr_expect_eq(check_split(64 * MIB, ALL_SEALS), -EINVAL);
	cr_expect_eq(check_split(130 * MIB, ALL_SEALS), -EINVAL);
	for (int bit = 1; bit <= F_SEAL_WRITE; bit <<= 1)
		cr_expect_eq(check_split(128 * MIB, ALL_SEALS & ~bit), -EINVAL);
}

Test(jailer_request, snapshot_that_is_no_memfd)
{
	Casemate__Jailer__V1__CreateRequest in = sane();
	struct err err = { 0 };
	struct request q;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	cr_assert_lt(request_check(&in, true, &limits, &q, &err), 0, "a kernel was named");
	in.kernel = (char *)(uintptr_t) "";
	cr_assert_lt(request_check(&in, false, &limits, &q, &err), 0, "no kernel was named");
	cr_assert_eq(request_check(&in, true, &limits, &q, &err), 0);
	cr_expect_lt(request_check_snapshot(&q, null, null, &err), 0);
	(void)close(null);
}

Test(jailer_request, lists_of_cpus)
{
	static const char *const good[] = { "0", "0-3,8", "4095", "0-4095", "1,1", "007" };
	static const char *const bad[] = { ",",
					   "0,",
					   ",0",
					   "-",
					   "0-",
					   "-1",
					   "3-2",
					   "4096",
					   "a",
					   "0 ",
					   "0,,1",
					   "0-1-2",
					   "99999999999999999999",
					   "+1",
					   "0x1",
					   "0\n" };
	struct cpuset a, b;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		Casemate__Jailer__V1__CreateRequest q = sane();
		q.cpuset_cpus = (char *)(uintptr_t)good[i];
		cr_expect_eq(check(&q), 0, "%s", good[i]);
		cr_expect_eq(cpuset_parse(good[i], &a), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		Casemate__Jailer__V1__CreateRequest q = sane();
		q.cpuset_mems = (char *)(uintptr_t)bad[i];
		cr_expect_eq(check(&q), -EINVAL, "%s", bad[i]);
	}
	cr_assert_eq(cpuset_parse("2-5", &a), 0);
	cr_assert_eq(cpuset_parse("0-4,5,9", &b), 0);
	cr_expect(cpuset_within(&a, &b));
	cr_expect_not(cpuset_within(&b, &a));
}

Test(jailer_request, the_images_id)
{
	Casemate__Jailer__V1__CreateRequest q = sane();
	uint8_t id[REQUEST_IMAGE_ID_BYTES + 1] = "which image it must be";
	struct request out;
	struct err err;

	cr_assert_eq(request_check(&q, false, &limits, &out, &err), 0);
	cr_expect(!out.image_known);
	q.image_id = (ProtobufCBinaryData){ .data = id, .len = REQUEST_IMAGE_ID_BYTES };
	cr_assert_eq(request_check(&q, false, &limits, &out, &err), 0, "%s", err.msg);
	cr_expect(out.image_known);
	cr_expect_arr_eq(out.image_id, id, REQUEST_IMAGE_ID_BYTES);
	q.image_id.len = REQUEST_IMAGE_ID_BYTES - 1;
	cr_expect_eq(check(&q), -EINVAL);
	q.image_id.len = REQUEST_IMAGE_ID_BYTES + 1;
	cr_expect_eq(check(&q), -EINVAL);
}
