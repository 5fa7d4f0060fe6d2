/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.h - an archive becomes an EROFS image.
 *
 * The layers are read twice: once to check their digests and to know the whole tree, once for the
 * bytes. So nothing of a file that a later layer replaces is ever written, and the image is the
 * same for the same layers. Opens nothing; uses no path; LC_CTYPE must be a UTF-8 locale, or names
 * are refused. One thread.
 */
#ifndef IMPORT_IMPORT_H
#define IMPORT_IMPORT_H

#include <jansson.h>

#include "base/compiler.h"
#include "base/err.h"
#include "import/limits.h"
#include "import/source.h"

struct import_request {
	const struct source *source;
	int output;	 /* an empty regular file, read and write; of no use after a failure */
	const char *ref; /* which image of several; NULL: there must be one only */
	struct import_limits limits;
};

/* 0 and *ret_report (the caller's): digests of the image and of its layers, the configuration,
 * counts. */
MUST_USE int import_run(const struct import_request *q, json_t **ret_report, struct err *err);

#endif
