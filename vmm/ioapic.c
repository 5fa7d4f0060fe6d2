/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ioapic.h"

#include <string.h>

#include "base/bug.h"
#include "base/le.h"

/* Registers of the MMIO page. */
#define REG_SELECT 0x00U
#define REG_WINDOW 0x10U
#define REG_EOI	   0x40U

/* Registers behind the window. */
#define IDX_ID	    0x00U
#define IDX_VERSION 0x01U
#define IDX_ARB	    0x02U
#define IDX_TABLE   0x10U

#define ID_WRITABLE 0x0f000000U
#define VERSION	    0x20U /* the first with an EOI register */

/* Redirection table entry. */
#define RTE_VECTOR     UINT64_C(0xff)
#define RTE_DELIVERY   UINT64_C(0x700)
#define RTE_LOGICAL    (UINT64_C(1) << 11)
#define RTE_LEVEL      (UINT64_C(1) << 15)
#define RTE_MASKED     (UINT64_C(1) << 16)
#define RTE_DEST_SHIFT 56
#define RTE_WRITABLE   UINT64_C(0xff0000000001afff) /* without status and Remote IRR */

#define MSI_ADDRESS	 0xfee00000U
#define MSI_DEST_SHIFT	 12
#define MSI_LOGICAL	 (1U << 2)
#define MSI_LEVEL_ASSERT (1U << 14)
#define MSI_LEVEL	 (1U << 15)

void ioapic_init(struct ioapic *io, const struct ioapic_ops *ops, void *arg)
{
	*io = (struct ioapic){ .ops = ops, .arg = arg };
	(void)pthread_mutex_init(&io->lock, NULL);
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		io->rte[i] = RTE_MASKED;
}

static struct ioapic_msi rte_msi(uint64_t e)
{
	return (struct ioapic_msi){
		.address = MSI_ADDRESS | (uint32_t)(e >> RTE_DEST_SHIFT) << MSI_DEST_SHIFT |
			   ((e & RTE_LOGICAL) != 0 ? MSI_LOGICAL : 0),
		.data = (uint32_t)(e & (RTE_VECTOR | RTE_DELIVERY)) |
			((e & RTE_LEVEL) != 0 ? MSI_LEVEL | MSI_LEVEL_ASSERT : 0),
	};
}

/* Must KVM tell of the end of this one's interrupts? */
static bool rte_is_routed(uint64_t e)
{
	return (e & (RTE_MASKED | RTE_LEVEL)) == RTE_LEVEL;
}

void ioapic_raise(struct ioapic *io, unsigned pin)
{
	uint64_t e;

	BUG_ON(pin >= IOAPIC_PINS);
	/* Pairs with the store in write_rte. Either the device's wish, which came before, is seen
	 * there after the store that unmasks, or that store is seen here. */
	e = __atomic_load_n(&io->rte[pin], __ATOMIC_SEQ_CST);
	if ((e & RTE_MASKED) == 0)
		io->ops->send(io->arg, rte_msi(e));
}

static void update_routes(struct ioapic *io)
{
	struct ioapic_msi msi[IOAPIC_PINS] = { 0 };
	uint32_t pins = 0;

	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		if (!rte_is_routed(io->rte[i]))
			continue;
		pins |= 1U << i;
		msi[i] = rte_msi(io->rte[i]);
	}
	__atomic_fetch_add(&io->routes, 1, __ATOMIC_RELAXED);
	io->ops->route(io->arg, pins, msi);
}

static void write_rte(struct ioapic *io, unsigned pin, bool high, uint32_t v)
{
	uint64_t old = io->rte[pin], new;

	if (high)
		new = (old & UINT32_MAX) | (uint64_t)v << 32;
	else
		new = (old & ~(uint64_t)UINT32_MAX) | v;
	new &= RTE_WRITABLE;
	if (new == old)
		return;
	__atomic_store_n(&io->rte[pin], new, __ATOMIC_SEQ_CST);
	if (rte_is_routed(old) || rte_is_routed(new))
		update_routes(io);
	if ((old & RTE_MASKED) != 0 && (new &RTE_MASKED) == 0 && io->ops->asserted(io->arg, pin))
		ioapic_raise(io, pin);
}

