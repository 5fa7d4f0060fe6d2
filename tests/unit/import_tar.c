/* SPDX-License-Identifier: Apache-2.0 */
/* Plain tars: what they hold is in the image; what they must not hold is refused, by name. Every
 * hostile archive has a harmless file besides, and the same archive without its bad entry is
 * accepted. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/compiler.h"
#include "import_rig.h"

static void expect_text(struct bytes image, const char *path, const char *text)
{
	struct file f;

	cr_assert(image_find(image, path, &f), "%s is not there", path);
	cr_expect_str_eq(f.text, text, "%s", path);
	file_done(&f);
}

Test(import_tar, what_is_in_it_is_in_the_image)
{
	static const enum tar_filter filters[] = { TAR_PLAIN, TAR_GZIP, TAR_ZSTD };
	struct digest first = { 0 };

	for (size_t k = 0; k < ARRAY_SIZE(filters); k++) {
		struct imported i;
		struct digest d;
		struct bytes b;
		struct file f, g;
		struct tar t;

		tar_begin(&t, filters[k]);
		tar_dir(&t, "./");
		tar_file(&t, "./etc/passwd", "root:x:0:0\n");
		tar_symlink(&t, "etc/link", "../../../etc/shadow");
		tar_hardlink(&t, "etc/second", "./etc/passwd");
		tar_file(&t, "!", "before the dots");
		tar_file(&t, "caf\xc3\xa9", "UTF-8");
		tar_type(&t, "bin/su", AE_IFREG, 04755);
		tar_xattr(&t, "x", "user.color", "red", 3);
		tar_xattr(&t, "y", "security.selinux", "label", 5);
		b = tar_end(&t);
		i = import_bytes(b, NULL, NULL);
		cr_assert_eq(i.result, 0, "%s", i.err.msg);
		expect_text(i.image, "etc/passwd", "root:x:0:0\n");
		expect_text(i.image, "etc/link", "../../../etc/shadow"); /* data, never followed */
		expect_text(i.image, "!", "before the dots");
		expect_text(i.image, "caf\xc3\xa9", "UTF-8");
		cr_assert(image_find(i.image, "etc/passwd", &f) &&
			  image_find(i.image, "etc/second", &g));
		cr_expect(f.nid == g.nid && f.nlink == 2 && f.uid == 1000 && f.gid == 100);
		file_done(&f);
		file_done(&g);
		cr_assert(image_find(i.image, "bin/su", &f));
		cr_expect_eq(f.mode, S_IFREG | 04755);
		file_done(&f);
		cr_assert(image_find(i.image, "bin", &f)); /* nobody said it: root's */
		cr_expect(f.mode == (S_IFDIR | 0755) && f.uid == 0 && f.nlink == 2);
		file_done(&f);
		cr_assert(image_find(i.image, "x", &f) && f.xattrs > 12);
		file_done(&f);
		cr_assert(image_find(i.image, "y", &f) && f.xattrs == 0);
		file_done(&f);
		cr_expect_eq(image_count(i.image, ""), 8);
		cr_expect(!image_find(i.image, "nothing", &f));
		d = sha256(i.image);
		if (k == 0)
			first = d;
		cr_expect(digest_equal(&d, &first), "the same tree, other bytes");
		imported_done(&i);
		free(b.data);
	}
}

/* Sizes around the edges of blocks and of inline tails, and a directory of several blocks. */
Test(import_tar, sizes_and_large_directories)
{
	static const size_t sizes[] = { 0, 1, 4031, 4032, 4033, 4095, 4096, 4097, 8192, 300001 };
	static char text[300002], target[4096];
	struct imported i;
	struct bytes b;
	struct file f;
	struct tar t;

	memset(text, 'a', sizeof(text));
	tar_begin(&t, TAR_PLAIN);
	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "size-%zu", sizes[k]);
		tar_bytes(&t, name, text, sizes[k]);
	}
	for (unsigned k = 0; k < 1000; k++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "many/%0*u", (int)(k % 40) + 4, k);
		tar_file(&t, name, name);
	}
	memset(target, 't', 4090);
	tar_symlink(&t, "long", target);
	b = tar_end(&t);
	i = import_bytes(b, NULL, NULL);
	cr_assert_eq(i.result, 0, "%s", i.err.msg);
	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "size-%zu", sizes[k]);
		cr_assert(image_find(i.image, name, &f));
		cr_expect(f.size == sizes[k] && memcmp(f.text, text, sizes[k]) == 0, "%s", name);
		file_done(&f);
	}
	cr_expect_eq(image_count(i.image, "many"), 1002);
	expect_text(i.image, "many/0000", "many/0000");
	expect_text(i.image, "long", target);
	imported_done(&i);
	free(b.data);
}

