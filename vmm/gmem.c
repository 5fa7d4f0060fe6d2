/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: each region is one private anonymous mapping between two stretches of
 * address space without access, so that a slip past either end faults instead of reaching
 * something of ours. The start is aligned to 2 MiB: only then can the host back guest memory
 * with huge pages.
 *
 * The guest writes to this memory at any moment. gmem_read therefore ends in a compiler
 * barrier: without it the compiler may drop the local copy and load the shared bytes again
 * after they have been checked. Single values are atomic loads for the same reason.
 */
#include "vmm/gmem.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/bug.h"
#include "base/num.h"

#define GMEM_ALIGN (2 * MIB)
#define GMEM_GUARD (64 * KIB)
#define GMEM_PAGE  (4 * KIB) /* the host's unit of memory */
/* Far above what a host has and far below where sizes could wrap. */
#define GMEM_BYTES_MAX (UINT64_C(1) << 40)

_Static_assert(GMEM_HOLE_START % GMEM_ALIGN == 0, "both regions are made of whole huge pages");

/* Everything from here on sees what the copy before it saw. */
static inline void compiler_barrier(void)
{
	__asm__ __volatile__("" ::: "memory");
}

/* Makes [start, start + size), which is reserved and inaccessible, memory of this kind. */
static int populate(uint8_t *start, uint64_t size, enum gmem_pages pages)
{
	const int rw = PROT_READ | PROT_WRITE;
	/* Without MAP_NORESERVE: the pool is asked for all of it now, and not when the guest runs.
	 */
	const int hugetlb = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB | MAP_HUGE_2MB;

	switch (pages) {
	case GMEM_PAGES_SMALL:
	case GMEM_PAGES_TRANSPARENT:
		if (mprotect(start, size, rw) < 0)
			return -errno;
		/* EINVAL: a kernel that has no huge pages to give, or to keep away. */
		if (madvise(start, size,
			    pages == GMEM_PAGES_SMALL ? MADV_NOHUGEPAGE : MADV_HUGEPAGE) < 0 &&
		    errno != EINVAL)
			return -errno;
		break;
	case GMEM_PAGES_HUGETLB:
		if (mmap(start, size, rw, hugetlb, -1, 0) == MAP_FAILED)
			return -errno;
		break;
	}
	return madvise(start, size, MADV_DONTDUMP) < 0 ? -errno : 0;
}

/* Address space of `size` bytes with guards, all of it inaccessible; *ret is its first byte. */
static int reserve(uint64_t size, uint8_t **ret)
{
	size_t span = size + GMEM_ALIGN + 2 * GMEM_GUARD;
	uint8_t *base =
		mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *start, *first, *last;

	if (base == MAP_FAILED)
		return -errno;
	start = base + (align_up((uintptr_t)base + GMEM_GUARD, GMEM_ALIGN) - (uintptr_t)base);
	first = start - GMEM_GUARD;
	last = start + size + GMEM_GUARD;
	/* Alignment left something over at both ends; none of it is ours to keep. */
	if (first > base)
		(void)munmap(base, (size_t)(first - base));
	if (last < base + span)
		(void)munmap(last, (size_t)(base + span - last));
	*ret = start;
	return 0;
}

static void unreserve(uint8_t *start, uint64_t size)
{
	(void)munmap(start - GMEM_GUARD, size + 2 * GMEM_GUARD);
}

/* A readable and writable range; *ret is its first byte. */
static int map_region(uint64_t size, enum gmem_pages pages, uint8_t **ret)
{
	int r = reserve(size, ret);

	if (r < 0)
		return r;
	r = populate(*ret, size, pages);
	if (r < 0)
		unreserve(*ret, size);
	return r;
}

static int add_region(struct gmem *m, uint64_t at, uint64_t size, enum gmem_pages pages)
{
	struct gmem_region *r = &m->regions[m->count];
	int rc;

	BUG_ON(m->count >= GMEM_REGIONS_MAX);
	rc = map_region(size, pages, &r->hva);
	if (rc < 0)
		return rc;
	r->gpa = at;
	r->size = size;
	m->count++;
	m->bytes += size;
	return 0;
}

