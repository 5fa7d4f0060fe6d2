/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CLI_VERB_RUN_H
#define API_CLI_VERB_RUN_H

#include "api/cli/cli.h"
#include "api/cli/exec_client.h"

/* The exit status that stands for the end of a command; says why when that isn't the command's. */
int exec_exit_status(const struct exec_result *res, const char *cmd);

#endif
