/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile state file: the container, and a device's state out of it in a device that then serves
 * its queues on whatever the file says. Input: the file; the guest's memory is what follows it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/loop.h"
#include "base/num.h"
#include "vmm/snapshot/file.h"
#include "vmm/virtio/state.h"

#define MEM_BYTES (2 * MIB)
#define STEPS	  16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore_irq(void *arg, unsigned pin)
{
	(void)arg;
	(void)pin;
}

static void load(struct gmem *mem, const struct snap_section *s)
{
	static const struct virtio_irq irq = { ignore_irq, NULL, 0 };
	struct virtio_dev *dev = NULL;
	struct loop *loop = NULL;
	struct err err;

	BUG_ON(virtio_rng_new(mem, &dev) < 0 || loop_new(&loop) < 0);
	BUG_ON(virtio_dev_attach(dev, loop, &irq) < 0);
	if (virtio_state_load(dev, s->data, s->len, &err) == 0) {
		for (unsigned i = 0; i < dev->queues_count; i++)
			BUG_ON(dev->queues[i].ready && !virtq_valid(&dev->queues[i]));
		virtio_dev_resume(dev);
		for (unsigned i = 0; i < STEPS; i++)
			(void)loop_step(loop, 0);
	}
	virtio_dev_free(dev);
	loop_free(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct snap_reader r;
	const struct snap_section *s;
	struct gmem mem;
	struct err err;

	if (snap_open(&r, data, size, &err) < 0)
		return 0;
	for (unsigned t = 0; t < SNAP_TYPE_END; t++) {
		for (uint32_t i = 0; i < SNAP_INSTANCE_MAX; i++) {
			s = snap_find(&r, (enum snap_type)t, i);
			BUG_ON(s != NULL && (s->data < data || s->data + s->len > data + size));
		}
	}
	s = snap_find(&r, SNAP_VIRTIO, 0);
	if (s == NULL)
		return 0;
	BUG_ON(gmem_init(&mem, MEM_BYTES) < 0);
	BUG_ON(gmem_write(&mem, gpa(0), data, MIN(size, MEM_BYTES)) < 0);
	load(&mem, s);
	gmem_done(&mem);
	return 0;
}
