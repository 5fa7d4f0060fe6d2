/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_cpu.c - the processor and what KVM itself answers. */
#include "hostile.h"

#define UD 6U
#define GP 13U

static struct cpuid {
	uint32_t a, b, c, d;
} cpuid(uint32_t leaf, uint32_t index)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
			 : "a"(leaf), "c"(index));
	return r;
}

void g38_ioapic(struct hx *h)
{
	const uint64_t io = acpi.ioapic;

	for (unsigned i = 0; i < 800; i++) {
		uint32_t v = (uint32_t)hx_edge(h), entry = (uint32_t)hx_below(h, 24);
		switch (hx_below(h, 4)) {
		case 0: /* anything but unmasking */
			mmio_write32(io, 0x10 + entry * 2);
			mmio_write32(io + 0x10, v | 1U << 16);
			break;
		case 1: /* to processors that are not there: every vector, every delivery mode */
			mmio_write32(io, 0x10 + entry * 2 + 1);
			mmio_write32(io + 0x10, 0xfe000000U | (v & 0xffffff));
			mmio_write32(io, 0x10 + entry * 2);
			mmio_write32(io + 0x10, v & ~(1U << 16 | 1U << 11));
			mmio_write32(io + 0x10, 1U << 16);
			break;
		case 2: /* an end of interrupt that never was; other registers */
			mmio_write32(io + (hx_below(h, 2) == 0 ? 0x40 : hx_below(h, 0x400) * 4), v);
			break;
		default:
			mmio_write32(io, (uint32_t)hx_below(h, 0x100));
			if (mmio_read32(io) > 0xff)
				hx_fail(h, "the index register holds", mmio_read32(io));
			(void)mmio_read32(io + 0x10);
			break;
		}
	}
	for (uint32_t entry = 0; entry < 24; entry++) {
		mmio_write32(io, 0x10 + entry * 2);
		mmio_write32(io + 0x10, 1U << 16);
	}
	mmio_write32(io, 1);
	if ((mmio_read32(io + 0x10) & 0xff) != 0x20)
		hx_fail(h, "the IOAPIC's version has become", mmio_read32(io + 0x10));
	hx_hit(h);
}

/* The device's pin leads to a processor that isn't there when the device raises it: the interrupt
 * goes nowhere, and the request is answered all the same. */
void g38_misdirected(struct hx *h)
{
	const uint32_t entry = acpi.devices[h->dev->n].gsi * 2 + 0x10;
	struct hx_queue *q = &h->dev->q[hx_work_queue(h)];
	uint32_t head, len;

	mmio_write32(acpi.ioapic, entry + 1);
	mmio_write32(acpi.ioapic + 0x10, 0xfe000000U);
	mmio_write32(acpi.ioapic, entry);
	/* Each delivery mode once in 8 rounds, logical or not, level-triggered or not. */
	mmio_write32(acpi.ioapic + 0x10, (uint32_t)hx_below(h, 0x100) | (h->round & 7) << 8 |
						 (uint32_t)hx_below(h, 2) << 15);
	hx_up_any(h);
	if (hx_good_chain(h, 0) != 0) {
		hx_avail(q, 0);
		hx_kick(h, q->index);
		if (!hx_wait(h, q->index) || !hx_used(q, &head, &len))
			hx_fail(h, "no answer; status", hx_get(h, REG_STATUS));
	}
	mmio_write32(acpi.ioapic, entry);
	mmio_write32(acpi.ioapic + 0x10, 1U << 16);
	hx_hit(h);
}

