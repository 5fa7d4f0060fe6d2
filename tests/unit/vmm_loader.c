/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_loader.c - ELF and bzImage files, good and damaged, over real guest memory. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/layout.h"

#define RAM	  (64 * MIB)
#define LOAD_AT	  UINT64_C(0x200000)
#define CODE_OFF  0x1000U
#define CODE_SIZE 0x100U
#define NOTE_OFF  0x400U
#define FILE_SIZE (CODE_OFF + CODE_SIZE)

/* A small kernel: one segment with both entries, one note. */
struct elf_file {
	Elf64_Ehdr eh;
	Elf64_Phdr load;
	Elf64_Phdr note;
	uint8_t pad[NOTE_OFF - sizeof(Elf64_Ehdr) - 2 * sizeof(Elf64_Phdr)];
	Elf64_Nhdr nh;
	char note_name[4];
	uint32_t note_desc;
	uint8_t pad2[CODE_OFF - NOTE_OFF - sizeof(Elf64_Nhdr) - 8];
	uint8_t code[CODE_SIZE];
};
_Static_assert(sizeof(struct elf_file) == FILE_SIZE, "no padding");

static struct elf_file file;
static struct gmem mem;
static struct image img;
static struct err err;

static void make_elf(void)
{
	memset(&file, 0, sizeof(file));
	memcpy(file.eh.e_ident, ELFMAG, SELFMAG);
	file.eh.e_ident[EI_CLASS] = ELFCLASS64;
	file.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	file.eh.e_type = ET_EXEC;
	file.eh.e_machine = EM_X86_64;
	file.eh.e_entry = LOAD_AT + 0x10;
	file.eh.e_phoff = offsetof(struct elf_file, load);
	file.eh.e_phentsize = sizeof(Elf64_Phdr);
	file.eh.e_phnum = 2;
	file.load = (Elf64_Phdr){ .p_type = PT_LOAD,
				  .p_offset = CODE_OFF,
				  .p_paddr = LOAD_AT,
				  .p_filesz = CODE_SIZE,
				  .p_memsz = 0x4000 };
	file.note = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTE_OFF, .p_filesz = 20 };
	file.nh = (Elf64_Nhdr){ .n_namesz = 4, .n_descsz = 4, .n_type = 18 };
	memcpy(file.note_name, "Xen", 4);
	file.note_desc = (uint32_t)LOAD_AT + 0x20;
	memset(file.code, 0xc3, sizeof(file.code));
}

static void setup(void)
{
	cr_assert_eq(gmem_init(&mem, RAM), 0);
	make_elf();
}

static void teardown(void)
{
	gmem_done(&mem);
}

static int load_size(size_t size)
{
	struct source s;

	source_from_mem(&s, "kernel", &file, size);
	err = (struct err){ 0 };
	return elf_load(&s, &mem, &img, &err);
}

static void expect_bad(const char *why)
{
	cr_expect_eq(load_size(sizeof(file)), -EINVAL);
	cr_expect(strstr(err.msg, why) != NULL, "\"%s\" lacks \"%s\"", err.msg, why);
}

TestSuite(elf, .init = setup, .fini = teardown);

Test(elf, good)
{
	uint8_t back[CODE_SIZE];

	cr_assert_eq(load_size(sizeof(file)), 0, "%s", err.msg);
	cr_expect_eq(img.start, LOAD_AT);
	cr_expect_eq(img.end, LOAD_AT + 0x4000);
	cr_expect_eq(img.entry64, LOAD_AT + 0x10);
	cr_expect_eq(img.entry_pvh, LOAD_AT + 0x20);
	cr_assert_eq(gmem_read(&mem, gpa(LOAD_AT), back, sizeof(back)), 0);
	cr_expect_arr_eq(back, file.code, sizeof(back));
}

/* Every shorter file is an error, never a crash, and says which part is missing. */
Test(elf, every_truncation)
{
	for (size_t size = 0; size < sizeof(file); size++) {
		cr_expect_eq(load_size(size), -EINVAL, "size %zu", size);
		cr_expect(strstr(err.msg, "truncated") != NULL, "size %zu: %s", size, err.msg);
	}
}

