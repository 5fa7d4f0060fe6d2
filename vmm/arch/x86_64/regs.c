/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arch/x86_64/regs.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "base/le.h"
#include "vmm/arch/x86_64/layout.h"

#define CR0_PE	 UINT64_C(0x1)
#define CR0_ET	 UINT64_C(0x10)
#define CR0_NE	 UINT64_C(0x20)
#define CR0_PG	 UINT64_C(0x80000000)
#define CR4_PAE	 UINT64_C(0x20)
#define EFER_LME UINT64_C(0x100)
#define EFER_LMA UINT64_C(0x400)

#define PTE_PRESENT UINT64_C(0x1)
#define PTE_WRITE   UINT64_C(0x2)
#define PTE_LARGE   UINT64_C(0x80)

#define MSR_MISC_ENABLE	  0x1a0U
#define MISC_FAST_STRING  UINT64_C(1)
#define MSR_MTRR_DEF_TYPE 0x2ffU
#define MTRR_ENABLE_WB	  (UINT64_C(1) << 11 | 6U)

/* Selectors of the Linux boot protocol: __BOOT_CS and __BOOT_DS. */
enum { SEL_CODE = 0x10, SEL_DATA = 0x18, SEL_TSS = 0x20 };
enum { GDT_ENTRIES = 5 };

#define GDT_CODE32 UINT64_C(0x00cf9b000000ffff)
#define GDT_CODE64 UINT64_C(0x00af9b000000ffff)
#define GDT_DATA   UINT64_C(0x00cf93000000ffff)
#define GDT_TSS	   UINT64_C(0x00008b0000000067)

static int write_gdt(struct gmem *m, bool long_mode)
{
	const le64_t gdt[GDT_ENTRIES] = {
		[SEL_CODE / 8] = le64_put(long_mode ? GDT_CODE64 : GDT_CODE32),
		[SEL_DATA / 8] = le64_put(GDT_DATA),
		[SEL_TSS / 8] = le64_put(GDT_TSS),
	};

	return gmem_write(m, gpa(LAYOUT_GDT), gdt, sizeof(gdt));
}

static int write_page_tables(struct gmem *m)
{
	le64_t table[512] = { le64_put(LAYOUT_PDPT | PTE_PRESENT | PTE_WRITE) };
	int r = gmem_write(m, gpa(LAYOUT_PML4), table, sizeof(table));

	if (r < 0)
		return r;
	for (unsigned g = 0; g < 4; g++)
		table[g] = le64_put((LAYOUT_PD + g * UINT64_C(0x1000)) | PTE_PRESENT | PTE_WRITE);
	r = gmem_write(m, gpa(LAYOUT_PDPT), table, sizeof(table));
	for (unsigned g = 0; g < 4 && r == 0; g++) {
		for (unsigned i = 0; i < 512; i++)
			table[i] = le64_put((uint64_t)g << 30 | (uint64_t)i << 21 | PTE_PRESENT |
					    PTE_WRITE | PTE_LARGE);
		r = gmem_write(m, gpa(LAYOUT_PD + g * UINT64_C(0x1000)), table, sizeof(table));
	}
	return r;
}

int regs_write_tables(struct gmem *m, const struct boot_entry *entry)
{
	int r = write_gdt(m, !entry->pvh);

	if (r < 0 || entry->pvh)
		return r;
	return write_page_tables(m);
}

static void set_segments(struct kvm_sregs *s, bool long_mode)
{
	struct kvm_segment code = { .limit = UINT32_MAX,
				    .selector = SEL_CODE,
				    .type = 11,
				    .present = 1,
				    .s = 1,
				    .g = 1,
				    .l = long_mode,
				    .db = !long_mode };
	struct kvm_segment data = { .limit = UINT32_MAX,
				    .selector = SEL_DATA,
				    .type = 3,
				    .present = 1,
				    .s = 1,
				    .g = 1,
				    .db = 1 };
	struct kvm_segment tss = { .limit = 0x67, .selector = SEL_TSS, .type = 11, .present = 1 };

	s->cs = code;
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->tr = tss;
	s->gdt.base = LAYOUT_GDT;
	s->gdt.limit = GDT_ENTRIES * 8 - 1;
	/* No IDT: an exception before the kernel has its own is a triple fault. */
	s->idt.base = 0;
	s->idt.limit = 0;
}

int regs_set_boot(int vcpu_fd, const struct boot_entry *entry, struct err *err)
{
	struct kvm_regs regs = { .rip = entry->rip, .rflags = 2 };
	struct kvm_sregs s;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return err_sys(err, -errno, "KVM_GET_SREGS");
	set_segments(&s, !entry->pvh);
	if (entry->pvh) {
		s.cr0 = CR0_PE | CR0_ET;
		s.cr4 = 0;
		s.efer = 0;
		regs.rbx = entry->info;
	} else {
		s.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
		s.cr3 = LAYOUT_PML4;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
		regs.rsi = entry->info;
		regs.rsp = LAYOUT_BOOT_STACK;
	}
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &s) < 0)
		return err_sys(err, -errno, "KVM_SET_SREGS");
	if (ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return err_sys(err, -errno, "KVM_SET_REGS");
	return 0;
}

static int set_msr(int vcpu_fd, uint32_t index, uint64_t value, struct err *err)
{
	union {
		struct kvm_msrs h;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} u = { .h = { .nmsrs = 1 } };
	int r;

	u.h.entries[0] = (struct kvm_msr_entry){ .index = index, .data = value };
	r = ioctl(vcpu_fd, KVM_SET_MSRS, &u.h);
	if (r < 0)
		return err_sys(err, -errno, "KVM_SET_MSRS");
	if (r != 1)
		return err_set(err, -EIO, "KVM refused MSR 0x%" PRIx32, index);
	return 0;
}

int regs_set_msrs(int vcpu_fd, struct err *err)
{
	int r = set_msr(vcpu_fd, MSR_MISC_ENABLE, MISC_FAST_STRING, err);

	if (r < 0)
		return r;
	return set_msr(vcpu_fd, MSR_MTRR_DEF_TYPE, MTRR_ENABLE_WB, err);
}
