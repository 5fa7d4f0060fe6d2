/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_tables.c - what a guest is told about its machine: memory map, ACPI, AML, CPUID. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/cpu_template.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/memmap.h"
#include "vmm/arch/x86_64/msr.h"

/* ---- Memory map -------------------------------------------------------------------------- */

Test(memmap, ascending_and_whole)
{
	static const uint64_t sizes[] = { 64 * MIB, 3 * GIB, 3 * GIB + 2 * MIB, 8 * GIB };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct gmem m = { .count = 1, .bytes = sizes[i] };
		struct memmap map;
		uint64_t end = 0, ram = 0;

		m.regions[0].size = MIN(sizes[i], GMEM_HOLE_START);
		if (sizes[i] > GMEM_HOLE_START) {
			m.count = 2;
			m.regions[1].gpa = GMEM_HOLE_END;
			m.regions[1].size = sizes[i] - GMEM_HOLE_START;
		}
		memmap_build(&map, &m);
		for (unsigned k = 0; k < map.count; k++) {
			cr_expect_geq(map.entries[k].addr, end);
			end = map.entries[k].addr + map.entries[k].size;
			ram += map.entries[k].type == MEMMAP_RAM ? map.entries[k].size : 0;
			cr_expect(end <= GMEM_HOLE_START || map.entries[k].addr >= GMEM_HOLE_END);
		}
		cr_expect_eq(ram, sizes[i] - MIB + LAYOUT_LOW_END);
	}
}

/* ---- ACPI -------------------------------------------------------------------------------- */

static uint8_t table[65536];

static uint8_t sum(size_t len)
{
	uint8_t s = 0;

	for (size_t i = 0; i < len; i++)
		s = (uint8_t)(s + table[i]);
	return s;
}

static uint32_t le32_at(size_t off)
{
	uint32_t v;

	memcpy(&v, table + off, 4);
	return v;
}

static uint64_t le64_at(size_t off)
{
	uint64_t v;

	memcpy(&v, table + off, 8);
	return v;
}

/* Reads the table at `at` and checks signature and checksum: its length. */
static size_t read_table(struct gmem *m, uint64_t at, const char *signature)
{
	uint32_t len;

	cr_assert_geq(at, LAYOUT_ACPI);
	cr_assert_eq(gmem_read(m, gpa(at), table, 36), 0);
	cr_assert_arr_eq(table, signature, 4);
	len = le32_at(4);
	cr_assert_leq(at + len, LAYOUT_ACPI_END);
	cr_assert_eq(gmem_read(m, gpa(at), table, len), 0);
	cr_expect_eq(sum(len), 0, "checksum of %s", signature);
	return len;
}

static bool contains(size_t len, const void *what, size_t n)
{
	return memmem(table, len, what, n) != NULL;
}