Test(import_tar, later_entries_replace_earlier_ones)
{
	struct imported i;
	struct bytes b;
	struct file f;
	struct tar t;

	tar_begin(&t, TAR_PLAIN);
	tar_file(&t, "a", "one");
	tar_file(&t, "a", "two");
	tar_file(&t, "d/inside", "x");
	tar_file(&t, "d", "a file now");
	tar_file(&t, "e", "a file");
	tar_dir(&t, "e/");
	tar_file(&t, "e/inside", "y");
	tar_file(&t, ".wh.b", "an ordinary name here");
	b = tar_end(&t);
	i = import_bytes(b, NULL, NULL);
	cr_assert_eq(i.result, 0, "%s", i.err.msg);
	expect_text(i.image, "a", "two");
	expect_text(i.image, "d", "a file now");
	expect_text(i.image, "e/inside", "y");
	expect_text(i.image, ".wh.b", "an ordinary name here");
	cr_expect(!image_find(i.image, "d/inside", &f));
	imported_done(&i);
	free(b.data);
}

static char long_name[300], deep_name[600];

struct hostile {
	const char *what;
	const char *said; /* is in the message */
	int result;
	void (*add)(struct tar *t);
};
static void add_dotdot(struct tar *t)
{
	tar_file(t, "a/../../escape", "x");
}
static void add_dotdot_end(struct tar *t)
{
	tar_file(t, "a/..", "x");
}
static void add_absolute(struct tar *t)
{
	tar_file(t, "/etc/escape", "x");
}
static void add_long(struct tar *t)
{
	tar_file(t, long_name, "x");
}
static void add_deep(struct tar *t)
{
	tar_file(t, deep_name, "x");
}
static void add_through_link(struct tar *t)
{
	tar_symlink(t, "link", "/etc");
	tar_file(t, "link/escape", "x");
}
static void add_link_through_link(struct tar *t)
{
	tar_symlink(t, "link", "/etc");
	tar_hardlink(t, "mine", "link/passwd");
}
static void add_link_outside(struct tar *t)
{
	tar_hardlink(t, "mine", "../../etc/passwd");
}
static void add_link_absolute(struct tar *t)
{
	tar_hardlink(t, "mine", "/etc/passwd");
}
static void add_link_nowhere(struct tar *t)
{
	tar_hardlink(t, "mine", "not-there");
}
static void add_link_to_dir(struct tar *t)
{
	tar_dir(t, "d");
	tar_hardlink(t, "mine", "d");
}
static void add_chardev(struct tar *t)
{
	tar_type(t, "dev/mem", AE_IFCHR, 0666);
}
static void add_blockdev(struct tar *t)
{
	tar_type(t, "dev/sda", AE_IFBLK, 0666);
}
static void add_fifo(struct tar *t)
{
	tar_type(t, "pipe", AE_IFIFO, 0666);
}
static void add_below_file(struct tar *t)
{
	tar_file(t, "f", "x");
	tar_file(t, "f/g", "x");
}
static void add_root_file(struct tar *t)
{
	tar_file(t, "./.", "x");
}
static void add_big_xattr(struct tar *t)
{
	static const char value[4000] = { 'v' };

	tar_xattr(t, "x", "user.big", value, sizeof(value));
}

Test(import_tar, hostile_entries_are_refused_by_name)
{
	static const struct hostile rows[] = {
		{ "a path with ..", "escape", -EINVAL, add_dotdot },
		{ "a path that ends in ..", "a/..", -EINVAL, add_dotdot_end },
		{ "an absolute path", "/etc/escape", -EINVAL, add_absolute },
		{ "a component over 255", "nnnn", -ENAMETOOLONG, add_long },
		{ "too deep", "d/d/d", -ENAMETOOLONG, add_deep },
		{ "through a symbolic link", "link/escape", -ENOTDIR, add_through_link },
		{ "a hard link through one", "mine", -ENOENT, add_link_through_link },
		{ "a hard link to outside", "mine", -EINVAL, add_link_outside },
		{ "an absolute hard link", "mine", -EINVAL, add_link_absolute },
		{ "a hard link to nothing", "mine", -ENOENT, add_link_nowhere },
		{ "a hard link to a directory", "mine", -EISDIR, add_link_to_dir },
		{ "a character device", "dev/mem", -EINVAL, add_chardev },
		{ "a block device", "dev/sda", -EINVAL, add_blockdev },
		{ "a fifo", "pipe", -EINVAL, add_fifo },
		{ "below a file", "f/g", -ENOTDIR, add_below_file },
		{ "a root that is a file", "./.", -EINVAL, add_root_file },
		{ "a large attribute", "x", -E2BIG, add_big_xattr },
	};

	memset(long_name, 'n', 256);
	for (size_t k = 0; k < 129; k++)
		(void)snprintf(deep_name + 2 * k, 4, "%s", k == 128 ? "d" : "d/");
	for (size_t k = 0; k <= ARRAY_SIZE(rows); k++) {
		const struct hostile *h = k < ARRAY_SIZE(rows) ? &rows[k] : NULL;
		struct imported i;
		struct bytes b;
		struct tar t;

		tar_begin(&t, TAR_PLAIN);
		tar_file(&t, "harmless", "x");
		if (h != NULL)
			h->add(&t);
		b = tar_end(&t);
		i = import_bytes(b, NULL, NULL);
		if (h == NULL) {
			cr_expect_eq(i.result, 0, "nothing but harmless: %s", i.err.msg);
		} else {
			cr_expect_eq(i.result, h->result, "%s: %d %s", h->what, i.result,
				     i.err.msg);
			cr_expect(strstr(i.err.msg, h->said) != NULL, "%s: %s", h->what, i.err.msg);
		}
		imported_done(&i);
		free(b.data);
	}
}

