/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: edges of the regions, the hole, wraps, misalignment. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/gmem.h"

#define OWN_BIT	   (UINT64_C(1) << 63) /* of a line of pagemap: it is in memory... */
#define SHARED_BIT (UINT64_C(1) << 61) /* ...and the file's */
#define THP	   "/sys/kernel/mm/transparent_hugepage"

Test(gmem, sizes)
{
	struct gmem m;

	cr_assert_eq(gmem_init(&m, 0), -EINVAL);
	cr_assert_eq(gmem_init(&m, 1), -EINVAL);
	cr_assert_eq(gmem_init(&m, 2 * MIB + 4096), -EINVAL);
	cr_assert_eq(gmem_init(&m, UINT64_MAX - 2 * MIB + 1), -EINVAL);
	cr_assert_eq(gmem_init(&m, 64 * MIB), 0);
	cr_assert_eq(m.count, 1);
	cr_assert_eq(m.bytes, 64 * MIB);
	cr_assert_eq((uintptr_t)m.regions[0].hva % (2 * MIB), 0, "huge pages need the alignment");
	gmem_done(&m);
	cr_assert_eq(m.count, 0);
	/* Exactly up to the hole: one region. */
	cr_assert_eq(gmem_init(&m, GMEM_HOLE_START), 0);
	cr_assert_eq(m.count, 1);
	gmem_done(&m);
}

Test(gmem, edges)
{
	const uint64_t size = 4 * MIB;
	uint8_t b[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, got[8];
	struct gmem m;

	cr_assert_eq(gmem_init(&m, size), 0);
	cr_assert_eq(gmem_check(&m, gpa(0), size), 0);
	cr_assert_eq(gmem_check(&m, gpa(0), size + 1), -EFAULT);
	cr_assert_eq(gmem_check(&m, gpa(size - 1), 1), 0);
	cr_assert_eq(gmem_check(&m, gpa(size - 1), 2), -EFAULT);
	cr_assert_eq(gmem_check(&m, gpa(size), 1), -EFAULT);
	cr_assert_eq(gmem_check(&m, gpa(UINT64_MAX), 1), -EFAULT);
	cr_assert_eq(gmem_check(&m, gpa(UINT64_MAX), UINT64_MAX), -EFAULT);
	cr_assert_eq(gmem_check(&m, gpa(4096), UINT64_MAX - 4095), -EFAULT, "the end wraps to 0");
	cr_assert_eq(gmem_check(&m, gpa(4096), UINT64_MAX), -EFAULT);
	cr_assert_eq(gmem_write(&m, gpa(size - 8), b, 8), 0);
	cr_assert_eq(gmem_read(&m, gpa(size - 8), got, 8), 0);
	cr_assert_arr_eq(b, got, 8);
	cr_assert_eq(gmem_write(&m, gpa(size - 7), b, 8), -EFAULT);
	cr_assert_eq(gmem_read(&m, gpa(size - 7), got, 8), -EFAULT);
	cr_assert_eq(gmem_zero(&m, gpa(size - 7), 8), -EFAULT);
	cr_assert_eq(gmem_zero(&m, gpa(size - 4), 4), 0);
	cr_assert_eq(gmem_read(&m, gpa(size - 8), got, 8), 0);
	cr_assert(got[3] == 4 && got[4] == 0 && got[7] == 0);
	gmem_done(&m);
}

/* Whole pages inside the range read as zeros; what is beside them stays. */
Test(gmem, discard)
{
	static const struct {
		uint64_t at, len, first, last; /* pages that go: [first, last) */
	} cases[] = {
		{ 0, 4096, 0, 1 },	 { 4095, 4098, 1, 2 }, { 1, 4096, 0, 0 },
		{ 1, 8191, 1, 2 },	 { 4096, 0, 0, 0 },    { 8192, 4095, 0, 0 },
		{ 0, 4 * MIB, 0, 1024 }, { 4 * MIB, 0, 0, 0 }, { 4 * MIB - 4096, 4096, 1023, 1024 },
	};
	const uint64_t size = 4 * MIB;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct gmem m;
		cr_assert_eq(gmem_init(&m, size), 0);
		memset(m.regions[0].hva, 0x77, size);
		cr_expect_eq(gmem_discard(&m, gpa(cases[i].at), cases[i].len), 0);
		for (uint64_t p = 0; p < size / 4096; p++) {
			bool gone = p >= cases[i].first && p < cases[i].last;
			cr_assert_eq(m.regions[0].hva[p * 4096], gone ? 0 : 0x77, "case %zu", i);
			cr_assert_eq(m.regions[0].hva[p * 4096 + 4095], gone ? 0 : 0x77);
		}
		cr_expect_eq(gmem_discard(&m, gpa(size - 4096), 4097), -EFAULT);
		cr_expect_eq(gmem_discard(&m, gpa(size), 4096), -EFAULT);
		cr_expect_eq(gmem_discard(&m, gpa(UINT64_MAX - 4095), 8192), -EFAULT);
		cr_expect_eq(gmem_discard(&m, gpa(4096), UINT64_MAX - 4095), -EFAULT);
		gmem_done(&m);
	}
}

