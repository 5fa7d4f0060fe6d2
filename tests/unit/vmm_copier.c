/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_copier.c - the second thread of a live snapshot: it copies what it is told, says how that
 * went, and stops when it is no longer wanted. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "vmm/snapshot/copier.h"
#include "vmm/virtio/virtio.h"

#define BYTES	(64 * MIB)
#define PAGE	4096U
#define WAIT_MS 20000U

static struct gmem m;
static struct loop *loop;
static struct copier *copier;
static unsigned calls;
static int result;
static char role[8];

static int note_role(const char *name)
{
	(void)snprintf(role, sizeof(role), "%s", name);
	return 0;
}

static void set_up(void)
{
	cr_assert_eq(gmem_init(&m, BYTES), 0);
	for (uint64_t at = 0; at < BYTES; at += PAGE)
		cr_assert_eq(gmem_write(&m, gpa(at), "page", 5), 0);
	cr_assert_eq(loop_new(&loop), 0);
	virtio_set_thread_hook(note_role);
	cr_assert_eq(copier_new(&m, loop, &copier), 0);
	cr_assert_eq(copier_ready(copier), 0);
}

TestSuite(vmm_copier, .init = set_up, .timeout = 60);

static int new_file(void)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, BYTES), 0);
	return fd;
}

static void on_done(int r, void *arg)
{
	cr_assert_eq(arg, &m);
	result = r;
	calls++;
}

static void wait_for_call(void)
{
	const unsigned before = calls;
	const uint64_t end = now_ms() + WAIT_MS;

	while (calls == before && now_ms() < end)
		cr_assert_geq(loop_step(loop, 100), 0);
	cr_assert_eq(calls, before + 1);
}

/* Nothing more comes. */
static void expect_silence(void)
{
	const unsigned before = calls;

	for (unsigned i = 0; i < 3; i++)
		cr_assert_geq(loop_step(loop, 0), 0);
	cr_expect_eq(calls, before);
}

static bool has_page(int fd, uint64_t at)
{
	char page[8] = "";

	cr_assert_eq(pread(fd, page, sizeof(page), (off_t)at), (ssize_t)sizeof(page));
	return strcmp(page, "page") == 0;
}

Test(vmm_copier, its_part_and_no_more)
{
	const uint64_t from = 2 * MIB, to = BYTES - PAGE;
	int fd = new_file();

	cr_expect_str_eq(role, "copy", "it locks itself down as what it is");
	copier_begin(copier, fd, from, to, on_done, &m);
	wait_for_call();
	cr_expect_eq(result, 0);
	cr_expect(has_page(fd, from) && has_page(fd, to - PAGE) && has_page(fd, BYTES / 2));
	cr_expect(!has_page(fd, 0) && !has_page(fd, from - PAGE) && !has_page(fd, to));
	/* And again, and nothing at all. */
	copier_begin(copier, fd, 0, PAGE, on_done, &m);
	wait_for_call();
	cr_expect(has_page(fd, 0));
	copier_begin(copier, fd, BYTES, BYTES, on_done, &m);
	wait_for_call();
	cr_expect_eq(result, 0);
	(void)close(fd);
}

Test(vmm_copier, a_file_that_cannot_be_written)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fd = new_file();

	cr_assert_geq(null, 0);
	copier_begin(copier, null, 0, BYTES, on_done, &m);
	wait_for_call();
	cr_expect_eq(result, -EBADF);
	copier_begin(copier, fd, 0, PAGE, on_done, &m);
	wait_for_call();
	cr_expect_eq(result, 0, "a failure isn't the next one's");
	(void)close(null);
	(void)close(fd);
}

/* At whatever moment: done or not, it is at rest then, and is not heard of. */
Test(vmm_copier, given_up)
{
	int fd = new_file(), other;

	copier_cancel(copier);
	for (unsigned i = 0; i < 20; i++) {
		other = new_file();
		copier_begin(copier, other, 0, BYTES, on_done, &m);
		if (i % 2 == 0)
			(void)usleep(i * 1000);
		copier_cancel(copier);

		(void)close(other);
		expect_silence();
	}
	copier_begin(copier, fd, 0, BYTES, on_done, &m);
	wait_for_call();
	cr_expect(has_page(fd, 0) && has_page(fd, BYTES - PAGE));
	copier_cancel(copier);
	expect_silence();
	(void)close(fd);
}
