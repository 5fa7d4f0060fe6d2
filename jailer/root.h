/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root.h - the mount namespace that each jail's is a copy of: an empty read-only root, and nothing
 * of the host's.
 *
 * It is made once, before the jailer serves anybody. A jail enters it and copies it (stage_root),
 * which costs the same however many mounts and processes the host has; and nothing in the jailer
 * needs a right to mount any more by then. The file system in it is one for all jails: there is
 * nothing in it but a directory that nobody may look into, and every mount of it is read-only.
 */
#ifndef JAILER_ROOT_H
#define JAILER_ROOT_H

#include "base/compiler.h"
#include "base/err.h"

#define ROOT_DIR "empty" /* the one directory; root's alone */

/* A descriptor of the namespace, the caller's; or -errno with err. The working directory must be
 * one that something can be mounted on. Waits for a process of its own: only while no thread or
 * child needs to be served. */
MUST_USE int root_open(struct err *err);

#endif
