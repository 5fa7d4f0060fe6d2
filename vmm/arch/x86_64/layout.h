/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.h - the guest-physical map of an x86_64 machine of ours. Pure constants.
 *
 *   0x00000000  boot data below: GDT, start_info, zero page, page tables, command line
 *   0x0009fc00  end of the usable low memory
 *   0x000e0000  ACPI tables, RSDP first (where a kernel without boot information looks for it)
 *   0x000f0000  the generation id
 *   0x000ffff0  nine bytes of code that reset the machine
 *   0x00100000  kernel, RAM ... up to 3 GiB
 *   0xd0000000  one page of MMIO for each virtio device
 *   0xfec00000  IOAPIC            0xfee00000  local APICs (KVM)
 *   4 GiB       the rest of RAM
 */
#ifndef VMM_ARCH_X86_64_LAYOUT_H
#define VMM_ARCH_X86_64_LAYOUT_H

#include <stdint.h>

#include "vmm/gmem.h"

/* Boot data. The kernel copies or abandons all of it early; none of it is reserved. */
#define LAYOUT_GDT	    UINT64_C(0x500)
#define LAYOUT_PVH_INFO	    UINT64_C(0x6000)
#define LAYOUT_PVH_MODULES  UINT64_C(0x6100)
#define LAYOUT_PVH_MEMMAP   UINT64_C(0x6200)
#define LAYOUT_ZERO_PAGE    UINT64_C(0x7000)
#define LAYOUT_BOOT_STACK   UINT64_C(0x8ff0) /* grows down to 0x8000 */
#define LAYOUT_PML4	    UINT64_C(0x9000)
#define LAYOUT_PDPT	    UINT64_C(0xa000)
#define LAYOUT_PD	    UINT64_C(0xb000) /* 4 pages: 4 GiB of 2 MiB pages */
#define LAYOUT_CMDLINE	    UINT64_C(0x20000)
#define LAYOUT_LOW_END	    UINT64_C(0x9fc00)
#define LAYOUT_ACPI	    UINT64_C(0xe0000)
#define LAYOUT_ACPI_END	    UINT64_C(0xf0000)
#define LAYOUT_GENID	    UINT64_C(0xf0000)
#define LAYOUT_RESET_VECTOR UINT64_C(0xffff0) /* where real mode starts, and restarts */
#define LAYOUT_FIRMWARE_END UINT64_C(0x100000)
#define LAYOUT_KERNEL_MIN   UINT64_C(0x100000) /* nothing of the kernel may lie below */

#define LAYOUT_CMDLINE_MAX 2047U /* without the NUL */

/* Devices. */
#define LAYOUT_VIRTIO UINT64_C(0xd0000000)
#define LAYOUT_IOAPIC UINT64_C(0xfec00000)
#define LAYOUT_LAPIC  UINT64_C(0xfee00000)
/* KVM's own pages for VMX hosts without unrestricted guest mode. */
#define LAYOUT_TSS	UINT64_C(0xfffbd000)
#define LAYOUT_IDENTITY UINT64_C(0xfffbc000)

_Static_assert(LAYOUT_VIRTIO >= GMEM_HOLE_START, "devices lie in the hole");

/* Interrupts: device n has IOAPIC pin LAYOUT_GSI_VIRTIO + n. */
#define LAYOUT_IOAPIC_PINS 24U
#define LAYOUT_GSI_VIRTIO  5U
#define LAYOUT_GSI_GED	   23U /* the generic event device: the generation id has changed */

/* I/O ports. */
#define PORT_SLEEP_CONTROL 0x600 /* ACPI hardware-reduced sleep registers */
#define PORT_SLEEP_STATUS  0x601
#define PORT_RESET	   0x602
#define PORT_PVPANIC	   0x505
#define PORT_I8042	   0x64 /* only its reset command, 0xfe */

#define RESET_VALUE	 0x06
#define SLEEP_TYPE_S5	 5 /* SLP_TYP of \_S5 */
#define PVPANIC_PANICKED 0x01

#endif