Test(acpi, tables_are_linked_and_sound)
{
	static const uint8_t crs1[] = { 0x86, 9, 0, 1, 0, 0x10, 0, 0xd0, 0, 0x10, 0, 0,
					0x89, 6, 0, 3, 1, 6,	0, 0,	 0, 0x79, 0 };
	/* Name(ADDR, Package(2) {0xf0000, 0}); the resources of the event device, and what it does.
	 */
	static const uint8_t generation[] = { 0x08, 'A', 'D',  'D', 'R', 0x12, 0x8a, 0,
					      0,    2,	 0x0c, 0,   0,	 0x0f, 0,    0 };
	static const uint8_t event[] = { 'A', 'C', 'P', 'I', '0', '0', '1', '3', 0 };
	static const uint8_t method[] = { 0x89, 6, 0,	 3,    1,   23,	 0,   0,    0,
					  0x79, 0, 0x14, 0x8f, 0,   0,	 '_', 'E',  'V',
					  'T',	1, 0x86, 'V',  'G', 'E', 'N', 0x0a, 0x80 };
	static const uint8_t s5[] = { 0x08, '\\', '_', 'S', '5', '_', 0x12 };
	const struct acpi_config cfg = { .vcpus = 8, .devices = 11 };
	uint64_t xsdt, fadt, madt, dsdt;
	struct gmem m = { 0 };
	size_t len;

	cr_assert_eq(gmem_init(&m, 64 * MIB), 0);
	cr_assert_eq(acpi_write(&m, &cfg), 0);
	cr_assert_eq(gmem_read(&m, gpa(LAYOUT_ACPI), table, 36), 0);
	cr_expect_arr_eq(table, "RSD PTR ", 8);
	cr_expect_eq(sum(20), 0);
	cr_expect_eq(sum(36), 0);
	xsdt = le64_at(24);
	cr_assert_eq(read_table(&m, xsdt, "XSDT"), 36 + 2 * 8);
	fadt = le64_at(36);
	madt = le64_at(44);
	cr_assert_eq(read_table(&m, fadt, "FACP"), 276);
	cr_expect((le32_at(112) & 1U << 20) != 0, "hardware-reduced");
	cr_expect_eq(le64_at(120), PORT_RESET);
	cr_expect_eq(le64_at(248), PORT_SLEEP_CONTROL);
	cr_expect_eq(le64_at(260), PORT_SLEEP_STATUS);
	dsdt = le64_at(140);
	len = read_table(&m, madt, "APIC");
	cr_expect_eq(len, 44 + 12 + 8 * 8);
	cr_expect_eq(le32_at(40), 0, "no 8259");
	for (unsigned i = 0; i < 8; i++)
		cr_expect_eq(table[44 + 12 + i * 8 + 3], i, "APIC id");
	len = read_table(&m, dsdt, "DSDT");
	cr_expect(contains(len, "VR00", 4));
	cr_expect(contains(len, "VR0A", 4));
	cr_expect_not(contains(len, "VR0B", 4));
	cr_expect(contains(len, crs1, sizeof(crs1)), "resources of the second device");
	cr_expect(contains(len, s5, sizeof(s5)));
	cr_expect(contains(len, "QEMU0001", 9));
	cr_expect(contains(len, generation, sizeof(generation)));
	cr_expect(contains(len, event, sizeof(event)));
	cr_expect(contains(len, method, sizeof(method)));
	gmem_done(&m);
}

/* ---- AML --------------------------------------------------------------------------------- */

Test(aml, encodings)
{
	static const uint8_t want[] = { 0x10, 0x81, 0x02, 0x00, '\\', '_',  'S',  'B',	'_',
					0x08, 'A',  'B',  'C',	'D',  0x0a, 0x05, 0x08, 'E',
					'F',  'G',  'H',  0x0c, 0x00, 0x00, 0x01, 0x00, 0x08,
					'I',  'J',  'K',  'L',	0x0d, 'x',  0x00 };
	uint8_t buf[64];
	struct aml a;
	size_t len = 0;

	aml_init(&a, buf, sizeof(buf));
	aml_scope_begin(&a, "\\_SB_");
	aml_name(&a, "ABCD");
	aml_integer(&a, 5);
	aml_name(&a, "EFGH");
	aml_integer(&a, 0x10000);
	aml_name(&a, "IJKL");
	aml_string(&a, "x");
	aml_end(&a);
	cr_assert_eq(aml_finish(&a, &len), 0);
	cr_assert_eq(len, sizeof(want));
	cr_expect_arr_eq(buf, want, sizeof(want));
}

/* Every capacity that is too small is an error and nothing is written beyond it. */
Test(aml, overflow_sticks)
{
	for (size_t cap = 0; cap < 60; cap++) {
		uint8_t buf[64];
		struct aml a;
		size_t len = 0;

		memset(buf, 0xee, sizeof(buf));
		aml_init(&a, buf, cap);
		aml_device_begin(&a, "DEV0");
		aml_crs_mmio(&a, 0xd0000000, 0x1000, 5);
		aml_name(&a, "_UID");
		aml_integer(&a, UINT64_MAX);
		aml_end(&a);
		if (aml_finish(&a, &len) == 0)
			cr_expect_leq(len, cap);
		else
			cr_expect_eq(aml_finish(&a, &len), -ENOSPC);
		for (size_t i = cap; i < sizeof(buf); i++)
			cr_assert_eq(buf[i], 0xee);
	}
}

