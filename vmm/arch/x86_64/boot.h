/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - everything that a kernel finds in memory when it is entered: itself, its initrd, its
 * command line, the memory map and the structure of the boot protocol. Pure over gmem; the ACPI
 * tables are acpi.h's, the CPU's registers regs.h's.
 */
#ifndef VMM_ARCH_X86_64_BOOT_H
#define VMM_ARCH_X86_64_BOOT_H

#include "base/err.h"
#include "vmm/arch/x86_64/image.h"
#include "vmm/arch/x86_64/memmap.h"
#include "vmm/gmem.h"
#include "vmm/source.h"

enum boot_protocol { BOOT_AUTO, BOOT_PVH, BOOT_LINUX64, BOOT_BZIMAGE };

struct boot_config {
	struct source kernel;
	const struct source *initrd; /* NULL = none */
	const char *cmdline;
	enum boot_protocol protocol;
};

/* How the boot processor starts. */
struct boot_entry {
	bool pvh; /* 32-bit protected mode and start_info in ebx, else long mode and rsi */
	uint64_t rip;
	uint64_t info; /* guest-physical address of start_info or boot_params */
};

/* An initrd's place. */
struct boot_initrd {
	uint64_t addr;
	uint64_t size; /* 0 = none */
};

/* Loads and places everything: 0, -EINVAL with the reason in err, or -errno. */
MUST_USE int boot_load(const struct boot_config *cfg, struct gmem *m, struct boot_entry *ret,
		       struct err *err);

/* The two boot structures, for boot.c. 0 or -EFAULT. */
MUST_USE int pvh_write_info(struct gmem *m, const struct memmap *map, const struct boot_initrd *rd);
MUST_USE int boot_params_write(struct gmem *m, const struct memmap *map, const struct image *img,
			       const struct boot_initrd *rd, uint32_t cmdline_bytes);

#endif
