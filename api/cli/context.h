/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.h - what COPY takes from the directory that a template is built from, as a tar. GNU tar
 * makes it, of what is below the working directory of this process.
 */
#ifndef API_CLI_CONTEXT_H
#define API_CLI_CONTEXT_H

#include "api/cli/cli.h"
#include "base/compiler.h"
#include "base/err.h"

#define CONTEXT_NAMES_MAX 4096U /* that a pattern may stand for */

/* Files and directories that match the pattern: 0 and *ret_fd, the caller's, at its start; -ENOENT:
 * nothing does; -EINVAL: it leads out of the directory; -EINTR, -errno. */
MUST_USE int context_archive(struct cli *cli, const char *pattern, int *ret_fd, struct err *err);

#endif
