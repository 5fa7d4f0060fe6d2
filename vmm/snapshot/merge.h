/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.h - an incremental snapshot and the one before it become a full one.
 *
 * The state of an incremental snapshot is whole; only its memory isn't. So the merged snapshot is
 * the later state with the earlier memory, into which the pages that have changed are written.
 * Both are hostile: lengths and ids are checked, the rest is copied as it is and for its loader to
 * judge. docs/SNAPSHOT.md has the files.
 *
 * Depends on nothing of a VM. One thread.
 */
#ifndef VMM_SNAPSHOT_MERGE_H
#define VMM_SNAPSHOT_MERGE_H

#include "base/compiler.h"
#include "base/err.h"

struct snap_files {
	int state, memory;
};

/*
 * Writes to `out` (two empty files; nothing of what is in them is of any use after an error). base
 * is a full snapshot, diff the next of the same VM: 0, or -EINVAL (damaged, or not a full and an
 * incremental one), -ESTALE (diff isn't the next after base) or another -errno, with err.
 */
MUST_USE int snap_merge(const struct snap_files *base, const struct snap_files *diff,
			const struct snap_files *out, struct err *err);

#endif