static uint32_t read_window(const struct ioapic *io)
{
	uint32_t pin = (io->select - IDX_TABLE) / 2;

	if (io->select == IDX_ID || io->select == IDX_ARB)
		return io->id;
	if (io->select == IDX_VERSION)
		return VERSION | (IOAPIC_PINS - 1) << 16;
	if (io->select < IDX_TABLE || pin >= IOAPIC_PINS)
		return UINT32_MAX;
	return (uint32_t)(io->rte[pin] >> ((io->select & 1U) != 0 ? 32 : 0));
}

static void write_window(struct ioapic *io, uint32_t v)
{
	uint32_t pin = (io->select - IDX_TABLE) / 2;

	if (io->select == IDX_ID)
		io->id = v & ID_WRITABLE;
	else if (io->select >= IDX_TABLE && pin < IOAPIC_PINS)
		write_rte(io, pin, (io->select & 1U) != 0, v);
}

void ioapic_read(void *arg, uint64_t off, void *data, size_t len)
{
	struct ioapic *io = arg;
	uint32_t v = UINT32_MAX;

	memset(data, 0xff, len);
	if (len != sizeof(v))
		return;
	(void)pthread_mutex_lock(&io->lock);
	if (off == REG_SELECT)
		v = io->select;
	else if (off == REG_WINDOW)
		v = read_window(io);
	(void)pthread_mutex_unlock(&io->lock);
	memcpy(data, &v, sizeof(v));
}

void ioapic_write(void *arg, uint64_t off, const void *data, size_t len)
{
	struct ioapic *io = arg;
	uint32_t v;

	__atomic_fetch_add(&io->writes, 1, __ATOMIC_RELAXED);
	if (len != sizeof(v))
		return;
	memcpy(&v, data, sizeof(v));
	(void)pthread_mutex_lock(&io->lock);
	if (off == REG_SELECT)
		io->select = v & 0xffU;
	else if (off == REG_WINDOW)
		write_window(io, v);
	(void)pthread_mutex_unlock(&io->lock);
	if (off == REG_EOI)
		ioapic_eoi(io, (uint8_t)v);
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
	(void)pthread_mutex_lock(&io->lock);
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		uint64_t e = io->rte[i];
		if (rte_is_routed(e) && (e & RTE_VECTOR) == vector && io->ops->asserted(io->arg, i))
			ioapic_raise(io, i);
	}
	(void)pthread_mutex_unlock(&io->lock);
}

struct ioapic_state {
	le32_t select, id;
	le64_t rte[IOAPIC_PINS];
};
_Static_assert(sizeof(struct ioapic_state) == IOAPIC_STATE_BYTES, "docs/SNAPSHOT.md");

void ioapic_save(struct ioapic *io, uint8_t dst[IOAPIC_STATE_BYTES])
{
	struct ioapic_state s;

	(void)pthread_mutex_lock(&io->lock);
	s.select = le32_put(io->select);
	s.id = le32_put(io->id);
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		s.rte[i] = le64_put(io->rte[i]);
	(void)pthread_mutex_unlock(&io->lock);
	memcpy(dst, &s, sizeof(s));
}

void ioapic_load(struct ioapic *io, const uint8_t src[IOAPIC_STATE_BYTES])
{
	struct ioapic_state s;
	bool routed = false;

	memcpy(&s, src, sizeof(s));
	(void)pthread_mutex_lock(&io->lock);
	/* Nothing that a guest couldn't have written. */
	io->select = le32_get(s.select) & 0xffU;
	io->id = le32_get(s.id) & ID_WRITABLE;
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		uint64_t new = le64_get(s.rte[i]) & RTE_WRITABLE;
		routed |= rte_is_routed(io->rte[i]) || rte_is_routed(new);
		__atomic_store_n(&io->rte[i], new, __ATOMIC_SEQ_CST);
	}
	if (routed)
		update_routes(io);
	(void)pthread_mutex_unlock(&io->lock);
}
