/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF loader over a hostile file, and boot_load around it. Whatever is accepted must lie in
 * RAM, above our own boot data, and be entered inside itself. The input is the file.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/layout.h"

#define RAM (16 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gmem mem;

static void check_image(const struct image *img)
{
	BUG_ON(img->start < LAYOUT_KERNEL_MIN || img->start >= img->end || img->end > RAM);
	BUG_ON(img->entry64 != 0 && (img->entry64 < img->start || img->entry64 >= img->end));
	BUG_ON(img->entry_pvh != 0 && (img->entry_pvh < img->start || img->entry_pvh >= img->end));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t initrd_bytes[100];
	struct boot_config cfg = { .cmdline = "quiet" };
	struct boot_entry entry;
	struct source initrd;
	struct image img;
	struct err err = { 0 };

	if (mem.count == 0)
		BUG_ON(gmem_init(&mem, RAM) != 0);
	source_from_mem(&cfg.kernel, "kernel", data, size);
	source_from_mem(&initrd, "initrd", initrd_bytes, sizeof(initrd_bytes));
	cfg.initrd = &initrd;
	if (elf_load(&cfg.kernel, &mem, &img, &err) == 0)
		check_image(&img);
	else
		BUG_ON(err.code >= 0 || err.msg[0] == '\0');
	for (unsigned p = BOOT_AUTO; p <= BOOT_LINUX64; p++) {
		cfg.protocol = (enum boot_protocol)p;
		(void)boot_load(&cfg, &mem, &entry, &err);
	}
	return 0;
}
