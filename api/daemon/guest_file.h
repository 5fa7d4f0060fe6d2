/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_file.h - sends a file of ours into a running sandbox, through its agent. What it holds is
 * never looked at. A guest that takes nothing for a while is given up.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_GUEST_FILE_H
#define API_DAEMON_GUEST_FILE_H

#include "api/daemon/sandbox.h"
#include "base/compiler.h"
#include "base/loop.h"

#define GUEST_FILE_STALL_MS 60000U

struct guest_file;

/* fault: NULL = it is there; else one line, escaped. Called once; not after guest_file_free. */
typedef void guest_file_fn(const char *fault, void *arg);

/* Begins it: fd, a file of the owner's, as path (absolute), of root's. fd stays open until done. 0,
 * -ESTALE: the sandbox doesn't run; -ENOMEM, -errno. */
MUST_USE int guest_file_begin(struct loop *l, const struct sandbox *s, int fd, const char *path,
			      guest_file_fn *done, void *arg, struct guest_file **ret);
/* Also from within done. NULL is fine. */
void guest_file_free(struct guest_file *f);

#endif
