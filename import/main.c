/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - casemate-import: an archive on descriptor 3, an EROFS image on descriptor 4, a report on
 * standard output, why not on standard error.
 *
 *     casemate-import [--ref NAME] [--max-bytes SIZE] 3<ARCHIVE 4<>IMAGE
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <locale.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "import/confine.h"
#include "import/import.h"

enum { FD_INPUT = 3, FD_OUTPUT = 4, FD_DYNAMIC };

#define STATUS_USAGE 2
#define MEMORY_BYTES GIB
#define CPU_SECONDS  900

static int usage(void)
{
	(void)fputs("usage: casemate-import [--ref NAME] [--max-bytes SIZE] 3<ARCHIVE 4<>IMAGE\n",
		    stderr);
	return STATUS_USAGE;
}

/* What is told comes from the archive: nothing in it may move a terminal's cursor. */
static int complain(const struct err *e)
{
	char line[4 * ERR_MSG_MAX];

	(void)log_escape(line, sizeof(line), e->msg, strlen(e->msg));
	(void)fprintf(stderr, "casemate-import: %s\n", line);
	return EXIT_FAILURE;
}

static bool parse(int argc, char **argv, struct import_request *q)
{
	static const struct option options[] = {
		{ "ref", required_argument, NULL, 'r' },
		{ "max-bytes", required_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'r')
			q->ref = optarg;
		else if (c != 'm' ||
			 parse_size(optarg, 1, q->limits.image_bytes, &q->limits.image_bytes) < 0)
			return false;
	}
	return optind == argc;
}

static int check_output(struct err *err)
{
	struct stat st;

	if (fstat(FD_OUTPUT, &st) < 0)
		return err_sys(err, -errno, "descriptor 4");
	if (!S_ISREG(st.st_mode) || st.st_size != 0)
		return err_set(err, -EINVAL, "descriptor 4 is no empty regular file");
	return 0;
}

static int work(const struct import_request *q, struct err *err)
{
	json_t *report;
	char *text;
	int r = import_run(q, &report, err);

	if (r < 0)
		return r;
	text = json_dumps(report, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(report);
	if (text == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	r = fd_write_full(STDOUT_FILENO, text, strlen(text));
	if (r == 0)
		r = fd_write_full(STDOUT_FILENO, "\n", 1);
	free(text);
	return r < 0 ? err_sys(err, r, "writing the report") : 0;
}

int main(int argc, char **argv)
{
	static struct source source; /* too large for the stack */
	struct import_request q = { .source = &source,
				    .output = FD_OUTPUT,
				    .limits = IMPORT_LIMITS_DEFAULT };
	struct confine_limits limits = { MEMORY_BYTES, CPU_SECONDS, 0 };
	struct err err = { 0 };
	int r;

	if (!parse(argc, argv, &q))
		return usage();
	fd_close_from(FD_DYNAMIC);
	limits.file_bytes = q.limits.image_bytes;
	/* Names in UTF-8 stay as they are; without it libarchive would go looking for converters.
	 * Both libraries find what they need outside now. */
	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
		r = err_set(&err, -ENOENT, "there is no locale C.UTF-8");
	else
		r = sodium_init() < 0 ? err_set(&err, -EIO, "libsodium") : 0;
	json_object_seed(0);
	if (r == 0)
		r = check_output(&err);
	if (r == 0)
		r = source_open(&source, FD_INPUT, &err);
	if (r == 0)
		r = confine(&limits, &err);
	if (r == 0)
		r = work(&q, &err);
	source_close(&source);
	return r < 0 ? complain(&err) : EXIT_SUCCESS;
}
