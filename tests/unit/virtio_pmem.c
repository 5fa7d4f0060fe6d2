/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-pmem: the one request, and what a file behind memory may be used for. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/le.h"
#include "base/num.h"
#include "fake_driver.h"

#define CONFIG	   0x100
#define FILE_BYTES (UINT64_C(3) * MIB + 4096 + 5)

static uint8_t byte_at(uint64_t off)
{
	return (uint8_t)(off / 4096 + off % 251 + 1);
}

/* A file as the jailer leaves one: open for reading only. */
static int make_file(void)
{
	static uint8_t bytes[FILE_BYTES];
	int rw = memfd_create("image", MFD_CLOEXEC), fd;
	char path[64];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = byte_at(i);
	cr_assert_eq(pwrite(rw, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", rw);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	(void)close(rw);
	return fd;
}

static uint64_t add_file(struct gmem *m)
{
	const struct gmem_region *file;
	int fd = make_file();

	cr_assert_eq(gmem_add_file(m, fd, &file), 0);
	(void)close(fd);
	return file->gpa;
}

static uint64_t pmem(struct drv *d)
{
	struct virtio_dev *dev;

	drv_init(d);
	(void)add_file(&d->mem);
	cr_assert_eq(virtio_pmem_new(&d->mem, &d->mem.files[0], &dev), 0);
	drv_attach(d, dev);
	drv_start(d, 0);
	return d->mem.files[0].gpa;
}

/* ---- The file ---------------------------------------------------------------------------- */

Test(gmem_file, lies_behind_memory)
{
	const struct gmem_region *a, *b;
	uint8_t got[16], zero[16] = { 0 };
	int fd = make_file();
	struct gmem m;

	cr_assert_eq(gmem_init(&m, 64 * MIB), 0);
	cr_assert_eq(gmem_end(&m), 64 * MIB);
	cr_assert_eq(gmem_add_file(&m, fd, &a), 0);
	cr_assert_eq(gmem_add_file(&m, fd, &b), 0);
	(void)close(fd);
	cr_expect_eq(a->gpa, GMEM_HOLE_END, "not between RAM and the devices");
	cr_expect_eq(a->size, 4 * MIB);
	cr_expect_eq((uintptr_t)a->hva % (2 * MIB), 0);
	cr_expect_eq(b->gpa, GMEM_HOLE_END + GMEM_FILE_ALIGN);
	cr_expect_eq(gmem_end(&m), GMEM_HOLE_END + GMEM_FILE_ALIGN + 4 * MIB);
	cr_expect_eq(m.bytes, 64 * MIB, "it is not RAM");
	for (uint64_t off = 0; off + 16 <= FILE_BYTES; off += 65521) {
		cr_assert_eq(gmem_read(&m, gpa(b->gpa + off), got, 16), 0);
		for (unsigned i = 0; i < 16; i++)
			cr_assert_eq(got[i], byte_at(off + i), "at %#jx", (uintmax_t)off + i);
	}
	/* What the file doesn't have up to the end of the region is zero. */
	cr_assert_eq(gmem_read(&m, gpa(b->gpa + FILE_BYTES), got, 16), 0);
	cr_expect_arr_eq(got, zero, 16);
	cr_assert_eq(gmem_read(&m, gpa(b->gpa + b->size - 16), got, 16), 0);
	cr_expect_arr_eq(got, zero, 16);
	cr_expect_eq(gmem_read(&m, gpa(b->gpa + b->size - 15), got, 16), -EFAULT);
	cr_expect_eq(gmem_read(&m, gpa(b->gpa - 1), got, 2), -EFAULT);
	gmem_done(&m);
}

Test(gmem_file, above_the_part_from_4_gib)
{
	const struct gmem_region *a;
	int fd = make_file();
	struct gmem m;

	cr_assert_eq(gmem_init(&m, GMEM_HOLE_START + 4 * MIB), 0);
	cr_assert_eq(gmem_add_file(&m, fd, &a), 0);
	(void)close(fd);
	cr_expect_eq(a->gpa, GMEM_HOLE_END + GMEM_FILE_ALIGN);
	gmem_done(&m);
}

Test(gmem_file, can_be_read_and_nothing_else)
{
	const uint8_t byte = 1;
	struct iovec iov[1];
	uint16_t v16;
	uint64_t at;
	size_t n = 0;
	struct gmem m;

	cr_assert_eq(gmem_init(&m, 64 * MIB), 0);
	at = add_file(&m);
	cr_expect_eq(gmem_check_source(&m, gpa(at), 4 * MIB), 0);
	cr_expect_eq(gmem_iov(&m, gpa(at), 4096, false, iov, 1, &n), 0);
	cr_expect_eq(gmem_check(&m, gpa(at), 1), -EFAULT);
	cr_expect_eq(gmem_write(&m, gpa(at), &byte, 1), -EFAULT);
	cr_expect_eq(gmem_zero(&m, gpa(at), 1), -EFAULT);
	cr_expect_eq(gmem_discard(&m, gpa(at), 4096), -EFAULT);
	cr_expect_eq(gmem_write_le16_release(&m, gpa(at), 1), -EFAULT);
	cr_expect_eq(gmem_read_le16(&m, gpa(at), &v16), -EFAULT, "no ring lies there");
	n = 0;
	cr_expect_eq(gmem_iov(&m, gpa(at), 4096, true, iov, 1, &n), -EFAULT);
	/* Across both ends, and around the address space. */
	cr_expect_eq(gmem_check_source(&m, gpa(at - 1), 2), -EFAULT);
	cr_expect_eq(gmem_check_source(&m, gpa(at + 4 * MIB - 1), 2), -EFAULT);
	cr_expect_eq(gmem_check_source(&m, gpa(at), UINT64_MAX), -EFAULT);
	/* Not by the process itself either, once the descriptor is closed. */
	cr_expect_eq(mprotect(m.files[0].hva, 4096, PROT_READ | PROT_WRITE), -1);
	cr_expect_eq(errno, EACCES);
	gmem_done(&m);
}

Test(gmem_file, only_what_nobody_can_write_through)
{
	const struct gmem_region *file;
	int rw = memfd_create("image", MFD_CLOEXEC), pipefd[2], dir;
	struct gmem m;

	cr_assert_eq(gmem_init(&m, 64 * MIB), 0);
	cr_assert_eq(ftruncate(rw, 4096), 0);
	cr_expect_eq(gmem_add_file(&m, rw, &file), -EBADF, "open for writing");
	cr_assert_eq(pipe2(pipefd, O_CLOEXEC), 0);
	cr_expect_eq(gmem_add_file(&m, pipefd[0], &file), -EBADF);
	dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_expect_eq(gmem_add_file(&m, dir, &file), -EBADF);
	cr_expect_eq(gmem_add_file(&m, -1, &file), -EBADF);
	cr_expect_eq(m.files_count, 0);
	gmem_done(&m);
}

Test(gmem_file, an_empty_one_is_none)
{
	const struct gmem_region *file;
	char path[64];
	int rw = memfd_create("image", MFD_CLOEXEC), fd;
	struct gmem m;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", rw);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(gmem_init(&m, 64 * MIB), 0);
	cr_expect_eq(gmem_add_file(&m, fd, &file), -EINVAL);
	cr_expect_eq(m.files_count, 0);
	gmem_done(&m);
	(void)close(fd);
	(void)close(rw);
}

/* In front of the file and behind it is nothing of ours. */
Test(gmem_file, guards_before, .signal = SIGSEGV)
{
	struct gmem m;

	cr_assert_eq(gmem_init(&m, 64 * MIB), 0);
	(void)add_file(&m);
	(void)signal(SIGSEGV, SIG_DFL); /* the sanitizers would report instead */
	(void)*(volatile uint8_t *)(m.files[0].hva - 1);
}

Test(gmem_file, guards_behind, .signal = SIGSEGV)
{
	struct gmem m;

	cr_assert_eq(gmem_init(&m, 64 * MIB), 0);
	(void)add_file(&m);
	(void)signal(SIGSEGV, SIG_DFL);
	(void)*(volatile uint8_t *)(m.files[0].hva + m.files[0].size);
}

/* ---- The device -------------------------------------------------------------------------- */

Test(virtio_pmem, tells_where_the_file_is)
{
	struct drv d;
	uint64_t at = pmem(&d), start = 0, size = 0;

	start = drv_get(&d, CONFIG) | (uint64_t)drv_get(&d, CONFIG + 4) << 32;
	size = drv_get(&d, CONFIG + 8) | (uint64_t)drv_get(&d, CONFIG + 12) << 32;
	cr_expect_eq(start, at);
	cr_expect_eq(size, 4 * MIB);
	drv_set(&d, CONFIG + 4, 0);
	cr_expect_eq(drv_get(&d, CONFIG + 4), (uint32_t)(at >> 32), "read-only");
	drv_done(&d);
}

static uint32_t request(struct drv *d, uint32_t type)
{
	uint64_t at = drv_alloc(d, 8, 4);
	const struct drv_seg s[] = { { at, 4, false }, { at + 4, 4, true } };
	le32_t v = le32_put(type), answer = le32_put(99);
	uint32_t head, len;

	drv_write(d, at, &v, sizeof(v));
	drv_write(d, at + 4, &answer, sizeof(answer));
	cr_assert_geq(drv_post(d, 0, s, 2, false), 0);
	cr_assert(drv_wait_used(d, 0, &head, &len, 1000));
	cr_assert_eq(len, 4);
	drv_read(d, at + 4, &answer, sizeof(answer));
	return le32_get(answer);
}

Test(virtio_pmem, a_flush_succeeds_and_nothing_else)
{
	struct drv d;

	(void)pmem(&d);
	cr_expect_eq(request(&d, 0), 0);
	cr_expect_eq(request(&d, 1), 1);
	cr_expect_eq(request(&d, UINT32_MAX), 1);
	cr_expect(!drv_broken(&d));
	cr_expect_eq(d.dev->counters[0], 1);
	cr_expect_eq(d.dev->counters[1], 2);
	drv_done(&d);
}

/* More requests than there are descriptors for at once, in several rounds. */
Test(virtio_pmem, many_flushes)
{
	struct drv d;

	(void)pmem(&d);
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(request(&d, 0), 0);
	cr_expect_eq(d.dev->counters[0], 1000);
	drv_done(&d);
}

static void breaks(const struct drv_seg *s, unsigned n)
{
	struct drv d;

	(void)pmem(&d);
	cr_assert_geq(drv_post(&d, 0, s, n, false), 0);
	drv_run(&d);
	cr_expect(drv_broken(&d));
	cr_expect_eq(d.dev->errors, 1);
	drv_done(&d);
}

#define BAD(name, ...)                                      \
	Test(virtio_pmem, name)                             \
	{                                                   \
		const struct drv_seg s[] = { __VA_ARGS__ }; \
		breaks(s, sizeof(s) / sizeof(s[0]));        \
	}
BAD(no_request, { 0x100000, 4, true })
BAD(no_answer, { 0x100000, 4, false })
BAD(short_request, { 0x100000, 3, false }, { 0x100100, 4, true })
BAD(short_answer, { 0x100000, 4, false }, { 0x100100, 3, true })
BAD(answer_outside, { 0x100000, 4, false }, { DRV_MEM_BYTES, 4, true })
/* A request may lie in the file, an answer may not. */
BAD(answer_into_the_file, { 0x100000, 4, false }, { GMEM_HOLE_END, 4, true })
BAD(request_beyond_the_file, { GMEM_HOLE_END + 4 * MIB - 2, 4, false }, { 0x100000, 4, true })

Test(virtio_pmem, a_request_from_the_file)
{
	struct drv d;
	uint64_t at = pmem(&d);
	const struct drv_seg s[] = { { at, 4, false }, { 0x100000, 4, true } };
	uint32_t head, len;

	cr_assert_geq(drv_post(&d, 0, s, 2, false), 0);
	cr_assert(drv_wait_used(&d, 0, &head, &len, 1000));
	cr_expect(!drv_broken(&d));
	cr_expect_eq(d.dev->counters[1], 1, "0x04030201 is no request");
	drv_done(&d);
}
