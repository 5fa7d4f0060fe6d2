/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu_state.h - what KVM keeps for a vCPU, to a state file and back.
 *
 * Source of the list and of its order: Documentation/virt/kvm/api.rst, and what the kernel's own
 * self-tests save. The guest's clock goes on where it stopped: a VM that was saved for a week
 * doesn't see the week (the agent sets the wall clock).
 */
#ifndef VMM_SNAPSHOT_VCPU_STATE_H
#define VMM_SNAPSHOT_VCPU_STATE_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/snapshot/file.h"

/* Saves vCPU `index`, which isn't in KVM_RUN; `cpuid` is the table that KVM was given for it (not
 * every KVM gives back what it got). 0 or -errno with err. Control thread. */
MUST_USE int vcpu_state_save(int vcpu_fd, unsigned index, const struct cpuid *cpuid,
			     struct snap_writer *w, struct err *err);

/*
 * Loads vCPU `index`, which has never run. The CPU that the file wants must be one that this host
 * has: `cpuid` holds the table that a new vCPU would get, and no feature bit may be missing in it.
 * On success it holds the table that the vCPU got.
 * 0; -ENOTSUP: another CPU; -EINVAL: the file is damaged; with err.
 */
MUST_USE int vcpu_state_load(int vcpu_fd, unsigned index, struct cpuid *cpuid,
			     const struct snap_reader *r, struct err *err);

/* The check of features alone: 0 or -ENOTSUP with err. Pure. */
MUST_USE int vcpu_state_check_cpuid(const struct cpuid *ours, const struct cpuid *wanted,
				    struct err *err);

#endif
