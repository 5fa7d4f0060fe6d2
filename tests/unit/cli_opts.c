/* SPDX-License-Identifier: Apache-2.0 */
/* The options of run, create and exec, and what they ask the daemon for. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/session.h"
#include "base/num.h"

static int parse(enum run_verb verb, struct run_opts *o, struct err *err, const char *const *args)
{
	static char *argv[32];
	int argc = 0;

	*err = (struct err){ 0 };
	for (size_t i = 0; argv[i] != NULL; i++) /* of the last call; getopt reorders them only */
		free(argv[i]);
	argv[argc++] = strdup("verb");
	while (*args != NULL)
		argv[argc++] = strdup(*args++);
	argv[argc] = NULL;
	return run_opts_parse(verb, argc, argv, o, err);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void refuse(enum run_verb verb, const char *part, const char *const *args)
{
	struct run_opts o;
	struct err err;

	cr_assert_eq(parse(verb, &o, &err, args), -EINVAL, "%s", args[0]);
	cr_assert_not_null(strstr(err.msg, part), "\"%s\"", err.msg);
	run_opts_done(&o);
}

Test(opts, everything)
{
	struct run_opts o;
	struct err err;

	setenv("CASEMATE_TEST_ENV", "from here", 1);
	cr_assert_eq(parse(RUN_VERB_RUN, &o, &err,
			   ARGS("--cpus", "2", "--memory=1G", "--env", "A=b=c", "--env",
				"CASEMATE_TEST_ENV", "--cwd", "/tmp", "--user", "u", "--timeout",
				"1.5s", "--file", "a:/b", "--image", "i", "--kernel", "debian",
				"-it", "--json", "--keep", "--", "cmd", "--cpus", "9")),
		     0, "%s", err.msg);
	cr_assert_eq(o.cpus, 2);
	cr_assert_eq(o.memory_bytes, GIB);
	cr_assert_eq(o.envs_count, 2);
	cr_assert_str_eq(o.envs[0].name, "A");
	cr_assert_str_eq(o.envs[0].value, "b=c");
	cr_assert_str_eq(o.envs[1].value, "from here");
	cr_assert_eq(o.timeout_ms, 1500);
	cr_assert_eq(o.files_count, 1);
	cr_assert(o.interactive && o.tty && o.json && o.keep);
	cr_assert_eq(o.rest_count, 3);
	cr_assert_str_eq(o.rest[0], "cmd");
	cr_assert_str_eq(o.rest[1], "--cpus");
	run_opts_done(&o);
}

/* The command's own options are not ours, also without "--". */
Test(opts, stop_at_the_command)
{
	struct run_opts o;
	struct err err;

	cr_assert_eq(parse(RUN_VERB_RUN, &o, &err, ARGS("ls", "-t", "--help")), 0);
	cr_assert_not(o.tty);
	cr_assert_not(o.help);
	cr_assert_eq(o.rest_count, 3);
	run_opts_done(&o);
}

Test(opts, memory_is_rounded_up)
{
	struct run_opts o;
	struct err err;

	cr_assert_eq(parse(RUN_VERB_RUN, &o, &err, ARGS("--memory", "65M", "x")), 0);
	cr_assert_eq(o.memory_bytes, 66 * MIB);
	run_opts_done(&o);
}

Test(opts, bad_values)
{
	refuse(RUN_VERB_RUN, "--cpus", ARGS("--cpus", "0", "x"));
	refuse(RUN_VERB_RUN, "--cpus", ARGS("--cpus", "33", "x"));
	refuse(RUN_VERB_RUN, "--cpus", ARGS("--cpus", "two", "x"));
	refuse(RUN_VERB_RUN, "--memory", ARGS("--memory", "0", "x"));
	refuse(RUN_VERB_RUN, "--memory", ARGS("--memory", "63M", "x"));
	refuse(RUN_VERB_RUN, "not a size", ARGS("--memory", "12Q", "x"));
	refuse(RUN_VERB_RUN, "--memory", ARGS("--memory", "99999999999999999999T", "x"));
	refuse(RUN_VERB_RUN, "--timeout", ARGS("--timeout", "0", "x"));
	refuse(RUN_VERB_RUN, "--timeout", ARGS("--timeout", "-1s", "x"));
	refuse(RUN_VERB_RUN, "--timeout", ARGS("--timeout", "25h", "x"));
	refuse(RUN_VERB_RUN, "--env", ARGS("--env", "=x", "x"));
	refuse(RUN_VERB_RUN, "is not set here", ARGS("--env", "CASEMATE_NO_SUCH_VARIABLE", "x"));
	refuse(RUN_VERB_RUN, "--file", ARGS("--file", "only-host", "x"));
	refuse(RUN_VERB_RUN, "unknown option --frob", ARGS("--frob", "x"));
	refuse(RUN_VERB_RUN, "unknown option -q", ARGS("-q", "x"));
	refuse(RUN_VERB_RUN, "--cpus needs a value", ARGS("--cpus"));
	refuse(RUN_VERB_RUN, "No such file", ARGS("--cpu-template", "/nonexistent", "x"));
	refuse(RUN_VERB_RUN, "not a file", ARGS("--cpu-template", "/", "x"));
	refuse(RUN_VERB_RUN, "not a file", ARGS("--cpu-template", "/dev/zero", "x"));
	refuse(RUN_VERB_RUN, "line 1", ARGS("--cpu-template", "/etc/hostname", "x"));
	refuse(RUN_VERB_RUN, "--user: is empty", ARGS("--user", "", "x"));
}