/* The longest that is allowed, next to the rows above. */
Test(import_tar, the_largest_names_pass)
{
	struct imported i;
	struct bytes b;
	struct file f;
	struct tar t;

	memset(long_name, 'n', 255);
	long_name[255] = '\0';
	for (size_t k = 0; k < 128; k++)
		(void)snprintf(deep_name + 2 * k, 4, "%s", k == 127 ? "d" : "d/");
	tar_begin(&t, TAR_PLAIN);
	tar_file(&t, long_name, "long");
	tar_file(&t, deep_name, "deep");
	b = tar_end(&t);
	i = import_bytes(b, NULL, NULL);
	cr_assert_eq(i.result, 0, "%s", i.err.msg);
	cr_expect(image_find(i.image, long_name, &f));
	file_done(&f);
	expect_text(i.image, deep_name, "deep");
	imported_done(&i);
	free(b.data);
}

/* With each limit a little lower than what the archive needs it is refused; with just enough it
 * passes. */
Test(import_tar, limits)
{
	static const struct import_limits enough = { .image_bytes = 1 << 20,
						     .stream_bytes = 2 << 20,
						     .metadata_bytes = 1 << 16,
						     .entries = 20 };
	static char mega[900 << 10];
	struct import_limits rows[5];
	struct bytes b;
	struct tar t;

	for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
		rows[k] = enough;
	rows[1].image_bytes = 512 << 10;
	rows[2].stream_bytes = 512 << 10;
	rows[3].metadata_bytes = 256;
	rows[4].entries = 9;
	tar_begin(&t, TAR_ZSTD); /* 900 KiB of zeroes in some hundred bytes */
	tar_bytes(&t, "bomb", mega, sizeof(mega));
	for (unsigned k = 0; k < 9; k++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "f%u", k);
		tar_file(&t, name, name);
	}
	b = tar_end(&t);
	cr_assert_lt(b.len, 10000);
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		struct imported i = import_bytes(b, NULL, &rows[k]);

		if (k == 0)
			cr_expect_eq(i.result, 0, "%s", i.err.msg);
		else
			cr_expect(i.result == -EFBIG || i.result == -E2BIG, "row %zu: %d %s", k,
				  i.result, i.err.msg);
		imported_done(&i);
	}
	free(b.data);
}

/* A sparse file's holes cost nothing in the archive and count in full. */
Test(import_tar, a_header_may_promise_too_much)
{
	/* A ustar header by hand: 8 GiB - 1 promised, nothing there. */
	static char raw[1536];
	struct bytes b = { (uint8_t *)raw, sizeof(raw) };
	struct import_limits small = { 1 << 20, 1 << 20, 1 << 16, 10 };
	struct imported i;
	unsigned sum = 0;

	(void)snprintf(raw, 100, "promise");
	(void)snprintf(raw + 100, 8, "%07o", 0644U);
	(void)snprintf(raw + 108, 8, "%07o", 0U);
	(void)snprintf(raw + 116, 8, "%07o", 0U);
	(void)snprintf(raw + 124, 12, "%s", "77777777777");
	(void)snprintf(raw + 136, 12, "%s", "00000000000");
	memset(raw + 148, ' ', 8);
	raw[156] = '0';
	memcpy(raw + 257, "ustar\00000", 8);
	for (size_t k = 0; k < 512; k++)
		sum += (unsigned char)raw[k];
	(void)snprintf(raw + 148, 8, "%06o", sum & 0777777U);
	i = import_bytes(b, NULL, &small);
	cr_expect_lt(i.result, 0);
	imported_done(&i);
	/* Small enough, and cut off. */
	memcpy(raw + 124, "00000002000", 11);
	sum = 0;
	memset(raw + 148, ' ', 8);
	for (size_t k = 0; k < 512; k++)
		sum += (unsigned char)raw[k];
	(void)snprintf(raw + 148, 8, "%06o", sum & 0777777U);
	b.len = 1024;
	i = import_bytes(b, NULL, &small);
	cr_expect_lt(i.result, 0, "half a file");
	imported_done(&i);
	b.len = 1536;
	i = import_bytes(b, NULL, &small);
	cr_expect_eq(i.result, 0, "%s", i.err.msg); /* the whole of it */
	imported_done(&i);
}

Test(import_tar, what_is_no_archive)
{
	static char text[] = "#!/bin/sh\necho this is not an archive, whatever its name says\n";
	static char garbage[4096];
	struct bytes rows[] = { { (uint8_t *)text, sizeof(text) },
				{ (uint8_t *)garbage, sizeof(garbage) },
				{ (uint8_t *)text, 1 } };

	memset(garbage, 0xa5, sizeof(garbage));
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		struct imported i = import_bytes(rows[k], NULL, NULL);

		cr_expect_lt(i.result, 0, "row %zu", k);
		imported_done(&i);
	}
}
