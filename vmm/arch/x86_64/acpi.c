/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arch/x86_64/acpi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/le.h"
#include "base/num.h"
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/virtio/virtio.h"

#define DSDT_MAX   4096U
#define VCPUS_MAX  32U
#define RSDP_BYTES 36U

struct PACKED sdt_header {
	char signature[4];
	le32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	le32_t oem_revision;
	char creator_id[4];
	le32_t creator_revision;
};
_Static_assert(sizeof(struct sdt_header) == 36, "ABI");

/* Generic address structure. */
struct PACKED gas {
	uint8_t space; /* 1 = system I/O */
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access_size; /* 1 = byte */
	le64_t address;
};
_Static_assert(sizeof(struct gas) == 12, "ABI");

struct PACKED fadt {
	struct sdt_header h;
	uint8_t unused_36[73];
	le16_t iapc_boot_arch; /* 109 */
	uint8_t unused_111;
	le32_t flags; /* 112 */
	struct gas reset_reg;
	uint8_t reset_value; /* 128 */
	le16_t arm_boot_arch;
	uint8_t minor_version; /* 131 */
	le64_t x_firmware_ctrl;
	le64_t x_dsdt; /* 140 */
	uint8_t unused_148[96];
	struct gas sleep_control; /* 244 */
	struct gas sleep_status;
	le64_t hypervisor_vendor;
};
_Static_assert(sizeof(struct fadt) == 276, "ABI");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140, "ABI");
_Static_assert(offsetof(struct fadt, sleep_control) == 244, "ABI");

#define FADT_REVISION 6
#define FADT_MINOR    3
/* Flags: WBINVD works, no fixed power and sleep buttons, reset register, hardware-reduced. */
#define FADT_FLAGS (1U << 0 | 1U << 4 | 1U << 5 | 1U << 10 | 1U << 20)
/* IAPC_BOOT_ARCH: no VGA, no CMOS RTC; and neither legacy devices nor an 8042 (bits clear). */
#define FADT_BOOT_ARCH (1U << 2 | 1U << 5)

struct PACKED madt_header {
	struct sdt_header h;
	le32_t lapic_address;
	le32_t flags; /* bit 0, PC-AT compatible dual 8259, stays clear */
};
struct PACKED madt_lapic {
	uint8_t type, length; /* 0, 8 */
	uint8_t processor_uid, apic_id;
	le32_t flags; /* bit 0: enabled */
};
struct PACKED madt_ioapic {
	uint8_t type, length; /* 1, 12 */
	uint8_t id, reserved;
	le32_t address;
	le32_t gsi_base;
};

#define MADT_MAX                                                   \
	(sizeof(struct madt_header) + sizeof(struct madt_ioapic) + \
	 VCPUS_MAX * sizeof(struct madt_lapic))

/* Where the next table goes. */
struct writer {
	struct gmem *m;
	uint64_t next;
};

static uint8_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	unsigned sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += p[i];
	return (uint8_t)(0U - sum);
}

static struct sdt_header sdt(const char *signature, uint8_t revision)
{
	struct sdt_header h = {
		.revision = revision,
		.oem_revision = le32_put(1),
		.creator_revision = le32_put(1),
	};

	memcpy(h.signature, signature, sizeof(h.signature));
	memcpy(h.oem_id, "CASEMT", sizeof(h.oem_id));
	memcpy(h.oem_table_id, "CASEMATE", sizeof(h.oem_table_id));
	memcpy(h.creator_id, "CSMT", sizeof(h.creator_id));
	return h;
}