Test(gmem, hole)
{
	uint8_t b = 42, got = 0;
	struct gmem m;

	cr_assert_eq(gmem_init(&m, GMEM_HOLE_START + 4 * MIB), 0);
	cr_assert_eq(m.count, 2);
	cr_assert_eq(m.regions[1].gpa, GMEM_HOLE_END);
	cr_assert_eq(m.regions[1].size, 4 * MIB);
	cr_assert_eq(gmem_check(&m, gpa(GMEM_HOLE_START - 1), 1), 0);
	cr_assert_eq(gmem_check(&m, gpa(GMEM_HOLE_START - 1), 2), -EFAULT);
	cr_assert_eq(gmem_check(&m, gpa(GMEM_HOLE_START), 1), -EFAULT);
	cr_assert_eq(gmem_check(&m, gpa(GMEM_HOLE_END - 1), 1), -EFAULT);
	cr_assert_eq(gmem_check(&m, gpa(GMEM_HOLE_END - 1), 2), -EFAULT);
	cr_assert_eq(gmem_check(&m, gpa(GMEM_HOLE_END), 4 * MIB), 0);
	cr_assert_eq(gmem_check(&m, gpa(GMEM_HOLE_END), 4 * MIB + 1), -EFAULT);
	cr_assert_eq(gmem_check(&m, gpa(0), GMEM_HOLE_END + 1), -EFAULT, "across the hole");
	cr_assert_eq(gmem_write(&m, gpa(GMEM_HOLE_END), &b, 1), 0);
	cr_assert_eq(gmem_read(&m, gpa(GMEM_HOLE_END), &got, 1), 0);
	cr_assert_eq(got, 42);
	gmem_done(&m);
}

