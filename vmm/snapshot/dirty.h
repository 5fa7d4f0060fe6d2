/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirty.h - which pages of a guest's memory have changed since the last snapshot: what the guest
 * wrote (KVM's dirty log) and what the VMM wrote or gave back on its behalf (gmem marks that).
 *
 * Only for VMs that were asked to keep one: a guest's first write to each page after a snapshot
 * costs a fault. The control thread; the VM is paused.
 */
#ifndef VMM_SNAPSHOT_DIRTY_H
#define VMM_SNAPSHOT_DIRTY_H

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/gmem.h"

/* Adds KVM's log to m's marks; KVM's starts anew. Slot n is m's region n, and was made with
 * KVM_MEM_LOG_DIRTY_PAGES. 0 or -errno with err. */
MUST_USE int dirty_collect(struct gmem *m, int vm_fd, struct err *err);

#endif
