/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_template.h - narrows the processor that a guest sees, so that guests see the same one on
 * different hosts: masks over feature registers of CPUID, and values for bits of a few MSRs.
 *
 * It is applied last, to what KVM offers less what is always hidden, and by AND only; an MSR's bit
 * may only be changed in the direction that offers less. So a template can't widen anything,
 * whatever it says. Pure, but for cpu_template_set_msrs.
 */
#ifndef VMM_ARCH_X86_64_CPU_TEMPLATE_H
#define VMM_ARCH_X86_64_CPU_TEMPLATE_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/arch/x86_64/cpuid.h"

#define CPU_TEMPLATE_CPUID_MAX 64U
#define CPU_TEMPLATE_MSRS_MAX  64U

struct cpu_template {
	struct cpu_template_cpuid {
		uint32_t function, index;
		uint32_t eax, ebx, ecx, edx; /* the bits that stay */
	} cpuid[CPU_TEMPLATE_CPUID_MAX];
	unsigned cpuid_count;
	struct cpu_template_msr {
		uint32_t index;
		uint64_t mask;	/* these bits... */
		uint64_t value; /* ...get this value */
	} msrs[CPU_TEMPLATE_MSRS_MAX];
	unsigned msrs_count;
};

/* Is each register one that a template may change, once, and each MSR's change of the kind that
 * offers less? 0, or -EINVAL with err. The counts are within bounds. */
MUST_USE int cpu_template_check(const struct cpu_template *t, struct err *err);

/* Narrows a vCPU's table. A leaf that it doesn't have is none to narrow. t passed the check. */
void cpu_template_narrow(const struct cpu_template *t, struct cpuid *c);

/* What becomes of an MSR that has the value `now`: only bits that are set can be cleared, and those
 * that mean "is vulnerable" set. */
uint64_t cpu_template_msr_value(const struct cpu_template_msr *m, uint64_t now);

/* Does so for a vCPU: 0, -ENOTSUP (this KVM hasn't got one of the MSRs) or another -errno, with
 * err. */
MUST_USE int cpu_template_set_msrs(const struct cpu_template *t, int vcpu_fd, struct err *err);

#endif
