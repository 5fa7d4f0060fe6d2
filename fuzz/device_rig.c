/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/device_rig.h"

#include "base/bug.h"
#include "base/log.h"
#include "base/num.h"
#include "fuzz/mutate.h"

#define STEPS_MAX 200U
#define SEGS_MAX  8U
#define DATA	  UINT64_C(0x400000) /* where contents are written */

uint64_t rig_take(struct device_rig *r, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0 && r->len > 0) {
		v = v << 8 | *r->data++;
		r->len--;
	}
	return v;
}

static void start(struct device_rig *r)
{
	r->d.brk = 0x10000;
	drv_negotiate(&r->d, rig_take(r, 1) | rig_take(r, 1) << 28);
	for (unsigned q = 0; q < r->d.dev->queues_count; q++)
		drv_queue_setup(&r->d, q, r->d.dev->ops->queue_size_max);
	drv_driver_ok(&r->d);
}

static uint64_t address(struct device_rig *r)
{
	static const uint64_t v[] = { DATA,
				      DATA + 1,
				      DATA + 4096,
				      0x10000,
				      0,
				      DRV_MEM_BYTES - 4096,
				      DRV_MEM_BYTES - 1,
				      DRV_MEM_BYTES,
				      1U << 31 };
	uint8_t c = (uint8_t)rig_take(r, 1);

	return c < ARRAY_SIZE(v) ? v[c] : rig_take(r, 3) % DRV_MEM_BYTES;
}

static uint32_t length(struct device_rig *r)
{
	static const uint32_t v[] = {
		4, 10, 1, 64, 4096, 4095, 65536, 65537, 1U << 21, UINT32_MAX
	};
	uint8_t c = (uint8_t)rig_take(r, 1);

	return c < ARRAY_SIZE(v) ? v[c] : (uint32_t)rig_take(r, 2);
}

static void post(struct device_rig *r)
{
	unsigned q = (unsigned)rig_take(r, 1) % r->d.dev->queues_count, n;
	uint8_t shape = (uint8_t)rig_take(r, 1);
	struct drv_seg s[SEGS_MAX];

	n = 1 + (shape & 7U);
	for (unsigned i = 0; i < n; i++)
		s[i] = (struct drv_seg){ address(r), length(r),
					 (shape & 8U) != 0 || ((shape & 16U) != 0 && i > n / 2) };
	if (r->d.q[q].size != 0)
		(void)drv_post(&r->d, q, s, n, (shape & 32U) != 0 && r->d.brk < DATA / 2);
}

static void fill(struct device_rig *r)
{
	uint8_t bytes[32];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rig_take(r, 1);
	drv_write(&r->d, DATA + rig_take(r, 1), bytes, sizeof(bytes));
}

static void collect(struct device_rig *r)
{
	uint32_t head, len;

	for (unsigned q = 0; q < r->d.dev->queues_count; q++)
		while (r->d.q[q].size != 0 && drv_used(&r->d, q, &head, &len))
			;
}

static void configure(struct device_rig *r)
{
	uint64_t off = 0x100 + (rig_take(r, 1) & 63U);
	uint32_t v = (uint32_t)rig_take(r, 4);
	unsigned width = 1U << (rig_take(r, 1) & 3U);

	if ((v & 1U) != 0)
		virtio_mmio_read(r->d.dev, off, &v, MIN(width, 4U));
	else
		virtio_mmio_write(r->d.dev, off, &v, MIN(width, 4U));
}

/* Paused and gone on, with whatever was under way. */
static void pause_resume(struct device_rig *r)
{
	virtio_dev_pause(r->d.dev);
	drv_run(&r->d);
	virtio_dev_resume(r->d.dev);
}

static void step(struct device_rig *r, const struct device_rig_ops *ops)
{
	switch (rig_take(r, 1) % 10) {
	case 0:
	case 1:
	case 2:
		post(r);
		break;
	case 3:
		fill(r);
		break;
	case 4:
	case 5:
		drv_run(&r->d);
		collect(r);
		break;
	case 6:
		configure(r);
		break;
	case 7:
		pause_resume(r);
		break;
	case 8:
		if (ops->host != NULL)
			ops->host(r);
		break;
	default:
		if (drv_broken(&r->d) || rig_take(r, 1) % 8 == 0)
			start(r);
		break;
	}
}

static void check(struct device_rig *r, const struct device_rig_ops *ops)
{
	const struct virtio_dev *dev = r->d.dev;

	for (unsigned q = 0; q < dev->queues_count; q++)
		BUG_ON(!virtq_valid(&dev->queues[q]));
	if (ops->check != NULL)
		ops->check(r);
}

int device_rig_run(const struct device_rig_ops *ops, const uint8_t *data, size_t len)
{
	struct device_rig r;

	mutate_split(&data, &len);
	r = (struct device_rig){ .data = data, .len = len };
	log_setup("fuzz", LOG_LEVEL_ERROR);
	drv_init(&r.d);
	r.d.lenient = true;
	drv_attach(&r.d, ops->make(&r));
	mutate_on();
	start(&r);
	for (unsigned i = 0; r.len > 0 && i < STEPS_MAX; i++) {
		step(&r, ops);
		check(&r, ops);
	}
	drv_run(&r.d);
	check(&r, ops);
	mutate_off();
	drv_done(&r.d);
	return 0;
}
