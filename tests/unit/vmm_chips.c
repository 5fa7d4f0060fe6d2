/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_chips.c - the bus, the IOAPIC, the ports, and the result. */
#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "vmm/bus.h"
#include "vmm/ioapic.h"
#include "vmm/platform.h"
#include "vmm/result.h"

/* ---- Bus --------------------------------------------------------------------------------- */

static uint64_t last_off;
static size_t last_len;

static void fake_read(void *arg, uint64_t off, void *data, size_t len)
{
	last_off = off;
	last_len = len;
	memset(data, *(int *)arg, len);
}

static void fake_write(void *arg, uint64_t off, const void *data, size_t len)
{
	(void)data;
	last_off = off;
	last_len = len;
	*(int *)arg += 1;
}

Test(bus, dispatch_and_edges)
{
	int a = 0x11, b = 0x22;
	struct bus bus;
	uint64_t v;

	bus_init(&bus);
	bus_add(&bus, &(struct bus_range){ 0x1000, 0x10, fake_read, fake_write, &a });
	bus_add(&bus, &(struct bus_range){ 0x1010, 0x10, fake_read, fake_write, &b });
	v = 0;
	bus_read(&bus, 0x100c, &v, 4);
	cr_expect_eq(v, 0x11111111);
	cr_expect_eq(last_off, 0xc);
	v = 0;
	bus_read(&bus, 0x1010, &v, 4);
	cr_expect_eq(v, 0x22222222);
	/* Across the border of two devices, before the first, beyond the last, wrapping. */
	v = 0;
	bus_read(&bus, 0x100e, &v, 4);
	cr_expect_eq(v, UINT32_MAX);
	bus_read(&bus, 0xfff, &v, 1);
	bus_read(&bus, 0x1020, &v, 1);
	bus_read(&bus, UINT64_MAX - 1, &v, 8);
	cr_expect_eq(v, UINT64_MAX);
	bus_write(&bus, UINT64_MAX, &v, 8);
	cr_expect_eq(a, 0x11);
	cr_expect_eq(bus.unknown, 5);
}

/* ---- IOAPIC ------------------------------------------------------------------------------ */

static struct {
	uint32_t routed;
	struct ioapic_msi route[IOAPIC_PINS], sent;
	unsigned changes, sends;
	bool asserted;
} chip;

static bool is_asserted(void *arg, unsigned pin)
{
	(void)arg;
	(void)pin;
	return chip.asserted;
}

static void send_msi(void *arg, struct ioapic_msi msi)
{
	(void)arg;
	chip.sends++;
	chip.sent = msi;
}

static void route(void *arg, uint32_t pins, const struct ioapic_msi msi[IOAPIC_PINS])
{
	(void)arg;
	chip.routed = pins;
	memcpy(chip.route, msi, sizeof(chip.route));
	chip.changes++;
}

static const struct ioapic_ops ops = { is_asserted, send_msi, route };
static struct ioapic io;

static void poke(uint32_t index, uint32_t v)
{
	ioapic_write(&io, 0, &index, 4);
	ioapic_write(&io, 0x10, &v, 4);
}

static uint32_t peek(uint32_t index)
{
	uint32_t v = 0;

	ioapic_write(&io, 0, &index, 4);
	ioapic_read(&io, 0x10, &v, 4);
	return v;
}

static void init_chip(void)
{
	memset(&chip, 0, sizeof(chip));
	ioapic_init(&io, &ops, NULL);
}

TestSuite(ioapic, .init = init_chip);

Test(ioapic, reset_state)
{
	cr_expect_eq(peek(1), 0x20 | 23U << 16);
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		cr_expect_eq(peek(0x10 + 2 * i), 1U << 16);
		cr_expect_eq(peek(0x11 + 2 * i), 0);
	}
	cr_expect_eq(peek(0x10 + 2 * IOAPIC_PINS), UINT32_MAX);
	cr_expect_eq(peek(0xff), UINT32_MAX);
}

