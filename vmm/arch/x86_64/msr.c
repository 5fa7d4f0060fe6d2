/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: KVM takes up to 16 ranges with a bitmap each, and denies what is in none.
 * The registers that we allow lie in four windows; allowed[] says which bits of them are set.
 */
#include "vmm/arch/x86_64/msr.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/bug.h"
#include "base/num.h"

static const struct {
	uint32_t first, last;
} allowed[] = {
	/* Time: TSC and its adjustment, deadline timer, kvm-clock by both of its numbers. */
	{ 0x10, 0x12 },
	{ 0x3b, 0x3b },
	{ 0x6e0, 0x6e0 },
	{ 0x4b564d00, 0x4b564d01 },
	/* KVM's steal time and end-of-interrupt bit. */
	{ 0x4b564d03, 0x4b564d04 },
	/* The local APIC. */
	{ 0x1b, 0x1b },
	/* What the processor is: platform, microcode revision, platform information, core and
	 * architectural capabilities, miscellaneous enables, CPUID faulting. KVM emulates them. */
	{ 0x17, 0x17 },
	{ 0x8b, 0x8b },
	{ 0xce, 0xcf },
	{ 0x10a, 0x10a },
	{ 0x140, 0x140 },
	{ 0x1a0, 0x1a0 },
	/* A guest's own mitigations: speculation control, barriers, cache flush, TSX; AMD's
	 * virtual form, and the bit that makes LFENCE serialise. */
	{ 0x48, 0x49 },
	{ 0x10b, 0x10b },
	{ 0x122, 0x122 },
	{ 0xc001011f, 0xc001011f },
	{ 0xc0011029, 0xc0011029 },
	/* System calls, segments, long mode, RDTSCP's number. */
	{ 0x174, 0x176 },
	{ 0xc0000080, 0xc0000084 },
	{ 0xc0000100, 0xc0000103 },
	/* Extended state: on-demand tiles, supervisor state, shadow stacks. */
	{ 0x1c4, 0x1c5 },
	{ 0x6a0, 0x6a0 },
	{ 0x6a2, 0x6a2 },
	{ 0x6a4, 0x6a8 },
	{ 0xda0, 0xda0 },
	/* Memory types: MTRRs (emulated) and PAT. */
	{ 0xfe, 0xfe },
	{ 0x200, 0x20f },
	{ 0x250, 0x250 },
	{ 0x258, 0x259 },
	{ 0x268, 0x26f },
	{ 0x277, 0x277 },
	{ 0x2ff, 0x2ff },
	/* Machine check banks (emulated, empty). */
	{ 0x179, 0x17b },
	{ 0x400, 0x47f },
	/* Single-stepping of branches, which debuggers use. */
	{ 0x1d9, 0x1d9 },
	/* AMD: configuration registers (system, hardware, northbridge) that kernels touch
	 * unasked. KVM emulates them. */
	{ 0xc0010010, 0xc0010010 },
	{ 0xc0010015, 0xc0010015 },
	{ 0xc001001f, 0xc001001f },
};

/* The stretches of numbers in which allowed[] lies. */
#define WINDOW_MSRS 0x2000U
static const uint32_t windows[] = { 0, 0x4b564d00, 0xc0000000, 0xc0010000 };

_Static_assert(WINDOW_MSRS / 8 <= KVM_MSR_FILTER_MAX_BITMAP_SIZE, "KVM's limit");
_Static_assert(ARRAY_SIZE(windows) <= KVM_MSR_FILTER_MAX_RANGES, "KVM's limit");

bool msr_allowed(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (index >= allowed[i].first && index <= allowed[i].last)
			return true;
	return false;
}

static void set_bit(uint8_t maps[][WINDOW_MSRS / 8], uint32_t msr)
{
	size_t w = 0;

	while (w < ARRAY_SIZE(windows) && msr - windows[w] >= WINDOW_MSRS)
		w++;
	BUG_ON(w == ARRAY_SIZE(windows));
	maps[w][(msr - windows[w]) / 8] |= (uint8_t)(1U << (msr - windows[w]) % 8);
}

int msr_filter_install(int vm_fd, struct err *err)
{
	uint8_t maps[ARRAY_SIZE(windows)][WINDOW_MSRS / 8] = { 0 };
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_DENY };

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		for (uint32_t msr = allowed[i].first; msr <= allowed[i].last; msr++)
			set_bit(maps, msr);
	for (size_t w = 0; w < ARRAY_SIZE(windows); w++)
		f.ranges[w] = (struct kvm_msr_filter_range){
			.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			.nmsrs = WINDOW_MSRS,
			.base = windows[w],
			.bitmap = maps[w],
		};
	if (ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f) < 0)
		return err_sys(err, -errno, "KVM_X86_SET_MSR_FILTER");
	return 0;
}