Test(gmem, values)
{
	static const uint8_t b[8] = { 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88 };
	const uint64_t size = 2 * MIB;
	uint16_t v16 = 0;
	uint32_t v32 = 0;
	uint64_t v64 = 0;
	struct gmem m;

	cr_assert_eq(gmem_init(&m, size), 0);
	cr_assert_eq(gmem_write(&m, gpa(64), b, 8), 0);
	cr_assert_eq(gmem_read_le16(&m, gpa(64), &v16), 0);
	cr_assert_eq(v16, 0x2211);
	cr_assert_eq(gmem_read_le32(&m, gpa(64), &v32), 0);
	cr_assert_eq(v32, 0x44332211U);
	cr_assert_eq(gmem_read_le64(&m, gpa(64), &v64), 0);
	cr_assert_eq(v64, UINT64_C(0x8877665544332211));
	for (uint64_t off = 1; off < 8; off++) {
		cr_assert_eq(gmem_read_le16(&m, gpa(64 + off), &v16), off % 2 ? -EFAULT : 0);
		cr_assert_eq(gmem_read_le16_acquire(&m, gpa(64 + off), &v16),
			     off % 2 ? -EFAULT : 0);
		cr_assert_eq(gmem_read_le32(&m, gpa(64 + off), &v32), off % 4 ? -EFAULT : 0);
		cr_assert_eq(gmem_read_le64(&m, gpa(64 + off), &v64), -EFAULT);
		cr_assert_eq(gmem_write_le16_release(&m, gpa(128 + off), 7), off % 2 ? -EFAULT : 0);
	}
	cr_assert_eq(gmem_read_le64(&m, gpa(size - 4), &v64), -EFAULT);
	cr_assert_eq(gmem_read_le16(&m, gpa(size), &v16), -EFAULT);
	cr_assert_eq(gmem_read_le32(&m, gpa(UINT64_MAX - 3), &v32), -EFAULT);
	cr_assert_eq(gmem_write_le16_release(&m, gpa(size - 2), 0xbeef), 0);
	cr_assert_eq(gmem_read_le16_acquire(&m, gpa(size - 2), &v16), 0);
	cr_assert_eq(v16, 0xbeef);
	gmem_done(&m);
}

Test(gmem, iov)
{
	struct iovec iov[2];
	struct gmem m;
	size_t n = 0;

	cr_assert_eq(gmem_init(&m, 2 * MIB), 0);
	cr_assert_eq(gmem_iov(&m, gpa(0), 2 * MIB + 1, true, iov, 2, &n), -EFAULT);
	cr_assert_eq(n, 0);
	cr_assert_eq(gmem_iov(&m, gpa(4096), 100, true, iov, 2, &n), 0);
	cr_assert_eq(gmem_iov(&m, gpa(0), 2 * MIB, true, iov, 2, &n), 0);
	cr_assert_eq(gmem_iov(&m, gpa(0), 1, true, iov, 2, &n), -E2BIG);
	cr_assert_eq(n, 2);
	cr_assert_eq(iov[0].iov_len, 100);
	cr_assert_eq((char *)iov[0].iov_base - (char *)iov[1].iov_base, 4096);
	gmem_done(&m);
}

/* A slip of one byte past the end, or before the start, must hit a guard, not a neighbour. */
static void touch(bool before)
{
	struct gmem m;
	volatile uint8_t *p;

	(void)signal(SIGSEGV, SIG_DFL); /* the sanitizers would report instead */
	cr_assert_eq(gmem_init(&m, 2 * MIB), 0);
	p = before ? m.regions[0].hva - 1 : m.regions[0].hva + 2 * MIB;
	*p = 1;
}

Test(gmem, guard_after, .signal = SIGSEGV)
{
	touch(false);
}

Test(gmem, guard_before, .signal = SIGSEGV)
{
	touch(true);
}

/* ---- Kinds of pages ---------------------------------------------------------------------- */

/* The line of /proc/self/smaps that begins with `name`, of the mapping that holds `at`. */
static void smaps_line(const void *at, const char *name, char *ret, size_t cap)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool inside = false;
	char line[512];

	cr_assert_not_null(f);
	ret[0] = '\0';
	while (fgets(line, sizeof(line), f) != NULL) {
		const char *end = line;
		uint64_t from, to;
		if (parse_u64_at(&end, 16, UINT64_MAX, &from) == 0 && *end++ == '-' &&
		    parse_u64_at(&end, 16, UINT64_MAX, &to) == 0)
			inside = (uintptr_t)at >= from && (uintptr_t)at < to;
		else if (inside && strncmp(line, name, strlen(name)) == 0)
			(void)snprintf(ret, cap, "%s", line);
	}
	(void)fclose(f);
	cr_assert_neq(ret[0], '\0', "no %s", name);
}

