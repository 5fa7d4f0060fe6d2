/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_internal.h - private to the VM's files:
 *
 *     vm.c          configuration, memory, KVM; the order of construction
 *     vm_devices.c  devices and their interrupts
 */
#ifndef VMM_VM_INTERNAL_H
#define VMM_VM_INTERNAL_H

#include "vmm/vm.h"

/* How many devices this configuration has. Pure. */
unsigned vm_count_devices(const struct vm_config *cfg);
/* Makes them, in the order in which a kernel shall number them, and has them served. */
MUST_USE int vm_add_devices(struct vm *vm, const struct vm_config *cfg, struct loop *loop,
			    struct err *err);

/* What the IOAPIC does to this VM; arg is the struct vm. */
extern const struct ioapic_ops vm_ioapic_ops;

#endif
