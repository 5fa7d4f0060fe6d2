/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/importer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"

#define REPORT_MAX (1024U * 1024U)
#define FD_ARCHIVE 3
#define FD_IMAGE   4
#define FD_SPARE   10 /* out of the way of both */

/* A file without a name, where there is likely to be room for gigabytes. */
static int make_image(int *ret, struct err *err)
{
	const char *dir = getenv("TMPDIR");
	char path[512];
	int fd;

	if (dir == NULL || dir[0] != '/')
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL) &&
	    snprintf(path, sizeof(path), "%s/casemate-image.XXXXXX", dir) < (int)sizeof(path)) {
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			(void)unlink(path);
	}
	if (fd < 0)
		return err_sys(err, -errno, "a temporary file in %s; set TMPDIR", dir);
	*ret = fd;
	return 0;
}

/* In the child: our signals' blocking isn't the program's. */
NORETURN static void become(const struct importer *i, int archive, int image, int report)
{
	char path[512];
	char *argv[] = { path, NULL, NULL, NULL };
	char *none[] = { NULL };
	sigset_t empty;

	(void)snprintf(path, sizeof(path), "%s/casemate-import", i->libexec);
	if (i->ref != NULL) {
		argv[1] = (char *)(size_t) "--ref";
		argv[2] = (char *)(size_t)i->ref;
	}
	archive = fcntl(archive, F_DUPFD_CLOEXEC, FD_SPARE);
	image = fcntl(image, F_DUPFD_CLOEXEC, FD_SPARE);
	report = fcntl(report, F_DUPFD_CLOEXEC, FD_SPARE);
	(void)sigemptyset(&empty);
	(void)signal(SIGPIPE, SIG_DFL);
	if (archive >= 0 && image >= 0 && report >= 0 && dup2(archive, FD_ARCHIVE) >= 0 &&
	    dup2(image, FD_IMAGE) >= 0 && dup2(report, STDOUT_FILENO) >= 0 &&
	    sigprocmask(SIG_SETMASK, &empty, NULL) == 0)
		(void)execve(path, argv, none);
	(void)fprintf(stderr, "casemate: %s: %s\n", path, strerror(errno));
	_exit(CLI_FAILED);
}

struct reading {
	struct buf *text;
	bool end;
	int error;
};

static void on_report(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct reading *r = arg;
	uint8_t *p = buf_reserve(r->text, 4096);
	ssize_t n = p == NULL ? -1 : read(fd, p, 4096);

	(void)io;
	(void)events;
	if (n > 0)
		buf_commit(r->text, (size_t)n);
	r->error = p == NULL ? -EFBIG : n < 0 ? -errno : 0;
	r->end = n <= 0;
}

/* Its whole report. */
static int read_report(struct cli *cli, int fd, struct buf *text)
{
	struct reading r = { .text = text };
	struct loop_io *io;
	int e = loop_io_add(cli->loop, fd, EPOLLIN, on_report, &r, &io);

	if (e < 0)
		return e;
	while (e == 0 && !r.end)
		e = cli->signo != 0 ? -EINTR : loop_step(cli->loop, -1);
	loop_io_del(io);
	return e == 0 ? r.error : e;
}

static int parse_report(const struct buf *text, json_t **ret, struct err *err)
{
	json_t *o = json_loadb((const char *)buf_head(text), buf_len(text), JSON_REJECT_DUPLICATES,
			       NULL);

	if (!json_is_string(json_object_get(json_object_get(o, "image"), "digest"))) {
		json_decref(o);
		return err_set(err, -EPROTO, "casemate-import: its report can't be understood");
	}
	*ret = o;
	return 0;
}

/* Waits for its end: 0, -EINVAL (it has said why), -EPROTO. */
static int wait_end(pid_t pid, bool kill_it, struct err *err)
{
	int status = 0;

	if (kill_it)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, -errno, "casemate-import");
	if (kill_it)
		return 0;
	if (WIFSIGNALED(status))
		return err_set(err, -EPROTO, "casemate-import was ended by signal %d",
			       WTERMSIG(status));
	return WEXITSTATUS(status) == 0 ? 0 : err_set(err, -EINVAL, "no image could be made of it");
}

int importer_run(struct cli *cli, const struct importer *i, int archive, int *ret_image,
		 json_t **ret_report, struct err *err)
{
	CLEANUP(fd_closep) int image = -1;
	CLEANUP(fd_closep) int reader = -1;
	struct err ended = { 0 };
	struct buf text;
	int ends[2], r = make_image(&image, err);
	pid_t pid;

	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "pipe");
	reader = ends[0];
	pid = fork();
	if (pid == 0)
		become(i, archive, image, ends[1]);
	(void)close(ends[1]);
	if (pid < 0)
		return err_sys(err, -errno, "a process for casemate-import");
	buf_init(&text, REPORT_MAX);
	r = read_report(cli, reader, &text);
	if (r < 0)
		(void)err_sys(err, r, "casemate-import");
	if (wait_end(pid, r < 0, &ended) < 0 && r == 0) {
		*err = ended;
		r = ended.code;
	}
	if (r == 0)
		r = parse_report(&text, ret_report, err);
	buf_done(&text);
	if (r == 0)
		*ret_image = fd_steal(&image);
	return r;
}
