/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the Dockerfile language that is understood, and the rest by its line. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/dockerfile.h"
#include "base/num.h"

static struct err err;

static int parse(const char *text, struct dockerfile *d)
{
	err = (struct err){ 0 };
	return dockerfile_parse(text, strlen(text), d, &err);
}

/* The steps as one line. */
static const char *steps(const struct dockerfile *d)
{
	static char text[4096];
	char *all = json_dumps(d->steps, JSON_COMPACT);

	(void)snprintf(text, sizeof(text), "%s", all);
	free(all);
	return text;
}

Test(dockerfile, what_is_understood)
{
	struct dockerfile d;

	cr_assert_eq(parse("# a comment\n"
			   "\n"
			   "from debian:12 AS x\n"
			   "RUN apt-get update && \\\n"
			   "    # in between\n"
			   "    echo \"$HOME\" 'a  b'\n"
			   "RUN [\"printf\", \"%s\", \"it's\"]\n"
			   "ENV A=1 B=\"two words\" C='$x'\n"
			   "WORKDIR /app\r\n"
			   "COPY --chown=web:web --chmod=0755 /src/* a\\ b ./dst/\n"
			   "USER web\n"
			   "EXPOSE 80\n"
			   "ENTRYPOINT [\"serve\"]\n"
			   "CMD [\"-p\", \"80\"]",
			   &d),
		     0, "%s", err.msg);
	cr_expect_str_eq(d.from, "debian:12");
	cr_expect_str_eq(
		steps(&d),
		"[{\"type\":\"RUN\",\"args\":[\"apt-get update &&  echo \\\"$HOME\\\" 'a  b'\"]},"
		"{\"type\":\"RUN\",\"args\":[\"'printf' '%s' 'it'\\\\''s'\"]},"
		"{\"type\":\"ENV\",\"args\":[\"A\",\"1\",\"B\",\"two words\",\"C\",\"$x\"]},"
		"{\"type\":\"WORKDIR\",\"args\":[\"/app\"]},"
		"{\"type\":\"COPY\",\"args\":[\"src/*\",\"./dst/\",\"web:web\",\"0755\"],\"line\":10},"
		"{\"type\":\"COPY\",\"args\":[\"a b\",\"./dst/\",\"web:web\",\"0755\"],\"line\":10},"
		"{\"type\":\"USER\",\"args\":[\"web\"]}]");
	cr_expect_str_eq(d.start, "'serve' '-p' '80'");
	cr_expect_eq(d.skipped, 12);
	dockerfile_done(&d);
	cr_assert_eq(parse("FROM a\nCMD serve it", &d), 0);
	cr_expect_str_eq(d.start, "serve it");
	dockerfile_done(&d);
	cr_assert_eq(parse("FROM a\nENTRYPOINT run\nCMD x", &d), 0);
	cr_expect_str_eq(d.start, "run", "as docker has it");
	dockerfile_done(&d);
	cr_assert_eq(parse("FROM a", &d), 0);
	cr_expect_null(d.start);
	dockerfile_done(&d);
	dockerfile_done(&d);
}

Test(dockerfile, what_is_not_is_named_by_its_line)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "has no FROM" },
		{ "# nothing\n", "has no FROM" },
		{ "RUN x", "line 1: the first" },
		{ "FROM a\nFROM b", "line 2: FROM" },
		{ "FROM", "line 1" },
		{ "FROM --platform=linux/arm64 a", "line 1: FROM" },
		{ "FROM a b", "line 1: FROM" },
		{ "FROM a\n\nADD x y", "line 3: ADD: is not supported" },
		{ "FROM a\nARG x", "line 2: ARG" },
		{ "FROM a\nVOLUME /x", "line 2: VOLUME" },
		{ "FROM a\nHEALTHCHECK NONE", "line 2: HEALTHCHECK" },
		{ "FROM a\nRUN --mount=type=cache x", "line 2: RUN" },
		{ "FROM a\nRUN <<EOF\nx\nEOF", "line 2: RUN: here" },
		{ "FROM a\nRUN", "line 2" },
		{ "FROM a\nCOPY x", "line 2: COPY" },
		{ "FROM a\nCOPY --from=b x y", "line 2: COPY" },
		{ "FROM a\nCOPY x y z", "line 2: COPY: of several" },
		{ "FROM a\nCOPY [\"a\", \"b\"]", "line 2: COPY" },
		{ "FROM a\nENV A", "line 2: ENV" },
		{ "FROM a\nENV =x", "line 2: ENV" },
		{ "FROM a\nENV PATH=/x:$PATH", "line 2: variables" },
		{ "FROM a\nENV A=\"$B\"", "line 2: variables" },
		{ "FROM $x", "line 1: variables" },
		{ "FROM a\nENV A='x", "line 2: a quote" },
		{ "FROM a\nWORKDIR a b", "line 2" },
		{ "FROM a\nRUN x \\", "line 2: ends in the middle" },
		{ "FROM a\nRUN \xff", "line 2: isn't UTF-8" },
	};
	struct dockerfile d;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_eq(parse(bad[i].text, &d), -EINVAL, "%s", bad[i].text);
		cr_expect_not_null(strstr(err.msg, bad[i].why), "%s: %s", bad[i].text, err.msg);
		cr_expect_null(d.steps);
	}
	cr_expect_eq(dockerfile_parse("FROM a\0b", 8, &d, &err), -EINVAL);
}
