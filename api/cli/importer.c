/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/importer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cli/child.h"
#include "api/cli/tempfile.h"
#include "base/buf.h"
#include "base/fd.h"

#define REPORT_MAX (1024U * 1024U)
#define FD_ARCHIVE 3
#define FD_IMAGE   4
#define FD_SPARE   10 /* out of the way of both */

struct become_arg {
	const struct importer *importer;
	int archive, image;
};

/* In the child. */
static void become(int report, const void *arg)
{
	const struct become_arg *a = arg;
	char path[512];
	char *argv[] = { path, NULL, NULL, NULL };
	char *none[] = { NULL };
	int archive, image;

	(void)snprintf(path, sizeof(path), "%s/casemate-import", a->importer->libexec);
	if (a->importer->ref != NULL) {
		argv[1] = (char *)(size_t) "--ref";
		argv[2] = (char *)(size_t)a->importer->ref;
	}
	archive = fcntl(a->archive, F_DUPFD_CLOEXEC, FD_SPARE);
	image = fcntl(a->image, F_DUPFD_CLOEXEC, FD_SPARE);
	report = fcntl(report, F_DUPFD_CLOEXEC, FD_SPARE);
	if (archive >= 0 && image >= 0 && report >= 0 && dup2(archive, FD_ARCHIVE) >= 0 &&
	    dup2(image, FD_IMAGE) >= 0 && dup2(report, STDOUT_FILENO) >= 0 && child_signals() == 0)
		(void)execve(path, argv, none);
	(void)fprintf(stderr, "casemate: %s: %s\n", path, strerror(errno));
	_exit(CLI_FAILED);
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

/* What its end means: 0, -EINVAL (it has said why), -EPROTO. */
static int explain(int status, struct err *err)
{
	if (status < 0)
		return err_sys(err, status, "casemate-import");
	if (status > CLI_SIGNALLED)
		return err_set(err, -EPROTO, "casemate-import was ended by signal %d",
			       status - CLI_SIGNALLED);
	return status == 0 ? 0 : err_set(err, -EINVAL, "no image could be made of it");
}

int importer_run(struct cli *cli, const struct importer *i, int archive, int *ret_image,
		 json_t **ret_report, struct err *err)
{
	CLEANUP(fd_closep) int image = -1;
	CLEANUP(fd_closep) int reader = -1;
	struct buf text;
	pid_t pid = -1;
	int status, r = tempfile_open(&image, err);

	if (r == 0)
		r = child_start(
			become,
			&(struct become_arg){ .importer = i, .archive = archive, .image = image },
			&pid, &reader, err);
	if (r < 0)
		return r;
	buf_init(&text, REPORT_MAX);
	r = child_read(cli, reader, &text);
	status = child_wait(pid, r < 0);
	r = r < 0 ? err_sys(err, r, "casemate-import") : explain(status, err);
	if (r == 0)
		r = parse_report(&text, ret_report, err);
	buf_done(&text);
	if (r == 0)
		*ret_image = fd_steal(&image);
	return r;
}
