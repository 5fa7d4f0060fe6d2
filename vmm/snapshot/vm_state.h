/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_state.h - a whole VM to a snapshot and back. See file.h for the format.
 *
 * Who may call what: saving is for the control thread of a paused VM. Loading belongs to vm_build,
 * step by step in its order: nothing has run yet, and the process has its first seccomp filter.
 */
#ifndef VMM_SNAPSHOT_VM_STATE_H
#define VMM_SNAPSHOT_VM_STATE_H

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/snapshot/file.h"
#include "vmm/vm.h"

/* Writes the state to state_fd (an empty file) and the memory to memory_fd: all of it (gmem_save),
 * or, incremental, what has changed since the snapshot before (gmem_save_marked). 0, -EBUSY (there
 * is no snapshot before, or no dirty log is kept) or another -errno, with err; what was written is
 * then of no use. The VM can go on in any case, and the next incremental one misses nothing. */
MUST_USE int vm_state_save(struct vm *vm, bool incremental, int state_fd, int memory_fd,
			   struct err *err);

/* Where a live snapshot goes: the memory's file, and from `split` on another one,
 * gmem_attach_split; rest < 0: there is none. */
struct vm_state_files {
	int state, memory, rest;
	uint64_t split;
};
/* The same for a VM whose memory files were written while it ran (live.h): the state, and the pages
 * that are marked, over what the files have. */
MUST_USE int vm_state_save_again(struct vm *vm, const struct vm_state_files *f, struct err *err);

/* Reads the file at fd and checks that it is of a machine like cfg. *ret belongs to the caller
 * (vm_state_close). 0, -EINVAL, -ENOTSUP or another -errno, with err. */
struct vm_state;
MUST_USE int vm_state_open(int fd, const struct vm_config *cfg, struct vm_state **ret,
			   struct err *err);
void vm_state_close(struct vm_state *s);
const struct snap_reader *vm_state_reader(const struct vm_state *s);

/* Where its memory is split: *ret, bytes = it is in one file. 0, or -EINVAL with err. */
MUST_USE int vm_state_split(const struct vm_state *s, uint64_t bytes, uint64_t *ret,
			    struct err *err);

/* The IOAPIC and the devices; the vCPUs have their state already. vm->clock_ns is the guest's time.
 */
MUST_USE int vm_state_load(const struct vm_state *s, struct vm *vm, struct err *err);

/* The guest's clock goes on from clock_ns: right before it runs, however long it lay ready. */
MUST_USE int vm_state_set_clock(uint64_t clock_ns, struct err *err);

#endif