/* A file of st_size bytes, and zeros up to `size`, as one read-only range; *ret is its first byte.
 */
static int map_file(int fd, uint64_t bytes, uint64_t size, uint8_t **ret)
{
	int r = reserve(size, ret);

	if (r < 0)
		return r;
	/* Shared, of a descriptor that can't write: mprotect can't make it writable. */
	if (mmap(*ret, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
	    (bytes < size && mprotect(*ret + align_up(bytes, GMEM_PAGE),
				      size - align_up(bytes, GMEM_PAGE), PROT_READ) < 0) ||
	    madvise(*ret, size, MADV_DONTDUMP) < 0) {
		r = -errno;
		unreserve(*ret, size);
	}
	return r;
}

int gmem_add_file(struct gmem *m, int fd, const struct gmem_region **ret)
{
	struct gmem_region *f = &m->files[m->files_count];
	int flags = fcntl(fd, F_GETFL);
	struct stat st;
	int r;

	BUG_ON(m->files_count >= GMEM_FILES_MAX || m->count == 0);
	if (flags < 0 || (flags & O_ACCMODE) != O_RDONLY || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode))
		return -EBADF;
	if (st.st_size <= 0 || (uint64_t)st.st_size > GMEM_BYTES_MAX)
		return -EINVAL;
	/* Behind the devices' hole in any case: however large it is, it doesn't reach into it. */
	f->gpa = align_up(MAX(gmem_end(m), GMEM_HOLE_END), GMEM_FILE_ALIGN);
	f->size = align_up((uint64_t)st.st_size, GMEM_ALIGN);
	r = map_file(fd, (uint64_t)st.st_size, f->size, &f->hva);
	if (r < 0)
		return r;
	m->files_count++;
	*ret = f;
	return 0;
}

int gmem_init_pages(struct gmem *m, uint64_t bytes, enum gmem_pages pages)
{
	uint64_t low = MIN(bytes, GMEM_HOLE_START);
	int r;

	*m = (struct gmem){ .pages = pages };
	if (bytes == 0 || bytes % GMEM_ALIGN != 0 || bytes > GMEM_BYTES_MAX)
		return -EINVAL;
	r = add_region(m, 0, low, pages);
	if (r == 0 && bytes > low)
		r = add_region(m, GMEM_HOLE_END, bytes - low, pages);
	if (r < 0)
		gmem_done(m);
	return r;
}

int gmem_init(struct gmem *m, uint64_t bytes)
{
	return gmem_init_pages(m, bytes, GMEM_PAGES_SMALL);
}

void gmem_done(struct gmem *m)
{
	for (unsigned i = 0; i < m->count; i++)
		unreserve(m->regions[i].hva, m->regions[i].size);
	for (unsigned i = 0; i < m->files_count; i++)
		unreserve(m->files[i].hva, m->files[i].size);
	free(m->marks);
	free(m->used);
	*m = (struct gmem){ 0 };
}

/* Atomic, because devices' threads mark too; a bit that is there already costs no write. */
static void mark_pages(const struct gmem *m, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++) {
		uint8_t bit = (uint8_t)(1U << (i % 8));
		if ((__atomic_load_n(&m->marks[i / 8], __ATOMIC_RELAXED) & bit) == 0)
			(void)__atomic_fetch_or(&m->marks[i / 8], bit, __ATOMIC_RELAXED);
	}
}

/* Marks [a, a+len), which lies in RAM. */
static void mark(const struct gmem *m, gpa_t a, uint64_t len)
{
	uint64_t before = 0; /* bytes of the file before the region */

	if (m->marks == NULL || len == 0)
		return;
	for (unsigned i = 0; i < m->count; i++) {
		const struct gmem_region *r = &m->regions[i];
		if (a.v >= r->gpa && a.v - r->gpa < r->size) {
			uint64_t at = before + (a.v - r->gpa);
			mark_pages(m, at / GMEM_PAGE, (at + len - 1) / GMEM_PAGE);
			return;
		}
		before += r->size;
	}
}

