/* SPDX-License-Identifier: Apache-2.0 */
/* gmem_split.c - guest memory in two files: written by parts, and mapped again, wherever it is
 * split. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/gmem.h"

#define PAGE	  4096U
#define TWO_BYTES (GMEM_HOLE_START + 4 * MIB) /* so much has a second region, of 4 MiB */

struct files {
	int first, rest;
};

static int new_file(uint64_t bytes)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static void close_files(const struct files *f)
{
	(void)close(f->first);
	(void)close(f->rest);
}

/* An offset into the memory's file as an address. */
static gpa_t at_offset(uint64_t off)
{
	return gpa(off < GMEM_HOLE_START ? off : off - GMEM_HOLE_START + GMEM_HOLE_END);
}

static void put(struct gmem *m, uint64_t off)
{
	const uint64_t v = off + 1;

	cr_assert_eq(gmem_write(m, at_offset(off), &v, sizeof(v)), 0);
}

static uint64_t get(const struct gmem *m, uint64_t off)
{
	uint64_t v = 0;

	cr_assert_eq(gmem_read(m, at_offset(off), &v, sizeof(v)), 0);
	return v;
}

static struct files save(const struct gmem *m, uint64_t split)
{
	const struct files f = { new_file(m->bytes), new_file(m->bytes) };

	cr_assert_eq(gmem_check_empty(m, f.first), 0);
	cr_assert_eq(gmem_check_empty(m, f.rest), 0);
	cr_assert_eq(gmem_save_part(m, f.first, 0, split), 0);
	cr_assert_eq(gmem_save_part(m, f.rest, split, m->bytes), 0);
	return f;
}

static uint64_t pages_of(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks / (PAGE / 512);
}

/* Saved in two files and mapped from them, with the first and last page of each part and of each
 * region; each file has its own part and nothing else. */
static void round_trip(uint64_t bytes, uint64_t split)
{
	const uint64_t all[] = {
		0, split - PAGE, split, GMEM_HOLE_START - PAGE, GMEM_HOLE_START, bytes - PAGE
	};
	uint64_t below = 0, above = 0;
	struct gmem m, again;
	struct files f;

	cr_assert_eq(gmem_init(&m, bytes), 0);
	cr_assert_eq(gmem_mark_changes(&m), 0); /* so that a save needn't look at 3 GiB */
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i] >= bytes || get(&m, all[i]) != 0)
			continue;
		put(&m, all[i]);
		*(all[i] < split ? &below : &above) += 1;
	}
	f = save(&m, split);
	cr_expect_eq(pages_of(f.first), below);
	cr_expect_eq(pages_of(f.rest), above);
	cr_assert_eq(gmem_init(&again, bytes), 0);
	cr_assert_eq(gmem_attach_split(&again, f.first, f.rest, split), 0);
	cr_assert_eq(gmem_mark_changes(&again), 0);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		cr_expect(all[i] >= bytes || get(&again, all[i]) == all[i] + 1, "%llu",
			  (unsigned long long)all[i]);
	/* And once more, of what is known to be in the files: nothing is missed. */
	cr_assert_eq(gmem_learn_zeros(&again, f.first, f.rest), 0);
	close_files(&f);
	f = save(&again, split);
	cr_expect_eq(pages_of(f.first), below);
	cr_expect_eq(pages_of(f.rest), above);
	close_files(&f);
	gmem_done(&again);
	gmem_done(&m);
}

Test(gmem_split, anywhere)
{
	round_trip(8 * MIB, 0);
	round_trip(8 * MIB, PAGE);
	round_trip(8 * MIB, 5 * MIB);
	round_trip(8 * MIB, 8 * MIB - PAGE);
	round_trip(8 * MIB, 8 * MIB);
}

Test(gmem_split, around_the_hole)
{
	round_trip(TWO_BYTES, 0);
	round_trip(TWO_BYTES, GMEM_HOLE_START - PAGE);
	round_trip(TWO_BYTES, GMEM_HOLE_START);
	round_trip(TWO_BYTES, GMEM_HOLE_START + PAGE);
	round_trip(TWO_BYTES, TWO_BYTES);
}

/* What was written after a part was copied goes over it, in the part's own file. */
Test(gmem_split, again)
{
	const uint64_t bytes = 8 * MIB, split = 4 * MIB;
	struct gmem m, again;
	struct files f;

	cr_assert_eq(gmem_init(&m, bytes), 0);
	cr_assert_eq(gmem_mark_changes(&m), 0);
	put(&m, split - PAGE);
	put(&m, split);
	gmem_unmark(&m);
	f = save(&m, split);
	cr_assert_eq(gmem_zero(&m, gpa(split - PAGE), 2 * PAGE), 0);
	put(&m, 0);
	put(&m, bytes - PAGE);
	cr_assert_eq(gmem_save_again(&m, f.first, 0, split), 0);
	cr_assert_eq(gmem_save_again(&m, f.rest, split, bytes), 0);
	cr_expect_eq(pages_of(f.first), 2U);
	cr_expect_eq(pages_of(f.rest), 2U);
	cr_assert_eq(gmem_init(&again, bytes), 0);
	cr_assert_eq(gmem_attach_split(&again, f.first, f.rest, split), 0);
	cr_expect_eq(get(&again, 0), 1U);
	cr_expect_eq(get(&again, split - PAGE), 0U);
	cr_expect_eq(get(&again, split), 0U);
	cr_expect_eq(get(&again, bytes - PAGE), bytes - PAGE + 1);
	gmem_done(&again);
	gmem_done(&m);
	close_files(&f);
}

