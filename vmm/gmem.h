/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem.h - guest memory. The only module that knows host addresses of guest RAM.
 *
 * Layout: RAM from 0 to at most GMEM_HOLE_START (3 GiB), the rest from 4 GiB. Between them lie
 * the devices. Above all RAM, from 4 GiB on, there may be files, which the guest can only read
 * (virtio-pmem); a device may be told to read from there too, as from any memory, and to do nothing
 * else. Everything is by guest-physical address *and* length, and copied: device code never holds a
 * pointer. A single value that the guest shares is fetched once with
 * gmem_read_le*; a structure is copied whole with gmem_read, which ends in a compiler barrier so
 * that a check can't be re-done on the shared copy.
 *
 * Thread-safe after gmem_init (the guest itself is the other thread, always).
 */
#ifndef VMM_GMEM_H
#define VMM_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"

#define GMEM_HOLE_START	 UINT64_C(0xc0000000)
#define GMEM_HOLE_END	 UINT64_C(0x100000000)
#define GMEM_REGIONS_MAX 2
#define GMEM_FILES_MAX	 8
#define GMEM_FILE_ALIGN	 (UINT64_C(1) << 30) /* of where a file begins; its size: 2 MiB */

typedef struct {
	uint64_t v;
} gpa_t; /* guest-physical address: no arithmetic by accident */
static inline gpa_t gpa(uint64_t v)
{
	return (gpa_t){ v };
}

/* What the host backs it with. */
enum gmem_pages {
	GMEM_PAGES_SMALL,	/* 4 KiB, also where the host would give huge ones unasked */
	GMEM_PAGES_TRANSPARENT, /* 2 MiB where the kernel can, as memory is touched */
	GMEM_PAGES_HUGETLB,	/* 2 MiB from the host's pool, all of it reserved now */
};

struct gmem_region {
	uint64_t gpa;
	uint64_t size;
	uint8_t *hva; /* for gmem.c, KVM_SET_USER_MEMORY_REGION and nobody else */
};

struct gmem {
	struct gmem_region regions[GMEM_REGIONS_MAX]; /* RAM */
	unsigned count;
	uint64_t bytes; /* of RAM */
	uint64_t split; /* gmem_attach_split; else bytes */
	struct gmem_region files[GMEM_FILES_MAX];
	unsigned files_count;
	enum gmem_pages pages;
	uint8_t *marks; /* a bit for each page, in the order of the memory file; NULL = not kept */
	uint8_t *used;	/* with marks: the same, pages that had a mark or are the file's beneath */
	bool over_file; /* gmem_attach_file, gmem_attach_split */
	bool zeros_known; /* what has neither bit is zero */
};

/* Anonymous private memory of `bytes` (a multiple of 2 MiB), not dumped, with inaccessible guard
 * pages around each region. 0 or -errno; -ENOMEM: also when the pool of huge pages is too small. */
MUST_USE int gmem_init_pages(struct gmem *m, uint64_t bytes, enum gmem_pages pages);
/* The same with small pages. */
MUST_USE int gmem_init(struct gmem *m, uint64_t bytes);
void gmem_done(struct gmem *m);

/*
 * Puts a file under the memory, copy on write: what it holds is what the guest finds, and what the
 * guest writes is its own. Right after gmem_init. The file has exactly `bytes` (-EINVAL), without
 * the hole, and must not shrink or change as long as the memory lives: a sealed memfd, or a file
 * that only root can reach. fd may be closed afterwards. 0 or -errno.
 */
MUST_USE int gmem_attach_file(struct gmem *m, int fd);
/*
 * The same with a memory in two files, as two threads can write it at a time: what is below
 * `split`, as an offset into the memory's file, comes from fd and the rest from `rest`. Both have
 * exactly `bytes`, and what lies in them has the place that it would have in one. split is at most
 * `bytes`, and then rest means nothing; -EINVAL when it isn't a multiple of 4 KiB.
 */
MUST_USE int gmem_attach_split(struct gmem *m, int fd, int rest, uint64_t split);
/*
 * Makes pages [page, page + count) of that file the memory's own, with what they hold, as a write
 * would: a guest that will write them doesn't have to fault for it. No effect on kernels before
 * 5.14. The range is part of the file. 0 or -errno.
 */
MUST_USE int gmem_own(const struct gmem *m, uint64_t page, uint64_t count);
/*
 * Lays [off, off+len) of a file over guest memory at a, copy on write: nothing is read until it is
 * touched, and what the guest doesn't change is the host's page cache, shared by all guests that
 * have it. a, off and len are multiples of 4 KiB. The file must be that long, and not shrink or
 * change. 0, -EFAULT (not wholly inside one region), -EOPNOTSUPP (not small pages: copy it) or
 * another -errno.
 */
MUST_USE int gmem_overlay_file(struct gmem *m, gpa_t a, uint64_t len, int fd, uint64_t off);
/*
 * Maps a file behind everything that is there and from 4 GiB on, read-only and shared with all who
 * have it in use. Its size is rounded up to 2 MiB, with zeros; *ret is where it lies. fd must be of
 * a regular file and open for reading only, so that nobody can make the mapping writable (-EBADF);
 * it may be closed afterwards. The file must not shrink: reading what is gone ends the process.
 * Before any thread runs; at most GMEM_FILES_MAX. 0, -EINVAL (empty, or too large), or another
 * -errno.
 */
