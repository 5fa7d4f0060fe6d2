/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: KVM_GET_SUPPORTED_CPUID is an allow-list of what KVM can virtualise on this
 * host; we take it and subtract. Two tables say what: masks[] clears bits in single registers,
 * dropped[] makes whole leaves read as zero. The rest of the file writes the leaves that depend on
 * the vCPU: APIC id and topology, in the forms that Intel (4, 0xb) and AMD (0x80000008,
 * 0x8000001d, 0x8000001e) kernels read.
 */
#include "vmm/arch/x86_64/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "base/bug.h"

enum reg { EAX, EBX, ECX, EDX };

static const struct {
	uint32_t function, index;
	enum reg reg;
	uint32_t keep; /* the bits that stay */
} masks[] = {
	/* DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, PDCM, DCA; the deadline timer is set below.
	 */
	{ 1, 0, ECX,
	  ~(1U << 2 | 1U << 3 | 1U << 4 | 1U << 5 | 1U << 6 | 1U << 7 | 1U << 8 | 1U << 15 |
	    1U << 18 | 1U << 24) },
	/* PSN, DS, ACPI, TM, PBE */
	{ 1, 0, EDX, ~(1U << 18 | 1U << 21 | 1U << 22 | 1U << 29 | 1U << 31) },
	/* ARAT only: the local APIC timer never stops */
	{ 6, 0, EAX, 1U << 2 },
	{ 6, 0, EBX, 0 },
	{ 6, 0, ECX, 0 },
	{ 6, 0, EDX, 0 },
	/* SGX, RDT monitoring and allocation, PT */
	{ 7, 0, EBX, ~(1U << 2 | 1U << 12 | 1U << 15 | 1U << 25) },
	/* WAITPKG, ENQCMD, SGX_LC, bus-lock detection */
	{ 7, 0, ECX, ~(1U << 5 | 1U << 24 | 1U << 29 | 1U << 30) },
	/* SVM, OSVW, IBS, SKINIT, WDT, LWP, TOPOEXT's NodeId is ours, PERFCTR core/nb/llc, MWAITX
	 */
	{ 0x80000001, 0, ECX,
	  ~(1U << 2 | 1U << 9 | 1U << 10 | 1U << 12 | 1U << 13 | 1U << 15 | 1U << 23 | 1U << 24 |
	    1U << 28 | 1U << 29) },
	/* invariant TSC only */
	{ 0x80000007, 0, EAX, 0 },
	{ 0x80000007, 0, EBX, 0 },
	{ 0x80000007, 0, ECX, 0 },
	{ 0x80000007, 0, EDX, 1U << 8 },
	/* kvm-clock (both MSR sets), no I/O delay, steal time, PV EOI, PV unhalt, TLB flush, IPI,
	 * yield, stable clock. Without: async page faults, poll control, extended MSI destinations
	 * (our IOAPIC doesn't form them), encryption and migration hypercalls. */
	{ 0x40000001, 0, EAX,
	  1U << 0 | 1U << 1 | 1U << 3 | 1U << 5 | 1U << 6 | 1U << 7 | 1U << 9 | 1U << 11 |
		  1U << 13 | 1U << 24 },
};

/* MONITOR, PMU, RDT (0xf, 0x10), SGX, PT, the second topology leaf; SVM, IBS, SEV, PMU v2. */
static const uint32_t dropped[] = { 5,	  0xa,	0xf,	    0x10,	0x12,	    0x14,
				    0x1f, 0x23, 0x8000000a, 0x8000001b, 0x8000001f, 0x80000022 };

int cpuid_supported(int kvm_fd, struct cpuid *ret)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + sizeof(ret->entries));
	int r = 0;

	if (c == NULL)
		return -ENOMEM;
	c->nent = CPUID_ENTRIES_MAX;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c) < 0) {
		r = -errno;
	} else if (c->nent > CPUID_ENTRIES_MAX) {
		r = -E2BIG;
	} else {
		ret->count = c->nent;
		memcpy(ret->entries, c->entries, c->nent * sizeof(c->entries[0]));
	}
	free(c);
	return r;
}

int cpuid_read(int fd, struct cpuid *ret)
{
	/* One more than fits, to know whether there is more. */
	struct kvm_cpuid_entry2 more;
	const struct iovec iov[2] = { { ret->entries, sizeof(ret->entries) },
				      { &more, sizeof(more) } };
	ssize_t n = preadv(fd, iov, ARRAY_SIZE(iov), 0);

	if (n < 0)
		return -errno;
	if (n == 0)
		return -ENODATA;
	if ((size_t)n > sizeof(ret->entries))
		return -E2BIG;
	if ((size_t)n % sizeof(ret->entries[0]) != 0)
		return -EINVAL;
	ret->count = (unsigned)((size_t)n / sizeof(ret->entries[0]));
	return 0;
}

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid *c, uint32_t function, uint32_t index)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	return NULL;
}