int gmem_mark_changes(struct gmem *m)
{
	BUG_ON(m->marks != NULL);
	m->marks = calloc(1, gmem_marks_bytes(m));
	m->used = calloc(1, gmem_marks_bytes(m));
	m->zeros_known = !m->over_file;
	return m->marks == NULL || m->used == NULL ? -ENOMEM : 0;
}

bool gmem_is_marking(const struct gmem *m)
{
	return m->marks != NULL;
}

uint64_t gmem_marks_bytes(const struct gmem *m)
{
	return m->bytes / GMEM_PAGE / 8;
}

void gmem_mark_bits(struct gmem *m, unsigned n, const uint64_t *bits)
{
	uint64_t at = 0;

	BUG_ON(n >= m->count || m->marks == NULL);
	for (unsigned i = 0; i < n; i++)
		at += m->regions[i].size / GMEM_PAGE / 8;
	for (uint64_t i = 0; i < m->regions[n].size / GMEM_PAGE / 64; i++) {
		uint64_t le = htole64(bits[i]), have;
		memcpy(&have, m->marks + at + 8 * i, sizeof(have));
		have |= le;
		memcpy(m->marks + at + 8 * i, &have, sizeof(have));
	}
}

void gmem_unmark(struct gmem *m)
{
	if (m->marks == NULL)
		return;
	for (uint64_t i = 0; i < gmem_marks_bytes(m); i++)
		m->used[i] |= m->marks[i];
	memset(m->marks, 0, gmem_marks_bytes(m));
}

uint64_t gmem_end(const struct gmem *m)
{
	const struct gmem_region *last =
		m->files_count > 0 ? &m->files[m->files_count - 1] : &m->regions[m->count - 1];

	BUG_ON(m->count == 0);
	return last->gpa + last->size;
}

/* The host address of [a, a+len), or NULL. The only place where one becomes the other. */
static uint8_t *find_in(const struct gmem_region *regions, unsigned count, gpa_t a, uint64_t len)
{
	for (unsigned i = 0; i < count; i++) {
		const struct gmem_region *r = &regions[i];
		if (a.v >= r->gpa && range_fits(a.v - r->gpa, len, r->size))
			return r->hva + (a.v - r->gpa);
	}
	return NULL;
}

static uint8_t *find(const struct gmem *m, gpa_t a, uint64_t len)
{
	return find_in(m->regions, m->count, a, len);
}

/* As find, and files: for what is not written. */
static const uint8_t *find_source(const struct gmem *m, gpa_t a, uint64_t len)
{
	const uint8_t *p = find(m, a, len);

	return p != NULL ? p : find_in(m->files, m->files_count, a, len);
}

/* As find, for a value that is loaded or stored in one piece. */
static uint8_t *find_aligned(const struct gmem *m, gpa_t a, uint64_t len)
{
	return a.v % len == 0 ? find(m, a, len) : NULL;
}

int gmem_check(const struct gmem *m, gpa_t a, uint64_t len)
{
	return find(m, a, len) != NULL ? 0 : -EFAULT;
}

int gmem_check_source(const struct gmem *m, gpa_t a, uint64_t len)
{
	return find_source(m, a, len) != NULL ? 0 : -EFAULT;
}

typedef uint64_t __attribute__((may_alias, aligned(1))) any64_t; /* at any address */

/*
 * Loads each byte once, by one instruction, eight at a time. Not memcpy: it may look twice (glibc's
 * copies 16 bytes as two halves that overlap wholly), and while what it leaves in dst is one value
 * a byte all the same, "once" is easier to show than to argue (tests/unit/gmem_loads.c).
 */
static void copy_once(uint8_t *dst, const uint8_t *src, size_t len)
{
	for (; len >= sizeof(any64_t); len -= sizeof(any64_t)) {
		uint64_t v = *(const volatile any64_t *)(const void *)src;
		memcpy(dst, &v, sizeof(v));
		src += sizeof(v);
		dst += sizeof(v);
	}
	for (; len > 0; len--)
		*dst++ = *(const volatile uint8_t *)src++;
}

