/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_template.h - a CPU template as people write it, in JSON, and as the VMM takes it.
 *
 *     { "description": "what it is for",
 *       "cpuid": [ { "leaf": "0x7", "subleaf": 0, "ebx": "0x209c0181" } ],
 *       "msrs":  [ { "index": "0x10a", "mask": "0x1", "value": 0 } ] }
 *
 * A number is a whole number or a string of hexadecimal digits after 0x. A register that isn't
 * named stays as it is. What a template may change is the VMM's to say (docs/PROTOCOL.md); here it
 * is only brought into its form, and bounded. Fails closed like spec.h. Pure.
 */
#ifndef API_DAEMON_CPU_TEMPLATE_H
#define API_DAEMON_CPU_TEMPLATE_H

#include <jansson.h>
#include <stdint.h>
#include <vmm.pb-c.h>

#include "base/compiler.h"
#include "base/err.h"

#define CPU_TEMPLATE_CPUID_MAX	     64U
#define CPU_TEMPLATE_MSRS_MAX	     64U
#define CPU_TEMPLATE_DESCRIPTION_MAX 256U

struct cpu_template {
	struct {
		uint32_t leaf, subleaf;
		uint32_t eax, ebx, ecx, edx; /* the bits that stay */
	} cpuid[CPU_TEMPLATE_CPUID_MAX];
	unsigned cpuid_count;
	struct {
		uint32_t index;
		uint64_t mask, value;
	} msrs[CPU_TEMPLATE_MSRS_MAX];
	unsigned msrs_count;
};

/* 0 and *ret, or -EINVAL with err, which begins with "cpu_template". */
MUST_USE int cpu_template_parse(const json_t *v, struct cpu_template *ret, struct err *err);

/* The message of Configure, with its parts. Points into itself: not to be copied. */
struct cpu_template_message {
	Casemate__Vmm__V1__CpuTemplate msg;
	Casemate__Vmm__V1__CpuidMask cpuid[CPU_TEMPLATE_CPUID_MAX];
	Casemate__Vmm__V1__CpuidMask *cpuid_refs[CPU_TEMPLATE_CPUID_MAX];
	Casemate__Vmm__V1__MsrValue msrs[CPU_TEMPLATE_MSRS_MAX];
	Casemate__Vmm__V1__MsrValue *msr_refs[CPU_TEMPLATE_MSRS_MAX];
};
void cpu_template_encode(const struct cpu_template *t, struct cpu_template_message *ret);

#endif
