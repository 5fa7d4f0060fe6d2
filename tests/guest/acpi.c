/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.c - reads from the tables what a stock kernel would: the sleep and reset registers (FADT),
 * processors and IOAPIC (MADT), and, by scanning the DSDT for their resource descriptors, the
 * virtio-mmio devices. Offsets: ACPI 6.4, chapters 5.2 and 6.4.
 */
#include "guest.h"

struct acpi acpi;

static uint8_t get8(uint64_t a)
{
	return *(volatile uint8_t *)a;
}
static uint16_t get16(uint64_t a)
{
	return (uint16_t)(get8(a) | get8(a + 1) << 8);
}
static uint32_t get32(uint64_t a)
{
	return get16(a) | (uint32_t)get16(a + 2) << 16;
}
static uint64_t get64(uint64_t a)
{
	return get32(a) | (uint64_t)get32(a + 4) << 32;
}

static bool checksum_ok(uint64_t a, uint32_t len)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + get8(a + i));
	return sum == 0;
}

/* A generic address structure (5.2.3.2). */
static struct acpi_reg read_gas(uint64_t a)
{
	return (struct acpi_reg){ .space = get8(a), .addr = get64(a + 4) };
}

void acpi_reg_write(const struct acpi_reg *r, uint8_t v)
{
	if (r->space == 1)
		outb((uint16_t)r->addr, v);
	else
		*(volatile uint8_t *)r->addr = v;
}

static void read_dsdt(uint64_t dsdt)
{
	uint32_t len = get32(dsdt + 4);
	bool virtio = false, panic = false, event = false;

	for (uint32_t i = 36; i + 9 < len; i++) {
		uint64_t a = dsdt + i;
		if (memcmp((void *)a, "LNRO0005", 8) == 0) {
			virtio = true;
		} else if (memcmp((void *)a, "QEMU0001", 8) == 0) {
			panic = true;
		} else if (virtio && get8(a) == 0x86 && get16(a + 1) == 9) {
			if (acpi.device_count < ACPI_DEVICES_MAX)
				acpi.devices[acpi.device_count].base = get32(a + 4);
		} else if (virtio && get8(a) == 0x89 && get16(a + 1) == 6 && get8(a + 4) == 1) {
			if (acpi.device_count < ACPI_DEVICES_MAX)
				acpi.devices[acpi.device_count++].gsi = get32(a + 5);
			virtio = false;
		} else if (memcmp((void *)a, "ACPI0013", 8) == 0) {
			event = true;
		} else if (memcmp((void *)a, "ADDR\x12", 5) == 0 && get8(a + 9) == 0x0c) {
			acpi.generation = get32(a + 10); /* a package whose first is a dword */
		} else if (event && get8(a) == 0x89 && get16(a + 1) == 6) {
			acpi.event_gsi = get32(a + 5);
			event = false;
		} else if (panic && get8(a) == 0x47) {
			acpi.panic_port = get16(a + 2);
			panic = false;
		}
	}
}

static void add_ioapic(uint32_t base, uint32_t gsi)
{
	acpi.ioapics[acpi.ioapic_count].base = base;
	acpi.ioapics[acpi.ioapic_count++].gsi = gsi;
	if (acpi.ioapic == 0)
		acpi.ioapic = base;
}

static void read_madt(uint64_t madt)
{
	uint32_t len = get32(madt + 4);

	for (uint32_t i = 44; i + 2 <= len && get8(madt + i + 1) >= 2; i += get8(madt + i + 1)) {
		uint64_t e = madt + i;
		if (get8(e) == 0 && (get32(e + 4) & 1) != 0 && acpi.cpus < ACPI_CPUS_MAX)
			acpi.apic_ids[acpi.cpus++] = get8(e + 3);
		else if (get8(e) == 9 && (get32(e + 8) & 1) != 0 && acpi.cpus < ACPI_CPUS_MAX)
			acpi.apic_ids[acpi.cpus++] = get32(e + 4);
		else if (get8(e) == 1 && acpi.ioapic_count < ACPI_IOAPICS_MAX)
			add_ioapic(get32(e + 4), get32(e + 8));
	}
}

bool acpi_init(uint64_t rsdp)
{
	uint64_t xsdt;

	if (memcmp((void *)rsdp, "RSD PTR ", 8) != 0 || !checksum_ok(rsdp, 36))
		return false;
	xsdt = get64(rsdp + 24);
	if (!checksum_ok(xsdt, get32(xsdt + 4)))
		return false;
	for (uint32_t i = 36; i + 8 <= get32(xsdt + 4); i += 8) {
		uint64_t t = get64(xsdt + i);
		if (!checksum_ok(t, get32(t + 4)))
			return false;
		if (memcmp((void *)t, "FACP", 4) == 0) {
			acpi.reset = read_gas(t + 116);
			acpi.reset_value = get8(t + 128);
			acpi.sleep = read_gas(t + 244);
			read_dsdt(get64(t + 140));
		} else if (memcmp((void *)t, "APIC", 4) == 0) {
			read_madt(t);
		}
	}
	return acpi.ioapic != 0 && acpi.cpus > 0;
}
