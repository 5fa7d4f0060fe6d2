/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/footprint.h"

#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define PAGE ((uintptr_t)4096)

/* Only segments that were never writable: what was relocated is nowhere but in memory. */
static int shrink_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t from =
			((uintptr_t)info->dlpi_addr + ph->p_vaddr + PAGE - 1) & ~(PAGE - 1);
		uintptr_t to =
			((uintptr_t)info->dlpi_addr + ph->p_vaddr + ph->p_memsz) & ~(PAGE - 1);
		if (ph->p_type != PT_LOAD || (ph->p_flags & PF_W) != 0 || to <= from)
			continue;
		/* It is only about memory: without it we are larger, and nothing else. */
		(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 1; /* the first object is the program, and the only one */
}

void footprint_shrink(void)
{
	(void)dl_iterate_phdr(shrink_object, NULL);
}
