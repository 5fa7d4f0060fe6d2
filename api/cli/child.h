/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.h - a program that a verb starts and whose whole answer it reads: casemate-import, skopeo.
 * Its end never waits for a person: a signal to us ends it.
 */
#ifndef API_CLI_CHILD_H
#define API_CLI_CHILD_H

#include <sys/types.h>

#include "api/cli/cli.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

/* In the new process, with the pipe's end: makes its descriptors and executes, or exits. */
typedef void child_become_fn(int output, const void *arg);

/* Starts one; *ret_reader, the caller's, is what it writes to `output`. It dies with us. */
MUST_USE int child_start(child_become_fn *become, const void *arg, pid_t *ret_pid, int *ret_reader,
			 struct err *err);

/* In the new process: signals as a program expects them. 0 or -errno. */
MUST_USE int child_signals(void);

/* Reads to the end, while the loop runs: 0, -EINTR (a signal came), -ENOSPC (more than text takes),
 * -errno. */
MUST_USE int child_read(struct cli *cli, int reader, struct buf *text);

/* Waits for its end; kills it first when kill_it. Its exit status, 128 + a signal's number, or
 * -errno. */
MUST_USE int child_wait(pid_t pid, bool kill_it);

#endif