Test(elf, header_fields)
{
	file.eh.e_ident[0] = 0;
	expect_bad("neither an ELF");
	make_elf();
	file.eh.e_ident[EI_CLASS] = ELFCLASS32;
	expect_bad("64-bit");
	make_elf();
	file.eh.e_ident[EI_DATA] = ELFDATA2MSB;
	expect_bad("little-endian");
	make_elf();
	file.eh.e_machine = EM_386;
	expect_bad("machine 3");
	make_elf();
	file.eh.e_type = ET_REL;
	expect_bad("type 1");
	make_elf();
	file.eh.e_phentsize = 32;
	expect_bad("program headers of 32");
	make_elf();
	file.eh.e_phnum = 0;
	expect_bad("0 program headers");
	file.eh.e_phnum = 0xffff;
	expect_bad("65535 program headers");
	make_elf();
	file.eh.e_phoff = UINT64_MAX - 8;
	expect_bad("truncated");
}

Test(elf, segment_fields)
{
	file.load.p_filesz = 0x5000;
	expect_bad("larger in the file");
	make_elf();
	file.load.p_offset = UINT64_MAX - 4;
	expect_bad("truncated");
	make_elf();
	file.load.p_paddr = LAYOUT_KERNEL_MIN - 1;
	expect_bad("below 1 MiB");
	make_elf();
	file.load.p_paddr = RAM - 0x3fff;
	expect_bad("outside");
	make_elf();
	file.load.p_paddr = UINT64_MAX - 1;
	expect_bad("outside");
	make_elf();
	file.load.p_memsz = UINT64_MAX;
	expect_bad("outside");
	make_elf();
	file.load.p_type = PT_NULL;
	expect_bad("nothing to load");
}

Test(elf, overlapping_segments)
{
	file.note = file.load;
	file.note.p_paddr = LOAD_AT + 0x3fff;
	expect_bad("overlap");
	file.note.p_paddr = LOAD_AT + 0x4000;
	cr_expect_eq(load_size(sizeof(file)), 0, "%s", err.msg);
	file.note.p_paddr = LOAD_AT - 0x3fff;
	expect_bad("overlap");
}

Test(elf, entries_must_be_loaded)
{
	file.note_desc = (uint32_t)LOAD_AT - 1;
	expect_bad("PVH entry");
	make_elf();
	/* Another entry may still do: boot.c decides. */
	file.eh.e_entry = LOAD_AT + 0x4000;
	cr_expect_eq(load_size(sizeof(file)), 0);
	cr_expect_eq(img.entry64, 0);
}

Test(elf, notes)
{
	file.nh.n_namesz = UINT32_MAX;
	expect_bad("note");
	make_elf();
	file.nh.n_descsz = UINT32_MAX;
	expect_bad("note");
	make_elf();
	file.nh.n_descsz = 3;
	expect_bad("note of 3");
	make_elf();
	file.nh.n_type = 17;
	cr_expect_eq(load_size(sizeof(file)), 0);
	cr_expect_eq(img.entry_pvh, 0);
	make_elf();
	file.note.p_offset = sizeof(file);
	expect_bad("notes lie beyond");
}

/* ---- bzImage ----------------------------------------------------------------------------- */

#define BZ_SETUP (2 * 512U) /* boot sector and one more */
#define BZ_CODE	 0x400U
#define BZ_LOAD	 UINT64_C(0x1000000)
#define BZ_INIT	 UINT32_C(0x800000)

static uint8_t bz[BZ_SETUP + BZ_CODE];

static void put(unsigned off, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		bz[off + i] = (uint8_t)(v >> 8 * i);
}

static void make_bz(void)
{
	memset(bz, 0, sizeof(bz));
	put(0x1f1, 1, 1);
	put(0x1f4, BZ_CODE / 16, 4);
	put(0x1fe, 0xaa55, 2);
	put(0x200, 0x66eb, 2);
	put(0x202, 0x53726448, 4); /* "HdrS" */
	put(0x206, 0x020f, 2);
	put(0x211, 1, 1);
	put(0x22c, 0x7fffffff, 4);
	put(0x236, 1, 2);
	put(0x238, 2047, 4);
	put(0x258, BZ_LOAD, 8);
	put(0x260, BZ_INIT, 4);
	memset(bz + BZ_SETUP, 0x90, BZ_CODE);
}