Test(gmem, huge_pages_are_as_asked_for)
{
	char flags[512];
	struct gmem m;

	cr_assert_eq(gmem_init_pages(&m, 4 * MIB, GMEM_PAGES_TRANSPARENT), 0);
	smaps_line(m.regions[0].hva, "VmFlags:", flags, sizeof(flags));
	cr_expect(strstr(flags, " hg") != NULL || access(THP, F_OK) != 0, "%s", flags);
	cr_expect_not_null(strstr(flags, " dd"), "not dumped: %s", flags);
	gmem_done(&m);
	cr_assert_eq(gmem_init(&m, 4 * MIB), 0);
	smaps_line(m.regions[0].hva, "VmFlags:", flags, sizeof(flags));
	cr_expect(strstr(flags, " nh") != NULL || access(THP, F_OK) != 0, "%s", flags);
	gmem_done(&m);
}

/* More than any host has: it is refused at once, and leaves nothing behind. */
Test(gmem, pool_of_huge_pages_that_is_too_small)
{
	struct gmem m;

	cr_expect_eq(gmem_init_pages(&m, 1024 * GIB, GMEM_PAGES_HUGETLB), -ENOMEM);
	cr_expect_eq(m.count, 0);
}

/* ---- Files as memory --------------------------------------------------------------------- */

#define FILE_BYTES (256 * KIB)

static int make_file(void)
{
	static uint8_t bytes[FILE_BYTES];
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i / 4096 + 1);
	cr_assert_eq(pwrite(fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
	return fd;
}

Test(gmem, file_lies_over_memory_and_is_not_written)
{
	struct gmem m;
	int fd = make_file();
	uint8_t in_guest = 0, in_file = 0;
	const uint8_t other = 0xee;

	cr_assert_eq(gmem_init(&m, 4 * MIB), 0);
	cr_assert_eq(gmem_write(&m, gpa(MIB - 1), &other, 1), 0);
	cr_assert_eq(gmem_overlay_file(&m, gpa(MIB), 128 * KIB, fd, 64 * KIB), 0);
	for (uint64_t at = 0; at < 128 * KIB; at += 4096) {
		cr_assert_eq(gmem_read(&m, gpa(MIB + at), &in_guest, 1), 0);
		cr_expect_eq(in_guest, (uint8_t)((64 * KIB + at) / 4096 + 1));
	}
	/* What lies around it is as before. */
	cr_assert_eq(gmem_read(&m, gpa(MIB - 1), &in_guest, 1), 0);
	cr_expect_eq(in_guest, other);
	cr_assert_eq(gmem_read(&m, gpa(MIB + 128 * KIB), &in_guest, 1), 0);
	cr_expect_eq(in_guest, 0);
	/* The guest's writes are its own. */
	cr_assert_eq(gmem_write(&m, gpa(MIB), &other, 1), 0);
	cr_assert_eq(pread(fd, &in_file, 1, 64 * KIB), 1);
	cr_expect_eq(in_file, 17);
	cr_assert_eq(gmem_read(&m, gpa(MIB), &in_guest, 1), 0);
	cr_expect_eq(in_guest, other);
	gmem_done(&m);
	(void)close(fd);
}

Test(gmem, file_is_refused_outside_memory_and_over_huge_pages)
{
	int fd = make_file();
	struct gmem m;

	cr_assert_eq(gmem_init(&m, 4 * MIB), 0);
	cr_expect_eq(gmem_overlay_file(&m, gpa(4 * MIB - 4096), 8192, fd, 0), -EFAULT);
	cr_expect_eq(gmem_overlay_file(&m, gpa(UINT64_MAX - 4095), 4096, fd, 0), -EFAULT);
	gmem_done(&m);
	cr_assert_eq(gmem_init_pages(&m, 4 * MIB, GMEM_PAGES_TRANSPARENT), 0);
	cr_expect_eq(gmem_overlay_file(&m, gpa(MIB), 4096, fd, 0), -EOPNOTSUPP);
	gmem_done(&m);
	(void)close(fd);
}

/* Pages of zeros are holes of the file, and no other page is: wherever its one byte stands. */
Test(gmem, a_byte_keeps_its_page)
{
	const uint64_t pages = 4096;
	int fd = memfd_create("saved", MFD_CLOEXEC);
	uint8_t one = 1, got[4096];
	struct gmem m;

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)(pages * 8192)), 0);
	cr_assert_eq(gmem_init(&m, pages * 8192), 0);
	for (uint64_t i = 0; i < pages; i++)
		cr_assert_eq(gmem_write(&m, gpa(i * 8192 + i), &one, 1), 0);
	cr_assert_eq(gmem_save(&m, fd), 0);
	for (uint64_t i = 0; i < pages; i++) {
		cr_assert_eq(pread(fd, got, sizeof(got), (off_t)(i * 8192)), sizeof(got));
		cr_assert_eq(got[i], 1, "byte %llu of a page is lost", (unsigned long long)i);
		cr_assert_eq(lseek(fd, (off_t)(i * 8192), SEEK_HOLE), (off_t)(i * 8192 + 4096));
	}
	gmem_done(&m);
	close(fd);
}