void g39_nested(struct hx *h)
{
	static uint64_t page[512] __attribute__((aligned(4096)));
	const uint64_t at = (uint64_t)page;
	unsigned refused = 0;

	refused += CPU_TRY("vmxon %0", ::"m"(at) : "memory") != FAULT_NONE;
	refused += CPU_TRY("vmptrld %0", ::"m"(at) : "memory") != FAULT_NONE;
	refused += CPU_TRY("vmlaunch", ::: "memory") != FAULT_NONE;
	refused += CPU_TRY("vmrun", ::"a"(at) : "memory") != FAULT_NONE;
	refused += CPU_TRY("vmload", ::"a"(at) : "memory") != FAULT_NONE;
	refused += CPU_TRY("stgi", ::: "memory") != FAULT_NONE;
	/* Not even its registers: EFER.SVME, VMX capabilities. */
	refused += CPU_TRY("rdmsr", ::"c"(0x480) : "rax", "rdx") == GP;
	refused += CPU_TRY("wrmsr", ::"c"(0xc0010117), "a"(0x2000), "d"(0)) == GP;
	if (refused != 8)
		hx_fail(h, "of 8 ways into nested virtualisation these are closed:", refused);
	hx_hit(h);
}

void g41_hypercalls(struct hx *h)
{
	for (uint64_t n = 0; n < 64; n++) {
		uint64_t nr = n < 32 ? n : hx_edge(h), result = nr;
		uint32_t fault = n % 2 == 0 ? CPU_TRY("vmcall",
						      : "+a"(result)
						      : "b"(hx_edge(h)), "c"(hx_edge(h)),
							"d"(hx_edge(h)), "S"(hx_edge(h))
						      : "memory")
					    : CPU_TRY("vmmcall",
						      : "+a"(result)
						      : "b"(hx_edge(h)), "c"(hx_edge(h)),
							"d"(hx_edge(h)), "S"(hx_edge(h))
						      : "memory");
		if (fault != FAULT_NONE || (int64_t)result < 0 || result == nr)
			hx_hit(h);
	}
}

void g42_cpuid(struct hx *h)
{
	for (unsigned i = 0; i < 4000; i++) {
		uint32_t leaf = (uint32_t)HX_PICK(h, i % 0x40, 0x40000000 + i % 0x200,
						  0x80000000 + i % 0x40, hx_edge(h));
		(void)cpuid(leaf, (uint32_t)hx_below(h, 64));
	}
	if ((cpuid(1, 0).c >> 5 & 1) != 0)
		hx_fail(h, "VMX is offered", cpuid(1, 0).c);
	if (cpuid(0x80000000, 0).a >= 0x80000001 && (cpuid(0x80000001, 0).c >> 2 & 1) != 0)
		hx_fail(h, "SVM is offered", cpuid(0x80000001, 0).c);
	if ((cpuid(1, 0).c >> 31 & 1) == 0)
		hx_fail(h, "the hypervisor bit is not set", cpuid(1, 0).c);
	hx_hit(h);
}

void g42_msrs(struct hx *h)
{
	/* Features control, microcode, SMM, MTRRs, machine check, VMX and SVM, power, PMU, KVM's.
	 */
	static const uint32_t msrs[] = {
		0x3a,	    0x79,	0x8b,	    0x9e,	0xc1,	    0xce,	0xfe,
		0x17a,	    0x17b,	0x186,	    0x1a0,	0x1a2,	    0x1ad,	0x1d9,
		0x200,	    0x2ff,	0x309,	    0x345,	0x38f,	    0x400,	0x480,
		0x48b,	    0x600,	0x601,	    0x606,	0x620,	    0x770,	0xd90,
		0xda0,	    0x40000000, 0x40000001, 0x40000073, 0x4b564d00, 0x4b564d01, 0x4b564d02,
		0x4b564d03, 0x4b564d04, 0x4b564d05, 0x4b564d08, 0xc0010000, 0xc0010004, 0xc0010010,
		0xc0010015, 0xc001001d, 0xc001011f, 0xc0010114, 0xc0010117, 0xc0010140, 0xdeadbeef,
		0xffffffff
	};

	for (unsigned i = 0; i < 400; i++) {
		uint32_t msr = msrs[hx_below(h, sizeof(msrs) / sizeof(msrs[0]))];
		uint64_t v = hx_edge(h);
		if (hx_below(h, 8) == 0) /* and those that hardly anybody has */
			msr = 0x2000 + (uint32_t)hx_below(h, 0x1000000);
		if (CPU_TRY("rdmsr", ::"c"(msr) : "rax", "rdx") == GP)
			hx_hit(h);
		/* KVM's clock and steal time write to memory: ours. */
		if (msr >= 0x4b564d00 && msr <= 0x4b564d05)
			v = 0x2100000 | (v & 0xc1);
		if (CPU_TRY("wrmsr", ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))) == GP)
			hx_hit(h);
	}
	/* Nothing goes on writing. */
	for (uint32_t msr = 0x4b564d00; msr <= 0x4b564d05; msr++)
		(void)CPU_TRY("wrmsr", ::"c"(msr), "a"(0), "d"(0));
}