static int attach(uint64_t first, uint64_t rest, uint64_t split)
{
	const struct files f = { new_file(first), new_file(rest) };
	struct gmem m;
	int r;

	cr_assert_eq(gmem_init(&m, 8 * MIB), 0);
	r = gmem_attach_split(&m, f.first, f.rest, split);
	gmem_done(&m);
	close_files(&f);
	return r;
}

Test(gmem_split, refused)
{
	struct gmem m;
	int fd = new_file(8 * MIB);

	cr_expect_eq(attach(8 * MIB, 8 * MIB, 4 * MIB), 0);
	cr_expect_eq(attach(8 * MIB, 8 * MIB, 4 * MIB + 1), -EINVAL);
	cr_expect_eq(attach(8 * MIB, 8 * MIB, 8 * MIB + PAGE), -EINVAL);
	cr_expect_eq(attach(8 * MIB, 8 * MIB, UINT64_MAX - PAGE + 1), -EINVAL);
	/* A part that is as long as it needs to be isn't as long as it has to be. */
	cr_expect_eq(attach(4 * MIB, 8 * MIB, 4 * MIB), -EINVAL);
	cr_expect_eq(attach(8 * MIB, 4 * MIB, 4 * MIB), -EINVAL);
	cr_expect_eq(attach(8 * MIB, 8 * MIB + PAGE, 4 * MIB), -EINVAL);
	cr_expect_eq(attach(8 * MIB, 0, 0), -EINVAL);
	/* Not looked at when nothing is in it. */
	cr_expect_eq(attach(8 * MIB, 0, 8 * MIB), 0);
	cr_assert_eq(gmem_init(&m, 8 * MIB), 0);
	cr_expect_eq(gmem_attach_split(&m, fd, -1, 4 * MIB), -EBADF);
	gmem_done(&m);
	(void)close(fd);
}

/* A file that isn't empty, or of another length, is noticed before anything is written. */
Test(gmem_split, files_that_are_not_empty)
{
	int good = new_file(8 * MIB), used = new_file(8 * MIB), longer = new_file(8 * MIB + PAGE);
	struct gmem m;

	cr_assert_eq(pwrite(used, "x", 1, 4 * MIB), 1);
	cr_assert_eq(gmem_init(&m, 8 * MIB), 0);
	cr_expect_eq(gmem_check_empty(&m, good), 0);
	cr_expect_eq(gmem_check_empty(&m, used), -EINVAL);
	cr_expect_eq(gmem_check_empty(&m, longer), -EINVAL);
	gmem_done(&m);
	(void)close(good);
	(void)close(used);
	(void)close(longer);
}

/* What lies in the wrong file isn't the guest's. */
Test(gmem_split, a_file_has_its_own_part_alone)
{
	const struct files f = { new_file(8 * MIB), new_file(8 * MIB) };
	struct gmem m;

	cr_assert_eq(pwrite(f.first, "wrong", 6, 4 * MIB), 6);
	cr_assert_eq(pwrite(f.rest, "wrong", 6, 4 * MIB - PAGE), 6);
	cr_assert_eq(gmem_init(&m, 8 * MIB), 0);
	cr_assert_eq(gmem_attach_split(&m, f.first, f.rest, 4 * MIB), 0);
	cr_assert_eq(gmem_mark_changes(&m), 0);
	cr_assert_eq(gmem_learn_zeros(&m, f.first, f.rest), 0);
	cr_expect_eq(gmem_middle(&m), 0U, "no page is in use");
	cr_expect_eq(get(&m, 4 * MIB), 0U);
	cr_expect_eq(get(&m, 4 * MIB - PAGE), 0U);
	gmem_done(&m);
	close_files(&f);
}

static uint64_t middle_of(uint64_t first_page, uint64_t pages)
{
	const uint64_t bytes = 8 * MIB;
	uint64_t middle;
	struct gmem m;

	cr_assert_eq(gmem_init(&m, bytes), 0);
	cr_assert_eq(gmem_mark_changes(&m), 0);
	for (uint64_t i = first_page; i < first_page + pages; i++)
		put(&m, i * PAGE);
	middle = gmem_middle(&m);
	gmem_unmark(&m);
	cr_expect_eq(gmem_middle(&m), middle, "what had a mark once is to be copied, too");
	gmem_done(&m);
	cr_assert(middle % PAGE == 0 && middle <= bytes);
	return middle;
}

/* By halves of what is to be copied, to 8 pages, wherever it lies. */
Test(gmem_split, the_middle)
{
	struct gmem m;

	cr_expect_eq(middle_of(0, 0), 0U);
	cr_expect_eq(middle_of(0, 2048), 4 * MIB);
	cr_expect_eq(middle_of(0, 1024), 2 * MIB);
	cr_expect_eq(middle_of(1024, 1024), 6 * MIB);
	cr_expect_eq(middle_of(2047, 1), 8 * MIB);
	cr_expect_eq(middle_of(0, 1), 8 * (uint64_t)PAGE);
	/* Of a memory without marks nothing is known. */
	cr_assert_eq(gmem_init(&m, 8 * MIB), 0);
	cr_expect_eq(gmem_middle(&m), 4 * MIB);
	gmem_done(&m);
}
