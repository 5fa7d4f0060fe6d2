/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory to a file and from one. The file is the memory without the hole: the region from 0
 * first, then the one from 4 GiB. Pages of zeros are holes in it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"
#include "vmm/gmem.h"

#define PAGE	  4096U
#define ZERO_STEP 64U

/* [at, at + len) of the memory's file is [off, off + len) of region r. */
static int map_part(const struct gmem_region *r, uint64_t off, uint64_t len, int fd, uint64_t at)
{
	if (len == 0)
		return 0;
	if (mmap(r->hva + off, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
		 (off_t)at) == MAP_FAILED)
		return -errno;
	return madvise(r->hva + off, len, MADV_DONTDUMP) < 0 ? -errno : 0;
}

static int check_bytes(const struct gmem *m, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_size < 0 || (uint64_t)st.st_size != m->bytes ? -EINVAL : 0;
}

int gmem_attach_split(struct gmem *m, int fd, int rest, uint64_t split)
{
	uint64_t at = 0;
	int rc = check_bytes(m, fd);

	if (split > m->bytes || split % PAGE != 0)
		return -EINVAL;
	if (rc == 0 && split < m->bytes)
		rc = check_bytes(m, rest);
	for (unsigned i = 0; i < m->count && rc == 0; i++) {
		const struct gmem_region *r = &m->regions[i];
		uint64_t below = split > at ? MIN(split - at, r->size) : 0;
		rc = map_part(r, 0, below, fd, at);
		if (rc == 0)
			rc = map_part(r, below, r->size - below, rest, at + below);
		at += r->size;
	}
	m->split = split;
	m->over_file = true;
	return rc;
}

int gmem_attach_file(struct gmem *m, int fd)
{
	return gmem_attach_split(m, fd, -1, m->bytes);
}

int gmem_own(const struct gmem *m, uint64_t page, uint64_t count)
{
	uint64_t from = page * PAGE, end = from + count * PAGE, off = 0;

	BUG_ON(from > m->bytes || end > m->bytes);
	for (unsigned i = 0; i < m->count; i++) {
		const struct gmem_region *r = &m->regions[i];
		uint64_t a = MAX(from, off), b = MIN(end, off + r->size);
		/* EINVAL: a kernel that doesn't know it. */
		if (a < b && madvise(r->hva + (a - off), b - a, MADV_POPULATE_WRITE) < 0 &&
		    errno != EINVAL)
			return -errno;
		off += r->size;
	}
	return 0;
}

int gmem_overlay_file(struct gmem *m, gpa_t a, uint64_t len, int fd, uint64_t off)
{
	struct iovec iov[1];
	size_t n = 0;
	int r;

	BUG_ON(a.v % PAGE != 0 || len % PAGE != 0 || len == 0 || off % PAGE != 0);
	if (m->pages != GMEM_PAGES_SMALL)
		return -EOPNOTSUPP;
	r = gmem_iov(m, a, len, true, iov, ARRAY_SIZE(iov), &n);
	if (r < 0)
		return r;
	if (mmap(iov[0].iov_base, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
		 (off_t)off) == MAP_FAILED)
		return -errno;
	return madvise(iov[0].iov_base, len, MADV_DONTDUMP) < 0 ? -errno : 0;
}

/* The accumulator makes the inner loop one without branches, which the compiler turns into wide
 * ones. A page that isn't zero mostly shows it soon, and is about to be copied anyway. */
static bool is_zero(const uint8_t *page)
{
	for (size_t at = 0; at < PAGE; at += ZERO_STEP) {
		uint64_t all = 0;
		for (size_t i = 0; i < ZERO_STEP; i += sizeof(uint64_t)) {
			uint64_t v;
			memcpy(&v, page + at + i, sizeof(v));
			all |= v;
		}
		if (all != 0)
			return false;
	}
	return true;
}

static bool has_bit(const uint8_t *bits, uint64_t page)
{
	/* Devices' threads set marks meanwhile. */
	return ((unsigned)__atomic_load_n(&bits[page / 8], __ATOMIC_RELAXED) >> (page % 8) & 1U) !=
	       0;
}

static bool is_marked(const struct gmem *m, uint64_t page)
{
	return has_bit(m->marks, page);
}

/* Is this one to be looked at: in a save of the marked ones, or of all? */
static bool is_wanted(const struct gmem *m, bool marked, uint64_t page)
{
	if (m->marks == NULL || is_marked(m, page))
		return true;
	return !marked && (!m->zeros_known || has_bit(m->used, page));
}

/* Which pages of [from, to) the file has. */
static int learn_part(struct gmem *m, int fd, uint64_t from, uint64_t to)
{
	off_t data, hole = (off_t)from;

	while ((uint64_t)hole < to && (data = lseek(fd, hole, SEEK_DATA)) >= 0) {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		if (hole <= data || (uint64_t)hole > m->bytes) /* it isn't that file */
			return -EINVAL;
		for (uint64_t i = (uint64_t)data / PAGE;
		     i < to / PAGE && i <= ((uint64_t)hole - 1) / PAGE; i++)
			m->used[i / 8] |= (uint8_t)(1U << (i % 8));
	}
	if ((uint64_t)hole >= to)
		return 0;
	return errno == ENXIO ? 0 : -errno; /* no more data */
}

