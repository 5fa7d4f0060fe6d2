/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/metrics.h"

#include <stdio.h>

#include "base/bug.h"
#include "base/log.h"

static void add(struct metrics *m, const char *prefix, const char *name, uint64_t value)
{
	struct metric *e = &m->list[m->count];
	int n;

	BUG_ON(m->count == METRICS_MAX);
	n = snprintf(e->name, sizeof(e->name), "%s.%s", prefix, name);
	BUG_ON(n < 0 || (size_t)n >= sizeof(e->name));
	e->value = value;
	m->count++;
}

static void add_exits(const struct vm *vm, struct metrics *m)
{
	for (unsigned kind = 0; kind < VCPU_EXIT_COUNT; kind++) {
		uint64_t sum = 0;
		for (unsigned i = 0; i < vm->vcpus_count; i++)
			sum += vcpu_exits(&vm->vcpus[i], (enum vcpu_exit)kind);
		add(m, "vcpu.exit", vcpu_exit_name((enum vcpu_exit)kind), sum);
	}
}

struct device_metrics {
	struct metrics *m;
	char prefix[16];
};

static void add_counter(const char *name, uint64_t value, void *arg)
{
	const struct device_metrics *d = arg;

	add(d->m, d->prefix, name, value);
}

/* A device is called by its type; of some there are several: drive0, drive1, nic0. */
static void add_devices(const struct vm *vm, struct metrics *m)
{
	unsigned drives = 0, nics = 0;

	for (unsigned i = 0; i < vm->devices_count; i++) {
		const struct virtio_dev *dev = vm->devices[i];
		struct device_metrics d = { .m = m };
		if (dev->ops->id == VIRTIO_DEV_BLK || dev->ops->id == VIRTIO_DEV_PMEM)
			(void)snprintf(d.prefix, sizeof(d.prefix), "drive%u", drives++);
		else if (dev->ops->id == VIRTIO_DEV_NET)
			(void)snprintf(d.prefix, sizeof(d.prefix), "nic%u", nics++);
		else
			(void)snprintf(d.prefix, sizeof(d.prefix), "%s", dev->ops->name);
		virtio_dev_metrics(dev, add_counter, &d);
	}
}

void metrics_collect(const struct vm *vm, struct metrics *m)
{
	m->count = 0;
	add(m, "vm", "vcpus", vm->vcpus_count);
	add(m, "vm", "memory_bytes", vm->gmem.bytes);
	add(m, "vm", "pauses", vm->pauses);
	add_exits(vm, m);
	add(m, "mmio", "unknown", __atomic_load_n(&vm->world.mmio.unknown, __ATOMIC_RELAXED));
	add(m, "pio", "unknown", __atomic_load_n(&vm->world.pio.unknown, __ATOMIC_RELAXED));
	add(m, "ioapic", "writes", __atomic_load_n(&vm->world.ioapic.writes, __ATOMIC_RELAXED));
	add(m, "ioapic", "routes", __atomic_load_n(&vm->world.ioapic.routes, __ATOMIC_RELAXED));
	add(m, "log", "dropped", log_dropped());
	add_devices(vm, m);
}
