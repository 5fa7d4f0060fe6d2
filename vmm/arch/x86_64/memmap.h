/* SPDX-License-Identifier: Apache-2.0 */
/* memmap.h - the memory map that the guest is told (e820 and PVH use the same types). Pure. */
#ifndef VMM_ARCH_X86_64_MEMMAP_H
#define VMM_ARCH_X86_64_MEMMAP_H

#include <stdint.h>

#include "vmm/gmem.h"

#define MEMMAP_MAX 8U

enum memmap_type { MEMMAP_RAM = 1, MEMMAP_RESERVED = 2 };

struct memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type; /* enum memmap_type */
};

struct memmap {
	struct memmap_entry entries[MEMMAP_MAX];
	unsigned count;
};

/* The map of a machine with this memory; ascending, without overlap. */
void memmap_build(struct memmap *map, const struct gmem *m);

#endif
