/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioapic.h - the 82093AA I/O APIC, in user space (KVM_CAP_SPLIT_IRQCHIP keeps only the local APICs
 * in the kernel: less of the host's kernel for a guest to attack).
 *
 * Theory of operation: a device raises its pin by writing to an irqfd, which KVM turns into the
 * MSI that the route of that GSI says. So the redirection table is not consulted when an interrupt
 * happens; a guest's write to it becomes KVM_SET_GSI_ROUTING instead. Masked pins have no route:
 * KVM swallows their interrupts, and unmasking a pin whose device still asserts it raises it again,
 * so that none is lost. Level-triggered pins work by end-of-interrupt exits in the same way. Their
 * Remote IRR bit always reads as 0: KVM doesn't tell when it delivers.
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

struct ioapic_ops {
	/* Does the device at this pin want service? */
	bool (*asserted)(void *arg, unsigned pin);
	/* Raise the pin once more. */
	void (*raise)(void *arg, unsigned pin);
	/* The table has changed: make these the routes of the VM. msi_data/addr[pin]; bit n of
	 * `routed` tells whether pin n has one. Lock held. */
	void (*route)(void *arg, uint32_t routed, const uint32_t msi_addr[IOAPIC_PINS],
		      const uint32_t msi_data[IOAPIC_PINS]);
};

struct ioapic {
	pthread_mutex_t lock;
	const struct ioapic_ops *ops;
	void *arg;
	uint32_t select; /* IOREGSEL */
	uint32_t id;
	uint64_t rte[IOAPIC_PINS];
	uint64_t writes, routes; /* atomic: of registers, and those that changed the VM's routes */
};

/* All pins masked. */
void ioapic_init(struct ioapic *io, const struct ioapic_ops *ops, void *arg);
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
