/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon: page numbers, reports and statistics of any shape. Whatever the driver does, the
 * device gives up nothing but guest memory (gmem.c would fault on anything else), and its counters
 * tell what it gave up.
 */
#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"
#include "fuzz/device_rig.h"

static struct virtio_dev *make(struct device_rig *r)
{
	uint8_t what = (uint8_t)rig_take(r, 1);
	const struct virtio_balloon_options options = {
		.deflate_on_oom = (what & 1) != 0,
		.free_page_reporting = (what & 2) != 0,
		.statistics_ms = (what & 4) != 0, /* 1 ms: the timer comes in between */
	};
	struct virtio_dev *dev;

	BUG_ON(virtio_balloon_new(&r->d.mem, &options, &dev) < 0);
	return dev;
}

static void host(struct device_rig *r)
{
	uint64_t bytes = rig_take(r, 4) << (rig_take(r, 1) % 16);
	int result = virtio_balloon_set(r->d.dev, bytes);
	uint32_t pages = drv_get(&r->d, 0x100);

	BUG_ON(result == 0 && (bytes % 4096 != 0 || bytes > DRV_MEM_BYTES));
	BUG_ON(result == 0 && pages != bytes / 4096);
	BUG_ON(result != 0 && result != -EINVAL && result != -ERANGE);
}

static void find_failures(const char *name, uint64_t value, void *arg)
{
	(void)arg;
	/* What was checked to be in RAM can be discarded. */
	BUG_ON(strcmp(name, "discard_failures") == 0 && value != 0);
}

static void check(struct device_rig *r)
{
	BUG_ON(drv_get(&r->d, 0x100) > DRV_MEM_BYTES / 4096);
	virtio_dev_metrics(r->d.dev, find_failures, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct device_rig_ops ops = { make, host, check };

	return device_rig_run(&ops, data, len);
}
