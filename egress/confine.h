/* SPDX-License-Identifier: Apache-2.0 */
/* confine.h - what casemate-egress gives up before the first byte of a guest or of its policy. */
#ifndef EGRESS_CONFINE_H
#define EGRESS_CONFINE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * Drops root for uid (and the gid of the same number) if there is root to drop, all capabilities
 * and groups with it, then sets no_new_privs, limits (descriptors and memory for `flows`
 * connections), Landlock (no file, no port to listen on) and seccomp. -EPERM: root, and no uid was
 * given.
 */
MUST_USE int confine(uid_t uid, size_t flows, struct err *err);

#endif
