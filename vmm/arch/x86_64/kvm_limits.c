/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arch/x86_64/kvm_limits.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "base/num.h"

/* TSC cycles without an event window after which the processor gives up on the guest; the
 * hardware adds a margin of its own. */
#define NOTIFY_WINDOW UINT64_C(131072)

static const struct {
	const char *name;
	uint32_t cap;
	uint64_t arg;  /* asked for... */
	uint64_t bits; /* ...of these bits, if KVM_CHECK_EXTENSION says that it has them */
} limits[] = {
	/* No performance counters: they are a fine clock for side channels, and a large surface. */
	{ "KVM_CAP_PMU_CAPABILITY", KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE,
	  KVM_PMU_CAP_DISABLE },
	/* A guest that keeps its processor from ever taking an interrupt (an endless #AC or #DB
	 * delivery) would keep the host's CPU: it exits instead. vcpu.c counts them. */
	{ "KVM_CAP_X86_NOTIFY_VMEXIT", KVM_CAP_X86_NOTIFY_VMEXIT,
	  NOTIFY_WINDOW << 32 | KVM_X86_NOTIFY_VMEXIT_ENABLED | KVM_X86_NOTIFY_VMEXIT_USER,
	  KVM_X86_NOTIFY_VMEXIT_ENABLED | KVM_X86_NOTIFY_VMEXIT_USER },
	/* Split locks stop the memory bus for everybody: each costs the guest an exit, and counts.
	 */
	{ "KVM_CAP_X86_BUS_LOCK_EXIT", KVM_CAP_X86_BUS_LOCK_EXIT, KVM_BUS_LOCK_DETECTION_EXIT,
	  KVM_BUS_LOCK_DETECTION_EXIT },
	/* KVM's favours to old guests that Linux doesn't need: an interrupt pin for a PIC, an APIC
	 * that answers although it is off, a step over one BIOS's `out`; and, above all, writing a
	 * hypercall instruction into the guest's code, and MONITOR and MWAIT that seem to work
	 * though CPUID doesn't show them. */
	{ "KVM_CAP_DISABLE_QUIRKS2", KVM_CAP_DISABLE_QUIRKS2,
	  KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE |
		  KVM_X86_QUIRK_OUT_7E_INC_RIP | KVM_X86_QUIRK_FIX_HYPERCALL_INSN |
		  KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS,
	  UINT32_MAX },
};
/* Never asked for, so absent: KVM_CAP_EXIT_HYPERCALL (no hypercall comes to us),
 * KVM_CAP_X86_DISABLE_EXITS (HLT, PAUSE and MWAIT always leave the guest),
 * KVM_CAP_X86_USER_SPACE_MSR (denied MSRs are #GP), and all of Hyper-V's and Xen's interfaces. */

int kvm_limits_set(int vm_fd, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct kvm_enable_cap cap = { .cap = limits[i].cap };
		int has = ioctl(vm_fd, KVM_CHECK_EXTENSION, (unsigned long)limits[i].cap);
		if (has <= 0)
			continue;
		/* Bits beyond `bits` are a parameter, not something to have. */
		cap.args[0] = limits[i].arg & ((uint64_t)(uint32_t)has | ~limits[i].bits);
		if ((cap.args[0] & limits[i].bits) == 0)
			continue;
		if (ioctl(vm_fd, KVM_ENABLE_CAP, &cap) < 0)
			return err_sys(err, -errno, "%s", limits[i].name);
	}
	return 0;
}
