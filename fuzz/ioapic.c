/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IOAPIC under any accesses and ends of interrupts, while devices assert and release their
 * pins. What it makes of the redirection table is compared with a model of the 82093AA's. The input
 * is a sequence of four bytes: what, offset or vector, and a value.
 */
#include <string.h>

#include "base/bug.h"
#include "vmm/ioapic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WINDOW	 0x10U
#define MASKED	 (UINT64_C(1) << 16)
#define LEVEL	 (UINT64_C(1) << 15)
#define READ_RTE UINT64_C(0xff0000000001afff) /* all but delivery status and Remote IRR */

static struct {
	const struct ioapic *io;
	uint32_t asserted; /* pins that a device wants served */
	unsigned sent;	   /* since the last step */
	uint32_t routed;   /* as told last */
	struct ioapic_msi route[IOAPIC_PINS];
} world;

static bool asserted(void *arg, unsigned pin)
{
	BUG_ON(arg != &world || pin >= IOAPIC_PINS);
	return (world.asserted >> pin & 1U) != 0;
}

/* What an entry makes, from the manual's bits. */
static bool makes(uint64_t rte, struct ioapic_msi msi)
{
	uint32_t level = (rte & LEVEL) != 0 ? 3U << 14 : 0;

	return msi.address == (0xfee00000U | (uint32_t)(rte >> 56) << 12 |
			       ((rte >> 11 & 1U) != 0 ? 4U : 0)) &&
	       msi.data == ((uint32_t)(rte & 0x7ff) | level);
}

static void send_msi(void *arg, struct ioapic_msi msi)
{
	bool any = false;

	BUG_ON(arg != &world);
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		any |= (world.io->rte[i] & MASKED) == 0 && makes(world.io->rte[i], msi);
	BUG_ON(!any);
	world.sent++;
}

static void route(void *arg, uint32_t pins, const struct ioapic_msi msi[IOAPIC_PINS])
{
	BUG_ON(arg != &world || (pins >> IOAPIC_PINS) != 0);
	world.routed = pins;
	memcpy(world.route, msi, sizeof(world.route));
}

static const struct ioapic_ops ops = { asserted, send_msi, route };

/* Of the ends of which interrupts must KVM tell? */
static bool is_level(uint64_t rte)
{
	return (rte & (MASKED | LEVEL)) == LEVEL;
}

static void check(const struct ioapic *io)
{
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		BUG_ON((io->rte[i] & ~READ_RTE) != 0);
		BUG_ON(is_level(io->rte[i]) != ((world.routed >> i & 1U) != 0));
		BUG_ON(is_level(io->rte[i]) && !makes(io->rte[i], world.route[i]));
	}
}

/* A device comes to want service. */
static void raise_pin(struct ioapic *io, unsigned pin)
{
	world.sent = 0;
	ioapic_raise(io, pin);
	BUG_ON(world.sent != ((io->rte[pin] & MASKED) == 0));
}

static void end_of_interrupt(struct ioapic *io, uint8_t vector)
{
	unsigned want = 0;

	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		want += is_level(io->rte[i]) && (io->rte[i] & 0xff) == vector &&
			asserted(&world, i);
	world.sent = 0;
	ioapic_eoi(io, vector);
	BUG_ON(world.sent != want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t widths[] = { 4, 4, 4, 4, 4, 1, 2, 8 };
	struct ioapic io;
	uint8_t bytes[8];

	memset(&world, 0, sizeof(world));
	world.io = &io;
	ioapic_init(&io, &ops, &world);
	for (; size >= 4; data += 4, size -= 4) {
		uint64_t off = data[1] % 3 == 0 ? data[1] : data[1] % 3 == 1 ? 0 : WINDOW;
		size_t len = widths[data[0] >> 5];
		memset(bytes, data[3], sizeof(bytes));
		bytes[0] = data[2];
		switch (data[0] % 5) {
		case 0:
		case 1:
			ioapic_write(&io, off, bytes, len);
			break;
		case 2:
			memset(bytes, 0, sizeof(bytes));
			ioapic_read(&io, off, bytes, len);
			break;
		case 3:
			world.asserted = (uint32_t)data[2] << (data[3] % 16);
			raise_pin(&io, data[1] % IOAPIC_PINS);
			break;
		default:
			end_of_interrupt(&io, data[1]);
			break;
		}
		check(&io);
	}
	(void)pthread_mutex_destroy(&io.lock);
	return 0;
}
