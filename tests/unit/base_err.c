/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/bug.h"

Test(base_err, texts)
{
	struct err e = { 0 };

	cr_assert_eq(err_set(&e, -EINVAL, "not an %s file", "ELF"), -EINVAL);
	cr_assert_eq(e.code, -EINVAL);
	cr_assert_str_eq(e.msg, "not an ELF file");
	cr_assert_eq(err_wrap(&e, "kernel %d", 1), -EINVAL);
	cr_assert_str_eq(e.msg, "kernel 1: not an ELF file");
	cr_assert_eq(err_sys(&e, -ENOENT, "open %s", "x"), -ENOENT);
	cr_assert_str_eq(e.msg, "open x: No such file or directory");
	cr_assert_eq(err_sys(&e, -9999, "odd"), -9999);
	cr_assert_str_eq(e.msg, "odd: unknown error");
}

Test(base_err, no_place_for_it)
{
	cr_assert_eq(err_set(NULL, -EINVAL, "x"), -EINVAL);
	cr_assert_eq(err_sys(NULL, -EACCES, "x"), -EACCES);
	cr_assert_lt(err_wrap(NULL, "x"), 0);
}

Test(base_err, long_texts_are_cut)
{
	char text[2 * ERR_MSG_MAX];
	struct {
		struct err e;
		char guard[8];
	} s;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (size_t len = ERR_MSG_MAX - 8; len < ERR_MSG_MAX + 2; len++) {
		memset(&s, '#', sizeof(s));
		(void)err_sys(&s.e, -ENOENT, "%.*s", (int)len, text);
		cr_assert_lt(strnlen(s.e.msg, ERR_MSG_MAX), ERR_MSG_MAX);
		(void)err_set(&s.e, -ENOENT, "inner");
		(void)err_wrap(&s.e, "%.*s", (int)len, text);
		cr_assert_lt(strnlen(s.e.msg, ERR_MSG_MAX), ERR_MSG_MAX);
		cr_assert_eq(s.guard[0], '#');
	}
	/* As much of the inner text as there is room for. */
	(void)err_set(&s.e, -ENOENT, "inner");
	(void)err_wrap(&s.e, "%.*s", ERR_MSG_MAX - 5, text);
	cr_assert_str_eq(s.e.msg + ERR_MSG_MAX - 6, "x: in");
}

Test(base_err, success_is_no_error, .signal = SIGABRT)
{
	(void)err_set(NULL, 0, "x");
}

Test(base_err, bug_aborts, .signal = SIGABRT)
{
	BUG_ON(1 + 1 == 2);
}