static uint64_t blocks_of(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks / 8;
}

static int new_memfd(uint64_t bytes)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

/* The whole memory, as `save` writes it, has exactly these bytes. */
static void expect_saved(const struct gmem *m, uint64_t bytes, const char *at_page_of[],
			 unsigned count)
{
	int fd = new_memfd(bytes);
	char got[8];

	cr_assert_eq(gmem_check_empty(m, fd), 0);
	for (uint64_t at = 0; at < bytes; at += MIB)
		cr_assert_eq(gmem_save_part(m, fd, at, at + MIB), 0);
	cr_expect_eq(blocks_of(fd), (uint64_t)count);
	for (unsigned i = 0; i < count; i++) {
		cr_assert_eq(pread(fd, got, sizeof(got), (off_t)(i * MIB)), (ssize_t)sizeof(got));
		cr_expect_str_eq(got, at_page_of[i]);
	}
	(void)close(fd);
}

/* What neither the file beneath nor a mark has is left alone: looking at it would give the file
 * pages. */
Test(gmem, zeros_are_known_and_not_looked_at)
{
	const uint64_t bytes = 8 * MIB;
	const char *want[] = { "file", "mine", "later" };
	int fd = new_memfd(bytes);
	struct gmem m;

	cr_assert_eq(pwrite(fd, "file", 5, 0), 5);
	cr_assert_eq(gmem_init(&m, bytes), 0);
	cr_assert_eq(gmem_attach_file(&m, fd), 0);
	cr_assert_eq(gmem_mark_changes(&m), 0);
	cr_assert_eq(gmem_write(&m, gpa(MIB), "mine", 5), 0);
	cr_assert_eq(gmem_learn_zeros(&m, fd, -1), 0);
	gmem_unmark(&m); /* had a mark, and isn't forgotten */
	cr_assert_eq(gmem_write(&m, gpa(2 * MIB), "later", 6), 0);
	expect_saved(&m, bytes, want, 3);
	cr_expect_eq(blocks_of(fd), 2U + 1U,
		     "pages of the file: its own, and two that were written");
	gmem_done(&m);
	(void)close(fd);
}

/* The control of the above: without that knowledge all of it is looked at, and the file grows. */
Test(gmem, zeros_that_are_not_known_are_looked_at)
{
	const uint64_t bytes = 8 * MIB;
	const char *want[] = { "file" };
	int fd = new_memfd(bytes);
	struct gmem m;

	cr_assert_eq(pwrite(fd, "file", 5, 0), 5);
	cr_assert_eq(gmem_init(&m, bytes), 0);
	cr_assert_eq(gmem_attach_file(&m, fd), 0);
	expect_saved(&m, bytes, want, 1);
	cr_expect_eq(blocks_of(fd), bytes / 4096);
	gmem_done(&m);
	(void)close(fd);
}

