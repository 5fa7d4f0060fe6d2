/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_snapfile.c - the container of a state file: what goes in comes out, and nothing else does. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "vmm/snapshot/file.h"

#define FILE_CAP 4096U

static struct snap_reader reader;

/* A small file in `dst`: its size. */
static size_t make(uint8_t *dst)
{
	struct snap_writer w;
	const uint8_t *p;
	size_t len;

	snap_writer_init(&w);
	snap_put(&w, SNAP_MACHINE, 0, true, "machine", 7);
	snap_put(&w, SNAP_REGS, 3, true, "12345678", 8);
	snap_put(&w, SNAP_TSC_KHZ, 0, false, "k", 1);
	cr_assert_eq(snap_writer_finish(&w, &p, &len), 0);
	cr_assert_leq(len, FILE_CAP);
	memcpy(dst, p, len);
	snap_writer_done(&w);
	return len;
}

static void put32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, sizeof(v));
}

static int open_err(const uint8_t *bytes, size_t len, const char *why)
{
	struct err err = { 0 };
	int r = snap_open(&reader, bytes, len, &err);

	cr_expect_lt(r, 0, "taken, but: %s", why);
	cr_expect(strstr(err.msg, why) != NULL, "\"%s\" doesn't say \"%s\"", err.msg, why);
	return r;
}

Test(vmm_snapfile, round_trip)
{
	uint8_t bytes[FILE_CAP], out[8];
	size_t len = make(bytes);
	struct err err = { 0 };
	const struct snap_section *s;

	cr_assert_eq(snap_open(&reader, bytes, len, &err), 0, "%s", err.msg);
	s = snap_find(&reader, SNAP_MACHINE, 0);
	cr_assert(s != NULL && s->len == 7 && memcmp(s->data, "machine", 7) == 0);
	cr_assert_eq(snap_take(&reader, SNAP_REGS, 3, out, 8, &err), 0);
	cr_assert_arr_eq(out, "12345678", 8);
	cr_assert_null(snap_find(&reader, SNAP_REGS, 0));
	cr_assert_eq(snap_take(&reader, SNAP_REGS, 0, out, 8, &err), -EINVAL);
	cr_assert_eq(snap_take(&reader, SNAP_REGS, 3, out, 7, &err), -EINVAL);
}

Test(vmm_snapfile, header)
{
	uint8_t good[FILE_CAP], bytes[FILE_CAP];
	size_t len = make(good);

	memcpy(bytes, good, len);
	bytes[0] ^= 1;
	cr_expect_eq(open_err(bytes, len, "not a state file"), -EINVAL);
	memcpy(bytes, good, len);
	put32(bytes + 8, SNAP_VERSION + 1);
	cr_expect_eq(open_err(bytes, len, "version 2"), -ENOTSUP);
	put32(bytes + 8, 0);
	cr_expect_eq(open_err(bytes, len, "version 0"), -ENOTSUP);
	memcpy(bytes, good, len);
	bytes[31] = 1;
	(void)open_err(bytes, len, "damaged header");
	memcpy(bytes, good, len);
	put32(bytes + 20, SNAP_SECTIONS_MAX + 1);
	(void)open_err(bytes, len, "sections");
	(void)open_err(good, 31, "31 bytes");
	(void)open_err(good, len - 8, "it should have");
}

/* Every length shorter than the whole. */
Test(vmm_snapfile, cut_off)
{
	uint8_t good[FILE_CAP], bytes[FILE_CAP];
	size_t len = make(good);

	for (size_t n = 32; n < len; n++) {
		struct err err;
		memcpy(bytes, good, n);
		put32(bytes + 16, (uint32_t)n); /* the header agrees */
		cr_expect_lt(snap_open(&reader, bytes, n, &err), 0, "%zu of %zu", n, len);
	}
}

Test(vmm_snapfile, sections)
{
	uint8_t good[FILE_CAP], bytes[FILE_CAP];
	size_t len = make(good);
	struct err err;

	/* Unknown: refused when mandatory, skipped when not. */
	memcpy(bytes, good, len);
	put32(bytes + 32, 60);
	cr_expect_eq(open_err(bytes, len, "needs section 60"), -ENOTSUP);
	put32(bytes + 36, 0);
	cr_expect_eq(snap_open(&reader, bytes, len, &err), 0);
	put32(bytes + 32, UINT32_MAX);
	cr_expect_eq(snap_open(&reader, bytes, len, &err), 0);
	/* An instance that there can't be is something unknown, too. */
	memcpy(bytes, good, len);
	put32(bytes + 40, SNAP_INSTANCE_MAX);
	cr_expect_eq(open_err(bytes, len, "needs section 1/64"), -ENOTSUP);
	memcpy(bytes, good, len);
	put32(bytes + 36, 2);
	(void)open_err(bytes, len, "damaged section");
	memcpy(bytes, good, len);
	put32(bytes + 44, 0);
	(void)open_err(bytes, len, "damaged section");
	put32(bytes + 44, UINT32_MAX);
	(void)open_err(bytes, len, "damaged section");
	/* The second section becomes another machine. */
	memcpy(bytes, good, len);
	put32(bytes + 32 + 24, SNAP_MACHINE);
	put32(bytes + 32 + 24 + 8, 0);
	(void)open_err(bytes, len, "twice");
	/* One section less is told of. */
	memcpy(bytes, good, len);
	put32(bytes + 20, 2);
	(void)open_err(bytes, len, "after the last");
}

Test(vmm_snapfile, writer_is_bounded)
{
	static const uint8_t big[300 * KIB];
	struct snap_writer w;
	const uint8_t *p;
	size_t len;

	snap_writer_init(&w);
	for (unsigned i = 0; i < 4; i++)
		snap_put(&w, SNAP_REGS, i, true, big, sizeof(big));
	cr_expect_eq(snap_writer_finish(&w, &p, &len), -ENOSPC);
	snap_writer_done(&w);
}
