/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arch/x86_64/cpu_template.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <sys/ioctl.h>

#include "base/bug.h"
#include "base/num.h"

enum { EAX = 1U << 0, EBX = 1U << 1, ECX = 1U << 2, EDX = 1U << 3 };

/* The registers of CPUID that are sets of features. In all others a bit is part of a number, a size
 * or a name, and clearing it would not take something away but tell something wrong. */
static const struct {
	uint32_t function, index;
	unsigned registers;
} feature_leaves[] = {
	{ 0x1, 0, ECX | EDX },
	{ 0x7, 0, EBX | ECX | EDX },
	{ 0x7, 1, EAX | EBX | ECX | EDX },
	{ 0x7, 2, EDX },
	{ 0xd, 0, EAX | EDX },	     /* XCR0 */
	{ 0xd, 1, EAX | ECX | EDX }, /* XSAVE's forms; XSS */
	{ 0x19, 0, EBX | ECX },
	{ 0x24, 0, EBX },
	{ 0x40000001, 0, EAX },
	{ 0x80000001, 0, ECX | EDX },
	{ 0x80000007, 0, EDX },
	{ 0x80000008, 0, EBX },
	{ 0x80000021, 0, EAX | ECX },
};

#define MSR_UCODE_REV		0x8bU
#define MSR_PLATFORM_INFO	0xceU
#define MSR_CORE_CAPABILITIES	0xcfU
#define MSR_ARCH_CAPABILITIES	0x10aU
#define ARCH_CAPABILITIES_WORSE (UINT64_C(1) << 2 | UINT64_C(1) << 19) /* RSBA, RRSBA */

static const struct {
	uint32_t index;
	uint64_t may_clear, may_set;
} feature_msrs[] = {
	{ MSR_UCODE_REV, UINT64_MAX, 0 },
	{ MSR_PLATFORM_INFO, UINT64_C(1) << 31, 0 }, /* CPUID faulting */
	{ MSR_CORE_CAPABILITIES, UINT64_MAX, 0 },
	{ MSR_ARCH_CAPABILITIES, ~ARCH_CAPABILITIES_WORSE, ARCH_CAPABILITIES_WORSE },
};

static int check_cpuid(const struct cpu_template *t, unsigned n, struct err *err)
{
	const struct cpu_template_cpuid *m = &t->cpuid[n];
	unsigned changed = (m->eax != UINT32_MAX ? EAX : 0U) | (m->ebx != UINT32_MAX ? EBX : 0U) |
			   (m->ecx != UINT32_MAX ? ECX : 0U) | (m->edx != UINT32_MAX ? EDX : 0U);
	unsigned allowed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(feature_leaves); i++)
		if (feature_leaves[i].function == m->function &&
		    feature_leaves[i].index == m->index)
			allowed = feature_leaves[i].registers;
	if ((changed & ~allowed) != 0)
		return err_set(err, -EINVAL,
			       "cpu: leaf 0x%" PRIx32 " index %" PRIu32
			       ": not a register of features",
			       m->function, m->index);
	for (unsigned i = 0; i < n; i++)
		if (t->cpuid[i].function == m->function && t->cpuid[i].index == m->index)
			return err_set(err, -EINVAL,
				       "cpu: leaf 0x%" PRIx32 " index %" PRIu32 " twice",
				       m->function, m->index);
	return 0;
}

static int check_msr(const struct cpu_template *t, unsigned n, struct err *err)
{
	const struct cpu_template_msr *m = &t->msrs[n];
	uint64_t clear = m->mask & ~m->value, set = m->mask & m->value;
	size_t i = 0;

	while (i < ARRAY_SIZE(feature_msrs) && feature_msrs[i].index != m->index)
		i++;
	if (i == ARRAY_SIZE(feature_msrs))
		return err_set(err, -EINVAL, "cpu: MSR 0x%" PRIx32 " can't be set by a template",
			       m->index);
	if ((m->value & ~m->mask) != 0)
		return err_set(err, -EINVAL, "cpu: MSR 0x%" PRIx32 ": value outside its mask",
			       m->index);
	if ((clear & ~feature_msrs[i].may_clear) != 0 || (set & ~feature_msrs[i].may_set) != 0)
		return err_set(err, -EINVAL,
			       "cpu: MSR 0x%" PRIx32 ": a template can only offer less", m->index);
	for (unsigned k = 0; k < n; k++)
		if (t->msrs[k].index == m->index)
			return err_set(err, -EINVAL, "cpu: MSR 0x%" PRIx32 " twice", m->index);
	return 0;
}

int cpu_template_check(const struct cpu_template *t, struct err *err)
{
	int r = 0;

	BUG_ON(t->cpuid_count > CPU_TEMPLATE_CPUID_MAX || t->msrs_count > CPU_TEMPLATE_MSRS_MAX);
	for (unsigned i = 0; i < t->cpuid_count && r == 0; i++)
		r = check_cpuid(t, i, err);
	for (unsigned i = 0; i < t->msrs_count && r == 0; i++)
		r = check_msr(t, i, err);
	return r;
}

void cpu_template_narrow(const struct cpu_template *t, struct cpuid *c)
{
	for (unsigned i = 0; i < t->cpuid_count; i++) {
		const struct cpu_template_cpuid *m = &t->cpuid[i];
		struct kvm_cpuid_entry2 *e = cpuid_find(c, m->function, m->index);
		if (e == NULL)
			continue;
		e->eax &= m->eax;
		e->ebx &= m->ebx;
		e->ecx &= m->ecx;
		e->edx &= m->edx;
	}
}

uint64_t cpu_template_msr_value(const struct cpu_template_msr *m, uint64_t now)
{
	/* The check has seen to it that only bits that may be set are in value. */
	return (now & ~m->mask) | m->value;
}

union one_msr {
	struct kvm_msrs h;
	uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

int cpu_template_set_msrs(const struct cpu_template *t, int vcpu_fd, struct err *err)
{
	for (unsigned i = 0; i < t->msrs_count; i++) {
		const struct cpu_template_msr *m = &t->msrs[i];
		union one_msr u = { .h = { .nmsrs = 1 } };
		int n;
		u.h.entries[0].index = m->index;
		n = ioctl(vcpu_fd, KVM_GET_MSRS, &u.h);
		if (n < 0)
			return err_sys(err, -errno, "KVM_GET_MSRS");
		if (n == 1) {
			u.h.entries[0].data = cpu_template_msr_value(m, u.h.entries[0].data);
			n = ioctl(vcpu_fd, KVM_SET_MSRS, &u.h);
			if (n < 0)
				return err_sys(err, -errno, "KVM_SET_MSRS");
		}
		if (n != 1)
			return err_set(err, -ENOTSUP,
				       "cpu: MSR 0x%" PRIx32 ": this KVM hasn't got it", m->index);
	}
	return 0;
}