/* Completes the header at the start of `table`, places the table and returns its address. */
static int place(struct writer *w, void *table, size_t len, uint64_t *ret_addr)
{
	struct sdt_header h;
	int r;

	BUG_ON(len < sizeof(h));
	memcpy(&h, table, sizeof(h));
	h.length = le32_put((uint32_t)len);
	h.checksum = 0;
	memcpy(table, &h, sizeof(h));
	h.checksum = checksum(table, len);
	memcpy(table, &h, sizeof(h));
	if (len > LAYOUT_ACPI_END - w->next)
		return -ENOSPC;
	r = gmem_write(w->m, gpa(w->next), table, len);
	if (r < 0)
		return r;
	*ret_addr = w->next;
	w->next = align_up(w->next + len, 16);
	return 0;
}

static void dsdt_virtio(struct aml *a, unsigned n)
{
	char name[5];

	(void)snprintf(name, sizeof(name), "VR%02X", n & 0xffU);
	aml_device_begin(a, name);
	aml_name(a, "_HID");
	aml_string(a, "LNRO0005");
	aml_name(a, "_UID");
	aml_integer(a, n);
	aml_name(a, "_CCA"); /* DMA is coherent */
	aml_integer(a, 1);
	aml_crs_mmio(a, (uint32_t)(LAYOUT_VIRTIO + (uint64_t)n * VIRTIO_MMIO_BYTES),
		     VIRTIO_MMIO_BYTES, LAYOUT_GSI_VIRTIO + n);
	aml_end(a);
}

static void dsdt_pvpanic(struct aml *a)
{
	aml_device_begin(a, "PEVT");
	aml_name(a, "_HID");
	aml_string(a, "QEMU0001");
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_name(a, "_STA"); /* present, enabled, functioning, not shown */
	aml_integer(a, 0x0b);
	aml_crs_io(a, PORT_PVPANIC, 1);
	aml_end(a);
}

/* VMGENCTR is what Linux knows; the other names are the specification's. */
static void dsdt_genid(struct aml *a)
{
	aml_device_begin(a, "VGEN");
	aml_name(a, "_HID");
	aml_string(a, "VMGENCTR");
	aml_name(a, "_CID");
	aml_string(a, "VM_Gen_Counter");
	aml_name(a, "_DDN");
	aml_string(a, "VM_Gen_Counter");
	aml_name(a, "ADDR"); /* low and high half */
	aml_package_begin(a, 2);
	aml_integer(a, LAYOUT_GENID);
	aml_integer(a, 0);
	aml_end(a);
	aml_end(a);
	aml_device_begin(a, "GED0");
	aml_name(a, "_HID");
	aml_string(a, "ACPI0013");
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_crs_irq(a, LAYOUT_GSI_GED);
	aml_method_begin(a, "_EVT", 1); /* there is one interrupt: which needn't be asked */
	aml_notify(a, "VGEN", 0x80);
	aml_end(a);
	aml_end(a);
}

static int write_dsdt(struct writer *w, unsigned devices, uint64_t *ret_addr)
{
	uint8_t table[DSDT_MAX];
	struct sdt_header h = sdt("DSDT", 2);
	struct aml a;
	size_t len;
	int r;

	memcpy(table, &h, sizeof(h));
	aml_init(&a, table + sizeof(h), sizeof(table) - sizeof(h));
	aml_scope_begin(&a, "\\_SB_");
	for (unsigned i = 0; i < devices; i++)
		dsdt_virtio(&a, i);
	dsdt_pvpanic(&a);
	dsdt_genid(&a);
	aml_end(&a);
	aml_name(&a, "\\_S5_");
	aml_package_begin(&a, 4);
	aml_integer(&a, SLEEP_TYPE_S5);
	aml_integer(&a, 0);
	aml_integer(&a, 0);
	aml_integer(&a, 0);
	aml_end(&a);
	r = aml_finish(&a, &len);
	if (r < 0)
		return r;
	return place(w, table, sizeof(h) + len, ret_addr);
}

static struct gas io_port(uint16_t port)
{
	return (struct gas){
		.space = 1, .bit_width = 8, .access_size = 1, .address = le64_put(port)
	};
}

