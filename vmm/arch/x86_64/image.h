/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.h - a kernel image in guest memory: what the ELF and bzImage loaders find out.
 *
 * The loaders are parsers of hostile files: pure functions over a struct source and a struct
 * gmem, with checked arithmetic, bounded loops and no allocation. They place bytes only at or
 * above LAYOUT_KERNEL_MIN, inside RAM, and never twice at one address. Guest memory must be
 * fresh (zero), which is why no bss is cleared.
 */
#ifndef VMM_ARCH_X86_64_IMAGE_H
#define VMM_ARCH_X86_64_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/gmem.h"
#include "vmm/source.h"

#define SETUP_HEADER_OFF 0x1f1U /* of a bzImage and of struct boot_params */
#define SETUP_HEADER_MAX 0x8fU	/* up to the end of boot_params' room for it */

struct image {
	uint64_t start; /* guest-physical footprint: [start, end) */
	uint64_t end;
	uint64_t entry64;			/* 0 = none */
	uint32_t entry_pvh;			/* 0 = none */
	uint64_t initrd_max;			/* last byte that the kernel allows for an initrd */
	uint32_t cmdline_max;			/* bytes without NUL */
	uint8_t setup_header[SETUP_HEADER_MAX]; /* bzImage only */
	uint32_t setup_header_bytes;		/* 0 = none */
};

/* Does the file carry the boot protocol's magic? Never fails: a short file is not a bzImage. */
bool bzimage_probe(const struct source *s);

/* Check, load, describe: 0, -EINVAL (bad file) or -errno, with the reason in err. */
MUST_USE int elf_load(const struct source *s, struct gmem *m, struct image *ret, struct err *err);
MUST_USE int bzimage_load(const struct source *s, struct gmem *m, struct image *ret,
			  struct err *err);

#endif