static int load_bz(size_t size)
{
	struct source s;

	source_from_mem(&s, "kernel", bz, size);
	err = (struct err){ 0 };
	return bzimage_load(&s, &mem, &img, &err);
}

static void setup_bz(void)
{
	cr_assert_eq(gmem_init(&mem, RAM), 0);
	make_bz();
}

TestSuite(bzimage, .init = setup_bz, .fini = teardown);

Test(bzimage, good)
{
	uint8_t back[BZ_CODE];

	cr_assert_eq(load_bz(sizeof(bz)), 0, "%s", err.msg);
	cr_expect_eq(img.start, BZ_LOAD);
	cr_expect_eq(img.end, BZ_LOAD + BZ_INIT);
	cr_expect_eq(img.entry64, BZ_LOAD + 0x200);
	cr_expect_eq(img.entry_pvh, 0);
	cr_expect_eq(img.initrd_max, 0x7fffffff);
	cr_expect_eq(img.setup_header_bytes, 0x202 + 0x66 - 0x1f1);
	cr_assert_eq(gmem_read(&mem, gpa(BZ_LOAD), back, sizeof(back)), 0);
	cr_expect_arr_eq(back, bz + BZ_SETUP, sizeof(back));
}

Test(bzimage, every_truncation)
{
	/* The code's last 15 bytes may be missing: its size is told in units of 16. */
	for (size_t size = 0; size < sizeof(bz) - 15; size++)
		cr_expect_eq(load_bz(size), -EINVAL, "size %zu", size);
}

static void expect_bad_bz(unsigned off, uint64_t v, unsigned bytes, const char *why)
{
	make_bz();
	put(off, v, bytes);
	cr_expect_eq(load_bz(sizeof(bz)), -EINVAL);
	cr_expect(strstr(err.msg, why) != NULL, "\"%s\" lacks \"%s\"", err.msg, why);
}

Test(bzimage, fields)
{
	expect_bad_bz(0x1fe, 0, 2, "not a bzImage");
	expect_bad_bz(0x206, 0x020b, 2, "too old");
	expect_bad_bz(0x211, 0, 1, "zImage");
	expect_bad_bz(0x236, 0, 2, "64-bit entry");
	expect_bad_bz(0x201, 0x10, 1, "boot header ends");
	expect_bad_bz(0x201, 0xff, 1, "boot header ends");
	expect_bad_bz(0x1f4, UINT32_MAX, 4, "truncated");
	expect_bad_bz(0x1f4, 0, 4, "0 bytes of code");
	expect_bad_bz(0x1f1, 0xff, 1, "truncated");
	expect_bad_bz(0x258, 0, 8, "load address");
	expect_bad_bz(0x258, UINT64_MAX, 8, "outside");
	expect_bad_bz(0x258, RAM, 8, "outside");
	expect_bad_bz(0x260, UINT32_MAX, 4, "load address");
}

/* ---- The whole of boot_load -------------------------------------------------------------- */

static int boot(enum boot_protocol p, const struct source *initrd, struct boot_entry *entry)
{
	struct boot_config cfg = { .cmdline = "quiet", .protocol = p, .initrd = initrd };

	source_from_mem(&cfg.kernel, "kernel", &file, sizeof(file));
	err = (struct err){ 0 };
	return boot_load(&cfg, &mem, entry, &err);
}

TestSuite(boot, .init = setup, .fini = teardown);

Test(boot, protocols)
{
	struct boot_entry e;

	cr_assert_eq(boot(BOOT_AUTO, NULL, &e), 0);
	cr_expect(e.pvh);
	cr_expect_eq(e.rip, LOAD_AT + 0x20);
	cr_assert_eq(boot(BOOT_LINUX64, NULL, &e), 0);
	cr_expect_not(e.pvh);
	cr_expect_eq(e.rip, LOAD_AT + 0x10);
	cr_expect_eq(boot(BOOT_BZIMAGE, NULL, &e), -EINVAL);
	file.nh.n_type = 1;
	cr_expect_eq(boot(BOOT_PVH, NULL, &e), -EINVAL);
	cr_assert_eq(boot(BOOT_AUTO, NULL, &e), 0);
	cr_expect_not(e.pvh);
}

