/* SPDX-License-Identifier: Apache-2.0 */
/* --file against the real agent, which here works in this machine's own file system. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent_fixture.h"
#include "api/cli/copy.h"
#include "base/fd.h"

static char dir[] = "/tmp/casemate-copy.XXXXXX";
static struct agent_test t;
static struct cli cli;
static struct session s;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	agent_test_start(&t);
	cli.loop = t.loop;
	session_init(&s, &cli);
	s.conn = t.conn[0];
}

static void tear_down(void)
{
	agent_test_stop(&t);
	cr_assert_eq(rmdir(dir), 0, "something was left in %s", dir);
}

static void make_spec(struct filespec *f, const char *host, const char *guest,
		      enum filespec_way way)
{
	*f = (struct filespec){ .way = way, .option = "--file" };
	snprintf(f->host, sizeof(f->host), "%s/%s", dir, host);
	snprintf(f->guest, sizeof(f->guest), "%s/%s", dir, guest);
}

static void put(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, data, len), 0);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

static void expect_file(const char *path, const void *data, size_t len, mode_t mode)
{
	char *got = malloc(len + 2);
	struct stat st;

	cr_assert_eq(stat(path, &st), 0, "%s", path);
	cr_assert_eq(st.st_mode & 07777, mode, "%o", (unsigned)st.st_mode);
	cr_assert_eq(fd_read_file(AT_FDCWD, path, got, len + 2), (ssize_t)len);
	cr_assert_eq(memcmp(got, data, len), 0);
	free(got);
	cr_assert_eq(unlink(path), 0);
}

static char *pattern(size_t len)
{
	char *p = malloc(len);

	for (size_t i = 0; i < len; i++)
		p[i] = (char)(i * 31 + (i >> 10));
	return p;
}

Test(copy, in, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const size_t len = 3000017;
	struct err err = { 0 };
	struct filespec f;
	char *data = pattern(len);

	make_spec(&f, "host", "guest", FILESPEC_AUTO);
	put(f.host, data, len, 0750);
	cr_assert_eq(copy_check(&f, &err), 0);
	cr_assert_eq(f.way, FILESPEC_IN);
	cr_assert_eq(copy_in(&s, &f, NULL, &err), 0, "%s", err.msg);
	expect_file(f.guest, data, len, 0750);
	expect_file(f.host, data, len, 0750);
	free(data);
}

Test(copy, out, .init = set_up, .fini = tear_down, .timeout = 60)
{
	const size_t len = 3000017;
	struct err err = { 0 };
	struct filespec f;
	char *data = pattern(len);

	umask(022);
	make_spec(&f, "host", "guest", FILESPEC_AUTO);
	/* Set-uid and what our umask forbids don't come with it. */
	put(f.guest, data, len, 06777);
	cr_assert_eq(copy_check(&f, &err), 0);
	cr_assert_eq(f.way, FILESPEC_OUT);
	cr_assert_eq(copy_out(&s, &f, NULL, &err), 0, "%s", err.msg);
	expect_file(f.host, data, len, 0755);
	expect_file(f.guest, data, len, 06777);
	free(data);
}

Test(copy, empty_file, .init = set_up, .fini = tear_down, .timeout = 60)
{
	struct err err = { 0 };
	struct filespec f;

	make_spec(&f, "host", "guest", FILESPEC_IN);
	put(f.host, "", 0, 0644);
	cr_assert_eq(copy_in(&s, &f, NULL, &err), 0, "%s", err.msg);
	cr_assert_eq(unlink(f.host), 0);
	cr_assert_eq(copy_out(&s, &f, NULL, &err), 0, "%s", err.msg);
	expect_file(f.host, "", 0, 0644);
	expect_file(f.guest, "", 0, 0644);
}

/* Nothing is left of a file that can't be had, and an old one stays. */
Test(copy, missing_in_the_guest, .init = set_up, .fini = tear_down, .timeout = 60)
{
	struct err err = { 0 };
	struct filespec f;

	make_spec(&f, "host", "guest", FILESPEC_OUT);
	put(f.host, "old", 3, 0600);
	cr_assert_eq(copy_out(&s, &f, NULL, &err), -ENOENT);
	cr_assert_not_null(strstr(err.msg, "guest"));
	expect_file(f.host, "old", 3, 0600);
}

/* A symbolic link at HOST is replaced, not followed. */
Test(copy, out_over_a_link, .init = set_up, .fini = tear_down, .timeout = 60)
{
	char target[64];
	struct err err = { 0 };
	struct filespec f;

	umask(022);
	snprintf(target, sizeof(target), "%s/target", dir);
	make_spec(&f, "host", "guest", FILESPEC_OUT);
	put(target, "precious", 8, 0600);
	cr_assert_eq(symlink(target, f.host), 0);
	put(f.guest, "new", 3, 0644);
	cr_assert_eq(copy_out(&s, &f, NULL, &err), 0, "%s", err.msg);
	expect_file(target, "precious", 8, 0600);
	expect_file(f.host, "new", 3, 0644);
	expect_file(f.guest, "new", 3, 0644);
}

static void refuse(const char *host, enum filespec_way way, int code, const char *part)
{
	struct filespec f = { .way = way };
	struct err err = { 0 };

	snprintf(f.host, sizeof(f.host), "%s", host);
	snprintf(f.guest, sizeof(f.guest), "/x");
	cr_assert_eq(copy_check(&f, &err), code, "%s: %d", host, err.code);
	cr_assert_not_null(strstr(err.msg, part), "%s", err.msg);
}

Test(copy, what_can_not_work)
{
	refuse("/tmp", FILESPEC_AUTO, -EISDIR, "only regular files");
	refuse("/dev/null", FILESPEC_AUTO, -EINVAL, "only regular files");
	refuse("/nonexistent/file", FILESPEC_OUT, -ENOENT, "directory");
	refuse("/nonexistent", FILESPEC_IN, -ENOENT, "no such file to copy in");
	refuse("/nonexistent", FILESPEC_INOUT, -ENOENT, "no such file to copy in");
}