unsigned cpuid_physical_bits(const struct cpuid *supported)
{
	for (unsigned i = 0; i < supported->count; i++)
		if (supported->entries[i].function == 0x80000008)
			return supported->entries[i].eax & 0xffU;
	return 36; /* what a processor without that leaf has */
}

static uint32_t *reg_of(struct kvm_cpuid_entry2 *e, enum reg reg)
{
	switch (reg) {
	case EAX:
		return &e->eax;
	case EBX:
		return &e->ebx;
	case ECX:
		return &e->ecx;
	case EDX:
		return &e->edx;
	}
	BUG("register");
}

static bool is_dropped(uint32_t function)
{
	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
		if (dropped[i] == function)
			return true;
	return false;
}

/* All indices of 0xb go too: they are written anew. */
static void copy_filtered(const struct cpuid *from, struct cpuid *to)
{
	to->count = 0;
	for (unsigned i = 0; i < from->count; i++)
		if (!is_dropped(from->entries[i].function) && from->entries[i].function != 0xb)
			to->entries[to->count++] = from->entries[i];
	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		struct kvm_cpuid_entry2 *e = cpuid_find(to, masks[i].function, masks[i].index);
		if (e != NULL)
			*reg_of(e, masks[i].reg) &= masks[i].keep;
	}
}

static int add(struct cpuid *c, struct kvm_cpuid_entry2 e)
{
	if (c->count >= CPUID_ENTRIES_MAX)
		return -E2BIG;
	c->entries[c->count++] = e;
	return 0;
}

/* Bits that hold the numbers 0 .. n-1. */
static uint32_t bits_for(unsigned n)
{
	uint32_t bits = 0;

	while ((1U << bits) < n)
		bits++;
	return bits;
}

/* Leaf 0xb: a level of threads (one a core), a level of cores. */
static int add_topology(struct cpuid *c, uint32_t id, unsigned count)
{
	const uint32_t flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	int r;

	r = add(c, (struct kvm_cpuid_entry2){ .function = 0xb,
					      .index = 0,
					      .flags = flags,
					      .eax = 0,
					      .ebx = 1,
					      .ecx = 1U << 8,
					      .edx = id });
	if (r < 0)
		return r;
	r = add(c, (struct kvm_cpuid_entry2){ .function = 0xb,
					      .index = 1,
					      .flags = flags,
					      .eax = bits_for(count),
					      .ebx = count,
					      .ecx = 2U << 8 | 1U,
					      .edx = id });
	if (r < 0)
		return r;
	return add(c, (struct kvm_cpuid_entry2){
			      .function = 0xb, .index = 2, .flags = flags, .ecx = 2, .edx = id });
}

/* Cache leaves (4 and 0x8000001d): L3 is shared by all cores, the rest is the core's own. */
static void set_caches(struct cpuid *c, uint32_t function, unsigned count)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];
		uint32_t level = e->eax >> 5 & 7U;
		uint32_t sharing = level >= 3 ? (1U << bits_for(count)) - 1 : 0;
		if (e->function != function || (e->eax & 0x1fU) == 0)
			continue;
		e->eax = (e->eax & 0x3fffU) | sharing << 14;
		if (function == 4)
			e->eax |= ((1U << bits_for(count)) - 1) << 26;
	}
}

static void set_basic(struct cpuid *c, uint32_t id, unsigned count, bool tsc_deadline)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 1, 0);

	if (e != NULL) {
		e->ebx = (e->ebx & 0xff00U) | id << 24 | (uint32_t)(1U << bits_for(count)) << 16;
		e->ecx |= 1U << 31; /* hypervisor present */
		if (tsc_deadline)
			e->ecx |= 1U << 24;
		if (count > 1)
			e->edx |= 1U << 28; /* more than one logical processor */
		else
			e->edx &= ~(1U << 28);
	}
	e = cpuid_find(c, 0x80000008, 0);
	if (e != NULL)
		e->ecx = bits_for(count) << 12 | (count - 1);
	e = cpuid_find(c, 0x8000001e, 0);
	if (e != NULL) {
		e->eax = id;
		e->ebx = id; /* core id; one thread */
		e->ecx = 0;  /* one node */
		e->edx = 0;
	}
	e = cpuid_find(c, 0x80000001, 0);
	if (e != NULL && count == 1)
		e->ecx &= ~(1U << 1); /* AMD: CmpLegacy */
}

int cpuid_for_vcpu(const struct cpuid *supported, unsigned index, unsigned count, bool tsc_deadline,
		   struct cpuid *ret)
{
	struct kvm_cpuid_entry2 *base;

	copy_filtered(supported, ret);
	set_basic(ret, index, count, tsc_deadline);
	set_caches(ret, 4, count);
	set_caches(ret, 0x8000001d, count);
	base = cpuid_find(ret, 0, 0);
	if (base == NULL || base->eax < 0xb)
		return 0;
	return add_topology(ret, index, count);
}
