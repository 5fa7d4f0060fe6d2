/* SPDX-License-Identifier: Apache-2.0 */
/* Incremental snapshots: the pages that were marked, merged into the ones before; wrong pairs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "vmm/gmem.h"
#include "vmm/snapshot/file.h"
#include "vmm/snapshot/merge.h"

#define MEMORY_BYTES (4 * MIB)

static struct gmem m;

static void setup(void)
{
	cr_assert_eq(gmem_init(&m, MEMORY_BYTES), 0);
	cr_assert_eq(gmem_mark_changes(&m), 0);
}

static void teardown(void)
{
	gmem_done(&m);
}

TestSuite(vmm_snapmerge, .init = setup, .fini = teardown);

static int new_file(uint64_t bytes)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static bool split; /* the next state file is of a memory in two files */

static int state_file(const char self[16], const char parent[16], uint64_t memory_bytes)
{
	const le64_t at = le64_put(MEMORY_BYTES / 2);
	const struct snap_machine machine = { .vcpus = le32_put(1),
					      .memory_bytes = le64_put(memory_bytes) };
	int fd = new_file(0);
	struct snap_writer w;
	struct snap_id id;
	const uint8_t *p;
	size_t len;

	memcpy(id.self, self, sizeof(id.self));
	memcpy(id.parent, parent, sizeof(id.parent));
	snap_writer_init(&w);
	snap_put(&w, SNAP_MACHINE, 0, true, &machine, sizeof(machine));
	snap_put(&w, SNAP_ID, 0, false, &id, sizeof(id));
	if (split)
		snap_put(&w, SNAP_SPLIT, 0, true, &at, sizeof(at));
	cr_assert_eq(snap_writer_finish(&w, &p, &len), 0);
	cr_assert_eq(pwrite(fd, p, len, 0), (ssize_t)len);
	snap_writer_done(&w);
	return fd;
}

static struct snap_files full(const char self[16])
{
	struct snap_files f = { state_file(self, "zero............", MEMORY_BYTES),
				new_file(MEMORY_BYTES) };

	cr_assert_eq(gmem_save(&m, f.memory), 0);
	gmem_unmark(&m);
	return f;
}

static struct snap_files incremental(const char self[16], const char parent[16])
{
	struct snap_files f = { state_file(self, parent, MEMORY_BYTES),
				new_file(MEMORY_BYTES + snap_bitmap_bytes(MEMORY_BYTES)) };

	cr_assert_eq(gmem_save_marked(&m, f.memory), 0);
	gmem_unmark(&m);
	return f;
}

static void close_files(struct snap_files *f)
{
	fd_closep(&f->state);
	fd_closep(&f->memory);
}

static void put(uint64_t at, const char *text)
{
	cr_assert_eq(gmem_write(&m, gpa(at), text, strlen(text)), 0);
}

/* Does the file hold what the memory holds? */
static void expect_memory(int fd)
{
	static uint8_t file[MEMORY_BYTES], ram[MEMORY_BYTES];
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, MEMORY_BYTES);
	cr_assert_eq(pread(fd, file, sizeof(file), 0), (ssize_t)sizeof(file));
	cr_assert_eq(gmem_read(&m, gpa(0), ram, sizeof(ram)), 0);
	for (uint64_t at = 0; at < MEMORY_BYTES; at += 4096)
		cr_expect_arr_eq(file + at, ram + at, 4096, "at %llx", (unsigned long long)at);
}

static bool is_marked(int fd, uint64_t page)
{
	uint8_t byte;

	cr_assert_eq(pread(fd, &byte, 1, (off_t)(MEMORY_BYTES + page / 8)), 1);
	return (byte >> (page % 8) & 1) != 0;
}

Test(vmm_snapmerge, every_way_to_change_memory)
{
	struct snap_files base, diff, out = { new_file(0), new_file(0) };
	struct iovec iov[1];
	struct err err = { 0 };
	size_t n = 0;

	put(0, "first");
	put(9 * 4096, "given back");
	put(20 * 4096, "zeroed");
	base = full("the base........");
	put(2 * 4096 - 2, "across a border");
	cr_assert_eq(gmem_discard(&m, gpa(9 * 4096), 4096), 0);
	cr_assert_eq(gmem_zero(&m, gpa(20 * 4096), 4096), 0);
	cr_assert_eq(gmem_write_le16_release(&m, gpa(30 * 4096), 0x1234), 0);
	cr_assert_eq(gmem_iov(&m, gpa(40 * 4096), 2 * 4096, true, iov, 1, &n), 0);
	memcpy(iov[0].iov_base, "by the kernel", 13);
	diff = incremental("the next........", "the base........");
	for (uint64_t page = 0; page < MEMORY_BYTES / 4096; page++) {
		bool changed = page == 1 || page == 2 || page == 9 || page == 20 || page == 30 ||
			       page == 40 || page == 41;
		cr_expect_eq(is_marked(diff.memory, page), changed, "page %d", (int)page);
	}
	cr_assert_eq(snap_merge(&base, &diff, &out, &err), 0, "%s", err.msg);
	expect_memory(out.memory);
	close_files(&base);
	close_files(&diff);
	close_files(&out);
}

