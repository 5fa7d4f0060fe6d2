/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - boot information, the test table, the verdict. */
#include "guest.h"

struct boot_info boot;

static const char *test_name = "none";

static uint32_t get32(uint64_t a)
{
	return *(volatile uint32_t *)a;
}
static uint64_t get64(uint64_t a)
{
	return *(volatile uint64_t *)a;
}

static void add_ram(uint64_t base, uint64_t size)
{
	if (boot.ram_count < MEM_RANGES_MAX)
		boot.ram[boot.ram_count++] = (struct mem_range){ base, size };
}

static void read_boot_params(uint64_t bp)
{
	unsigned n = *(volatile uint8_t *)(bp + 0x1e8);

	boot.cmdline = (const char *)(uint64_t)get32(bp + 0x228);
	boot.rsdp = get64(bp + 0x070);
	for (unsigned i = 0; i < n; i++)
		if (get32(bp + 0x2d0 + i * 20 + 16) == 1)
			add_ram(get64(bp + 0x2d0 + i * 20), get64(bp + 0x2d0 + i * 20 + 8));
}

static void read_start_info(uint64_t si)
{
	uint64_t map = get64(si + 40);
	uint32_t n = get32(si + 48);

	boot.pvh = true;
	boot.cmdline = (const char *)get64(si + 24);
	boot.rsdp = get64(si + 32);
	for (uint32_t i = 0; i < n; i++)
		if (get32(map + i * 24 + 16) == 1)
			add_ram(get64(map + i * 24), get64(map + i * 24 + 8));
}

const char *arg_get(const char *key)
{
	size_t n = strlen(key);

	for (const char *p = boot.cmdline; p != NULL && *p != '\0';) {
		if (memcmp(p, key, n) == 0 && p[n] == '=')
			return p + n + 1;
		while (*p != '\0' && *p != ' ')
			p++;
		while (*p == ' ')
			p++;
	}
	return NULL;
}

uint64_t arg_u64(const char *key, uint64_t otherwise)
{
	const char *p = arg_get(key);
	uint64_t v = 0;

	if (p == NULL)
		return otherwise;
	for (; *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	return v;
}

__attribute__((noreturn)) static void halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

__attribute__((noreturn)) static void power_off(void)
{
	if (acpi.sleep.addr == 0) /* a machine without: the keyboard controller's reset */
		outb(0x64, 0xfe);
	/* ACPI 6.4, 4.8.3.7: SLP_TYP in bits 2..4, SLP_EN is bit 5. */
	acpi_reg_write(&acpi.sleep, (uint8_t)(5U << 2 | 1U << 5));
	halt();
}

__attribute__((noreturn)) void test_ok(void)
{
	print("ok ");
	print(test_name);
	print("\n");
	power_off();
}

__attribute__((noreturn)) void test_fail(const char *why, uint64_t value)
{
	print("fail ");
	print(test_name);
	print(": ");
	print(why);
	print(" ");
	print_u64(value);
	print("\n");
	power_off();
}

/* ---- Ends ---- */

static void test_hello(void)
{
	print(boot.pvh ? "entry pvh\n" : "entry linux64\n");
}

static void test_reset(void)
{
	acpi_reg_write(&acpi.reset, acpi.reset_value);
	halt();
}

static void test_i8042(void)
{
	outb(0x64, 0xfe);
	halt();
}

static void test_panic(void)
{
	outb(acpi.panic_port, 1);
	power_off();
}

static void test_triple_fault(void)
{
	const struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} none = { 0, 0 };

	__asm__ volatile("lidt %0; ud2" ::"m"(none));
	halt();
}

static void test_spin(void)
{
	print("spinning\n");
	for (;;)
		__asm__ volatile("pause");
}

static void test_idle(void)
{
	print("idling\n");
	halt();
}

/* Never ends; something of every kind goes on. */
static void test_tick(void)
{
	if (acpi.cpus > 1)
		test_smp();
	for (;;) {
		print("tick\n");
		cpu_delay(1000000);
	}
}

