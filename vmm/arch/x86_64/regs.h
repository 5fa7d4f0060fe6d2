/* SPDX-License-Identifier: Apache-2.0 */
/* regs.h - the registers that a boot processor starts with. */
#ifndef VMM_ARCH_X86_64_REGS_H
#define VMM_ARCH_X86_64_REGS_H

#include "base/compiler.h"
#include "base/err.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/gmem.h"

/* GDT and, for the 64-bit entry, page tables that map the first 4 GiB one to one with 2 MiB
 * pages (1 GiB pages don't work on every KVM). 0 or -errno. */
MUST_USE int regs_write_tables(struct gmem *m, const struct boot_entry *entry);

/* General, segment and control registers of vCPU 0, by the boot protocol. */
MUST_USE int regs_set_boot(int vcpu_fd, const struct boot_entry *entry, struct err *err);
/* MSRs of every vCPU: memory type, string instructions. */
MUST_USE int regs_set_msrs(int vcpu_fd, struct err *err);

#endif
