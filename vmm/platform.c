/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/platform.h"

#include <string.h>

#include "vmm/arch/x86_64/layout.h"

#define SLEEP_ENABLE	 0x20U /* SLP_EN */
#define SLEEP_TYPE_SHIFT 2
#define SLEEP_TYPE_MASK	 7U
#define I8042_RESET	 0xfeU

static void read_zero(void *arg, uint64_t off, void *data, size_t len)
{
	(void)arg;
	(void)off;
	memset(data, 0, len);
}

static void read_pvpanic(void *arg, uint64_t off, void *data, size_t len)
{
	(void)arg;
	(void)off;
	memset(data, 0, len);
	*(uint8_t *)data = PVPANIC_PANICKED; /* the events that we understand */
}

static void write_nothing(void *arg, uint64_t off, const void *data, size_t len)
{
	(void)arg;
	(void)off;
	(void)data;
	(void)len;
}

static void write_sleep(void *arg, uint64_t off, const void *data, size_t len)
{
	uint8_t v = *(const uint8_t *)data;

	(void)off;
	(void)len;
	if ((v & SLEEP_ENABLE) != 0 && (v >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == SLEEP_TYPE_S5)
		result_end(arg, END_POWER_OFF, "the guest powered itself off");
}

static void write_reset(void *arg, uint64_t off, const void *data, size_t len)
{
	(void)off;
	(void)len;
	if (*(const uint8_t *)data == RESET_VALUE)
		result_end(arg, END_REBOOT, "the guest asked for a reset through ACPI");
}

static void write_i8042(void *arg, uint64_t off, const void *data, size_t len)
{
	(void)off;
	(void)len;
	if (*(const uint8_t *)data == I8042_RESET)
		result_end(arg, END_REBOOT, "the guest asked for a reset through port 0x64");
}

static void write_pvpanic(void *arg, uint64_t off, const void *data, size_t len)
{
	(void)off;
	(void)len;
	if ((*(const uint8_t *)data & PVPANIC_PANICKED) != 0)
		result_end(arg, END_PANIC, "the guest kernel panicked");
}

void platform_add(struct bus *pio, struct result *result)
{
	/* The status ports read as 0: nothing pending. A kernel that resets through the keyboard
	 * controller first waits for that, thousands of exits long if it read all ones. */
	const struct bus_range ports[] = {
		{ PORT_SLEEP_CONTROL, 1, read_zero, write_sleep, result },
		{ PORT_SLEEP_STATUS, 1, read_zero, write_nothing, result },
		{ PORT_RESET, 1, read_zero, write_reset, result },
		{ PORT_I8042, 1, read_zero, write_i8042, result },
		{ PORT_PVPANIC, 1, read_pvpanic, write_pvpanic, result },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		bus_add(pio, &ports[i]);
}