Test(boot, initrd_lies_at_the_top)
{
	uint8_t data[5000], back[5000];
	struct source s;
	struct boot_entry e;
	uint32_t at = 0, size = 0;

	memset(data, 0x5a, sizeof(data));
	source_from_mem(&s, "initrd", data, sizeof(data));
	cr_assert_eq(boot(BOOT_LINUX64, &s, &e), 0, "%s", err.msg);
	cr_assert_eq(gmem_read(&mem, gpa(LAYOUT_ZERO_PAGE + 0x218), &at, 4), 0);
	cr_assert_eq(gmem_read(&mem, gpa(LAYOUT_ZERO_PAGE + 0x21c), &size, 4), 0);
	cr_expect_eq(at, RAM - 8192);
	cr_expect_eq(size, sizeof(data));
	cr_assert_eq(gmem_read(&mem, gpa(at), back, sizeof(back)), 0);
	cr_expect_arr_eq(back, data, sizeof(data));
}

Test(boot, initrd_and_kernel_meet)
{
	static uint8_t data[8192];
	struct source s;
	struct boot_entry e;

	source_from_mem(&s, "initrd", data, sizeof(data));
	file.load.p_memsz = RAM - LOAD_AT - sizeof(data);
	cr_expect_eq(boot(BOOT_AUTO, &s, &e), 0, "%s", err.msg);
	file.load.p_memsz += 1;
	cr_expect_eq(boot(BOOT_AUTO, &s, &e), -EINVAL);
	cr_expect(strstr(err.msg, "initrd") != NULL);
}

/* ---- Source ------------------------------------------------------------------------------ */

/* Whether pages are mapped or bytes copied, the guest finds the same. */
static void load_both_ways(uint64_t off, uint64_t to, uint64_t len, enum gmem_pages pages)
{
	static uint8_t bytes[300000], got[300000];
	struct source s;
	struct gmem m;
	int fd = memfd_create("initrd", MFD_CLOEXEC);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 4096);
	cr_assert_eq(pwrite(fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
	cr_assert_eq(gmem_init_pages(&m, 4 * MIB, pages), 0);
	cr_assert_eq(source_from_fd(&s, "initrd", fd, &err), 0);
	cr_assert_eq(source_load(&s, off, &m, gpa(to), len, "it", &err), 0, "%s", err.msg);
	cr_assert_eq(gmem_read(&m, gpa(to), got, len), 0);
	cr_expect_eq(memcmp(got, bytes + off, len), 0);
	/* Not a byte more than was asked for. */
	cr_assert_eq(gmem_read(&m, gpa(to + len), got, 4096), 0);
	for (size_t i = 0; i < 4096; i++)
		cr_assert_eq(got[i], 0, "byte %zu", i);
	gmem_done(&m);
	(void)close(fd);
}

Test(source, mapped_and_copied_are_the_same)
{
	load_both_ways(0, MIB, 300000, GMEM_PAGES_SMALL);
	load_both_ways(4096, MIB, 200000, GMEM_PAGES_SMALL);
	load_both_ways(4097, MIB, 200000, GMEM_PAGES_SMALL);
	load_both_ways(4096, MIB + 16, 200000, GMEM_PAGES_SMALL);
	load_both_ways(0, MIB, 5000, GMEM_PAGES_SMALL);
	load_both_ways(0, MIB, 300000, GMEM_PAGES_TRANSPARENT);
}

Test(source, mapping_outside_memory_is_refused)
{
	struct source s;
	struct gmem m;
	int fd = memfd_create("initrd", MFD_CLOEXEC);

	cr_assert_eq(ftruncate(fd, MIB), 0);
	cr_assert_eq(gmem_init(&m, 4 * MIB), 0);
	cr_assert_eq(source_from_fd(&s, "initrd", fd, &err), 0);
	cr_expect_eq(source_load(&s, 0, &m, gpa(4 * MIB - 4096), MIB, "it", &err), -EFAULT);
	cr_expect_eq(source_load(&s, 4096, &m, gpa(MIB), MIB, "it", &err), -EINVAL);
	gmem_done(&m);
	(void)close(fd);
}
