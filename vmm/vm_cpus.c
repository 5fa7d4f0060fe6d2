/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/regs.h"
#include "vmm/snapshot/vcpu_state.h"
#include "vmm/snapshot/vm_state.h"
#include "vmm/vm_internal.h"

static int set_cpuid(const struct vcpu *v, const struct cpuid *cpuid, struct err *err)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + sizeof(cpuid->entries));
	int r = 0;

	if (c == NULL)
		return err_sys(err, -ENOMEM, "cpuid");
	c->nent = cpuid->count;
	memcpy(c->entries, cpuid->entries, cpuid->count * sizeof(cpuid->entries[0]));
	if (ioctl(v->fd, KVM_SET_CPUID2, c) < 0)
		r = err_sys(err, -errno, "KVM_SET_CPUID2");
	free(c);
	return r;
}

/* KVM's paravirtual MSRs and hypercalls answer whatever CPUID says, unless KVM is told to mind it:
 * what cpuid.c takes away is then gone for a guest that doesn't ask, too. */
static int enforce_cpuid(int vcpu_fd, struct err *err)
{
	const struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
					    .args = { 1 } };

	if (ioctl(vcpu_fd, KVM_ENABLE_CAP, &cap) < 0)
		return err_sys(err, -errno, "KVM_CAP_ENFORCE_PV_FEATURE_CPUID");
	return 0;
}

static int cold_state(const struct vcpu *v, const struct vm_config *cfg,
		      const struct boot_entry *entry, struct err *err)
{
	int r = set_cpuid(v, v->cpuid, err);

	if (r == 0)
		r = regs_set_msrs(v->fd, err);
	if (r == 0)
		r = cpu_template_set_msrs(&cfg->cpu, v->fd, err);
	/* The others wait for INIT and SIPI, as KVM makes them. */
	if (r == 0 && v->index == 0)
		r = regs_set_boot(v->fd, entry, err);
	return r;
}

static int add_vcpu(struct vm *vm, unsigned index, const struct vm_config *cfg,
		    const struct cpuid *supported, const struct vm_origin *from, struct err *err)
{
	bool tsc_deadline = ioctl(VMM_FD_KVM, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	struct vcpu *v = &vm->vcpus[index];
	int r = vcpu_init(v, &vm->world, VMM_FD_KVM, VMM_FD_VM, index, err);

	if (r < 0)
		return r;
	v->cpuid = calloc(1, sizeof(*v->cpuid));
	if (v->cpuid == NULL)
		return err_sys(err, -ENOMEM, "cpuid");
	r = cpuid_for_vcpu(supported, index, cfg->vcpus, tsc_deadline, v->cpuid);
	if (r < 0)
		return err_sys(err, r, "cpuid");
	cpu_template_narrow(&cfg->cpu, v->cpuid);
	r = enforce_cpuid(v->fd, err);
	if (r < 0)
		return r;
	if (from->state != NULL)
		return vcpu_state_load(v->fd, index, v->cpuid, vm_state_reader(from->state), err);
	return cold_state(v, cfg, &from->entry, err);
}

/* What lies above the last address that the processor can form would be another's below it. */
static int check_addresses(const struct gmem *m, unsigned bits, struct err *err)
{
	if (bits < 64 && gmem_end(m) > UINT64_C(1) << bits)
		return err_set(err, -EINVAL,
			       "memory: it ends at %" PRIu64
			       " GiB, and this processor has addresses of %u bits",
			       gmem_end(m) / GIB, bits);
	return 0;
}

int vm_add_vcpus(struct vm *vm, const struct vm_config *cfg, const struct vm_origin *from,
		 struct err *err)
{
	static struct cpuid supported; /* 5 KiB; there is one VM and its builder runs once */
	int r = cpuid_read(VMM_FD_CPUID, &supported);

	if (r < 0 && r != -ENODATA)
		return err_sys(err, r, "descriptor %d, what KVM offers", VMM_FD_CPUID);
	if (r == -ENODATA)
		r = cpuid_supported(VMM_FD_KVM, &supported);
	if (r < 0)
		return err_sys(err, r, "KVM_GET_SUPPORTED_CPUID");
	r = check_addresses(&vm->gmem, cpuid_physical_bits(&supported), err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < cfg->vcpus && r == 0; i++) {
		r = add_vcpu(vm, i, cfg, &supported, from, err);
		vm->vcpus_count += r == 0;
	}
	return r;
}
