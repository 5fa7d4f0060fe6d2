/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device: chains of any shape. It never says that it wrote more than 4 KiB. */
#include "base/bug.h"
#include "fuzz/device_rig.h"

static struct virtio_dev *make(struct device_rig *r)
{
	struct virtio_dev *dev;

	BUG_ON(virtio_rng_new(&r->d.mem, &dev) < 0);
	return dev;
}

static void host(struct device_rig *r)
{
	const struct drv_seg s = { 0x800000, (uint32_t)rig_take(r, 4), true };
	uint32_t head, len;

	if (drv_broken(&r->d) || drv_post(&r->d, 0, &s, 1, false) < 0)
		return;
	drv_run(&r->d);
	while (!drv_broken(&r->d) && drv_used(&r->d, 0, &head, &len))
		BUG_ON(len > 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct device_rig_ops ops = { .make = make, .host = host };

	return device_rig_run(&ops, data, len);
}
