/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli_rig.h - the program casemate against a daemon_rig: what it prints, how it ends. What can't be
 * done fails the test.
 */
#ifndef TESTS_NATIVE_CLI_RIG_H
#define TESTS_NATIVE_CLI_RIG_H

#include <stdio.h>

#include "tests/native/daemon_rig.h"

struct cli_run {
	pid_t pid;
	int status;	 /* exit status; 128 + N = ended by a signal */
	char out[65536]; /* standard output, and with cli_rig_start what has come of it so far */
	char err[8192];
	int fds[2]; /* of a running one: its standard output and error */
	size_t out_len;
};

#define CLI_ARGS_MAX 16

/* Runs it to its end: returns the exit status, which is also in ret. args end with NULL. */
int cli_rig_run(const struct daemon_rig *d, struct cli_run *ret, const char *const *args);
#define CLI(d, ret, ...) cli_rig_run(d, ret, (const char *const[]){ __VA_ARGS__, NULL })

/* Starts it; wait for text in its output; and for its end, after a signal unless that is 0. */
void cli_rig_start(const struct daemon_rig *d, struct cli_run *ret, const char *const *args);
#define CLI_START(d, ret, ...) cli_rig_start(d, ret, (const char *const[]){ __VA_ARGS__, NULL })
void cli_rig_expect(struct cli_run *r, const char *part);
int cli_rig_end(struct cli_run *r, int signo);

#endif