MUST_USE int gmem_add_file(struct gmem *m, int fd, const struct gmem_region **ret);
/* The first address above everything. */
uint64_t gmem_end(const struct gmem *m);
/* Writes the memory to an empty file of `bytes` (-EINVAL: another size, or it has blocks already);
 * pages of zeros become holes. Nobody else may touch the memory. 0 or -errno. */
MUST_USE int gmem_save(const struct gmem *m, int fd);

/*
 * Marks: which pages have changed, for incremental snapshots and for those of a guest that runs.
 * gmem_mark_changes comes before the first write. From then on, every page
 * that this module writes, gives to the kernel to write (gmem_iov) or gives back is marked; what
 * the guest writes, others add (dirty.h). 0 or -ENOMEM.
 */
MUST_USE int gmem_mark_changes(struct gmem *m);
bool gmem_is_marking(const struct gmem *m);
/* Of the bitmap: pages / 8. */
uint64_t gmem_marks_bytes(const struct gmem *m);
/* Adds the bits of region n, one for each of its pages, 64 in a word as KVM has them. */
void gmem_mark_bits(struct gmem *m, unsigned n, const uint64_t *bits);
/* Nothing has changed. No effect when none are kept. */
void gmem_unmark(struct gmem *m);
/*
 * Pages that were never marked are zero and needn't be looked at, which would give each of them
 * memory. Where memory was new when marks began, that is known; where it lies over a file, this
 * finds what the file has: fd is the one of gmem_attach_file, or fd and rest those of
 * gmem_attach_split. Once is enough, and all saving makes use of it. All that was written must have
 * been marked: what the guest wrote is only known after dirty_collect. No effect when no marks are
 * kept. 0 or -errno.
 */
MUST_USE int gmem_learn_zeros(struct gmem *m, int fd, int rest);
/*
 * Writes the pages that are marked to an empty file of `bytes` + gmem_marks_bytes (-EINVAL, as
 * gmem_save), at their places, and the bitmap behind them; a page of zeros may be a hole. Nobody
 * else may touch the memory. 0 or -errno.
 */
MUST_USE int gmem_save_marked(const struct gmem *m, int fd);

/*
 * For a snapshot of a guest that runs, to files for which gmem_check_empty is 0 (as for gmem_save).
 * gmem_save_part writes [from, to) of the memory's file, both multiples of 4 KiB, `to` at most
 * m->bytes; two threads may, different parts to different files. What the guest writes meanwhile is
 * in it or not: gmem_save_again, once nobody else touches the memory, writes the pages of a part
 * that are marked over it. 0 or -errno.
 */
MUST_USE int gmem_check_empty(const struct gmem *m, int fd);
MUST_USE int gmem_save_part(const struct gmem *m, int fd, uint64_t from, uint64_t to);
MUST_USE int gmem_save_again(const struct gmem *m, int fd, uint64_t from, uint64_t to);
/* Where to split the memory's file so that each part has half of what gmem_save_part looks at.
 * A multiple of 4 KiB. */
uint64_t gmem_middle(const struct gmem *m);

/* 0, or -EFAULT when [a, a+len) is not wholly inside one region of RAM. */
MUST_USE int gmem_check(const struct gmem *m, gpa_t a, uint64_t len);
/* The same for what will only be read: inside one region or one file. */
MUST_USE int gmem_check_source(const struct gmem *m, gpa_t a, uint64_t len);
/* Loads each byte of the guest's once. From files too. */
MUST_USE int gmem_read(const struct gmem *m, gpa_t a, void *dst, size_t len);
MUST_USE int gmem_write(struct gmem *m, gpa_t a, const void *src, size_t len);
MUST_USE int gmem_zero(struct gmem *m, gpa_t a, size_t len);

/* One atomic load (relaxed; _acquire where the name says so) or store of a naturally aligned
 * little-endian value. -EFAULT also when misaligned. */
MUST_USE int gmem_read_le16(const struct gmem *m, gpa_t a, uint16_t *ret);
MUST_USE int gmem_read_le16_acquire(const struct gmem *m, gpa_t a, uint16_t *ret);
MUST_USE int gmem_read_le32(const struct gmem *m, gpa_t a, uint32_t *ret);
MUST_USE int gmem_read_le64(const struct gmem *m, gpa_t a, uint64_t *ret);
MUST_USE int gmem_write_le16_release(struct gmem *m, gpa_t a, uint16_t v);

/*
 * Gives the host pages that lie wholly in [a, a+len) back: they read as zeros (as what is mapped
 * beneath, where memory is not anonymous) until they are written again. 0, -EFAULT when the range
 * is not wholly inside one region, or what madvise(2) says. The only way by which guest memory
 * shrinks.
 */
MUST_USE int gmem_discard(struct gmem *m, gpa_t a, uint64_t len);

/*
 * For data that goes straight between guest memory and the kernel (preadv2, pwritev2): appends
 * [a, a+len) to iov[*n]; -EFAULT, or -E2BIG when *n has reached cap. With `writable` false it
 * may lie in a file. The iovec must not be parsed, and not be kept when the request is done.
 */
MUST_USE int gmem_iov(const struct gmem *m, gpa_t a, uint64_t len, bool writable, struct iovec *iov,
		      size_t cap, size_t *n);

#endif
