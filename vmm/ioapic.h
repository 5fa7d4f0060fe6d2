/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioapic.h - the 82093AA I/O APIC, in user space (KVM_CAP_SPLIT_IRQCHIP keeps only the local APICs
 * in the kernel: less of the host's kernel for a guest to attack).
 *
 * Theory of operation: a thread that raises a pin reads its entry and sends the message that this
 * makes, with no lock: a guest that writes to the table without end keeps no device waiting. A
 * masked pin's interrupt is dropped, and unmasking a pin whose device still asserts it raises it
 * again, so that none is lost. A message may be on its way still when the guest's write that
 * masked its pin has been answered, as on the bus of a real one.
 *
 * KVM tells of the end of an interrupt (KVM_EXIT_IOAPIC_EOI) if a route of the VM has its vector,
 * level-triggered. So the routes are the unmasked level-triggered pins, and nothing goes by them.
 * Remote IRR always reads as 0: KVM doesn't tell when it delivers.
 *
 * Any thread after ioapic_init; has a lock of its own.
 */
#ifndef VMM_IOAPIC_H
#define VMM_IOAPIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "vmm/arch/x86_64/layout.h"

#define IOAPIC_BYTES UINT64_C(0x1000)
#define IOAPIC_PINS  LAYOUT_IOAPIC_PINS

/* What goes to the local APICs. A guest has written all of it but the address's upper 12 bits. */
struct ioapic_msi {
	uint32_t address, data;
};

struct ioapic_ops {
	/* Does the device at this pin want service? Lock held. With sequential consistency: a
	 * thread that has begun to want it before ioapic_raise is seen here, or sees the entry. */
	bool (*asserted)(void *arg, unsigned pin);
	/* Send this. On the thread that raises, with or without the lock. */
	void (*send)(void *arg, struct ioapic_msi msi);
	/* Make these the routes of the VM: msi[pin] for each bit of `pins`. Lock held. */
	void (*route)(void *arg, uint32_t pins, const struct ioapic_msi msi[IOAPIC_PINS]);
};

struct ioapic {
	pthread_mutex_t lock;
	const struct ioapic_ops *ops;
	void *arg;
	uint32_t select; /* IOREGSEL */
	uint32_t id;
	uint64_t rte[IOAPIC_PINS]; /* atomic; written with lock */
	uint64_t writes, routes; /* atomic: of registers, and those that changed the VM's routes */
};

/* All pins masked. */
void ioapic_init(struct ioapic *io, const struct ioapic_ops *ops, void *arg);
/* The device at this pin has come to want service (ops->asserted). Takes no lock. */
void ioapic_raise(struct ioapic *io, unsigned pin);
/* bus_read_fn and bus_write_fn; arg is the struct ioapic. */
void ioapic_read(void *arg, uint64_t off, void *data, size_t len);
void ioapic_write(void *arg, uint64_t off, const void *data, size_t len);
/* The guest-visible state as bytes, and back: load takes hostile bytes of exactly this size and
 * sets the VM's routes. No vCPU runs. */
#define IOAPIC_STATE_BYTES 200U
void ioapic_save(struct ioapic *io, uint8_t dst[IOAPIC_STATE_BYTES]);
void ioapic_load(struct ioapic *io, const uint8_t src[IOAPIC_STATE_BYTES]);
/* A vCPU has ended a level-triggered interrupt with this vector. */
void ioapic_eoi(struct ioapic *io, uint8_t vector);

#endif
