/* SPDX-License-Identifier: Apache-2.0 */
/* elf.c - an uncompressed kernel (vmlinux): ELF64 with physical addresses in its segments. */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/le.h"
#include "base/num.h"
#include "vmm/arch/x86_64/image.h"
#include "vmm/arch/x86_64/layout.h"

#define PHDRS_MAX	16U
#define NOTES_MAX	64U
#define NOTES_BYTES_MAX 65536U

#define XEN_ELFNOTE_PHYS32_ENTRY 18U /* the PVH entry point */

struct segments {
	Elf64_Phdr ph[PHDRS_MAX];
	unsigned count;
};

static int check_header(const Elf64_Ehdr *eh, struct err *err)
{
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
		return err_set(err, -EINVAL, "kernel: neither an ELF file nor a bzImage");
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return err_set(err, -EINVAL, "kernel: not a 64-bit little-endian ELF file");
	if (eh->e_machine != EM_X86_64)
		return err_set(err, -EINVAL, "kernel: ELF machine %u is not x86_64",
			       (unsigned)eh->e_machine);
	if (eh->e_type != ET_EXEC)
		return err_set(err, -EINVAL, "kernel: ELF type %u is not an executable",
			       (unsigned)eh->e_type);
	if (eh->e_phentsize != sizeof(Elf64_Phdr))
		return err_set(err, -EINVAL, "kernel: program headers of %u bytes, expected %zu",
			       (unsigned)eh->e_phentsize, sizeof(Elf64_Phdr));
	if (eh->e_phnum == 0 || eh->e_phnum > PHDRS_MAX)
		return err_set(err, -EINVAL, "kernel: %u program headers, expected 1 to %u",
			       (unsigned)eh->e_phnum, PHDRS_MAX);
	return 0;
}

/* Is segment i sound: whole in the file, whole in RAM, apart from what was placed before? */
static int check_load(const struct source *s, const struct gmem *m, const struct segments *seg,
		      unsigned i, struct err *err)
{
	const Elf64_Phdr *ph = &seg->ph[i];
	uint64_t end;

	if (ph->p_filesz > ph->p_memsz)
		return err_set(err, -EINVAL,
			       "kernel: segment %u is larger in the file than in memory", i);
	if (ADD_OVERFLOW(ph->p_offset, ph->p_filesz, &end) || end > s->size)
		return err_set(err, -EINVAL,
			       "kernel: truncated: segment %u ends at 0x%" PRIx64 "+0x%" PRIx64
			       ", beyond the file size %" PRIu64,
			       i, ph->p_offset, ph->p_filesz, s->size);
	if (ph->p_paddr < LAYOUT_KERNEL_MIN)
		return err_set(err, -EINVAL,
			       "kernel: segment %u lies at 0x%" PRIx64 ", below 1 MiB", i,
			       ph->p_paddr);
	if (gmem_check(m, gpa(ph->p_paddr), ph->p_memsz) < 0)
		return err_set(err, -EINVAL,
			       "kernel: segment %u at 0x%" PRIx64 " with 0x%" PRIx64
			       " bytes is outside the guest's memory",
			       i, ph->p_paddr, ph->p_memsz);
	for (unsigned j = 0; j < i; j++) {
		const Elf64_Phdr *o = &seg->ph[j];
		if (o->p_type == PT_LOAD && ph->p_paddr < o->p_paddr + o->p_memsz &&
		    o->p_paddr < ph->p_paddr + ph->p_memsz)
			return err_set(err, -EINVAL, "kernel: segments %u and %u overlap", j, i);
	}
	return 0;
}

/* Is the address in a loaded segment? */
static bool in_segments(const struct segments *seg, uint64_t a)
{
	for (unsigned i = 0; i < seg->count; i++)
		if (seg->ph[i].p_type == PT_LOAD && a >= seg->ph[i].p_paddr &&
		    a - seg->ph[i].p_paddr < seg->ph[i].p_memsz)
			return true;
	return false;
}

static int load_segments(const struct source *s, struct gmem *m, const struct segments *seg,
			 struct image *img, struct err *err)
{
	img->start = UINT64_MAX;
	img->end = 0;
	for (unsigned i = 0; i < seg->count; i++) {
		const Elf64_Phdr *ph = &seg->ph[i];
		int r;
		if (ph->p_type != PT_LOAD || ph->p_memsz == 0)
			continue;
		r = check_load(s, m, seg, i, err);
		if (r < 0)
			return r;
		r = source_load(s, ph->p_offset, m, gpa(ph->p_paddr), ph->p_filesz, "a segment",
				err);
		if (r < 0)
			return r;
		img->start = MIN(img->start, ph->p_paddr);
		img->end = MAX(img->end, ph->p_paddr + ph->p_memsz);
	}
	if (img->end == 0)
		return err_set(err, -EINVAL, "kernel: nothing to load in this ELF file");
	return 0;
}

