/* SPDX-License-Identifier: Apache-2.0 */
/*
 * importer.h - casemate-import as a child of ours: with our user's rights at most, and by its own
 * doing with none. What it says is as little to be trusted as the archive: the digest is compared
 * by whoever keeps the image, the configuration is checked by the daemon.
 */
#ifndef API_CLI_IMPORTER_H
#define API_CLI_IMPORTER_H

#include <jansson.h>

#include "api/cli/cli.h"
#include "base/compiler.h"
#include "base/err.h"

struct importer {
	const char *libexec; /* where casemate-import is */
	const char *ref;     /* which image of several; NULL = there is one */
};

/*
 * Makes an image of archive (a file or a directory, the caller's): *ret_image, an unnamed file, and
 * *ret_report, both the caller's. What casemate-import complains of goes to our standard error.
 * -EINTR: a signal came.
 */
MUST_USE int importer_run(struct cli *cli, const struct importer *i, int archive, int *ret_image,
			  json_t **ret_report, struct err *err);

#endif
