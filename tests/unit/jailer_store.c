/* SPDX-License-Identifier: Apache-2.0 */
/* The store: what is opened, and everything in it that is refused. */
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
#include "jailer/store.h"

static char dir[64];
static struct store s = { .dir = -1 };

static const char *at(const char *name)
{
	static char path[4][160];
	static unsigned turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void put(const char *name, const char *text)
{
	int fd = open(at(name), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static void setup(void)
{
	static const char *const dirs[] = { "kernels",	 "kernels/a", "kernels/.hidden",
					    "kernels/b", "images",    "images/x" };

	(void)snprintf(dir, sizeof(dir), "/tmp/casemate-store.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		cr_assert_eq(mkdir(at(dirs[i]), 0755), 0);
	s.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(s.dir, 0);
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
	store_close(&s);
	cr_expect_eq(nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(jailer_store, .init = setup, .fini = teardown);

Test(jailer_store, kernel_with_and_without_initrd)
{
	struct err err;
	int kernel = -1, initrd = -1;

	put("kernels/a/kernel", "k");
	cr_assert_eq(store_open_kernel(&s, "a", &kernel, &initrd, &err), 0, "%s", err.msg);
	cr_expect_eq(initrd, -1);
	cr_expect_eq(fcntl(kernel, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
	cr_expect_eq(fcntl(kernel, F_GETFD), FD_CLOEXEC);
	fd_closep(&kernel);
	put("kernels/a/initrd", "i");
	cr_assert_eq(store_open_kernel(&s, "a", &kernel, &initrd, &err), 0, "%s", err.msg);
	cr_expect_geq(initrd, 0);
	fd_closep(&kernel);
	fd_closep(&initrd);
	/* An initrd that is there but broken is not "no initrd". */
	put("kernels/a/initrd", "");
	cr_expect_eq(store_open_kernel(&s, "a", &kernel, &initrd, &err), -ENODATA);
	cr_expect_eq(kernel, -1);
}

static void refused(int want, const char *says)
{
	struct err err = { 0 };
	int fd = -1, r = store_open_image(&s, "x", &fd, &err);

	cr_expect_eq(r, want, "%d: %s", r, err.msg);
	cr_expect_eq(fd, -1);
	cr_expect_not_null(strstr(err.msg, says), "'%s' lacks '%s'", err.msg, says);
	cr_expect_not_null(strstr(err.msg, "image x"));
	(void)unlink(at("images/x/root.erofs"));
}

Test(jailer_store, what_is_no_image)
{
	refused(-ENOENT, "doesn't exist");
	put("images/x/root.erofs", "");
	refused(-ENODATA, "0 bytes");
	cr_assert_eq(symlink("/etc/passwd", at("images/x/root.erofs")), 0);
	refused(-ELOOP, "symbolic link");
	cr_assert_eq(symlink("../../kernels/a/kernel", at("images/x/root.erofs")), 0);
	refused(-ELOOP, "symbolic link");
	cr_assert_eq(mkfifo(at("images/x/root.erofs"), 0600), 0);
	refused(-EINVAL, "neither a file nor a block device");
	cr_assert_eq(mkdir(at("images/x/root.erofs"), 0755), 0);
	refused(-EINVAL, "neither a file nor a block device");
}

/* The directory itself may be the trick. */
Test(jailer_store, a_linked_directory_is_refused)
{
	struct err err;
	int fd = -1;

	put("images/x/root.erofs", "real");
	cr_assert_eq(symlink("x", at("images/y")), 0);
	cr_expect_eq(store_open_image(&s, "y", &fd, &err), -ELOOP);
	/* Not a name that the server lets through, but not a way out either. */
	cr_expect_lt(store_open_image(&s, "../../../../../../../../etc", &fd, &err), 0);
	cr_expect_eq(fd, -1);
}

Test(jailer_store, scratch_has_no_name)
{
	struct stat st;
	struct err err;
	int fd = -1;

	cr_assert_eq(mkdir(at("scratch"), 0700), 0);
	cr_assert_eq(store_open_scratch(&s, 1U << 30, &fd, &err), 0, "%s", err.msg);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_expect_eq(st.st_size, 1 << 30);
	cr_expect_eq(st.st_nlink, 0);
	cr_expect_lt(st.st_blocks, 16, "not sparse");
	cr_expect_eq(st.st_mode & 07777, 0600);
	close(fd);
	cr_expect_eq(rmdir(at("scratch")), 0, "something is left in it");
}

Test(jailer_store, lists_only_what_can_be_asked_for)
{
	char *names[STORE_LIST_MAX];
	size_t n;

	n = store_list(&s, "kernels", names);
	cr_assert_eq(n, 2);
	cr_expect_str_eq(names[0], "a");
	cr_expect_str_eq(names[1], "b");
	free(names[0]);
	free(names[1]);
	cr_expect_eq(store_list(&s, "nothing", names), 0);
}

Test(jailer_store, what_others_can_write_is_not_trusted)
{
	struct store t = { .dir = -1 };
	struct err err;
	int fd = -1;

	if (geteuid() != 0)
		cr_skip_test("needs root, to be the owner");
	put("vmm", "x");
	cr_assert_eq(store_open_trusted(at("vmm"), &fd, &err), 0, "%s", err.msg);
	fd_closep(&fd);
	cr_assert_eq(chmod(at("vmm"), 0775), 0);
	cr_expect_eq(store_open_trusted(at("vmm"), &fd, &err), -EPERM);
	cr_assert_eq(chmod(at("vmm"), 0755), 0);
	cr_assert_eq(chown(at("vmm"), 1000, 1000), 0);
	cr_expect_eq(store_open_trusted(at("vmm"), &fd, &err), -EPERM);
	cr_expect_eq(store_open_trusted(dir, &fd, &err), -EINVAL);
	cr_assert_eq(chmod(dir, 0777), 0);
	cr_expect_eq(store_open(&t, dir, &err), -EPERM);
	cr_assert_eq(chmod(dir, 0755), 0);
	cr_assert_eq(store_open(&t, dir, &err), 0, "%s", err.msg);
	store_close(&t);
	/* Made at the start: later it would get the label of a sandbox. */
	cr_expect_eq(rmdir(at("scratch")), 0);
	cr_expect_eq(chdir("/"), 0);
}
