/* SPDX-License-Identifier: Apache-2.0 */
/* pvh.c - struct hvm_start_info of the PVH boot ABI (Xen's public/arch-x86/hvm/start_info.h). */
#include "base/le.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/layout.h"

#define START_INFO_MAGIC   0x336ec578U
#define START_INFO_VERSION 1U

struct start_info {
	le32_t magic;
	le32_t version;
	le32_t flags;
	le32_t modules;
	le64_t modlist_paddr;
	le64_t cmdline_paddr;
	le64_t rsdp_paddr;
	le64_t memmap_paddr;
	le32_t memmap_entries;
	le32_t reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "ABI");

struct module_entry {
	le64_t paddr;
	le64_t size;
	le64_t cmdline_paddr;
	le64_t reserved;
};
_Static_assert(sizeof(struct module_entry) == 32, "ABI");

struct map_entry {
	le64_t addr;
	le64_t size;
	le32_t type;
	le32_t reserved;
};
_Static_assert(sizeof(struct map_entry) == 24, "ABI");
_Static_assert(LAYOUT_PVH_MEMMAP + MEMMAP_MAX * sizeof(struct map_entry) <= LAYOUT_ZERO_PAGE,
	       "room");

int pvh_write_info(struct gmem *m, const struct memmap *map, const struct boot_initrd *rd)
{
	struct map_entry entries[MEMMAP_MAX] = { 0 };
	struct module_entry mod = { .paddr = le64_put(rd->addr), .size = le64_put(rd->size) };
	struct start_info si = {
		.magic = le32_put(START_INFO_MAGIC),
		.version = le32_put(START_INFO_VERSION),
		.modules = le32_put(rd->size > 0 ? 1 : 0),
		.modlist_paddr = le64_put(rd->size > 0 ? LAYOUT_PVH_MODULES : 0),
		.cmdline_paddr = le64_put(LAYOUT_CMDLINE),
		.rsdp_paddr = le64_put(LAYOUT_ACPI),
		.memmap_paddr = le64_put(LAYOUT_PVH_MEMMAP),
		.memmap_entries = le32_put(map->count),
	};
	int r;

	for (unsigned i = 0; i < map->count; i++) {
		entries[i].addr = le64_put(map->entries[i].addr);
		entries[i].size = le64_put(map->entries[i].size);
		entries[i].type = le32_put(map->entries[i].type);
	}
	r = gmem_write(m, gpa(LAYOUT_PVH_MEMMAP), entries, sizeof(entries));
	if (r < 0)
		return r;
	r = gmem_write(m, gpa(LAYOUT_PVH_MODULES), &mod, sizeof(mod));
	if (r < 0)
		return r;
	return gmem_write(m, gpa(LAYOUT_PVH_INFO), &si, sizeof(si));
}
