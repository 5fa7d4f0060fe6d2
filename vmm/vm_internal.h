/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_internal.h - private to the VM's files:
 *
 *     vm.c          configuration, memory, KVM; the order of construction
 *     vm_cpus.c     vCPUs and what they start from
 *     vm_devices.c  devices and their interrupts
 */
#ifndef VMM_VM_INTERNAL_H
#define VMM_VM_INTERNAL_H

#include "vmm/vm.h"

/* What the vCPUs start from. */
struct vm_state;
struct vm_origin {
	struct boot_entry entry;
	struct vm_state *state; /* of a snapshot, or NULL: entry */
};

/* Makes the vCPUs and gives them their state. */
MUST_USE int vm_add_vcpus(struct vm *vm, const struct vm_config *cfg, const struct vm_origin *from,
			  struct err *err);

/* How many devices this configuration has. Pure. */
unsigned vm_count_devices(const struct vm_config *cfg);
/* Makes them, in the order in which a kernel shall number them, and has them served. */
MUST_USE int vm_add_devices(struct vm *vm, const struct vm_config *cfg, struct loop *loop,
			    struct err *err);

/* Raises the pins of restored devices that still want service: an edge may have been on its way. */
void vm_raise_pending(struct vm *vm);

/* What the IOAPIC does to this VM; arg is the struct vm. */
extern const struct ioapic_ops vm_ioapic_ops;

#endif