int gmem_read(const struct gmem *m, gpa_t a, void *dst, size_t len)
{
	const uint8_t *p = find_source(m, a, len);

	if (p == NULL)
		return -EFAULT;
	copy_once(dst, p, len);
	compiler_barrier();
	return 0;
}

int gmem_write(struct gmem *m, gpa_t a, const void *src, size_t len)
{
	uint8_t *p = find(m, a, len);

	if (p == NULL)
		return -EFAULT;
	memcpy(p, src, len);
	compiler_barrier();
	mark(m, a, len);
	return 0;
}

int gmem_zero(struct gmem *m, gpa_t a, size_t len)
{
	uint8_t *p = find(m, a, len);

	if (p == NULL)
		return -EFAULT;
	memset(p, 0, len);
	compiler_barrier();
	mark(m, a, len);
	return 0;
}

int gmem_read_le16(const struct gmem *m, gpa_t a, uint16_t *ret)
{
	const uint16_t *p = (const void *)find_aligned(m, a, sizeof(*p));

	if (p == NULL)
		return -EFAULT;
	*ret = le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
	return 0;
}

int gmem_read_le16_acquire(const struct gmem *m, gpa_t a, uint16_t *ret)
{
	const uint16_t *p = (const void *)find_aligned(m, a, sizeof(*p));

	if (p == NULL)
		return -EFAULT;
	/* Pairs with the barrier by which the driver publishes what this value stands for. */
	*ret = le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
	return 0;
}

int gmem_read_le32(const struct gmem *m, gpa_t a, uint32_t *ret)
{
	const uint32_t *p = (const void *)find_aligned(m, a, sizeof(*p));

	if (p == NULL)
		return -EFAULT;
	*ret = le32toh(__atomic_load_n(p, __ATOMIC_RELAXED));
	return 0;
}

int gmem_read_le64(const struct gmem *m, gpa_t a, uint64_t *ret)
{
	const uint64_t *p = (const void *)find_aligned(m, a, sizeof(*p));

	if (p == NULL)
		return -EFAULT;
	*ret = le64toh(__atomic_load_n(p, __ATOMIC_RELAXED));
	return 0;
}

int gmem_write_le16_release(struct gmem *m, gpa_t a, uint16_t v)
{
	uint16_t *p = (void *)find_aligned(m, a, sizeof(*p));

	if (p == NULL)
		return -EFAULT;
	/* Everything written before is visible to whoever sees this value. */
	__atomic_store_n(p, htole16(v), __ATOMIC_RELEASE);
	mark(m, a, sizeof(v));
	return 0;
}

int gmem_discard(struct gmem *m, gpa_t a, uint64_t len)
{
	uint8_t *p = find(m, a, len);
	uint64_t head, whole;

	if (p == NULL)
		return -EFAULT;
	/* Regions begin on a page in both address spaces. */
	head = align_up(a.v, GMEM_PAGE) - a.v;
	if (head >= len)
		return 0;
	whole = (len - head) & ~(uint64_t)(GMEM_PAGE - 1);
	if (whole == 0)
		return 0;
	mark(m, gpa(a.v + head), whole);
	return madvise(p + head, whole, MADV_DONTNEED) < 0 ? -errno : 0;
}

int gmem_iov(const struct gmem *m, gpa_t a, uint64_t len, bool writable, struct iovec *iov,
	     size_t cap, size_t *n)
{
	const uint8_t *p = writable ? find(m, a, len) : find_source(m, a, len);

	if (p == NULL)
		return -EFAULT;
	if (*n >= cap)
		return -E2BIG;
	if (writable)
		mark(m, a, len);
	/* An iovec has no other kind of pointer. What is not writable here is not writable in the
	 * page tables either. */
	iov[(*n)++] = (struct iovec){ .iov_base = (void *)(uintptr_t)p, .iov_len = len };
	return 0;
}