static int write_fadt(struct writer *w, uint64_t dsdt, uint64_t *ret_addr)
{
	struct fadt f = {
		.h = sdt("FACP", FADT_REVISION),
		.iapc_boot_arch = le16_put(FADT_BOOT_ARCH),
		.flags = le32_put(FADT_FLAGS),
		.reset_reg = io_port(PORT_RESET),
		.reset_value = RESET_VALUE,
		.minor_version = FADT_MINOR,
		.x_dsdt = le64_put(dsdt),
		.sleep_control = io_port(PORT_SLEEP_CONTROL),
		.sleep_status = io_port(PORT_SLEEP_STATUS),
	};

	return place(w, &f, sizeof(f), ret_addr);
}

static int write_madt(struct writer *w, unsigned vcpus, uint64_t *ret_addr)
{
	uint8_t table[MADT_MAX];
	struct madt_header mh = { .h = sdt("APIC", 5),
				  .lapic_address = le32_put((uint32_t)LAYOUT_LAPIC) };
	struct madt_ioapic io = { .type = 1,
				  .length = sizeof(io),
				  .address = le32_put((uint32_t)LAYOUT_IOAPIC) };
	size_t len = 0;

	BUG_ON(vcpus > VCPUS_MAX);
	memcpy(table, &mh, sizeof(mh));
	len += sizeof(mh);
	memcpy(table + len, &io, sizeof(io));
	len += sizeof(io);
	for (unsigned i = 0; i < vcpus; i++) {
		struct madt_lapic l = { .type = 0,
					.length = sizeof(l),
					.processor_uid = (uint8_t)i,
					.apic_id = (uint8_t)i,
					.flags = le32_put(1) };
		memcpy(table + len, &l, sizeof(l));
		len += sizeof(l);
	}
	return place(w, table, len, ret_addr);
}

static int write_xsdt(struct writer *w, uint64_t fadt, uint64_t madt, uint64_t *ret_addr)
{
	struct PACKED {
		struct sdt_header h;
		le64_t tables[2];
	} x = { .h = sdt("XSDT", 1), .tables = { le64_put(fadt), le64_put(madt) } };

	return place(w, &x, sizeof(x), ret_addr);
}

static int write_rsdp(struct gmem *m, uint64_t xsdt)
{
	struct PACKED {
		char signature[8];
		uint8_t checksum; /* of the first 20 bytes */
		char oem_id[6];
		uint8_t revision;
		le32_t rsdt;
		le32_t length;
		le64_t xsdt;
		uint8_t extended_checksum;
		uint8_t reserved[3];
	} p = { .revision = 2, .length = le32_put(RSDP_BYTES), .xsdt = le64_put(xsdt) };
	_Static_assert(sizeof(p) == RSDP_BYTES, "ABI");

	memcpy(p.signature, "RSD PTR ", sizeof(p.signature));
	memcpy(p.oem_id, "CASEMT", sizeof(p.oem_id));
	p.checksum = checksum(&p, 20);
	p.extended_checksum = checksum(&p, sizeof(p));
	return gmem_write(m, gpa(LAYOUT_ACPI), &p, sizeof(p));
}

int acpi_write(struct gmem *m, const struct acpi_config *cfg)
{
	struct writer w = { .m = m, .next = align_up(LAYOUT_ACPI + RSDP_BYTES, 16) };
	uint64_t dsdt, fadt, madt, xsdt;
	int r;

	BUG_ON(cfg->devices > LAYOUT_GSI_GED - LAYOUT_GSI_VIRTIO);
	r = write_dsdt(&w, cfg->devices, &dsdt);
	if (r == 0)
		r = write_fadt(&w, dsdt, &fadt);
	if (r == 0)
		r = write_madt(&w, cfg->vcpus, &madt);
	if (r == 0)
		r = write_xsdt(&w, fadt, madt, &xsdt);
	if (r == 0)
		r = write_rsdp(m, xsdt);
	return r;
}
