/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/context.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cli/child.h"
#include "api/cli/tempfile.h"
#include "base/fd.h"
#include "base/num.h"

#define FD_ALIVE 3 /* tar keeps it open: its end is tar's */
#define FD_SPARE 10

static bool leads_out(const char *s)
{
	while (*s != '\0') {
		const size_t len = strcspn(s, "/");
		if (len == 2 && strncmp(s, "..", 2) == 0)
			return true;
		s += len;
		s += strspn(s, "/");
	}
	return false;
}

struct become_arg {
	char **argv;
	int archive;
};

static void become(int output, const void *arg)
{
	const struct become_arg *a = arg;
	const int archive = fcntl(a->archive, F_DUPFD_CLOEXEC, FD_SPARE);
	const int alive = fcntl(output, F_DUPFD_CLOEXEC, FD_SPARE);

	if (archive >= 0 && alive >= 0 && dup2(archive, STDOUT_FILENO) >= 0 &&
	    dup2(alive, FD_ALIVE) >= 0 && child_signals() == 0)
		(void)execvp(a->argv[0], a->argv);
	(void)fprintf(stderr, "casemate: tar: %s\n", strerror(errno));
	_exit(CLI_FAILED);
}

/* Names begin with "./", so that none is an option. */
static char **make_argv(const glob_t *g)
{
	static const char *const fixed[] = {
		"tar",	     "--create",  "--file=-", "--sort=name", "--numeric-owner",
		"--owner=0", "--group=0", "--"
	};
	char **argv = calloc(ARRAY_SIZE(fixed) + g->gl_pathc + 1, sizeof(*argv));
	size_t n = 0;

	for (; argv != NULL && n < ARRAY_SIZE(fixed); n++)
		memcpy(&argv[n], &fixed[n], sizeof(*argv)); /* execvp doesn't write to them */
	for (size_t i = 0; argv != NULL && i < g->gl_pathc; i++)
		argv[n++] = g->gl_pathv[i];
	return argv;
}

static int run_tar(struct cli *cli, const glob_t *g, int archive, struct err *err)
{
	struct become_arg arg = { make_argv(g), archive };
	CLEANUP(fd_closep) int reader = -1;
	struct buf text;
	pid_t pid = -1;
	int status, r;

	r = arg.argv == NULL ? err_set(err, -ENOMEM, "out of memory")
			     : child_start(become, &arg, &pid, &reader, err);
	if (r == 0) {
		buf_init(&text, 4096);
		r = child_read(cli, reader, &text);
		buf_done(&text);
		status = child_wait(pid, r < 0);
		if (r < 0)
			r = err_sys(err, r, "tar");
		else if (status != 0)
			r = err_set(err, -EIO, "tar: failed; GNU tar is needed");
	}
	free(arg.argv);
	return r;
}

int context_archive(struct cli *cli, const char *pattern, int *ret_fd, struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	char *below = NULL;
	glob_t g = { 0 };
	int r;

	if (pattern[0] == '/' || leads_out(pattern))
		return err_set(err, -EINVAL, "%.200s: leads out of the directory", pattern);
	if (asprintf(&below, "./%s", pattern) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	r = glob(below, GLOB_ERR, NULL, &g);
	free(below);
	if (r == GLOB_NOMATCH)
		return err_set(err, -ENOENT, "%.200s: there is no such file", pattern);
	if (r != 0)
		return err_set(err, -EIO, "%.200s: can't be looked for", pattern);
	r = g.gl_pathc > CONTEXT_NAMES_MAX ? err_set(err, -EINVAL, "%.200s: more than %u files",
						     pattern, CONTEXT_NAMES_MAX)
					   : tempfile_open(&fd, err);
	if (r == 0)
		r = run_tar(cli, &g, fd, err);
	globfree(&g);
	if (r == 0 && lseek(fd, 0, SEEK_SET) != 0)
		r = err_sys(err, -errno, "the archive");
	if (r == 0)
		*ret_fd = fd_steal(&fd);
	return r;
}
