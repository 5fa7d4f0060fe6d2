/* SPDX-License-Identifier: Apache-2.0 */
/* Stored images: names, room, and which file a name opens. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "jailer/blobs.h"

#define NAME "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char dir[64];
static struct store s = { .dir = -1 };
static struct blobs b = { .dir = -1 };

static void make_dir(const char *name)
{
	cr_assert_eq(mkdirat(s.dir, name, 0755), 0);
}

static void put(const char *path, const char *text)
{
	int fd = openat(s.dir, path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0400);

	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static void setup(void)
{
	struct err err = { 0 };

	if (geteuid() != 0)
		cr_skip_test("the files are root's");
	(void)snprintf(dir, sizeof(dir), "/tmp/casemate-blobs.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	s.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_dir("blobs");
	make_dir("images");
	make_dir("images/" NAME);
	cr_assert_eq(blobs_open(&b, &s, 10 * MIB, &err), 0, "%s", err.msg);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void teardown(void)
{
	blobs_close(&b);
	fd_closep(&s.dir);
	(void)nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(jailer_blobs, .init = setup, .fini = teardown, .timeout = 20);

Test(jailer_blobs, a_digest_has_one_form)
{
	char text[BLOB_DIGEST_LEN + 1], bad[] = NAME;
	const uint8_t bytes[BLOB_DIGEST_BYTES] = { 0x01, 0xfe, [31] = 0xa0 };

	cr_expect(blob_digest_ok(NAME));
	cr_expect(!blob_digest_ok(""));
	cr_expect(!blob_digest_ok(NAME "0"));
	bad[63] = '\0';
	cr_expect(!blob_digest_ok(bad));
	for (const char *c = "ABFg/.-\n"; *c != '\0'; c++) {
		bad[63] = *c;
		cr_expect(!blob_digest_ok(bad), "%d", *c);
	}
	blob_digest_text(bytes, text);
	cr_expect(blob_digest_ok(text));
	cr_expect_eq(strncmp(text, "01fe00", 6), 0);
	cr_expect_str_eq(text + 62, "a0");
}

Test(jailer_blobs, a_digest_never_opens_an_operators_directory)
{
	struct err err = { 0 };
	char text[8] = "";
	int fd = -1;

	put("images/" NAME "/root.erofs", "placed");
	cr_expect_eq(store_open_image(&s, NAME, &fd, &err), -ENOENT);
	put("blobs/" NAME, "stored");
	cr_assert_eq(store_open_image(&s, NAME, &fd, &err), 0, "%s", err.msg);
	cr_expect_eq(read(fd, text, 6), 6);
	cr_expect_str_eq(text, "stored");
	close(fd);
	/* One that others could have changed is none. */
	cr_assert_eq(fchmodat(s.dir, "blobs/" NAME, 0622, 0), 0);
	cr_expect_eq(store_open_image(&s, NAME, &fd, &err), -EPERM);
	cr_assert_eq(unlinkat(s.dir, "blobs/" NAME, 0), 0);
	cr_assert_eq(symlinkat("../images/" NAME "/root.erofs", s.dir, "blobs/" NAME), 0);
	cr_expect_eq(store_open_image(&s, NAME, &fd, &err), -ELOOP);
}

Test(jailer_blobs, room_is_bounded_in_all)
{
	static struct blob_info all[BLOBS_MAX];
	struct blobs none = { .dir = b.dir };
	struct err err = { 0 };
	int fd;

	cr_expect_eq(blobs_room(&none, 1, 0, &err), -EOPNOTSUPP);
	cr_expect_eq(blobs_room(&b, 0, 0, &err), -ERANGE);
	cr_expect_eq(blobs_room(&b, BLOB_BYTES_MAX + 1, 0, &err), -ERANGE);
	cr_expect_eq(blobs_room(&b, 10 * MIB, 0, &err), 0, "%s", err.msg);
	cr_expect_eq(blobs_room(&b, 10 * MIB, 1, &err), -EDQUOT);
	put("blobs/" NAME, "x");
	put("blobs/no-digest", "counts for nothing");
	cr_assert_eq(blobs_list(&b, all), 1);
	cr_expect_str_eq(all[0].digest, NAME);
	fd = openat(s.dir, "blobs/" NAME, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(ftruncate(fd, 4 * MIB), 0);
	close(fd);
	cr_expect_eq(blobs_room(&b, 6 * MIB, 0, &err), 0, "%s", err.msg);
	cr_expect_eq(blobs_room(&b, 6 * MIB + 1, 0, &err), -EDQUOT);
	b.bytes_max = UINT64_MAX;
	cr_expect_eq(blobs_room(&b, BLOB_BYTES_MAX, UINT64_MAX / 2, &err), -ENOSPC);
}
