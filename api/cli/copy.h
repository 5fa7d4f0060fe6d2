/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.h - one file in or out of a sandbox, for --file and cp. Regular files only. The host's side
 * is chosen by the user alone: nothing that the guest says names a file here.
 */
#ifndef API_CLI_COPY_H
#define API_CLI_COPY_H

#include "api/cli/filespec.h"
#include "api/cli/session.h"
#include "base/compiler.h"
#include "base/err.h"

#define COPY_OUT_MAX (UINT64_C(4) << 30) /* bytes: a guest must not fill the host's disk */

/* Decides AUTO, and finds what can't work before a sandbox is made. 0 or -errno and *err. */
MUST_USE int copy_check(struct filespec *f, struct err *err);
MUST_USE int copy_in(struct session *s, const struct filespec *f, const char *user,
		     struct err *err);
/* -ENOENT: the guest has no such file. */
MUST_USE int copy_out(struct session *s, const struct filespec *f, const char *user,
		      struct err *err);

#endif