Test(ioapic, messages_follow_the_table)
{
	/* Writing masked entries, as every kernel does first, changes nothing. */
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		poke(0x10 + 2 * i, 1U << 16 | i);
		ioapic_raise(&io, i);
	}
	cr_expect_eq(chip.sends, 0);
	poke(0x11 + 2 * 5, 3U << 24);
	poke(0x10 + 2 * 5, 0x31);
	cr_expect_eq(chip.sends, 0, "no device wants anything");
	ioapic_raise(&io, 5);
	cr_expect_eq(chip.sends, 1);
	cr_expect_eq(chip.sent.address, 0xfee03000);
	cr_expect_eq(chip.sent.data, 0x31);
	poke(0x11 + 2 * 5, 0xffU << 24);
	ioapic_raise(&io, 5);
	cr_expect_eq(chip.sent.address, 0xfeeff000);
	ioapic_raise(&io, 6);
	poke(0x10 + 2 * 5, 1U << 16 | 0x31);
	ioapic_raise(&io, 5);
	cr_expect_eq(chip.sends, 2, "masked");
	cr_expect_eq(chip.changes, 0, "edges need no routes");
}

Test(ioapic, logical_lowest_priority_level)
{
	poke(0x11 + 2 * 7, 0x0fU << 24);
	poke(0x10 + 2 * 7, 1U << 15 | 1U << 11 | 1U << 8 | 0x42);
	ioapic_raise(&io, 7);
	cr_expect_eq(chip.sent.address, 0xfee0f004);
	cr_expect_eq(chip.sent.data, 1U << 15 | 1U << 14 | 1U << 8 | 0x42);
	/* Delivery status and Remote IRR can't be written. */
	poke(0x10 + 2 * 7, 1U << 16 | 1U << 14 | 1U << 12);
	cr_expect_eq(peek(0x10 + 2 * 7), 1U << 16);
}

Test(ioapic, routes_are_the_level_triggered_pins)
{
	poke(0x10 + 2 * 4, 0x40);
	cr_expect_eq(chip.changes, 0);
	poke(0x10 + 2 * 7, 1U << 15 | 0x42);
	cr_expect_eq(chip.changes, 1);
	cr_expect_eq(chip.routed, 1U << 7);
	cr_expect_eq(chip.route[7].address, 0xfee00000);
	cr_expect_eq(chip.route[7].data, 1U << 15 | 1U << 14 | 0x42);
	poke(0x10 + 2 * 7, 1U << 15 | 0x42);
	cr_expect_eq(chip.changes, 1, "the same value again");
	poke(0x10 + 2 * 7, 1U << 15 | 0x43);
	cr_expect_eq(chip.changes, 2);
	cr_expect_eq(chip.route[7].data & 0xff, 0x43);
	poke(0x10 + 2 * 7, 0x43);
	cr_expect_eq(chip.changes, 3);
	cr_expect_eq(chip.routed, 0, "an edge now");
	poke(0x10 + 2 * 7, 1U << 15 | 0x43);
	poke(0x10 + 2 * 7, 1U << 16 | 1U << 15 | 0x43);
	cr_expect_eq(chip.changes, 5);
	cr_expect_eq(chip.routed, 0, "masked");
}

Test(ioapic, a_saved_table_is_loaded_with_its_routes)
{
	uint8_t state[IOAPIC_STATE_BYTES];

	poke(0x10 + 2 * 5, 0x31);
	ioapic_save(&io, state);
	ioapic_init(&io, &ops, NULL);
	ioapic_load(&io, state);
	cr_expect_eq(chip.changes, 0);
	ioapic_raise(&io, 5);
	cr_expect_eq(chip.sent.data, 0x31);
	poke(0x10 + 2 * 6, 1U << 15 | 0x32);
	ioapic_save(&io, state);
	ioapic_init(&io, &ops, NULL);
	ioapic_load(&io, state);
	cr_expect_eq(chip.changes, 2);
	cr_expect_eq(chip.routed, 1U << 6);
}

Test(ioapic, unmasking_raises_what_waits)
{
	chip.asserted = true;
	ioapic_raise(&io, 6);
	cr_expect_eq(chip.sends, 0);
	poke(0x10 + 2 * 6, 0x40);
	cr_expect_eq(chip.sends, 1);
	cr_expect_eq(chip.sent.data, 0x40);
	poke(0x10 + 2 * 6, 0x41);
	cr_expect_eq(chip.sends, 1, "it was unmasked before");
	poke(0x10 + 2 * 6, 1U << 16 | 0x41);
	cr_expect_eq(chip.sends, 1, "masked");
}

/* A device comes to want service the moment after an unmasking has found that it doesn't. */
static bool raise_after_look(void *arg, unsigned pin)
{
	(void)arg;
	ioapic_raise(&io, pin);
	return false;
}

