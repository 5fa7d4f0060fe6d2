/* SPDX-License-Identifier: Apache-2.0 */
/* verb_cp.c - casemate cp: a file into a sandbox, or out of one. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "api/cli/args.h"
#include "api/cli/copy.h"

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A directory as DST means: the same name in it. What is one in the guest only a slash tells:
 * nobody asks the guest what to write where. */
static int complete(struct filespec *f, struct err *err)
{
	int r = 0;

	if (f->way == FILESPEC_OUT && is_dir(f->host))
		r = filespec_append(f->host, f->guest);
	else if (f->way == FILESPEC_IN && f->guest[strlen(f->guest) - 1] == '/')
		r = filespec_append(f->guest, f->host);
	if (r < 0)
		return err_set(err, r, "cp: name the file, not only its directory");
	return copy_check(f, err);
}

static int copy(struct cli *cli, struct filespec *f, const char *id, const char *user,
		struct err *err)
{
	struct session s;
	int r;

	session_init(&s, cli);
	memcpy(s.id, id, FILESPEC_ID_LEN + 1);
	r = complete(f, err);
	if (r == 0)
		r = session_attach(&s, err);
	if (r == 0)
		r = f->way == FILESPEC_IN ? copy_in(&s, f, user, err) : copy_out(&s, f, user, err);
	session_done(&s);
	return r;
}

static int report(const struct filespec *f, const char *id)
{
	struct stat st = { .st_size = 0 };
	json_t *o;
	int status;

	(void)stat(f->host, &st);
	o = json_pack("{s:s, s:s, s:s, s:s, s:I}", "id", id, "direction",
		      f->way == FILESPEC_IN ? "in" : "out", "host", f->host, "guest", f->guest,
		      "bytes", (json_int_t)st.st_size);
	if (o == NULL)
		return cli_fail("cp: a path is not valid UTF-8");
	status = cli_print_json(o);
	json_decref(o);
	return status;
}

int verb_cp(struct cli *cli, int argc, char **argv)
{
	bool json = false;
	const char *user = NULL;
	const struct option_spec list[] = { { "user", 0, OPTION_TEXT, &user, 0, 0, NULL },
					    { "json", 0, OPTION_FLAG, &json, 0, 0, NULL } };
	const struct args args = {
		"Usage: casemate cp [--user NAME] [--json] SRC ID:PATH\n"
		"       casemate cp [--user NAME] [--json] ID:PATH DST\n"
		"Copies a regular file into a sandbox, or out of one. PATH is absolute, or relative\n"
		"to the user's home; one that ends with a slash is a directory.",
		list,
		ARRAY_SIZE(list),
		2,
		2,
		true
	};
	int status = args_parse(&args, argc, argv), r;
	char id[FILESPEC_ID_LEN + 1];
	struct err err = { 0 };
	struct filespec f;

	if (status != ARGS_GO)
		return status;
	cli->quiet = json;
	r = filespec_pair(argv[optind], argv[optind + 1], &f, id, &err);
	if (r == 0)
		r = copy(cli, &f, id, user, &err);
	if (r == -EINTR && cli->signo != 0)
		return CLI_SIGNALLED + cli->signo;
	if (r < 0)
		return cli_fail("%s", err.msg);
	return json ? report(&f, id) : CLI_OK;
}
