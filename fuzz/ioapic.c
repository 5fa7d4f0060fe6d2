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
	uint32_t asserted; /* pins that a device wants served */
	uint32_t raised;   /* since the last step */
	uint32_t routed;   /* as told last */
	uint32_t data[IOAPIC_PINS];
} world;

static bool asserted(void *arg, unsigned pin)
{
	BUG_ON(arg != &world || pin >= IOAPIC_PINS);
	return (world.asserted >> pin & 1U) != 0;
}

static void raise_pin(void *arg, unsigned pin)
{
	BUG_ON(!asserted(arg, pin));
	world.raised |= 1U << pin;
}

static void route(void *arg, uint32_t routed, const uint32_t msi_addr[IOAPIC_PINS],
		  const uint32_t msi_data[IOAPIC_PINS])
{
	BUG_ON(arg != &world || (routed >> IOAPIC_PINS) != 0);
	world.routed = routed;
	memcpy(world.data, msi_data, sizeof(world.data));
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		BUG_ON((routed >> i & 1U) != 0 && msi_addr[i] >> 20 != 0xfee);
}

static const struct ioapic_ops ops = { asserted, raise_pin, route };

static void check(const struct ioapic *io)
{
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		bool open = (io->rte[i] & MASKED) == 0;
		BUG_ON((io->rte[i] & ~READ_RTE) != 0);
		BUG_ON(open != ((world.routed >> i & 1U) != 0));
		BUG_ON(open && (world.data[i] & 0xff) != (io->rte[i] & 0xff));
	}
}

static void end_of_interrupt(struct ioapic *io, uint8_t vector)
{
	uint32_t want = 0;

	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		if ((io->rte[i] & (MASKED | LEVEL)) == LEVEL && (io->rte[i] & 0xff) == vector)
			want |= 1U << i;
	world.raised = 0;
	ioapic_eoi(io, vector);
	BUG_ON(world.raised != (want & world.asserted));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t widths[] = { 4, 4, 4, 4, 4, 1, 2, 8 };
	struct ioapic io;
	uint8_t bytes[8];

	memset(&world, 0, sizeof(world));
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
