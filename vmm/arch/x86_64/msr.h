/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msr.h - which model-specific registers a guest may touch: a list, and all others answer with
 * #GP inside KVM, without an exit. The list is what Linux guests read or write for the features
 * that cpuid.c shows, each group with its reason; there is nothing in it of the PMU, of VMX and
 * SVM, of power management, of microcode loading or of the machine's own health.
 *
 * KVM doesn't filter the x2APIC registers (0x800 to 0x8ff).
 */
#ifndef VMM_ARCH_X86_64_MSR_H
#define VMM_ARCH_X86_64_MSR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/* May the guest read and write it? Pure. */
bool msr_allowed(uint32_t index);

/* Puts the filter on the VM; before its vCPUs run. 0 or -errno with err. */
MUST_USE int msr_filter_install(int vm_fd, struct err *err);

#endif
