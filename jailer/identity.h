/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - which slots (slot.h) belong to this jailer, on a host that may run several.
 *
 * Theory of operation. /run/casemate/identities has one record a block of slots. A jailer owns a
 * block while it holds the record's lock (an OFD lock, so it ends with the process), and writes the
 * name of its parent cgroup into it. Whoever takes a block over from a dead jailer first sweeps
 * the cgroup that is named there: a VMM which has outlived its jailer is gone before its uid and
 * category pair can be given to another. After a reboot the file is gone, and so is every process.
 *
 * A jailer whose groups are in a part of the hierarchy that a service manager has delegated to it
 * writes no name: the manager ends all that is in there when the jailer has died.
 *
 * The path is the same for all, whatever their options: categories are the host's, not a jailer's.
 */
#ifndef JAILER_IDENTITY_H
#define JAILER_IDENTITY_H

#include "base/compiler.h"
#include "base/err.h"
#include "jailer/slot.h"

#define IDENTITY_FILE "/run/casemate/identities"

struct identity {
	int fd;
};

/*
 * Takes blocks with at least `slots` slots in all and marks them free in *s. parent: the name of
 * our cgroup, already swept and locked, or "". -EBUSY: other jailers have too many.
 */
MUST_USE int identity_open(struct identity *id, const char *parent, unsigned slots, struct slots *s,
			   struct err *err);
/* Gives them up: only when nothing of any jail is left. */
void identity_close(struct identity *id);

#endif
