/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.h - the ACPI tables of the machine, hardware-reduced (no PM timer, no 8259, no 8042):
 * RSDP, XSDT, FADT, MADT and a DSDT that lists the virtio-mmio devices as LNRO0005, the panic
 * port as QEMU0001, the generation id as VMGENCTR with an event device that tells of its change
 * (genid.h), and the S5 state. Pure over gmem.
 */
#ifndef VMM_ARCH_X86_64_ACPI_H
#define VMM_ARCH_X86_64_ACPI_H

#include "base/compiler.h"
#include "vmm/gmem.h"

struct acpi_config {
	unsigned vcpus;	  /* local APIC ids 0 .. vcpus-1 */
	unsigned devices; /* virtio devices 0 .. devices-1, at layout.h's addresses and pins */
};

/* Writes all tables, from LAYOUT_ACPI (the RSDP) on. 0, or -errno (which would be our bug). */
MUST_USE int acpi_write(struct gmem *m, const struct acpi_config *cfg);

#endif