static const struct ioapic_ops late_ops = { raise_after_look, send_msi, route };

Test(ioapic, what_comes_during_an_unmasking_is_not_lost)
{
	ioapic_init(&io, &late_ops, NULL);
	poke(0x10 + 2 * 3, 0x40);
	cr_expect_eq(chip.sends, 1);
	cr_expect_eq(chip.sent.data, 0x40);
}

Test(ioapic, end_of_interrupt_raises_level_pins_again)
{
	poke(0x10 + 2 * 6, 1U << 15 | 0x40);
	poke(0x10 + 2 * 7, 0x40);
	chip.asserted = true;
	ioapic_eoi(&io, 0x40);
	cr_expect_eq(chip.sends, 1);
	cr_expect_eq(chip.sent.data, 1U << 15 | 1U << 14 | 0x40);
	ioapic_eoi(&io, 0x41);
	cr_expect_eq(chip.sends, 1);
	chip.asserted = false;
	ioapic_eoi(&io, 0x40);
	cr_expect_eq(chip.sends, 1);
}

Test(ioapic, only_whole_words)
{
	uint64_t v = 0;

	for (size_t len = 1; len <= 8; len *= 2) {
		if (len == 4)
			continue;
		ioapic_write(&io, 0, &v, len);
		v = 0;
		ioapic_read(&io, 0x10, &v, len);
		cr_expect_eq(v, len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1);
		v = 0;
	}
	cr_expect_eq(chip.changes + chip.sends, 0);
}

/* ---- Ports and result -------------------------------------------------------------------- */

static void expect_end(uint16_t port, uint8_t value, enum end_reason reason)
{
	struct result res;
	struct bus pio;

	cr_assert_eq(result_init(&res), 0);
	bus_init(&pio);
	platform_add(&pio, &res);
	bus_write(&pio, port, &value, 1);
	cr_expect_eq(result_reason(&res), reason, "port 0x%x value 0x%x: %s", port, value,
		     end_reason_name(result_reason(&res)));
	(void)close(res.event_fd);
}

Test(platform, ends)
{
	expect_end(PORT_SLEEP_CONTROL, 5 << 2 | 0x20, END_POWER_OFF);
	expect_end(PORT_SLEEP_CONTROL, 5 << 2, END_NONE);
	expect_end(PORT_SLEEP_CONTROL, 3 << 2 | 0x20, END_NONE);
	expect_end(PORT_SLEEP_STATUS, 0xff, END_NONE);
	expect_end(PORT_RESET, RESET_VALUE, END_REBOOT);
	expect_end(PORT_RESET, 0, END_NONE);
	expect_end(PORT_I8042, 0xfe, END_REBOOT);
	expect_end(PORT_I8042, 0xd1, END_NONE);
	expect_end(PORT_PVPANIC, 1, END_PANIC);
	expect_end(PORT_PVPANIC, 2, END_NONE);
}

Test(result, the_first_reason_stays)
{
	char detail[RESULT_DETAIL_MAX];
	struct result res;
	struct pollfd p;

	cr_assert_eq(result_init(&res), 0);
	p = (struct pollfd){ .fd = res.event_fd, .events = POLLIN };
	cr_expect_eq(poll(&p, 1, 0), 0);
	result_end(&res, END_PANIC, "first %d", 1);
	result_end(&res, END_STOPPED, "second");
	cr_expect_eq(result_reason(&res), END_PANIC);
	result_detail(&res, detail);
	cr_expect_str_eq(detail, "first 1");
	cr_expect_eq(poll(&p, 1, 0), 1);
	(void)close(res.event_fd);
}

/* The contract of api/proto/vmm.proto. */
Test(result, exit_statuses)
{
	cr_expect_eq(end_reason_status(END_POWER_OFF), 0);
	cr_expect_eq(end_reason_status(END_REBOOT), 10);
	cr_expect_eq(end_reason_status(END_PANIC), 11);
	cr_expect_eq(end_reason_status(END_TRIPLE_FAULT), 12);
	cr_expect_eq(end_reason_status(END_GUEST_ERROR), 13);
	cr_expect_eq(end_reason_status(END_STOPPED), 14);
	cr_expect_eq(end_reason_status(END_HOST_ERROR), 1);
}
