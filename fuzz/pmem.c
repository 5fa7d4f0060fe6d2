/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-pmem: chains of any shape, some of them with pieces in the file. An answer has 4 bytes. */
#include <fcntl.h>
#include <unistd.h>

#include "base/bug.h"
#include "fuzz/device_rig.h"

static struct virtio_dev *make(struct device_rig *r)
{
	static int fd = -1;
	const struct gmem_region *file;
	struct virtio_dev *dev;

	if (fd < 0)
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	BUG_ON(fd < 0 || gmem_add_file(&r->d.mem, fd, &file) < 0 ||
	       virtio_pmem_new(&r->d.mem, file, &dev) < 0);
	return dev;
}

static void host(struct device_rig *r)
{
	const uint64_t file = r->d.mem.files[0].gpa + rig_take(r, 4);
	const uint8_t shape = (uint8_t)rig_take(r, 1);
	const struct drv_seg s[2] = {
		{ (shape & 1) != 0 ? file : 0x800000, (uint32_t)rig_take(r, 1), false },
		{ (shape & 2) != 0 ? file : 0x900000, (uint32_t)rig_take(r, 1), true }
	};
	uint32_t head, len;

	if (drv_broken(&r->d) || drv_post(&r->d, 0, s, 2, (shape & 4) != 0) < 0)
		return;
	drv_run(&r->d);
	while (!drv_broken(&r->d) && drv_used(&r->d, 0, &head, &len))
		BUG_ON(len != 4 && !r->d.lenient);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct device_rig_ops ops = { .make = make, .host = host };

	return device_rig_run(&ops, data, len);
}