int gmem_learn_zeros(struct gmem *m, int fd, int rest)
{
	int r;

	if (m->marks == NULL || m->zeros_known)
		return 0;
	r = learn_part(m, fd, 0, m->split);
	if (r == 0)
		r = learn_part(m, rest, m->split, m->bytes);
	m->zeros_known = r == 0;
	return r;
}

/* Writes the runs of pages that aren't zero and, with `marked`, are marked. */
static int save_region(const struct gmem *m, const struct gmem_region *r, bool marked, int fd,
		       uint64_t off)
{
	uint64_t at = 0;
	int rc = 0;

	while (at < r->size && rc == 0) {
		uint64_t start;
		while (at < r->size &&
		       (!is_wanted(m, marked, (off + at) / PAGE) || is_zero(r->hva + at)))
			at += PAGE;
		start = at;
		while (at < r->size && is_wanted(m, marked, (off + at) / PAGE) &&
		       !is_zero(r->hva + at))
			at += PAGE;
		if (at > start)
			rc = fd_pwrite_full(fd, r->hva + start, at - start, off + start);
	}
	return rc;
}

/* Nothing but a hole of that size: what isn't written must be zero. */
static int check_hole(int fd, uint64_t bytes)
{
	off_t end = lseek(fd, 0, SEEK_END);

	if (end < 0)
		return -errno;
	if ((uint64_t)end != bytes || lseek(fd, 0, SEEK_DATA) >= 0)
		return -EINVAL;
	return errno == ENXIO ? 0 : -errno;
}

static int save(const struct gmem *m, bool marked, int fd)
{
	uint64_t off = 0;
	int r = check_hole(fd, m->bytes + (marked ? gmem_marks_bytes(m) : 0));

	for (unsigned i = 0; i < m->count && r == 0; i++) {
		r = save_region(m, &m->regions[i], marked, fd, off);
		off += m->regions[i].size;
	}
	if (r == 0 && marked)
		r = fd_pwrite_full(fd, m->marks, gmem_marks_bytes(m), m->bytes);
	return r;
}

int gmem_save(const struct gmem *m, int fd)
{
	return save(m, false, fd);
}

int gmem_save_marked(const struct gmem *m, int fd)
{
	BUG_ON(m->marks == NULL);
	return save(m, true, fd);
}

int gmem_check_empty(const struct gmem *m, int fd)
{
	return check_hole(fd, m->bytes);
}

/* What region number i, which begins at `at` of the memory's file, has of [from, to). */
static struct gmem_region cut(const struct gmem *m, unsigned i, uint64_t at, uint64_t from,
			      uint64_t to)
{
	struct gmem_region r = m->regions[i];
	uint64_t begin = from > at ? MIN(from - at, r.size) : 0;
	uint64_t end = to > at ? MIN(to - at, r.size) : 0;

	r.hva += begin;
	r.size = end > begin ? end - begin : 0;
	return r;
}

int gmem_save_part(const struct gmem *m, int fd, uint64_t from, uint64_t to)
{
	uint64_t at = 0;
	int rc = 0;

	BUG_ON(from % PAGE != 0 || to % PAGE != 0 || from > to || to > m->bytes);
	for (unsigned i = 0; i < m->count && rc == 0; i++) {
		const struct gmem_region part = cut(m, i, at, from, to);
		rc = save_region(m, &part, false, fd, MAX(at, from));
		at += m->regions[i].size;
	}
	return rc;
}

/* Zeros too: the file may have what was there before. */
static int save_marked(const struct gmem *m, const struct gmem_region *r, int fd, uint64_t off)
{
	int rc = 0;

	for (uint64_t at = 0, start; at < r->size && rc == 0;) {
		while (at < r->size && !is_marked(m, (off + at) / PAGE))
			at += PAGE;
		start = at;
		while (at < r->size && is_marked(m, (off + at) / PAGE))
			at += PAGE;
		if (at > start)
			rc = fd_pwrite_full(fd, r->hva + start, at - start, off + start);
	}
	return rc;
}

int gmem_save_again(const struct gmem *m, int fd, uint64_t from, uint64_t to)
{
	uint64_t at = 0;
	int rc = 0;

	BUG_ON(m->marks == NULL || from % PAGE != 0 || to % PAGE != 0 || from > to ||
	       to > m->bytes);
	for (unsigned i = 0; i < m->count && rc == 0; i++) {
		const struct gmem_region part = cut(m, i, at, from, to);
		rc = save_marked(m, &part, fd, MAX(at, from));
		at += m->regions[i].size;
	}
	return rc;
}

/* ---- Two parts --------------------------------------------------------------------------- */

/* Of the 8 pages of byte i of the bitmaps, how many is_wanted says yes to. */
static unsigned wanted_of(const struct gmem *m, uint64_t i)
{
	if (m->marks == NULL || !m->zeros_known)
		return 8;
	return (unsigned)__builtin_popcount(__atomic_load_n(&m->marks[i], __ATOMIC_RELAXED) |
					    (unsigned)m->used[i]);
}

uint64_t gmem_middle(const struct gmem *m)
{
	uint64_t bytes = gmem_marks_bytes(m), all = 0, below = 0, i = 0;

	for (uint64_t n = 0; n < bytes; n++)
		all += wanted_of(m, n);
	/* The guest may mark more meanwhile. */
	while (i < bytes && 2 * below < all)
		below += wanted_of(m, i++);
	return 8 * i * PAGE;
}