/* The value of a PHYS32_ENTRY note's descriptor. */
static int read_pvh_desc(const struct source *s, uint64_t off, uint32_t bytes, uint32_t *ret,
			 struct err *err)
{
	le64_t v = { 0 };
	int r;

	if (bytes != sizeof(le32_t) && bytes != sizeof(le64_t))
		return err_set(err, -EINVAL, "kernel: a PVH note of %" PRIu32 " bytes", bytes);
	r = source_read(s, off, &v, bytes, "the PVH note", err);
	if (r < 0)
		return r;
	if (le64_get(v) > UINT32_MAX)
		return err_set(err, -EINVAL, "kernel: the PVH entry lies beyond 4 GiB");
	*ret = (uint32_t)le64_get(v);
	return 0;
}

/* Walks one PT_NOTE segment, which lies whole in the file, for the PVH entry. */
static int find_pvh(const struct source *s, const Elf64_Phdr *ph, uint32_t *ret, struct err *err)
{
	uint64_t pos = 0;

	for (unsigned n = 0; n < NOTES_MAX && ph->p_filesz - pos >= sizeof(Elf64_Nhdr); n++) {
		char name[4] = "";
		Elf64_Nhdr nh;
		uint64_t desc, next;
		int r = source_read(s, ph->p_offset + pos, &nh, sizeof(nh), "a note", err);
		if (r < 0)
			return r;
		/* Sums of two 32-bit sizes and an offset below NOTES_BYTES_MAX can't wrap. */
		desc = pos + sizeof(nh) + align_up(nh.n_namesz, 4);
		next = desc + align_up(nh.n_descsz, 4);
		if (desc + nh.n_descsz > ph->p_filesz)
			return err_set(err, -EINVAL, "kernel: a note exceeds its segment");
		if (nh.n_type == XEN_ELFNOTE_PHYS32_ENTRY && nh.n_namesz == sizeof(name)) {
			r = source_read(s, ph->p_offset + pos + sizeof(nh), name, sizeof(name),
					"a note's name", err);
			if (r < 0)
				return r;
			if (memcmp(name, "Xen", sizeof(name)) == 0)
				return read_pvh_desc(s, ph->p_offset + desc, nh.n_descsz, ret, err);
		}
		if (next >= ph->p_filesz)
			break;
		pos = next;
	}
	return 0;
}

static int find_entries(const struct source *s, const struct segments *seg, uint64_t e_entry,
			struct image *img, struct err *err)
{
	for (unsigned i = 0; i < seg->count && img->entry_pvh == 0; i++) {
		const Elf64_Phdr *ph = &seg->ph[i];
		int r;
		if (ph->p_type != PT_NOTE || ph->p_filesz > NOTES_BYTES_MAX)
			continue;
		if (!range_fits(ph->p_offset, ph->p_filesz, s->size))
			return err_set(err, -EINVAL,
				       "kernel: truncated: the notes lie beyond the "
				       "end of the file");
		r = find_pvh(s, ph, &img->entry_pvh, err);
		if (r < 0)
			return r;
	}
	if (img->entry_pvh != 0 && !in_segments(seg, img->entry_pvh))
		return err_set(err, -EINVAL,
			       "kernel: the PVH entry 0x%" PRIx32 " is not inside a segment",
			       img->entry_pvh);
	/* A kernel for PVH only may have any ELF entry; boot.c refuses what it then can't use. */
	if (in_segments(seg, e_entry))
		img->entry64 = e_entry;
	return 0;
}

int elf_load(const struct source *s, struct gmem *m, struct image *ret, struct err *err)
{
	struct image img = { .initrd_max = UINT32_MAX, .cmdline_max = LAYOUT_CMDLINE_MAX };
	struct segments seg;
	Elf64_Ehdr eh;
	int r;

	r = source_read(s, 0, &eh, sizeof(eh), "the ELF header", err);
	if (r < 0)
		return r;
	r = check_header(&eh, err);
	if (r < 0)
		return r;
	seg.count = eh.e_phnum;
	r = source_read(s, eh.e_phoff, seg.ph, seg.count * sizeof(seg.ph[0]), "the program headers",
			err);
	if (r < 0)
		return r;
	r = load_segments(s, m, &seg, &img, err);
	if (r < 0)
		return r;
	r = find_entries(s, &seg, eh.e_entry, &img, err);
	if (r < 0)
		return r;
	*ret = img;
	return 0;
}
