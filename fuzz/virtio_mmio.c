/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any sequence of register accesses on a device of any type, with guest memory that the input
 * writes in between (and between fetches: mutate.h), so that devices are also brought up properly
 * and then shaken.
 */
#include <string.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "fuzz/mutate.h"
#include "tests/unit/any_device.h"
#include "tests/unit/fake_driver.h"

struct input {
	const uint8_t *data;
	size_t len;
};

static uint64_t take(struct input *in, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0 && in->len > 0) {
		v = v << 8 | *in->data++;
		in->len--;
	}
	return v;
}

/* The registers that do something, and anything else. */
static uint64_t offset(uint8_t c, struct input *in)
{
	static const uint16_t regs[] = { 0x10, 0x14, 0x20, 0x24, 0x30, 0x34,  0x38,  0x44,
					 0x50, 0x60, 0x64, 0x70, 0x80, 0x84,  0x90,  0x94,
					 0xa0, 0xa4, 0xac, 0xb0, 0xfc, 0x100, 0x104, 0x10c };

	return c < 2 * ARRAY_SIZE(regs) ? regs[c / 2] : take(in, 2) & 0xfff;
}

static uint64_t value(struct input *in)
{
	static const uint64_t v[] = { 0,      1,      3,      11, 15, 0x80, 0x40,
				      0x1000, 0x2000, 0x3000, 16, 64, 128,  0xffffffff };
	uint8_t c = (uint8_t)take(in, 1);

	return c < ARRAY_SIZE(v) ? v[c] : take(in, 4);
}

static void check(struct virtio_dev *dev)
{
	pthread_mutex_lock(&dev->lock);
	for (unsigned i = 0; i < dev->queues_count; i++)
		BUG_ON(!virtq_valid(&dev->queues[i]));
	/* Nothing runs but on features that were offered and agreed. */
	BUG_ON(dev->active && (dev->driver_features & ~dev->features) != 0);
	BUG_ON(dev->active && (dev->status & 0x44) != 0x4);
	pthread_mutex_unlock(&dev->lock);
}

/* A chain of up to three segments. */
static void post(struct drv *d, struct input *in, unsigned n)
{
	const unsigned q = (unsigned)take(in, 1) % d->dev->queues_count;
	struct drv_seg s[3];

	if (d->q[q].size == 0)
		return;
	for (unsigned i = 0; i < n; i++)
		s[i] = (struct drv_seg){ 0x1000 + take(in, 2), (uint32_t)take(in, 2),
					 (take(in, 1) & 1) != 0 };
	(void)drv_post(d, q, s, n, (take(in, 1) & 1) != 0 && d->brk < 0x800000);
}

static void step(struct drv *d, struct input *in)
{
	uint8_t op = (uint8_t)take(in, 1), bytes[16];
	static const size_t widths[] = { 4, 4, 4, 1, 2, 8 };
	uint64_t v;

	switch (op % 8) {
	case 0:
		virtio_mmio_read(d->dev, offset((uint8_t)take(in, 1), in), bytes,
				 widths[op / 8 % 6]);
		break;
	case 1:
	case 2:
	case 3: {
		uint64_t off = offset((uint8_t)take(in, 1), in);
		v = value(in);
		virtio_mmio_write(d->dev, off, &v, widths[op / 8 % 6]);
		break;
	}
	case 4: /* descriptors, rings and whatever lies there */
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)take(in, 1);
		drv_write(d, 0x1000 + (take(in, 2) & 0x3fff), bytes,
			  1 + take(in, 1) % sizeof(bytes));
		break;
	case 5:
		drv_run(d);
		break;
	case 6: /* all the way up, in one byte */
		d->brk = 0x10000;
		drv_negotiate(d, take(in, 1) << 28);
		for (unsigned q = 0; q < d->dev->queues_count; q++)
			drv_queue_setup(d, q, d->dev->ops->queue_size_max);
		drv_driver_ok(d);
		break;
	default:
		post(d, in, 1 + op / 32 % 3U);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in;
	struct drv d;
	int host;

	mutate_split(&data, &len);
	in = (struct input){ data, len };
	log_setup("fuzz", LOG_LEVEL_ERROR);
	drv_init(&d);
	drv_attach(&d, any_device_new(take(&in, 1) % virtio_dev_types_count, &d.mem, &host));
	d.lenient = true;
	mutate_on();
	for (unsigned i = 0; in.len > 0 && i < 500; i++) {
		step(&d, &in);
		check(d.dev);
	}
	drv_run(&d);
	mutate_off();
	drv_done(&d);
	fd_closep(&host);
	return 0;
}
