/* SPDX-License-Identifier: Apache-2.0 */
/* chips.c - what lies outside the devices: unused ports and addresses, level-triggered pins. */
#include "guest.h"

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "dN"(port));
	return v;
}

/* Ports that mean something; reading any of them is harmless too. */
static bool is_used(unsigned port)
{
	return port == 0x64 || port == acpi.panic_port || (port >= 0x600 && port <= 0x602);
}

/* Every port can be read and written with a value that ends nothing; unused ones read as ones. */
void test_ports(void)
{
	static uint8_t block[4096];
	const void *from = block;
	void *to = block;
	unsigned long n = sizeof(block);

	for (unsigned port = 0; port < 0x10000; port++) {
		uint8_t v = inb((uint16_t)port);
		if (!is_used(port) && v != 0xff)
			test_fail("a value at port", port);
		outb((uint16_t)port, 0);
	}
	/* Across the border of two ports of which only one is there. */
	if (inl(0x602) != 0xffffffff)
		test_fail("a wide read at port", 0x602);
	/* Many at once. */
	__asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"((uint16_t)0x80) : "memory");
	for (size_t i = 0; i < sizeof(block); i++)
		if (block[i] != 0xff)
			test_fail("rep insb at", i);
	n = sizeof(block);
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"((uint16_t)0x80) : "memory");
}

/* Addresses of the device hole that nothing answers to, in all widths. */
void test_mmio(void)
{
	static const uint64_t holes[] = { 0xc0000000, 0xd00ff000, 0xe0000000, 0xfebff000,
					  0xfec01000 };

	for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
		uint64_t a = holes[i];
		if (*(volatile uint8_t *)a != 0xff || *(volatile uint16_t *)a != 0xffff ||
		    *(volatile uint32_t *)a != 0xffffffff || *(volatile uint64_t *)a != ~0ULL)
			test_fail("a value at", a);
		*(volatile uint64_t *)a = 0;
		*(volatile uint8_t *)(a + 3) = 0;
	}
	/* The IOAPIC answers 32-bit accesses only, and only to its registers. */
	for (uint64_t off = 0; off < 0x1000; off += 4) {
		if (off == 0 || off == 0x10)
			continue;
		if (mmio_read32(acpi.ioapic + off) != 0xffffffff)
			test_fail("a value in the IOAPIC at", off);
	}
	for (unsigned i = 0; i < 256; i++) {
		mmio_write32(acpi.ioapic, i);
		(void)mmio_read32(acpi.ioapic + 0x10);
		if (i >= 0x10 + 2 * 24)
			mmio_write32(acpi.ioapic + 0x10, 0xffffffff);
	}
}

/* A device's pin as level-triggered: an interrupt that ends without having been acknowledged at the
 * device comes again. */
void test_level(void)
{
	static struct vdev rng;
	static uint8_t bytes[64];
	struct vq_buf b = { bytes, sizeof(bytes), true };
	uint32_t gsi;

	if (!vdev_open(&rng, VIRTIO_RNG, 0, 0, 1))
		test_fail("no entropy device", 0);
	gsi = acpi.devices[rng.irq].gsi;
	mmio_write32(acpi.ioapic, 0x10 + gsi * 2);
	mmio_write32(acpi.ioapic + 0x10, 1U << 15 | (IRQ_VECTOR0 + rng.irq));
	irq_skip_ack = 3;
	vq_add(&rng.q[0], 0, &b, 1);
	vq_kick(&rng, &rng.q[0]);
	while (irq_count[rng.irq] < 4)
		cpu_wait_irq(rng.irq, irq_count[rng.irq]);
	cpu_delay(100000000);
	__asm__ volatile("sti; nop; cli");
	if (irq_count[rng.irq] != 4)
		test_fail("interrupts, expected 4:", irq_count[rng.irq]);
}

static void print_generation(const uint8_t *id)
{
	static const char hex[] = "0123456789abcdef";
	char text[33];

	for (unsigned i = 0; i < 16; i++) {
		text[2 * i] = hex[id[i] >> 4];
		text[2 * i + 1] = hex[id[i] & 15];
	}
	text[32] = '\0';
	print("generation ");
	print(text);
	print("\n");
}

/* Says the generation id, and again whenever the event device interrupts; counts meanwhile. */
void test_genid(void)
{
	const unsigned vector = 30; /* no device has so high a number */
	uint32_t seen;

	if (acpi.generation == 0 || acpi.event_gsi == 0)
		test_fail("no generation id", 0);
	seen = irq_count[vector];
	cpu_route_irq(acpi.event_gsi, vector);
	print_generation((const uint8_t *)acpi.generation);
	for (;;) {
		__asm__ volatile("sti; nop; cli");
		if (irq_count[vector] != seen) {
			seen = irq_count[vector];
			print_generation((const uint8_t *)acpi.generation);
		}
		print("tick\n");
		cpu_delay(3000000);
	}
}