Test(aml, open_package_is_an_error)
{
	uint8_t buf[64];
	struct aml a;
	size_t len;

	aml_init(&a, buf, sizeof(buf));
	aml_scope_begin(&a, "\\_SB_");
	cr_expect_eq(aml_finish(&a, &len), -EINVAL);
}

/* ---- CPUID ------------------------------------------------------------------------------- */

static struct cpuid all_ones(void)
{
	static const uint32_t leaves[] = { 0,	       1,	   4,	       5,
					   6,	       7,	   0xa,	       0xb,
					   0xd,	       0x12,	   0x14,       0x1f,
					   0x40000000, 0x40000001, 0x80000001, 0x80000007,
					   0x80000008, 0x8000000a, 0x8000001e };
	struct cpuid c = { .count = ARRAY_SIZE(leaves) };

	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		c.entries[i] = (struct kvm_cpuid_entry2){ .function = leaves[i],
							  .eax = UINT32_MAX,
							  .ebx = UINT32_MAX,
							  .ecx = UINT32_MAX,
							  .edx = UINT32_MAX };
	return c;
}

Test(cpuid, what_we_do_not_emulate_is_hidden)
{
	struct cpuid all = all_ones(), c;

	cr_assert_eq(cpuid_for_vcpu(&all, 0, 1, true, &c), 0);
	cr_expect_eq(cpuid_find(&c, 1, 0)->ecx & (1U << 5 | 1U << 3 | 1U << 15), 0, "VMX, PMU");
	cr_expect_neq(cpuid_find(&c, 1, 0)->ecx & 1U << 31, 0, "hypervisor");
	cr_expect_neq(cpuid_find(&c, 1, 0)->ecx & 1U << 24, 0, "deadline timer");
	cr_expect_eq(cpuid_find(&c, 0x80000001, 0)->ecx & 1U << 2, 0, "SVM");
	cr_expect_null(cpuid_find(&c, 0xa, 0));
	cr_expect_null(cpuid_find(&c, 0x8000000a, 0));
	cr_expect_null(cpuid_find(&c, 0x12, 0));
	cr_expect_eq(cpuid_find(&c, 0x40000001, 0)->eax & 1U << 4, 0, "asynchronous faults");
	cr_expect_eq(cpuid_find(&c, 0x40000001, 0)->eax & 1U << 15, 0, "extended destinations");
	cr_assert_eq(cpuid_for_vcpu(&all, 0, 1, false, &c), 0);
	cr_expect_eq(cpuid_find(&c, 1, 0)->ecx & 1U << 24, 0, "no deadline timer");
}

Test(cpuid, physical_bits)
{
	struct cpuid c = { .count = 1 };

	cr_expect_eq(cpuid_physical_bits(&c), 36, "without the leaf");
	c.entries[0] = (struct kvm_cpuid_entry2){ .function = 0x80000008, .eax = 0x3028 };
	cr_expect_eq(cpuid_physical_bits(&c), 40);
}

Test(cpuid, topology)
{
	struct cpuid all = all_ones(), c;

	for (unsigned n = 1; n <= 8; n++) {
		for (unsigned i = 0; i < n; i++) {
			const struct kvm_cpuid_entry2 *e;
			cr_assert_eq(cpuid_for_vcpu(&all, i, n, true, &c), 0);
			cr_expect_eq(cpuid_find(&c, 1, 0)->ebx >> 24, i);
			e = cpuid_find(&c, 0xb, 0);
			cr_expect(e->eax == 0 && e->ebx == 1 && e->edx == i);
			e = cpuid_find(&c, 0xb, 1);
			cr_expect(e->ebx == n && e->edx == i && (1U << e->eax) >= n);
			cr_expect_eq(cpuid_find(&c, 0x80000008, 0)->ecx & 0xff, n - 1);
			cr_expect_eq(cpuid_find(&c, 0x8000001e, 0)->eax, i);
		}
	}
}