void g43_emulator(struct hx *h)
{
	uint64_t a = h->dev->base + REG_CONFIG, n, v = 0, mem[8] = { 0 };
	void *to = mem;
	const void *from = mem;

	n = 8;
	__asm__ volatile("rep stosl" : "+D"(a), "+c"(n) : "a"(0) : "memory");
	a = h->dev->base, n = 8;
	__asm__ volatile("rep movsl" : "+D"(to), "+S"(a), "+c"(n)::"memory");
	a = h->dev->base + REG_CONFIG, n = 8;
	__asm__ volatile("rep movsb" : "+D"(a), "+S"(from), "+c"(n)::"memory");
	a = h->dev->base;
	__asm__ volatile("movzbl (%1), %k0" : "=r"(v) : "r"(a));
	__asm__ volatile("movsbl (%1), %k0" : "=r"(v) : "r"(a));
	__asm__ volatile("addl $1, (%0)" ::"r"(a) : "memory");
	__asm__ volatile("lock incl (%0)" ::"r"(a) : "memory");
	__asm__ volatile("xchgl %k0, (%1)" : "+r"(v) : "r"(a) : "memory");
	__asm__ volatile("cmpl $0, (%0)" ::"r"(a) : "memory", "cc");
	__asm__ volatile("testb $1, (%0)" ::"r"(a) : "memory", "cc");
	__asm__ volatile("btl $3, (%0)" ::"r"(a) : "memory", "cc");
	__asm__ volatile("lock btsl $3, (%0)" ::"r"(a) : "memory", "cc");
	__asm__ volatile("lock cmpxchgl %1, (%0)" ::"r"(a), "r"((uint32_t)v)
			 : "memory", "rax", "cc");
	__asm__ volatile("pushq (%0); popq %1" : "+r"(a), "=r"(v)::"memory");
	if (hx_get(h, REG_MAGIC) != 0x74726976)
		hx_fail(h, "the magic number has become", hx_get(h, REG_MAGIC));
	hx_hit(h);
}

void g44_memory_edges(struct hx *h)
{
	const uint64_t end = hx_ram_end();

	for (unsigned i = 0; i < 200; i++) {
		volatile uint64_t *p = (volatile uint64_t *)(end - 1 - hx_below(h, 7));
		uint64_t v = *p;
		*p = v;
		(void)*(volatile uint32_t *)(end + hx_below(h, 0x100000) * 4);
	}
	*(volatile uint64_t *)(end - 8) = 0x1122334455667788;
	if (*(volatile uint64_t *)(end - 8) != 0x1122334455667788)
		hx_fail(h, "RAM ends early", end);
	hx_hit(h);
}

void g45_loops(struct hx *h)
{
	uint64_t v;

	for (unsigned i = 0; i < 100000; i++)
		__asm__ volatile("pause");
	for (unsigned i = 0; i < 200; i++) {
		(void)CPU_TRY("wbinvd", ::: "memory");
		(void)CPU_TRY("invd", ::: "memory");
	}
	if ((cpuid(1, 0).c >> 30 & 1) != 0)
		for (unsigned i = 0; i < 1000; i++)
			__asm__ volatile("rdrand %0" : "=r"(v)::"cc");
	for (unsigned i = 0; i < 1000; i++)
		__asm__ volatile("clflush (%0)" ::"r"(0x2100000ULL + i * 64) : "memory");
	hx_hit(h);
}