Test(opts, each_verb_has_its_own)
{
	refuse(RUN_VERB_EXEC, "unknown option --cpus", ARGS("--cpus", "1", "x"));
	refuse(RUN_VERB_EXEC, "unknown option --file", ARGS("--file", "a:b", "x"));
	refuse(RUN_VERB_CREATE, "unknown option -i", ARGS("-i"));
	refuse(RUN_VERB_CREATE, "unknown option --keep", ARGS("--keep"));
}

Test(opts, too_many)
{
	char verb[] = "run", env[] = "--env", value[] = "A=b", file[] = "--file", spec[] = "a:/b";
	struct run_opts o;
	struct err err;
	char *argv[2 * RUN_ENVS_MAX + 8] = { verb };
	int argc = 1;

	for (unsigned i = 0; i <= RUN_ENVS_MAX; i++) {
		argv[argc++] = env;
		argv[argc++] = value;
	}
	cr_assert_eq(run_opts_parse(RUN_VERB_RUN, argc, argv, &o, &err), -EINVAL);
	run_opts_done(&o);
	argc = 1;
	for (unsigned i = 0; i <= RUN_FILES_MAX; i++) {
		argv[argc++] = file;
		argv[argc++] = spec;
	}
	cr_assert_eq(run_opts_parse(RUN_VERB_RUN, argc, argv, &o, &err), -EINVAL);
	run_opts_done(&o);
}

static void filespec_is(const char *arg, const char *host, const char *guest, enum filespec_way way)
{
	struct filespec f;
	struct err err = { 0 };

	cr_assert_eq(filespec_parse(arg, &f, &err), 0, "%s: %s", arg, err.msg);
	cr_assert_str_eq(f.host, host);
	cr_assert_str_eq(f.guest, guest);
	cr_assert_eq(f.way, way);
}

Test(filespec, forms)
{
	filespec_is("a:/b", "a", "/b", FILESPEC_AUTO);
	filespec_is("a:/b:in", "a", "/b", FILESPEC_IN);
	filespec_is("a:/b:out", "a", "/b", FILESPEC_OUT);
	filespec_is("../x y:rel:inout", "../x y", "rel", FILESPEC_INOUT);
}

Test(filespec, refused)
{
	static const char *const bad[] = { "",	    "a",     ":",	"a:",	    ":/b",
					   "a::in", "a:/b:", "a:/b:up", "a:/b:in:", "::" };
	static char big[FILESPEC_PATH_MAX + 16];
	struct filespec f;
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(filespec_parse(bad[i], &f, &err), -EINVAL, "%s", bad[i]);
	memset(big, 'a', FILESPEC_PATH_MAX);
	memcpy(big + FILESPEC_PATH_MAX, ":/b", 4);
	cr_assert_eq(filespec_parse(big, &f, &err), -EINVAL);
}

Test(request, run_leaves_the_command_out)
{
	struct run_opts o;
	struct err err;
	json_t *req;

	cr_assert_eq(
		parse(RUN_VERB_RUN, &o, &err,
		      ARGS("--cpus", "2", "--cwd", "/x", "--env", "A=b", "--timeout", "2s", "c")),
		0);
	req = session_request(&o, true, false);
	cr_assert_eq(json_integer_value(json_object_get(req, "vcpus")), 2);
	cr_assert(json_is_true(json_object_get(req, "lease")));
	cr_assert_eq(json_object_size(req), 2);
	json_decref(req);
	o.on_timeout = "pause";
	req = session_request(&o, false, true);
	cr_assert_str_eq(json_string_value(json_object_get(req, "on_timeout")), "pause");
	cr_assert_str_eq(json_string_value(json_object_get(req, "cwd")), "/x");
	cr_assert_eq(json_integer_value(json_object_get(req, "timeout_ms")), 2000);
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(req, "envs"), "A")),
			 "b");
	json_decref(req);
	run_opts_done(&o);
}
