/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - everything that a VM counts, by name: exits of its vCPUs, accesses that nothing
 * answered, log lines that were suppressed, and the counters of each device. The list is in
 * docs/PROTOCOL.md. Reading takes no lock and stops nobody, so the values are not of one moment.
 */
#ifndef VMM_METRICS_H
#define VMM_METRICS_H

#include <stdint.h>

#include "vmm/vm.h"

#define METRICS_NAME_MAX 48U
#define METRICS_COMMON	 32U /* room for what isn't a device's */
#define METRICS_MAX	 (METRICS_COMMON + VM_DEVICES_MAX * (VIRTIO_COUNTERS_MAX + 4U))

struct metric {
	char name[METRICS_NAME_MAX];
	uint64_t value;
};

struct metrics {
	unsigned count;
	struct metric list[METRICS_MAX];
};

/* Replaces what m holds. Any thread, once the VM is built. */
void metrics_collect(const struct vm *vm, struct metrics *m);

#endif
