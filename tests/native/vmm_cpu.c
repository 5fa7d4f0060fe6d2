/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_cpu.c - what a guest's processor has and hasn't: MSRs, CPUID, CPU templates. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/num.h"
#include "tests/native/harness.h"

#define POWER_OFF CASEMATE__VMM__V1__END_REASON__END_REASON_POWER_OFF

static struct vmm_files guest_files(void)
{
	struct vmm_files f = { .kernel = -1, .initrd = -1 };

	need_kvm();
	f.kernel = open_guest();
	return f;
}

static void expect_msr(uint32_t index, bool write, const char *text)
{
	struct vmm_files f = guest_files();
	char line[64];
	configure_req q;

	(void)snprintf(line, sizeof(line), "test=msr index=%u write=%d", index, write);
	q = vmm_request(line);
	vmm_expect(&f, &q, POWER_OFF, 0, text);
	(void)close(f.kernel);
}

/* ---- MSRs -------------------------------------------------------------------------------- */

Test(vmm_msr, allowed_ones_work)
{
	static const uint32_t msrs[] = { 0x10,	0x1b,	    0x174,	0x1a0,	   0x277,
					 0x2ff, 0xc0000080, 0xc0000081, 0xc0000102 };

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
		expect_msr(msrs[i], msrs[i] != 0x10, "ok msr\n");
}

/* KVM itself would answer all of these: bus clock, RAPL, P-state, northbridge; AMD's VM_CR. */
Test(vmm_msr, others_are_faults)
{
	static const uint32_t msrs[] = { 0xcd, 0x606, 0x198, 0xc001001f, 0xc0010058 };

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
		expect_msr(msrs[i], false, "exception 13 ");
}

/* Nested virtualisation and performance counters, whatever the host has. */
Test(vmm_msr, nested_and_pmu_are_faults)
{
	static const uint32_t msrs[] = { 0x3a, 0x480, 0x48b, 0xc0010114, 0xc0010117,
					 0xc1, 0x186, 0x38f, 0xc0010000, 0xc0010200 };

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
		expect_msr(msrs[i], false, "exception 13 ");
}