/* Room for KVM's answer is not enough: three topology leaves come in addition. */
Test(cpuid, full_table_is_refused)
{
	struct cpuid all = { .count = CPUID_ENTRIES_MAX }, c;

	for (unsigned i = 0; i < all.count; i++)
		all.entries[i].function = 0x20000000 + i;
	all.entries[0] = (struct kvm_cpuid_entry2){ .function = 0, .eax = 0x1f };
	cr_expect_eq(cpuid_for_vcpu(&all, 0, 1, true, &c), -E2BIG);
	all.count -= 3;
	cr_expect_eq(cpuid_for_vcpu(&all, 0, 1, true, &c), 0);
}

/* ---- MSRs -------------------------------------------------------------------------------- */

Test(msr, nested_virtualisation_pmu_and_power_are_not_allowed)
{
	static const struct {
		uint32_t first, last;
	} never[] = {
		{ 0x3a, 0x3a },		    /* feature control: VMX, SGX */
		{ 0x480, 0x491 },	    /* VMX capabilities */
		{ 0xc0010114, 0xc0010118 }, /* VM_CR, IGNNE, SMM_CTL, VM_HSAVE_PA, SVM_KEY */
		{ 0xc1, 0xc8 },		    /* performance counters and what they count */
		{ 0x186, 0x18d },
		{ 0x309, 0x30c },
		{ 0x38d, 0x390 },
		{ 0xc0010000, 0xc0010007 },
		{ 0xc0010200, 0xc001020b },
		{ 0x1a2, 0x1a2 }, /* temperature, power, P-states */
		{ 0x198, 0x19c },
		{ 0x606, 0x641 },
		{ 0x79, 0x79 }, /* microcode update */
		{ 0xc0010020, 0xc0010020 },
		{ 0x40000000, 0x400000ff }, /* Hyper-V */
	};

	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		for (uint32_t msr = never[i].first; msr <= never[i].last; msr++)
			cr_expect_not(msr_allowed(msr), "%#x", msr);
	cr_expect(msr_allowed(0x10));
	cr_expect(msr_allowed(0xc0000080));
}

/* ---- CPU templates ----------------------------------------------------------------------- */

static int check_one(uint32_t function, uint32_t ebx, uint32_t ecx)
{
	struct cpu_template t = { .cpuid_count = 1 };
	struct err err;

	t.cpuid[0] = (struct cpu_template_cpuid){
		.function = function, .eax = ~0U, .ebx = ebx, .ecx = ecx, .edx = ~0U
	};
	return cpu_template_check(&t, &err);
}

Test(cpu_template, only_registers_of_features)
{
	cr_expect_eq(check_one(1, ~0U, 0), 0);
	cr_expect_eq(check_one(1, 0, ~0U), -EINVAL);
	cr_expect_eq(check_one(0, 0, ~0U), -EINVAL);
	cr_expect_eq(check_one(4, ~0U, 0), -EINVAL);
	cr_expect_eq(check_one(0xb, ~0U, 0), -EINVAL);
	/* No change is no offence, wherever. */
	cr_expect_eq(check_one(0xb, ~0U, ~0U), 0);
}

Test(cpu_template, nothing_twice)
{
	struct cpu_template t = { .cpuid_count = 2 };
	struct err err;

	t.cpuid[0] = t.cpuid[1] = (struct cpu_template_cpuid){
		.function = 7, .eax = ~0U, .ebx = ~0U, .ecx = ~0U, .edx = ~0U
	};
	cr_expect_eq(cpu_template_check(&t, &err), -EINVAL);
	t.cpuid[1].index = 1;
	cr_expect_eq(cpu_template_check(&t, &err), 0);
}

