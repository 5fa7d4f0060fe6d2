/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_params.c - the "zero page" of the Linux boot protocol, written by offset: the setup header
 * of the bzImage (or a minimal one for an ELF kernel) with our answers in it, and the e820 map.
 */
#include <string.h>

#include "base/le.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/layout.h"

#define ZERO_PAGE_BYTES 4096U

/* Offsets in struct boot_params (Documentation/arch/x86/zero-page.rst). */
#define BP_ACPI_RSDP_ADDR   0x070U
#define BP_E820_ENTRIES	    0x1e8U
#define BP_HDR_BOOT_FLAG    0x1feU
#define BP_HDR_MAGIC	    0x202U
#define BP_HDR_VERSION	    0x206U
#define BP_HDR_LOADER	    0x210U
#define BP_HDR_LOADFLAGS    0x211U
#define BP_HDR_RAMDISK	    0x218U
#define BP_HDR_RAMDISK_SIZE 0x21cU
#define BP_HDR_CMDLINE	    0x228U
#define BP_HDR_ALIGNMENT    0x230U
#define BP_HDR_CMDLINE_SIZE 0x238U
#define BP_E820_TABLE	    0x2d0U
#define BP_E820_ENTRY_BYTES 20U

#define LOADER_UNDEFINED 0xffU /* a boot loader without an assigned number */
#define LOADED_HIGH	 0x01U

_Static_assert(SETUP_HEADER_OFF + SETUP_HEADER_MAX <= BP_E820_TABLE, "header before e820");
_Static_assert(BP_E820_TABLE + MEMMAP_MAX * BP_E820_ENTRY_BYTES <= ZERO_PAGE_BYTES, "e820 fits");

static void put16(uint8_t *page, unsigned off, uint16_t v)
{
	le16_t le = le16_put(v);
	memcpy(page + off, &le, sizeof(le));
}

static void put32(uint8_t *page, unsigned off, uint32_t v)
{
	le32_t le = le32_put(v);
	memcpy(page + off, &le, sizeof(le));
}

static void put64(uint8_t *page, unsigned off, uint64_t v)
{
	le64_t le = le64_put(v);
	memcpy(page + off, &le, sizeof(le));
}

int boot_params_write(struct gmem *m, const struct memmap *map, const struct image *img,
		      const struct boot_initrd *rd, uint32_t cmdline_bytes)
{
	uint8_t page[ZERO_PAGE_BYTES] = { 0 };

	if (img->setup_header_bytes > 0) {
		memcpy(page + SETUP_HEADER_OFF, img->setup_header, img->setup_header_bytes);
	} else {
		put16(page, BP_HDR_BOOT_FLAG, 0xaa55);
		put32(page, BP_HDR_MAGIC, 0x53726448); /* "HdrS" */
		put16(page, BP_HDR_VERSION, 0x020f);
		put32(page, BP_HDR_ALIGNMENT, 0x200000);
		page[BP_HDR_LOADFLAGS] = LOADED_HIGH;
	}
	page[BP_HDR_LOADER] = LOADER_UNDEFINED;
	put32(page, BP_HDR_CMDLINE, (uint32_t)LAYOUT_CMDLINE);
	put32(page, BP_HDR_CMDLINE_SIZE, cmdline_bytes);
	put32(page, BP_HDR_RAMDISK, (uint32_t)rd->addr);
	put32(page, BP_HDR_RAMDISK_SIZE, (uint32_t)rd->size);
	put64(page, BP_ACPI_RSDP_ADDR, LAYOUT_ACPI);
	page[BP_E820_ENTRIES] = (uint8_t)map->count;
	for (unsigned i = 0; i < map->count; i++) {
		unsigned at = BP_E820_TABLE + i * BP_E820_ENTRY_BYTES;
		put64(page, at, map->entries[i].addr);
		put64(page, at + 8, map->entries[i].size);
		put32(page, at + 16, map->entries[i].type);
	}
	return gmem_write(m, gpa(LAYOUT_ZERO_PAGE), page, sizeof(page));
}