/* The log of KVM is added to what was marked here. */
Test(vmm_snapmerge, bits_of_the_guest)
{
	uint64_t bits[MEMORY_BYTES / 4096 / 64] = { [1] = UINT64_C(1) << 5 };
	struct snap_files diff;

	put(3 * 4096, "ours");
	gmem_mark_bits(&m, 0, bits);
	diff = incremental("x...............", "y...............");
	cr_expect(is_marked(diff.memory, 3));
	cr_expect(is_marked(diff.memory, 69));
	cr_expect_not(is_marked(diff.memory, 68));
	close_files(&diff);
}

/* A merged one is a full one: the next can be merged into it, and not into what was before. */
Test(vmm_snapmerge, chain)
{
	struct snap_files f[3],
		out[2] = { { new_file(0), new_file(0) }, { new_file(0), new_file(0) } };
	struct err err = { 0 };

	put(0, "one");
	f[0] = full("1...............");
	put(4096, "two");
	f[1] = incremental("2...............", "1...............");
	put(0, "three");
	f[2] = incremental("3...............", "2...............");
	cr_expect_eq(snap_merge(&f[0], &f[2], &out[0], &err), -ESTALE);
	cr_expect(strstr(err.msg, "isn't the next") != NULL, "%s", err.msg);
	cr_assert_eq(snap_merge(&f[0], &f[1], &out[0], &err), 0, "%s", err.msg);
	cr_assert_eq(snap_merge(&out[0], &f[2], &out[1], &err), 0, "%s", err.msg);
	expect_memory(out[1].memory);
	for (unsigned i = 0; i < 3; i++)
		close_files(&f[i]);
	close_files(&out[0]);
	close_files(&out[1]);
}

/* The half that the second file has would be lost. */
Test(vmm_snapmerge, a_memory_in_two_files)
{
	struct snap_files base, diff, out = { new_file(0), new_file(0) };
	struct err err = { 0 };

	split = true;
	base = full("1...............");
	split = false;
	diff = incremental("2...............", "1...............");
	cr_expect_eq(snap_merge(&base, &diff, &out, &err), -EINVAL);
	cr_expect(strstr(err.msg, "in two files") != NULL, "%s", err.msg);
	close_files(&base);
	close_files(&diff);
	close_files(&out);
}

Test(vmm_snapmerge, wrong_files)
{
	struct snap_files base, diff, out = { new_file(0), new_file(0) }, bad;
	struct err err = { 0 };

	put(0, "one");
	base = full("1...............");
	diff = incremental("2...............", "1...............");
	cr_expect_eq(snap_merge(&diff, &base, &out, &err), -EINVAL);
	cr_expect(strstr(err.msg, "isn't a full one") != NULL, "%s", err.msg);
	cr_expect_eq(snap_merge(&base, &base, &out, &err), -EINVAL);
	cr_expect(strstr(err.msg, "isn't an incremental one") != NULL, "%s", err.msg);
	cr_expect_eq(snap_merge(&base, &diff, &base, &err), -EINVAL);
	cr_expect(strstr(err.msg, "aren't empty") != NULL, "%s", err.msg);
	bad = (struct snap_files){ new_file(100), diff.memory };
	cr_expect_eq(snap_merge(&base, &bad, &out, &err), -EINVAL);
	cr_expect(strstr(err.msg, "incremental snapshot: not a state file") != NULL, "%s", err.msg);
	fd_closep(&bad.state);
	bad = (struct snap_files){ state_file("2...............", "1...............", 4095),
				   diff.memory };
	cr_expect_eq(snap_merge(&base, &bad, &out, &err), -EINVAL);
	fd_closep(&bad.state);
	bad = (struct snap_files){
		state_file("2...............", "1...............", 2 * MEMORY_BYTES),
		new_file(2 * MEMORY_BYTES + snap_bitmap_bytes(2 * MEMORY_BYTES))
	};
	cr_expect_eq(snap_merge(&base, &bad, &out, &err), -EINVAL);
	cr_expect(strstr(err.msg, "different sizes") != NULL, "%s", err.msg);
	close_files(&bad);
	/* The positive control. */
	cr_expect_eq(snap_merge(&base, &diff, &out, &err), 0, "%s", err.msg);
	close_files(&base);
	close_files(&diff);
	close_files(&out);
}
