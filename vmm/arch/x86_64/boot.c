/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arch/x86_64/boot.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/num.h"
#include "vmm/arch/x86_64/layout.h"

#define PAGE UINT64_C(4096)

static int load_kernel(const struct boot_config *cfg, struct gmem *m, struct image *img,
		       struct err *err)
{
	bool bz = bzimage_probe(&cfg->kernel);

	if (cfg->protocol == BOOT_BZIMAGE && !bz)
		return err_set(err, -EINVAL, "kernel: not a bzImage");
	if (cfg->protocol != BOOT_BZIMAGE && cfg->protocol != BOOT_AUTO && bz)
		return err_set(err, -EINVAL, "kernel: a bzImage, not an ELF file");
	return bz ? bzimage_load(&cfg->kernel, m, img, err) : elf_load(&cfg->kernel, m, img, err);
}

static int choose_entry(const struct boot_config *cfg, const struct image *img,
			struct boot_entry *ret, struct err *err)
{
	bool pvh = cfg->protocol == BOOT_PVH || (cfg->protocol == BOOT_AUTO && img->entry_pvh != 0);

	if (pvh && img->entry_pvh == 0)
		return err_set(err, -EINVAL, "kernel: it has no PVH entry note");
	if (!pvh && img->entry64 == 0)
		return err_set(err, -EINVAL, "kernel: the ELF entry is not inside a segment");
	/* The identity map that the 64-bit entry is given ends there. */
	if (!pvh && img->entry64 >= GMEM_HOLE_END)
		return err_set(err, -EINVAL, "kernel: the entry lies beyond 4 GiB");
	*ret = (struct boot_entry){
		.pvh = pvh,
		.rip = pvh ? img->entry_pvh : img->entry64,
		.info = pvh ? LAYOUT_PVH_INFO : LAYOUT_ZERO_PAGE,
	};
	return 0;
}

/* As high as the kernel allows, in the RAM below the hole, page-aligned, clear of the kernel. */
static int place_initrd(const struct source *s, struct gmem *m, const struct image *img,
			struct boot_initrd *ret, struct err *err)
{
	uint64_t top = MIN(m->regions[0].size, img->initrd_max + 1);
	uint64_t floor = MAX(LAYOUT_KERNEL_MIN, img->end > top ? LAYOUT_KERNEL_MIN : img->end);
	uint64_t addr;

	top &= ~(PAGE - 1);
	if (top < floor || s->size > top - floor)
		return err_set(err, -EINVAL,
			       "initrd: %" PRIu64
			       " bytes don't fit between the kernel's end at %" PRIu64
			       " MiB and %" PRIu64 " MiB; give the guest more memory",
			       s->size, floor / MIB, top / MIB);
	addr = (top - s->size) & ~(PAGE - 1);
	if (addr < floor || (addr < img->end && img->start < addr + s->size))
		return err_set(err, -EINVAL, "initrd: it would overlap the kernel");
	*ret = (struct boot_initrd){ .addr = addr, .size = s->size };
	return source_load(s, 0, m, gpa(addr), s->size, "the file", err);
}

static int write_cmdline(const char *cmdline, const struct image *img, struct gmem *m,
			 struct err *err)
{
	size_t len = strlen(cmdline);

	if (len > img->cmdline_max || len > LAYOUT_CMDLINE_MAX)
		return err_set(err, -EINVAL, "cmdline: %zu bytes, this kernel takes %" PRIu32, len,
			       MIN(img->cmdline_max, LAYOUT_CMDLINE_MAX));
	return gmem_write(m, gpa(LAYOUT_CMDLINE), cmdline, len + 1);
}

/*
 * What a BIOS would do at its entry. Linux with EFI compiled in takes hardware-reduced ACPI for a
 * sign of EFI and restarts by that; without EFI it then falls back to the BIOS, in real mode, where
 * it would run through empty memory for ever.
 */
static int write_reset_vector(struct gmem *m)
{
	static const uint8_t code[] = {
		0xba,
		PORT_RESET & 0xff,
		PORT_RESET >> 8, /* mov $PORT_RESET, %dx */
		0xb0,
		RESET_VALUE, /* mov $RESET_VALUE, %al */
		0xee,	     /* out %al, (%dx) */
		0xf4,	     /* hlt */
		0xeb,
		0xfd, /* jmp back to the hlt */
	};

	return gmem_write(m, gpa(LAYOUT_RESET_VECTOR), code, sizeof(code));
}

int boot_load(const struct boot_config *cfg, struct gmem *m, struct boot_entry *ret,
	      struct err *err)
{
	struct boot_initrd rd = { 0 };
	struct boot_entry entry = { 0 };
	struct image img = { 0 };
	struct memmap map;
	int r;

	r = load_kernel(cfg, m, &img, err);
	if (r < 0)
		return r;
	r = choose_entry(cfg, &img, &entry, err);
	if (r < 0)
		return r;
	if (cfg->initrd != NULL) {
		r = place_initrd(cfg->initrd, m, &img, &rd, err);
		if (r < 0)
			return r;
	}
	r = write_cmdline(cfg->cmdline, &img, m, err);
	if (r < 0)
		return r;
	r = write_reset_vector(m);
	if (r < 0)
		return err_sys(err, r, "reset vector");
	memmap_build(&map, m);
	if (entry.pvh)
		r = pvh_write_info(m, &map, &rd);
	else
		r = boot_params_write(m, &map, &img, &rd, (uint32_t)strlen(cfg->cmdline));
	if (r < 0)
		return err_sys(err, r, "boot information");
	*ret = entry;
	return 0;
}
