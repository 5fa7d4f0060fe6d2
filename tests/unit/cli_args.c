/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the small verbs, and the two arguments of cp. What they print isn't looked at
 * here. */
#include <criterion/criterion.h>
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "api/cli/args.h"
#include "api/cli/cli.h"
#include "api/cli/filespec.h"

#define ID  "iabcdefghijklmnopqrs"
#define ID2 "i0123456789012345678"

static bool flag;
static const char *text;
static uint64_t number, time_ms;
static const struct option_spec list[] = {
	{ "flag", 'f', OPTION_FLAG, &flag, 0, 0, NULL },
	{ "text", 0, OPTION_TEXT, &text, 0, 0, NULL },
	{ "number", 'n', OPTION_NUMBER, &number, 1, 64, NULL },
	{ "time", 0, OPTION_TIME, &time_ms, 1, 60000, NULL },
};

static int parse(int min, int max, bool free, const char *const *words)
{
	static char copies[16][64];
	const struct args args = { "Usage: casemate verb", list, ARRAY_SIZE(list), min, max, free };
	char *argv[17] = { 0 };
	int argc = 0;

	flag = false;
	text = NULL;
	number = 7;
	time_ms = 0;
	for (; *words != NULL; words++, argc++) {
		(void)snprintf(copies[argc], sizeof(copies[argc]), "%s", *words);
		argv[argc] = copies[argc];
	}
	return args_parse(&args, argc, argv);
}

#define PARSE(min, max, free, ...) \
	parse(min, max, free, (const char *const[]){ "verb", __VA_ARGS__, NULL })

Test(cli_args, each_kind)
{
	cr_assert_eq(PARSE(1, 1, false, ID, "-f", "--text=x y", "-n64", "--time", "1m"), ARGS_GO);
	cr_assert(flag);
	cr_assert_str_eq(text, "x y");
	cr_assert_eq(number, 64);
	cr_assert_eq(time_ms, 60000);
	cr_assert_eq(PARSE(1, 2, false, ID, ID2), ARGS_GO);
	cr_assert(!flag && text == NULL && number == 7, "what isn't said stays");
	cr_assert_eq(PARSE(0, 0, false, "--"), ARGS_GO);
	cr_assert_eq(PARSE(2, 2, true, "a", "b:c"), ARGS_GO);
	cr_assert_eq(PARSE(0, 0, false, "--help", "rest"), CLI_OK);
}

Test(cli_args, refused)
{
	cr_assert_eq(PARSE(1, 1, false, "-f"), CLI_FAILED, "no id");
	cr_assert_eq(PARSE(1, 1, false, ID, ID2), CLI_FAILED, "one too many");
	cr_assert_eq(PARSE(1, 1, false, "../../etc"), CLI_FAILED, "not an id");
	cr_assert_eq(PARSE(1, 1, false, ID "/x"), CLI_FAILED, "not an id");
	cr_assert_eq(PARSE(2, 2, true, "a"), CLI_FAILED);
	cr_assert_eq(PARSE(1, 1, false, ID, "--frob"), CLI_FAILED);
	cr_assert_eq(PARSE(1, 1, false, ID, "-q"), CLI_FAILED);
	cr_assert_eq(PARSE(1, 1, false, ID, "--flag=yes"), CLI_FAILED);
	cr_assert_eq(PARSE(1, 1, false, ID, "--text"), CLI_FAILED, "no value");
	cr_assert_eq(PARSE(1, 1, false, ID, "-n", "0"), CLI_FAILED);
	cr_assert_eq(PARSE(1, 1, false, ID, "-n", "65"), CLI_FAILED);
	cr_assert_eq(PARSE(1, 1, false, ID, "-n", "1x"), CLI_FAILED);
	cr_assert_eq(PARSE(1, 1, false, ID, "--time", "0s"), CLI_FAILED);
	cr_assert_eq(PARSE(1, 1, false, ID, "--time", "61s"), CLI_FAILED);
	cr_assert_eq(PARSE(1, 1, false, ID, "--time", "soon"), CLI_FAILED);
}

Test(cli_args, pair)
{
	char id[FILESPEC_ID_LEN + 1];
	struct err err = { 0 };
	struct filespec f;

	cr_assert_eq(filespec_pair("a:b", ID ":/tmp/x", &f, id, &err), 0, "%s", err.msg);
	cr_assert_eq(f.way, FILESPEC_IN);
	cr_assert_str_eq(f.host, "a:b");
	cr_assert_str_eq(f.guest, "/tmp/x");
	cr_assert_str_eq(id, ID);
	cr_assert_eq(filespec_pair(ID2 ":x:y", ".", &f, id, &err), 0, "%s", err.msg);
	cr_assert_eq(f.way, FILESPEC_OUT);
	cr_assert_str_eq(f.guest, "x:y");
	cr_assert_str_eq(id, ID2);
	cr_assert_eq(filespec_pair("a", "b", &f, id, &err), -EINVAL, "no sandbox");
	cr_assert_eq(filespec_pair(ID ":a", ID2 ":b", &f, id, &err), -EINVAL, "two of them");
	cr_assert_eq(filespec_pair("a", ID ":", &f, id, &err), -EINVAL, "no path");
	cr_assert_eq(filespec_pair("a", ID, &f, id, &err), -EINVAL, "no path");
	cr_assert_eq(filespec_pair("", ID ":x", &f, id, &err), -EINVAL, "no path");
}

Test(cli_args, append)
{
	char path[FILESPEC_PATH_MAX] = "/dir", full[FILESPEC_PATH_MAX];

	cr_assert_eq(filespec_append(path, "/a/b"), 0);
	cr_assert_str_eq(path, "/dir/b");
	(void)snprintf(path, sizeof(path), "/dir/");
	cr_assert_eq(filespec_append(path, "c"), 0);
	cr_assert_str_eq(path, "/dir/c");
	cr_assert_eq(filespec_append(path, "/a/.."), -EINVAL);
	cr_assert_eq(filespec_append(path, "."), -EINVAL);
	cr_assert_eq(filespec_append(path, "a/"), -EINVAL);
	memset(full, 'x', sizeof(full) - 1);
	full[sizeof(full) - 1] = '\0';
	cr_assert_eq(filespec_append(full, "y"), -ENAMETOOLONG);
}
