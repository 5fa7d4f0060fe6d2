/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.h - which device answers at an address: one table for MMIO, one for I/O ports.
 *
 * Filled before the vCPUs run and constant afterwards; then any thread may use it. An access that
 * no range holds whole reads as all ones and writes to nowhere, and is counted.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define BUS_RANGES_MAX 32U

/* off is inside the range, and so is off + len - 1; len is 1 to 8. */
typedef void bus_read_fn(void *arg, uint64_t off, void *data, size_t len);
typedef void bus_write_fn(void *arg, uint64_t off, const void *data, size_t len);

struct bus_range {
	uint64_t start;
	uint64_t size;
	bus_read_fn *read;
	bus_write_fn *write;
	void *arg;
};

struct bus {
	struct bus_range ranges[BUS_RANGES_MAX];
	unsigned count;
	uint64_t unknown; /* atomic: accesses that nothing answered */
};

void bus_init(struct bus *b);
/* Adds a range; overlap or a full table is our bug. */
void bus_add(struct bus *b, const struct bus_range *range);
void bus_read(struct bus *b, uint64_t addr, void *data, size_t len);
void bus_write(struct bus *b, uint64_t addr, const void *data, size_t len);

#endif