/* Counts in memory, aloud. What a snapshot forgot would show as a repeated or a missing number. */
static void test_count(void)
{
	static uint64_t count;

	if (acpi.cpus > 1)
		test_smp();
	for (;;) {
		print("count ");
		print_u64(++count);
		print("\n");
		cpu_delay(3000000);
	}
}

/* Touches the first and last page of each range of RAM and adds the sizes. */
void test_mem(void)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < boot.ram_count; i++) {
		const struct mem_range *r = &boot.ram[i];
		volatile uint64_t *last = (volatile uint64_t *)(r->base + r->size - 8);

		total += r->size;
		if (r->base >= 0x100000) {
			*last = 0x0123456789abcdef ^ r->base;
			if (*last != (0x0123456789abcdef ^ r->base))
				test_fail("memory lost a value near", r->base + r->size);
		}
	}
	print("ram ");
	print_u64(total);
	print("\n");
}

void test_smp(void)
{
	extern volatile uint32_t ap_count;
	uint64_t start;

	for (unsigned i = 1; i < acpi.cpus; i++)
		cpu_start_ap(acpi.apic_ids[i]);
	start = rdtsc();
	while (ap_count + 1 < acpi.cpus && rdtsc() - start < 20000000000ULL)
		__asm__ volatile("pause");
	print("cpus ");
	print_u64(ap_count + 1);
	print("\n");
	if (ap_count + 1 != acpi.cpus)
		test_fail("processors missing of", acpi.cpus);
}

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
	{ "hello", test_hello },
	{ "reset", test_reset },
	{ "i8042", test_i8042 },
	{ "panic", test_panic },
	{ "triple-fault", test_triple_fault },
	{ "spin", test_spin },
	{ "idle", test_idle },
	{ "tick", test_tick },
	{ "count", test_count },
	{ "genid", test_genid },
	{ "mem", test_mem },
	{ "ripple", test_ripple },
	{ "touch", test_touch },
	{ "smp", test_smp },
	{ "blk-read", test_blk_read },
	{ "pmem", test_pmem },
	{ "pmem-dma", test_pmem_dma },
	{ "blk-write", test_blk_write },
	{ "blk-refused", test_blk_refused },
	{ "blk-loop", test_blk_loop },
	{ "blk-queues", test_blk_queues },
	{ "blk-discard", test_blk_discard },
	{ "blk-resize", test_blk_resize },
	{ "blk-reads", test_blk_reads },
	{ "rng", test_rng },
	{ "flood", test_flood },
	{ "vsock", test_vsock },
	{ "agent", test_agent },
	{ "balloon", test_balloon },
	{ "balloon-bad", test_balloon_bad },
	{ "net-echo", test_net_echo },
	{ "net-large", test_net_large },
	{ "net-pairs", test_net_pairs },
	{ "net-link", test_net_link },
	{ "ports", test_ports },
	{ "mmio", test_mmio },
	{ "level", test_level },
	{ "hidden", test_hidden },
	{ "bench", test_bench },
	{ "msr", test_msr },
	{ "cpuid", test_cpuid },
	{ "hostile", test_hostile },
	{ "hostile-list", test_hostile_list },
};

void guest_main(int pvh, uint64_t info);

void guest_main(int pvh, uint64_t info)
{
	const char *name;
	size_t n = 0;

	if (pvh)
		read_start_info(info);
	else
		read_boot_params(info);
	cpu_init();
	if (!acpi_init(boot.rsdp))
		halt();
	(void)console_init(); /* a VM without a console is a test too */
	name = arg_get("test");
	if (name == NULL)
		name = "agent"; /* started by casemated */
	while (name != NULL && name[n] != '\0' && name[n] != ' ')
		n++;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strlen(tests[i].name) == n && memcmp(tests[i].name, name, n) == 0) {
			test_name = tests[i].name;
			tests[i].fn();
			test_ok();
		}
	}
	test_fail("no such test", n);
}
