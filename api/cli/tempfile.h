/* SPDX-License-Identifier: Apache-2.0 */
/* tempfile.h - a file without a name, where there is likely to be room for gigabytes: $TMPDIR, else
 * /var/tmp. */
#ifndef API_CLI_TEMPFILE_H
#define API_CLI_TEMPFILE_H

#include "base/compiler.h"
#include "base/err.h"

/* For reading and writing, close-on-exec. 0 or -errno. */
MUST_USE int tempfile_open(int *ret_fd, struct err *err);

#endif
