/* SPDX-License-Identifier: Apache-2.0 */
/* The log pipe of a VMM that may be its guest's by now. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "api/daemon/vmlog.h"
#include "base/fd.h"
#include "base/log.h"

struct fixture {
	struct loop *loop;
	struct vmlog *log;
	int in;
};

static void set_up(struct fixture *f)
{
	int p[2];

	log_setup("test", LOG_LEVEL_ERROR);
	cr_assert_eq(loop_new(&f->loop), 0);
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	f->in = p[1];
	cr_assert_eq(vmlog_new(f->loop, p[0], "itest", &f->log), 0);
}

static void put(struct fixture *f, const char *data, size_t len)
{
	cr_assert_eq(fd_write_full(f->in, data, len), 0);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(loop_step(f->loop, 0), 0);
}

static void tear_down(struct fixture *f)
{
	fd_closep(&f->in);
	vmlog_free(f->log);
	loop_free(f->loop);
}

Test(vmlog, lines_are_kept_escaped, .timeout = 20)
{
	struct fixture f;
	size_t len;

	set_up(&f);
	put(&f, "one\ntw", 6);
	put(&f, "o\033[2J\n\nthree", 12);
	cr_assert_str_eq(vmlog_text(f.log, &len), "one\ntwo\\x1b[2J\n");
	/* The unfinished line counts when the pipe ends. */
	fd_closep(&f.in);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(loop_step(f.loop, 0), 0);
	cr_assert_eq(strncmp(vmlog_text(f.log, &len), "one\ntwo\\x1b[2J\nthree\n", 21), 0);
	cr_assert_eq(len, 21);
	tear_down(&f);
}

Test(vmlog, long_lines_are_cut, .timeout = 20)
{
	char big[3 * VMLOG_LINE_MAX];
	struct fixture f;
	size_t len;

	set_up(&f);
	memset(big, 'x', sizeof(big));
	put(&f, big, sizeof(big));
	const char *text = vmlog_text(f.log, &len);
	cr_assert_eq(len, sizeof(big) + 3);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(text[i * (VMLOG_LINE_MAX + 1) + VMLOG_LINE_MAX], '\n');
	tear_down(&f);
}

/* A flood is dropped, and what is kept stays within its bound. */
Test(vmlog, floods_are_bounded, .timeout = 20)
{
	char line[512];
	struct fixture f;
	size_t len;

	set_up(&f);
	memset(line, 'y', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 500; i++)
		put(&f, line, sizeof(line));
	const char *text = vmlog_text(f.log, &len);
	cr_assert_leq(len, VMLOG_KEEP_BYTES);
	cr_assert_gt(len, VMLOG_KEEP_BYTES / 2);
	cr_assert_eq(text[len - 1], '\n');
	tear_down(&f);
}
