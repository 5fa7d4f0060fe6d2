/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.c - `test=bench group=NAME [n=SAMPLES]`: measures one group of rows, prints the samples and
 * stays, idle, so that the host can look at the VMM's memory. Nothing is printed before all of the
 * group is measured.
 */
#include "bench.h"

uint32_t bench_cycles[BENCH_SAMPLES_MAX];

static char out[48 * 1024];
static size_t out_len;

static void put(const char *s, size_t n)
{
	if (n > sizeof(out) - out_len)
		test_fail("more output than room", n);
	memcpy(out + out_len, s, n);
	out_len += n;
}

static void put_u64(uint64_t v)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	put(text + at, sizeof(text) - at);
}

void bench_touch(void)
{
	/* Not by memset: a software KVM emulates a string instruction that faults byte by byte. */
	for (uint64_t at = 0; at < BENCH_MEM_BYTES; at += 4096)
		*(volatile uint64_t *)(BENCH_MEM + at) = 0;
}

void bench_emit(const char *name, unsigned count)
{
	put("s ", 2);
	put(name, strlen(name));
	for (unsigned i = 0; i < count; i++) {
		put(" ", 1);
		put_u64(clock_ns(bench_cycles[i]));
	}
	put("\n", 1);
}

static void flush(void)
{
	const size_t piece = 4096;

	for (size_t at = 0; at < out_len; at += piece)
		console_write(out + at, out_len - at < piece ? out_len - at : piece);
}

/* ---- Exits ------------------------------------------------------------------------------- */

static void exit_pio(void)
{
	outb(0x80, 0); /* answered by nobody, but by way of the VMM */
}

static void exit_mmio(void)
{
	(void)mmio_read32(acpi.devices[0].base); /* a device's magic number */
}

/* One act every so many ns: long enough, and who is woken by it sleeps again. */
static void measure_exit(const char *name, void (*act)(void), unsigned n, uint64_t every_ns)
{
	const unsigned warm = 100;

	for (unsigned i = 0; i < n + warm; i++) {
		uint64_t t0 = rdtsc(), t1;

		act();
		t1 = rdtsc();
		if (i >= warm)
			bench_cycles[i - warm] = (uint32_t)(t1 - t0);
		while (clock_ns(rdtsc() - t0) < every_ns)
			__asm__ volatile("pause");
	}
	bench_emit(name, n);
}

static void bench_exits(void)
{
	unsigned n = (unsigned)arg_u64("n", 1000);

	if (acpi.device_count == 0 || !bench_blk_open())
		test_fail("no drive", 0);
	measure_exit("exit_pio", exit_pio, n, 0);
	measure_exit("exit_mmio", exit_mmio, n, 0);
	measure_exit("exit_ioeventfd_busy", bench_blk_kick, n, 0);
	measure_exit("exit_ioeventfd_idle", bench_blk_kick, n, 300000);
}

static void bench_nothing(void)
{
}

static const struct {
	const char *name;
	void (*fn)(void);
} groups[] = {
	{ "start", bench_nothing }, { "exits", bench_exits }, { "blk", bench_blk },
	{ "net", bench_net },	    { "vsock", bench_vsock },
};

void test_bench(void)
{
	const char *name = arg_get("group");
	size_t n = 0;

	if (!clock_init())
		test_fail("the hypervisor offers no clock", 0);
	put("first ", 6);
	put_u64(clock_wall_ns(first_tsc));
	put("\n", 1);
	while (name != NULL && name[n] != '\0' && name[n] != ' ')
		n++;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (strlen(groups[i].name) == n && memcmp(groups[i].name, name, n) == 0)
			groups[i].fn();
	put("end\n", 4);
	flush();
	for (;;)
		__asm__ volatile("cli; hlt");
}