/* Every bit of the result was there before, whatever the template. */
Test(cpu_template, narrows_only)
{
	struct cpuid all = all_ones(), before, after;
	struct cpu_template t = { .cpuid_count = 1 };

	cr_assert_eq(cpuid_for_vcpu(&all, 0, 1, true, &before), 0);
	after = before;
	t.cpuid[0] = (struct cpu_template_cpuid){
		.function = 1, .eax = ~0U, .ebx = ~0U, .ecx = 0xf0f0f0f0, .edx = ~0U
	};
	cpu_template_narrow(&t, &after);
	for (unsigned i = 0; i < before.count; i++) {
		cr_expect_eq(after.entries[i].eax, before.entries[i].eax);
		cr_expect_eq(after.entries[i].ecx & ~before.entries[i].ecx, 0);
		if (before.entries[i].function == 1)
			cr_expect_eq(after.entries[i].ecx, before.entries[i].ecx & 0xf0f0f0f0);
		else
			cr_expect_eq(after.entries[i].ecx, before.entries[i].ecx);
	}
}

static int check_value(uint32_t index, uint64_t mask, uint64_t value)
{
	struct cpu_template t = { .msrs_count = 1 };
	struct err err;

	t.msrs[0] = (struct cpu_template_msr){ index, mask, value };
	return cpu_template_check(&t, &err);
}

Test(cpu_template, msrs_offer_less)
{
	const struct cpu_template_msr m = { 0x10a, 0xff, 1U << 2 };

	cr_expect_eq(check_value(0x10a, 0x1, 0), 0);
	cr_expect_eq(check_value(0x10a, 0x1, 1), -EINVAL);
	/* RSBA is the one bit that says something worse. */
	cr_expect_eq(check_value(0x10a, 0x4, 4), 0);
	cr_expect_eq(check_value(0x10a, 0x4, 0), -EINVAL);
	cr_expect_eq(check_value(0x10a, 0x1, 2), -EINVAL);
	cr_expect_eq(check_value(0x48, 0x1, 0), -EINVAL);
	cr_expect_eq(check_value(0xc0000080, 1U << 12, 0), -EINVAL);
	cr_expect_eq(cpu_template_msr_value(&m, 0xf0f), 0xf04);
}

/* What the jailer passes: whole entries, at least one, and no more than there is room for. */
Test(cpuid, a_file_of_it)
{
	static struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX + 1];
	static struct cpuid got;
	int fd = memfd_create("cpuid", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(cpuid_read(fd, &got), -ENODATA);
	for (unsigned i = 0; i <= CPUID_ENTRIES_MAX; i++)
		entries[i] = (struct kvm_cpuid_entry2){ .function = i, .ebx = ~i };
	cr_assert_eq(write(fd, entries, sizeof(entries)), (ssize_t)sizeof(entries));
	cr_assert_eq(cpuid_read(fd, &got), -E2BIG);
	cr_assert_eq(ftruncate(fd, sizeof(entries) - sizeof(entries[0]) - 1), 0);
	cr_assert_eq(cpuid_read(fd, &got), -EINVAL);
	cr_assert_eq(ftruncate(fd, sizeof(entries) - sizeof(entries[0]) + 1), 0);
	cr_assert_eq(cpuid_read(fd, &got), -E2BIG);
	cr_assert_eq(ftruncate(fd, sizeof(entries) - sizeof(entries[0])), 0);
	cr_assert_eq(cpuid_read(fd, &got), 0);
	cr_assert_eq(got.count, CPUID_ENTRIES_MAX);
	cr_assert_eq(memcmp(got.entries, entries, sizeof(got.entries)), 0);
	cr_assert_eq(ftruncate(fd, 1), 0);
	cr_assert_eq(cpuid_read(fd, &got), -EINVAL);
	close(fd);
	cr_assert_eq(cpuid_read(fd, &got), -EBADF);
}
