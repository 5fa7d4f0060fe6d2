/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

static int log_pipe[2];

/* From here on, what is logged can be read from log_pipe[0]. */
static void capture(void)
{
	cr_assert_eq(pipe(log_pipe), 0);
	cr_assert_eq(fd_set_nonblock(log_pipe[0], true), 0);
	cr_assert_eq(dup2(log_pipe[1], 2), 2);
}

static size_t captured(char *buf, size_t cap)
{
	ssize_t n = read(log_pipe[0], buf, cap - 1);

	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

Test(base_log, escape)
{
	char out[64];

	cr_assert_eq(log_escape(out, sizeof(out), "plain ~ text", 12), 12);
	cr_assert_str_eq(out, "plain ~ text");
	cr_assert_eq(log_escape(out, sizeof(out), "\n\x1b[\x7f\xff\0z", 7), 22);
	cr_assert_str_eq(out, "\\x0a\\x1b[\\x7f\\xff\\x00z");
	cr_assert_eq(log_escape(out, sizeof(out), "", 0), 0);
	cr_assert_str_eq(out, "");
	cr_assert_eq(log_escape(out, 0, "x", 1), 0);
}

/* An escape is never cut in two, and the result is always terminated, at every size. */
Test(base_log, escape_cut)
{
	for (size_t cap = 1; cap < 32; cap++) {
		char out[33];
		size_t n;
		memset(out, '#', sizeof(out));
		n = log_escape(out, cap, "ab\ncd\ref\t", 9);
		cr_assert_lt(n, cap);
		cr_assert_eq(strlen(out), n);
		cr_assert_eq(out[cap], '#');
		cr_assert_eq(strncmp("ab\\x0acd\\x0def\\x09", out, n), 0);
		cr_assert(n != 3 && n != 4 && n != 5 && n != 9 && n != 10 && n != 11);
	}
}

Test(base_log, one_line_each)
{
	char out[4096];

	capture();
	log_setup("test", LOG_LEVEL_INFO);
	errno = 77;
	log_info("ev.ent", "a=%d text=%s", 1, "x\ninfo test[0.000] forged \x1b[31m");
	cr_assert_eq(errno, 77);
	cr_assert_gt(captured(out, sizeof(out)), 0);
	cr_assert_eq(strncmp(out, "info test[", 10), 0);
	cr_assert(strstr(out, "] ev.ent a=1 text=x\\x0ainfo test[0.000] forged \\x1b[31m\n") !=
		  NULL);
	cr_assert_eq(strchr(out, '\n'), out + strlen(out) - 1);
}

Test(base_log, level)
{
	enum log_level level = LOG_LEVEL_INFO;
	char out[256];

	capture();
	log_setup("test", LOG_LEVEL_WARN);
	log_info("no", "x");
	log_debug("no", "x");
	cr_assert_eq(captured(out, sizeof(out)), 0);
	log_error("yes", "x");
	cr_assert_gt(captured(out, sizeof(out)), 0);
	cr_assert_eq(log_level_parse("debug", &level), 0);
	cr_assert_eq(level, LOG_LEVEL_DEBUG);
	cr_assert_eq(log_level_parse("Debug", &level), -EINVAL);
	cr_assert_eq(log_level_parse("", &level), -EINVAL);
	cr_assert_eq(level, LOG_LEVEL_DEBUG);
}

Test(base_log, line_is_bounded)
{
	static char text[3000];
	char out[8192];
	size_t n;

	capture();
	for (int c = 0; c < 2; c++) {
		memset(text, c == 0 ? 'x' : '\n', sizeof(text) - 1);
		log_info("big", "%s", text);
		n = captured(out, sizeof(out));
		cr_assert_leq(n, LOG_LINE_MAX);
		cr_assert_gt(n, LOG_LINE_MAX - 64);
		cr_assert_eq(out[n - 1], '\n');
		cr_assert_eq(strchr(out, '\n'), out + n - 1);
	}
}

Test(base_log, limit)
{
	struct log_limit lim = LOG_LIMIT(3);
	char out[256];
	unsigned passed = 0;

	capture();
	for (int i = 0; i < 10; i++)
		passed += log_allowed(&lim);
	cr_assert_eq(passed, 3);
	cr_assert_eq(captured(out, sizeof(out)), 0);
	/* The window passes: the next line says how many were lost. */
	lim.window_ms -= 10000;
	cr_assert(log_allowed(&lim));
	cr_assert_gt(captured(out, sizeof(out)), 0);
	cr_assert(strstr(out, "log.dropped lines=7\n") != NULL);
	cr_assert(log_allowed(&lim));
	cr_assert(log_allowed(&lim));
	cr_assert(!log_allowed(&lim));
}
