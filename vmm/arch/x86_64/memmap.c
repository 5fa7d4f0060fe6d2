/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arch/x86_64/memmap.h"

#include "base/bug.h"
#include "vmm/arch/x86_64/layout.h"

static void add(struct memmap *map, uint64_t start, uint64_t end, enum memmap_type type)
{
	BUG_ON(map->count >= MEMMAP_MAX);
	BUG_ON(start >= end);
	map->entries[map->count++] =
		(struct memmap_entry){ .addr = start, .size = end - start, .type = type };
}

void memmap_build(struct memmap *map, const struct gmem *m)
{
	map->count = 0;
	/* The first page is left out of RAM by every kernel; low memory ends where an EBDA would.
	 */
	add(map, 0, LAYOUT_LOW_END, MEMMAP_RAM);
	add(map, LAYOUT_LOW_END, UINT64_C(0xa0000), MEMMAP_RESERVED);
	add(map, LAYOUT_ACPI, LAYOUT_FIRMWARE_END, MEMMAP_RESERVED);
	for (unsigned i = 0; i < m->count; i++) {
		uint64_t start = m->regions[i].gpa, end = start + m->regions[i].size;
		if (start == 0)
			start = LAYOUT_KERNEL_MIN;
		add(map, start, end, MEMMAP_RAM);
	}
}
