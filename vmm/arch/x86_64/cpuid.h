/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid.h - what CPU the guest sees: the host's as KVM offers it, less what we don't emulate. */
#ifndef VMM_ARCH_X86_64_CPUID_H
#define VMM_ARCH_X86_64_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define CPUID_ENTRIES_MAX 128U

struct cpuid {
	unsigned count;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

/* KVM's own answer: 0 or -errno (-E2BIG: more leaves than we have room for). */
MUST_USE int cpuid_supported(int kvm_fd, struct cpuid *ret);
/* The same from a file that has it (vmm_fds.h): 0, or -errno: -ENODATA: it is empty; -EINVAL: it
 * isn't whole entries; -E2BIG. */
MUST_USE int cpuid_read(int fd, struct cpuid *ret);

/*
 * Makes KVM's answer the table of vCPU `index` of `count`: local APIC id = index, one package of
 * `count` cores without threads. Hidden: PMU, VMX and SVM, SGX, PT, RDT, MONITOR, thermal leaves,
 * KVM features that need our help. Pure. 0, or -E2BIG.
 */
MUST_USE int cpuid_for_vcpu(const struct cpuid *supported, unsigned index, unsigned count,
			    bool tsc_deadline, struct cpuid *ret);

/* How many bits a physical address has, of a guest too. */
unsigned cpuid_physical_bits(const struct cpuid *supported);

/* The entry of a leaf, or NULL. For tests too. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid *c, uint32_t function, uint32_t index);

#endif
