/* SPDX-License-Identifier: Apache-2.0 */
/*
 * genid.h - the generation id of a virtual machine: 16 bytes in its memory that are others in every
 * VM which goes on from a snapshot, and the interrupt that tells the guest so. A kernel with a
 * driver (Linux 5.18: drivers/virt/vmgenid.c) reseeds its random numbers then, before it has asked
 * anybody.
 *
 * Source: Microsoft, "Virtual Machine Generation ID", 2012; the notification comes by a generic
 * event device (ACPI 6.5, 5.6.9), because hardware-reduced ACPI has no general purpose events.
 *
 * The control thread, but genid_asserted: any.
 */
#ifndef VMM_GENID_H
#define VMM_GENID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "vmm/gmem.h"
#include "vmm/ioapic.h"

#define GENID_BYTES 16U

struct genid {
	bool untold; /* atomic */
};

/* Gives this VM an id, before it runs: `id`, or random bytes when it is NULL. 0 or -errno. */
MUST_USE int genid_write(struct gmem *m, const uint8_t *id);
/* The id isn't what the guest has last seen: raises the interrupt. */
void genid_tell(struct genid *g, struct ioapic *io);
/*
 * Does the pin want service (struct ioapic_ops)? Once after genid_tell: a guest that had it masked
 * for the moment, because it was handling another, isn't left without. One that wasn't gets a
 * second interrupt, which finds nothing new.
 */
bool genid_asserted(struct genid *g);

#endif
