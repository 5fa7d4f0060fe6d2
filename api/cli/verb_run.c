/* SPDX-License-Identifier: Apache-2.0 */
/* verb_run.c - casemate run: a sandbox for one command, and exec: a command in one that exists. */
#include "api/cli/verb_run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/cli/copy.h"
#include "api/cli/image_command.h"
#include "api/cli/session.h"
#include "base/bug.h"
#include "base/clock.h"

int exec_exit_status(const struct exec_result *res, const char *cmd)
{
	switch (res->end) {
	case EXEC_EXITED:
		return (int)(res->code & 255);
	case EXEC_SIGNALLED:
		return CLI_SIGNALLED + (int)res->code;
	case EXEC_TIMED_OUT:
		return CLI_TIMEOUT;
	case EXEC_NOT_FOUND:
		cli_warn("%.100s: command not found in the sandbox", cmd);
		return CLI_NOT_FOUND;
	case EXEC_NOT_EXECUTABLE:
		cli_warn("%.100s: not executable in the sandbox", cmd);
		return CLI_NOT_EXECUTABLE;
	case EXEC_REFUSED:
		return cli_fail("%.100s: %s", cmd, res->err.msg);
	case EXEC_LOST:
	case EXEC_ABANDONED:
	case EXEC_RUNNING:
		return CLI_FAILED;
	}
	BUG("not an end of a command");
}

/* Everything about one run that its report needs. */
struct run {
	struct cli *cli;
	struct run_opts *opts;
	struct session s;
	struct exec_result res;
	uint64_t begin_ns;
	struct err err; /* why Casemate failed; code 0 = it did not */
};

static int check_tty(const struct run_opts *o, struct err *err)
{
	if (o->tty && !isatty(STDIN_FILENO))
		return err_set(err, -ENOTTY, "-t: standard input is not a terminal; leave -t out");
	return 0;
}

static int prepare(struct run *run)
{
	struct run_opts *o = run->opts;
	int r = check_tty(o, &run->err);

	for (size_t i = 0; i < o->files_count && r == 0; i++)
		r = copy_check(&o->files[i], &run->err);
	return r;
}

