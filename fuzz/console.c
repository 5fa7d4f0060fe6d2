/* SPDX-License-Identifier: Apache-2.0 */
/* The console: chains of any shape, read from any offset. A reader never gets more than the ring.
 */
#include "base/bug.h"
#include "base/num.h"
#include "fuzz/device_rig.h"

#define RING_BYTES 65536U

static struct virtio_dev *make(struct device_rig *r)
{
	struct virtio_dev *dev;

	BUG_ON(virtio_console_new(&r->d.mem, &dev) < 0);
	return dev;
}

static void host(struct device_rig *r)
{
	static uint8_t text[RING_BYTES + 1];
	uint64_t from = rig_take(r, (unsigned)rig_take(r, 1) % 9), asked = from, end = 0;
	size_t cap = (size_t)MIN(rig_take(r, 3), (uint64_t)sizeof(text)), n;

	n = virtio_console_read(r->d.dev, &from, text, cap);
	BUG_ON(n > cap || n > RING_BYTES);
	BUG_ON(n > 0 && from < asked);
	/* From the beginning: all that is kept, and the end is at or after what was read. */
	cap = virtio_console_read(r->d.dev, &end, text, sizeof(text));
	BUG_ON(cap > RING_BYTES || (n > 0 && from + n > end + cap));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct device_rig_ops ops = { .make = make, .host = host };

	return device_rig_run(&ops, data, len);
}
