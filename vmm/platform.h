/* SPDX-License-Identifier: Apache-2.0 */
/*
 * platform.h - the I/O ports of the machine, each of which ends it: ACPI sleep and reset registers,
 * the keyboard controller's reset command, and pvpanic. Any thread.
 */
#ifndef VMM_PLATFORM_H
#define VMM_PLATFORM_H

#include "vmm/bus.h"
#include "vmm/result.h"

void platform_add(struct bus *pio, struct result *result);

#endif