static int copy_all_in(struct run *run)
{
	const struct run_opts *o = run->opts;

	for (size_t i = 0; i < o->files_count; i++) {
		if ((o->files[i].way & FILESPEC_IN) == 0)
			continue;
		int r = copy_in(&run->s, &o->files[i], o->user, &run->err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A file that a failed command has not written is no failure of ours. */
static int copy_all_out(struct run *run)
{
	const struct run_opts *o = run->opts;
	bool ok = run->res.end == EXEC_EXITED && run->res.code == 0;

	if (run->res.end != EXEC_EXITED && run->res.end != EXEC_SIGNALLED)
		return 0;
	for (size_t i = 0; i < o->files_count; i++) {
		struct err err = { 0 };
		if ((o->files[i].way & FILESPEC_OUT) == 0)
			continue;
		int r = copy_out(&run->s, &o->files[i], o->user, &err);
		if (r < 0 && (ok || r != -ENOENT)) {
			run->err = err;
			return r;
		}
		if (r < 0)
			cli_warn("%s", err.msg);
	}
	return 0;
}

/* --timeout is for all of it: what the guest's boot takes is not the command's any more. */
static void set_deadline(struct run *run)
{
	if (run->opts->timeout_ms != 0)
		run->s.deadline_ms = run->begin_ns / UINT64_C(1000000) + run->opts->timeout_ms;
}

static int run_it(struct run *run)
{
	const struct run_opts *o = run->opts;
	int r = prepare(run);

	set_deadline(run);
	if (r == 0)
		r = session_create(&run->s, o, !o->keep, false, NULL, &run->err);
	if (r == 0)
		r = session_attach(&run->s, &run->err);
	if (r == 0)
		r = copy_all_in(run);
	if (r == 0)
		r = session_exec(&run->s, o, o->rest, o->rest_count, true, &run->res, &run->err);
	if (r < 0 && run->res.end == EXEC_RUNNING && session_late(&run->s)) {
		run->res.end = EXEC_TIMED_OUT; /* before there was a command */
		return 0;
	}
	run->s.deadline_ms = 0; /* the results of a command that was in time may take theirs */
	if (r == 0 && run->cli->signo == 0)
		r = copy_all_out(run);
	/* The connection went: the guest is likely to be why. */
	if ((r < 0 && r != -EINTR && run->s.id[0] != '\0' && run->s.conn == NULL &&
	     run->s.http == NULL) ||
	    (r == 0 && run->res.end == EXEC_LOST)) {
		if (r == 0)
			run->err = run->res.err;
		session_explain_end(&run->s, &run->err);
	}
	return r;
}

static int status_of(struct run *run, int r)
{
	if (run->cli->signo != 0)
		return CLI_SIGNALLED + run->cli->signo;
	if (r < 0 || run->res.end == EXEC_LOST)
		return cli_fail("%s", run->err.msg);
	return exec_exit_status(&run->res, run->opts->rest[0]);
}

static double ms_since(uint64_t from, uint64_t to)
{
	return from == 0 || to < from ? 0 : (double)(to - from) / 1e6;
}

/* What Casemate, not the command, has to say about the status; NULL = nothing. */
static const char *complaint_of(const struct run *run, int status)
{
	if (run->res.end == EXEC_EXITED || run->res.end == EXEC_SIGNALLED)
		return status == CLI_FAILED && run->err.code != 0 ? run->err.msg : NULL;
	if (run->err.code != 0)
		return run->err.msg;
	return run->res.err.code != 0 ? run->res.err.msg : NULL;
}

/* made: the sandbox is this run's own. */
static json_t *timings_of(const struct run *run, bool made)
{
	json_t *t = json_pack("{s:f, s:f}", "exec_ms", ms_since(run->res.start_ns, run->res.end_ns),
			      "total_ms", ms_since(run->begin_ns, now_ns()));

	if (made && t != NULL) {
		(void)json_object_set_new(t, "create_ms", json_real(run->s.create_ms));
		(void)json_object_set_new(t, "boot_ms", json_real(run->s.boot_ms));
	}
	return t;
}

static void report_json(const struct run *run, int status, bool made)
{
	const struct exec_result *res = &run->res;
	const char *complaint = complaint_of(run, status);
	json_t *o = json_pack(
		"{s:s, s:i, s:o, s:b, s:o, s:o}", "id", run->s.id, "exit_code", status, "signal",
		res->end == EXEC_SIGNALLED ? json_integer((json_int_t)res->code) : json_null(),
		"timed_out", res->end == EXEC_TIMED_OUT, "timings", timings_of(run, made), "error",
		complaint != NULL ? json_string(complaint) : json_null());
	char *text =
		o == NULL
			? NULL
			: json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));

	if (text != NULL)
		(void)fprintf(stderr, "%s\n", text);
	free(text);
	json_decref(o);
}

static int run_help(void)
{
	(void)puts(
		"Usage: casemate run [OPTION]... [--] COMMAND [ARGUMENT]...\n"
		"       casemate run --image NAME [OPTION]...\n"
		"Runs COMMAND, or what the image is for, in a new sandbox, which ends with it. The\n"
		"exit status is COMMAND's;\n"
		"124 when --timeout ended it, 125 when Casemate failed, 126 and 127 as in a shell.\n");
	run_opts_help(RUN_VERB_RUN);
	return CLI_OK;
}

/* The image's own, for a run without one. */
static int take_command(struct run *run, struct image_command *ret)
{
	int r = image_command_get(run->cli, run->opts->image, ret, &run->err);

	if (r == 0) {
		run->opts->rest = ret->argv;
		run->opts->rest_count = ret->count;
	}
	return r;
}

int verb_run(struct cli *cli, int argc, char **argv)
{
	struct run_opts o;
	struct run run = { .cli = cli, .opts = &o, .begin_ns = now_ns() };
	struct image_command command = { .count = 0 };
	int r = run_opts_parse(RUN_VERB_RUN, argc, argv, &o, &run.err), status;

	session_init(&run.s, cli);
	if (r == 0 && o.help) {
		status = run_help();
	} else if (r < 0 || (o.rest_count == 0 && o.image == NULL)) {
		status = r < 0 ? cli_fail("%s", run.err.msg)
			       : cli_fail("run: no command; write casemate run -- COMMAND");
	} else {
		cli->quiet = o.json;
		r = o.rest_count > 0 ? 0 : take_command(&run, &command);
		if (r == 0)
			r = run_it(&run);
		status = status_of(&run, r);
		if (o.keep && run.s.id[0] != '\0')
			cli_warn("sandbox %s is still there; end it with casemate rm %s", run.s.id,
				 run.s.id);
		session_done(&run.s);
		if (o.json)
			report_json(&run, status, true);
	}
	image_command_done(&command);
	run_opts_done(&o);
	return status;
}

/* ---- exec ---------------------------------------------------------------------------------- */

static int exec_help(void)
{
	(void)puts("Usage: casemate exec [OPTION]... ID COMMAND [ARGUMENT]...\n"
		   "Runs COMMAND in the sandbox ID; the exit status is as of casemate run.\n");
	run_opts_help(RUN_VERB_EXEC);
	return CLI_OK;
}

static int exec_it(struct run *run)
{
	const struct run_opts *o = run->opts;
	int r = check_tty(o, &run->err);

	if (r == 0 && !cli_id_valid(o->rest[0]))
		r = err_set(&run->err, -EINVAL,
			    "sandbox \"%.40s\": not a sandbox id; see casemate ps", o->rest[0]);
	if (r == 0) {
		memcpy(run->s.id, o->rest[0], strlen(o->rest[0]) + 1);
		r = session_attach(&run->s, &run->err);
	}
	if (r == 0)
		r = session_exec(&run->s, o, o->rest + 1, o->rest_count - 1, false, &run->res,
				 &run->err);
	if (r == 0 && run->res.end == EXEC_LOST) {
		run->err = run->res.err;
		session_explain_end(&run->s, &run->err);
	}
	return r;
}

int verb_exec(struct cli *cli, int argc, char **argv)
{
	struct run_opts o;
	struct run run = { .cli = cli, .opts = &o, .begin_ns = now_ns() };
	int r = run_opts_parse(RUN_VERB_EXEC, argc, argv, &o, &run.err), status;

	session_init(&run.s, cli);
	/* "ID -- COMMAND" reads well too; a command named "--" is nobody's. */
	if (r == 0 && o.rest_count > 1 && strcmp(o.rest[1], "--") == 0) {
		o.rest[1] = o.rest[0];
		o.rest++;
		o.rest_count--;
	}
	if (r == 0 && o.help) {
		status = exec_help();
	} else if (r < 0 || o.rest_count < 2) {
		status =
			r < 0 ? cli_fail("%s", run.err.msg)
			      : cli_fail(
					"exec: needs ID and COMMAND; write casemate exec ID COMMAND");
	} else {
		r = exec_it(&run);
		if (cli->signo != 0 && (r < 0 || run.res.end == EXEC_ABANDONED))
			status = CLI_SIGNALLED + cli->signo;
		else if (r < 0 || run.res.end == EXEC_LOST)
			status = cli_fail("%s", run.err.msg);
		else
			status = exec_exit_status(&run.res, o.rest[1]);
		session_done(&run.s);
		if (o.json)
			report_json(&run, status, false);
	}
	run_opts_done(&o);
	return status;
}
