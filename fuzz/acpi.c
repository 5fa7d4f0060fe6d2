/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables of any machine, and the AML emitter under any calls in a buffer of any size.
 * Tables that are written have their checksums and stay in their place; the emitter never writes
 * beyond its buffer, and what it calls good is nested right. The input is a machine, then calls.
 */
#include <string.h>

#include "base/bug.h"
#include "base/num.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"

#define RAM	  (2 * MIB)
#define AML_BYTES 8192U
#define CANARY	  0xa5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gmem mem;

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void check_tables(void)
{
	static uint8_t area[LAYOUT_FIRMWARE_END - LAYOUT_ACPI];
	uint64_t xsdt;

	BUG_ON(gmem_read(&mem, gpa(LAYOUT_ACPI), area, sizeof(area)) != 0);
	BUG_ON(memcmp(area, "RSD PTR ", 8) != 0);
	memcpy(&xsdt, area + 24, sizeof(xsdt));
	BUG_ON(xsdt <= LAYOUT_ACPI || xsdt >= LAYOUT_ACPI_END);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t at;
		uint32_t len;
		uint8_t sum = 0;
		memcpy(&at, area + (xsdt - LAYOUT_ACPI) + 36 + i * sizeof(at), sizeof(at));
		BUG_ON(at < LAYOUT_ACPI || at >= LAYOUT_ACPI_END);
		len = u32_at(area + (at - LAYOUT_ACPI) + 4);
		BUG_ON(len < 36 || len > LAYOUT_ACPI_END - at);
		for (uint32_t k = 0; k < len; k++)
			sum = (uint8_t)(sum + area[at - LAYOUT_ACPI + k]);
		BUG_ON(sum != 0);
	}
	/* Nothing beyond the end of its place. */
	for (size_t i = LAYOUT_ACPI_END - LAYOUT_ACPI; i < sizeof(area); i++)
		BUG_ON(area[i] != 0);
}

static void emit(struct aml *a, uint8_t op, uint8_t arg)
{
	static const char *const names[] = { "VR00", "\\_SB_", "_CRS", "\\_S5_" };
	const char *name = names[arg % ARRAY_SIZE(names)];
	char text[64];

	/* Nesting too deep and an end without a beginning would be the caller's bugs. */
	if (op % 12 != 3 && a->depth + 1 >= AML_DEPTH_MAX)
		return;
	if (op % 12 == 3 && a->depth == 0)
		return;
	switch (op % 12) {
	case 0:
		aml_scope_begin(a, name);
		break;
	case 1:
		aml_device_begin(a, name);
		break;
	case 2:
		aml_package_begin(a, arg);
		break;
	case 3:
		aml_end(a);
		break;
	case 4:
		aml_name(a, name);
		break;
	case 5:
		aml_integer(a, UINT64_C(0x0102040810204081) * arg >> (arg & 63));
		break;
	case 6:
		memset(text, 'x', sizeof(text));
		text[arg % sizeof(text)] = '\0';
		aml_string(a, text);
		break;
	case 7:
		aml_crs_mmio(a, (uint32_t)arg << 24, 0x1000, arg);
		break;
	case 8:
		aml_method_begin(a, name, arg % 8);
		break;
	case 9:
		aml_notify(a, name, arg);
		break;
	case 10:
		aml_crs_irq(a, arg);
		break;
	default:
		aml_crs_io(a, (uint16_t)(arg << 8), 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[AML_BYTES + 64];
	struct acpi_config cfg;
	struct aml a;
	size_t cap, len;
	int r;

	if (size < 4)
		return 0;
	if (mem.count == 0)
		BUG_ON(gmem_init(&mem, RAM) != 0);
	cfg = (struct acpi_config){ .vcpus = 1U + data[0] % 32,
				    .devices = data[1] % (LAYOUT_GSI_GED - LAYOUT_GSI_VIRTIO + 1) };
	BUG_ON(acpi_write(&mem, &cfg) != 0);
	check_tables();
	cap = ((size_t)data[2] << 8 | data[3]) % AML_BYTES;
	memset(buf, CANARY, sizeof(buf));
	aml_init(&a, buf, cap);
	for (size_t i = 4; i + 1 < size; i += 2)
		emit(&a, data[i], data[i + 1]);
	r = aml_finish(&a, &len);
	BUG_ON(r == 0 && (len > cap || a.depth != 0 || a.failed));
	for (size_t i = cap; i < sizeof(buf); i++)
		BUG_ON(buf[i] != CANARY);
	return 0;
}
