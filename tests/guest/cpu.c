/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c - interrupts: IDT, local APIC (x2APIC where there is one), IOAPIC; and libc's bare minimum.
 */
#include "guest.h"

#define MSR_APIC_BASE	0x1b
#define X2APIC_MSR(reg) (0x800 + ((reg) >> 4))
#define LAPIC_BASE	0xfee00000UL
#define LAPIC_EOI	0xb0
#define LAPIC_SVR	0xf0
#define LAPIC_ICR	0x300

volatile uint32_t irq_count[32], irq_skip_ack;
static bool x2apic;

struct __attribute__((packed)) idt_entry {
	uint16_t low, selector;
	uint8_t stack, type;
	uint16_t mid;
	uint32_t high, zero;
};
static struct idt_entry idt[96];

#define KVM_LEAF_FEATURES    0x40000001
#define KVM_FEATURE_ASYNC_PF 4
#define MSR_KVM_ASYNC_PF_EN  0x4b564d02

uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (uint64_t)hi << 32 | lo;
}

void wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static void lapic_write(uint32_t reg, uint32_t v)
{
	if (x2apic)
		wrmsr(X2APIC_MSR(reg), v);
	else
		mmio_write32(LAPIC_BASE + reg, v);
}

void cpu_init(void)
{
	extern char stubs[];
	const struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} ptr = { sizeof(idt) - 1, (uint64_t)idt };
	uint32_t a = 1, b, c, d;

	for (unsigned i = 0; i < 96; i++) {
		uint64_t f = (uint64_t)stubs + i * 16;
		idt[i] = (struct idt_entry){ .low = (uint16_t)f,
					     .selector = 8,
					     .type = 0x8e,
					     .mid = (uint16_t)(f >> 16),
					     .high = (uint32_t)(f >> 32) };
	}
	__asm__ volatile("lidt %0" ::"m"(ptr));
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	x2apic = (c >> 21 & 1) != 0;
	if (x2apic)
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1U << 11 | 1U << 10);
	lapic_write(LAPIC_SVR, 0x1ff);
}

volatile uint64_t fault_resume;
volatile uint32_t fault_vector;

void guest_interrupt(uint64_t vector, uint64_t error, uint64_t *rip);

void guest_interrupt(uint64_t vector, uint64_t error, uint64_t *rip)
{
	if (vector >= IRQ_VECTOR0) {
		/* Acknowledge first: what completes later raises a new edge. */
		if (irq_skip_ack > 0)
			irq_skip_ack--;
		else
			vdev_ack((unsigned)(vector - IRQ_VECTOR0));
		irq_count[vector - IRQ_VECTOR0]++;
		lapic_write(LAPIC_EOI, 0);
		return;
	}
	if (fault_resume != 0) {
		*rip = fault_resume;
		fault_resume = 0;
		fault_vector = (uint32_t)vector;
		return;
	}
	print("exception ");
	print_u64(vector);
	print(" error ");
	print_u64(error);
	test_fail("at", *rip);
}

void cpu_route_irq(uint32_t gsi, unsigned n)
{
	uint64_t base = acpi.ioapic;
	uint32_t pin = gsi;

	/* The one whose first GSI is the highest below. */
	for (unsigned i = 0; i < acpi.ioapic_count; i++) {
		if (gsi >= acpi.ioapics[i].gsi && gsi - acpi.ioapics[i].gsi <= pin) {
			base = acpi.ioapics[i].base;
			pin = gsi - acpi.ioapics[i].gsi;
		}
	}
	/* Edge, active high, fixed delivery, unmasked, to APIC 0. */
	mmio_write32(base, 0x10 + pin * 2 + 1);
	mmio_write32(base + 0x10, 0);
	mmio_write32(base, 0x10 + pin * 2);
	mmio_write32(base + 0x10, IRQ_VECTOR0 + n);
}

void cpu_wait_irq(unsigned n, uint32_t seen)
{
	for (;;) {
		__asm__ volatile("cli");
		if (irq_count[n] != seen)
			break;
		/* sti takes effect after the next instruction, so no interrupt slips between. */
		__asm__ volatile("sti; hlt");
	}
	__asm__ volatile("sti; nop; cli");
}

/* A paravirtual feature that CPUID doesn't offer isn't there for those who don't ask either. */
void test_hidden(void)
{
	uint32_t a = KVM_LEAF_FEATURES, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if ((a >> KVM_FEATURE_ASYNC_PF & 1) != 0)
		test_fail("asynchronous page faults are offered", a);
	test_fail("no exception, but a value", rdmsr(MSR_KVM_ASYNC_PF_EN));
}

/* Is bit=N of register reg=0..3 (EAX, EBX, ECX, EDX) of leaf=N, index=N as want=0 or 1 says? */
void test_cpuid(void)
{
	uint32_t r[4] = { (uint32_t)arg_u64("leaf", 0), 0, (uint32_t)arg_u64("index", 0), 0 };
	uint32_t bit;

	__asm__ volatile("cpuid" : "+a"(r[0]), "=b"(r[1]), "+c"(r[2]), "=d"(r[3]));
	bit = r[arg_u64("reg", 0) & 3] >> arg_u64("bit", 0) & 1;
	if (bit != arg_u64("want", 0))
		test_fail("the bit is", bit);
}

/* Reads index=N and prints the value; with write=1 it is also written back. */
void test_msr(void)
{
	uint32_t index = (uint32_t)arg_u64("index", 0);
	uint64_t v = rdmsr(index);

	if (arg_u64("write", 0) != 0)
		wrmsr(index, v);
	print("msr ");
	print_u64(v);
	print("\n");
}

void cpu_delay(uint64_t cycles)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < cycles)
		__asm__ volatile("pause");
}

static void send_ipi(uint32_t apic_id, uint32_t command)
{
	if (x2apic) {
		wrmsr(X2APIC_MSR(LAPIC_ICR), (uint64_t)apic_id << 32 | command);
	} else {
		mmio_write32(LAPIC_BASE + LAPIC_ICR + 0x10, apic_id << 24);
		mmio_write32(LAPIC_BASE + LAPIC_ICR, command);
	}
}

void cpu_start_ap(uint32_t apic_id)
{
	extern char ap_trampoline[], ap_trampoline_end[];

	memcpy((void *)0x8000, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	send_ipi(apic_id, 0x4500); /* INIT */
	cpu_delay(1000000);
	send_ipi(apic_id, 0x4608); /* STARTUP at page 8 */
}

void *memcpy(void *dst, const void *src, size_t n)
{
	size_t words = n / 8, rest = n % 8;
	void *d = dst;

	/* A KVM in software emulates each turn of a repeated instruction. */
	__asm__ volatile("rep movsq" : "+D"(d), "+S"(src), "+c"(words)::"memory");
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(rest)::"memory");
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n] != '\0')
		n++;
	return n;
}
