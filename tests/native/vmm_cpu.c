/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_cpu.c - what a guest's processor has and hasn't: MSRs, CPUID, CPU templates. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
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

/* KVM itself would answer all of these: bus clock, RAPL, P-state; AMD's MMIO configuration. */
Test(vmm_msr, others_are_faults)
{
	static const uint32_t msrs[] = { 0xcd, 0x606, 0x198, 0xc0010058 };

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

/* ---- CPUID and templates ----------------------------------------------------------------- */

#define LEAF_FEATURES 1U
#define SSE3	      0U  /* of ECX */
#define VMX	      5U  /* of ECX */
#define HYPERVISOR    31U /* of ECX */
#define SVM	      2U  /* of ECX of 0x80000001 */

static void expect_bit(Casemate__Vmm__V1__CpuTemplate *cpu, uint32_t leaf, unsigned bit, bool want)
{
	struct vmm_files f = guest_files();
	configure_req q;
	char line[96];

	(void)snprintf(line, sizeof(line), "test=cpuid leaf=%u reg=2 bit=%u want=%d", leaf, bit,
		       want);
	q = vmm_request(line);
	q.cpu = cpu;
	vmm_expect(&f, &q, POWER_OFF, 0, "ok cpuid\n");
	(void)close(f.kernel);
}

Test(vmm_cpuid, nested_virtualisation_is_hidden)
{
	expect_bit(NULL, LEAF_FEATURES, HYPERVISOR, true);
	expect_bit(NULL, LEAF_FEATURES, VMX, false);
	expect_bit(NULL, 0x80000001, SVM, false);
}

struct template
{
	Casemate__Vmm__V1__CpuTemplate cpu;
	Casemate__Vmm__V1__CpuidMask mask, *masks[1];
	Casemate__Vmm__V1__MsrValue msr, *msrs[1];
};

static void template_init(struct template *t, uint32_t leaf)
{
	casemate__vmm__v1__cpu_template__init(&t->cpu);
	casemate__vmm__v1__cpuid_mask__init(&t->mask);
	casemate__vmm__v1__msr_value__init(&t->msr);
	t->mask.function = leaf;
	t->mask.eax = t->mask.ebx = t->mask.ecx = t->mask.edx = UINT32_MAX;
	t->masks[0] = &t->mask;
	t->msrs[0] = &t->msr;
	t->cpu.cpuid = t->masks;
	t->cpu.n_cpuid = 1;
	t->cpu.msrs = t->msrs;
}

/* A software-only KVM lets the guest's CPUID instruction run by itself; tests/lab/run.bats has it
 * too. */
Test(vmm_cpuid, a_template_takes_features_away)
{
	struct template t;

	need_hardware_kvm();
	template_init(&t, LEAF_FEATURES);
	expect_bit(NULL, LEAF_FEATURES, SSE3, true);
	t.mask.ecx = ~(1U << SSE3);
	expect_bit(&t.cpu, LEAF_FEATURES, SSE3, false);
	expect_bit(&t.cpu, LEAF_FEATURES, HYPERVISOR, true);
}

/* All ones is no wish for more: what is hidden stays hidden. */
Test(vmm_cpuid, a_template_gives_nothing)
{
	struct template t;

	template_init(&t, LEAF_FEATURES);
	expect_bit(&t.cpu, LEAF_FEATURES, VMX, false);
	template_init(&t, 0x80000001);
	expect_bit(&t.cpu, 0x80000001, SVM, false);
}

static void expect_refused(Casemate__Vmm__V1__CpuTemplate *cpu, const char *why)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=hello");
	struct rpc_status st;
	struct vmm v;

	q.cpu = cpu;
	vmm_spawn(&v, &f);
	cr_expect_eq(vmm_call(&v, VMM_CONFIGURE, &q, NULL, &st, NULL), RPC_INVALID_ARGUMENT);
	cr_expect(strstr(st.msg, why) != NULL, "%s", st.msg);
	vmm_done(&v);
	(void)close(f.kernel);
}

Test(vmm_cpuid, templates_that_are_refused)
{
	struct template t;

	template_init(&t, 0);
	t.mask.eax = 1;
	expect_refused(&t.cpu, "leaf 0x0 index 0: not a register of features");
	template_init(&t, LEAF_FEATURES);
	t.mask.ebx = 0; /* the local APIC's id */
	expect_refused(&t.cpu, "leaf 0x1 index 0");
	template_init(&t, LEAF_FEATURES);
	t.cpu.n_msrs = 1;
	t.msr.index = 0x480;
	expect_refused(&t.cpu, "MSR 0x480 can't be set");
	t.msr.index = 0x10a;
	t.msr.mask = t.msr.value = 1; /* "not vulnerable to Meltdown" */
	expect_refused(&t.cpu, "can only offer less");
}