Test(gmem, zeros_of_new_memory_and_of_another_file)
{
	const uint64_t bytes = 8 * MIB;
	const char *want[] = { "new" };
	int fd = new_memfd(bytes), longer = new_memfd(2 * bytes);
	struct gmem m;

	cr_assert_eq(gmem_init(&m, bytes), 0);
	cr_assert_eq(gmem_learn_zeros(&m, -1, -1), 0, "no marks: no effect");
	cr_assert_eq(gmem_mark_changes(&m), 0);
	cr_assert_eq(gmem_write(&m, gpa(0), "new", 4), 0);
	cr_assert_eq(gmem_learn_zeros(&m, -1, -1), 0, "there is no file");
	expect_saved(&m, bytes, want, 1);
	gmem_done(&m);
	cr_assert_eq(pwrite(longer, "x", 1, (off_t)bytes), 1);
	cr_assert_eq(gmem_init(&m, bytes), 0);
	cr_assert_eq(gmem_attach_file(&m, fd), 0);
	cr_assert_eq(gmem_mark_changes(&m), 0);
	cr_expect_eq(gmem_learn_zeros(&m, longer, -1), -EINVAL);
	gmem_done(&m);
	(void)close(fd);
	(void)close(longer);
}

/* Has the memory a copy of this page of the file? */
static bool is_own(const uint8_t *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t line = 0;

	cr_assert_eq(pread(fd, &line, sizeof(line), (off_t)((uintptr_t)page / 4096 * sizeof(line))),
		     (ssize_t)sizeof(line));
	close(fd);
	return (line & OWN_BIT) != 0 && (line & SHARED_BIT) == 0;
}

/* Pages that are to be the memory's own are, with what the file has there, and no others. */
Test(gmem, pages_of_a_file_that_are_copied_in_advance)
{
	const uint64_t bytes = 4 * GIB;
	int fd = new_memfd(bytes);
	const uint8_t *low, *high;
	uint64_t edge;
	struct gmem m;
	char got[8];

	cr_assert_eq(gmem_init(&m, bytes), 0);
	cr_assert_eq(m.count, 2);
	edge = m.regions[0].size;
	cr_assert_eq(pwrite(fd, "low", 4, (off_t)(edge - 4096)), 4);
	cr_assert_eq(pwrite(fd, "high", 5, (off_t)edge), 5);
	cr_assert_eq(gmem_attach_file(&m, fd), 0);
	low = m.regions[0].hva + edge - 4096;
	high = m.regions[1].hva;
	cr_assert_not(is_own(low) || is_own(high));
	cr_assert_eq(gmem_own(&m, edge / 4096 - 1, 2), 0, "over the hole");
	cr_expect(is_own(low) && is_own(high));
	cr_expect_not(is_own(low - 4096) || is_own(high + 4096), "the next ones");
	cr_assert_eq(gmem_read(&m, gpa(edge - 4096), got, 4), 0);
	cr_expect_str_eq(got, "low");
	cr_assert_eq(gmem_read(&m, gpa(m.regions[1].gpa), got, 5), 0);
	cr_expect_str_eq(got, "high");
	cr_assert_eq(gmem_own(&m, bytes / 4096 - 1, 1), 0, "the last");
	cr_expect(is_own(high + m.regions[1].size - 4096));
	cr_assert_eq(gmem_write(&m, gpa(m.regions[1].gpa), "mine", 5), 0);
	cr_assert_eq(pread(fd, got, sizeof(got), (off_t)edge), (ssize_t)sizeof(got));
	cr_expect_str_eq(got, "high", "the file is as it was");
	gmem_done(&m);
	(void)close(fd);
}
