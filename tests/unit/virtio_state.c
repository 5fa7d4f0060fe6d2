/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_state.c - a device that is saved under a driver goes on under it; hostile states don't. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "tests/unit/fake_driver.h"
#include "vmm/virtio/state.h"

#define OFF_ID	   16U
#define OFF_STATUS 36U
#define OFF_IRQ	   40U
#define OFF_DESC0  120U

/* An rng device with a driver, and its state. */
static size_t running(struct drv *d, uint8_t state[VIRTIO_STATE_BYTES_MAX])
{
	struct virtio_dev *dev = NULL;
	size_t len;

	drv_init(d);
	cr_assert_eq(virtio_rng_new(&d->mem, &dev), 0);
	drv_attach(d, dev);
	drv_start(d, 0);
	virtio_dev_pause(dev);
	len = virtio_state_save(dev, state);
	virtio_dev_resume(dev);
	return len;
}

/* Another device on the same memory, in the place of the first. */
static struct virtio_dev *twin(struct drv *d)
{
	struct virtio_dev *dev = NULL;

	virtio_dev_free(d->dev);
	cr_assert_eq(virtio_rng_new(&d->mem, &dev), 0);
	drv_attach(d, dev);
	return dev;
}

Test(virtio_state, goes_on)
{
	uint8_t state[VIRTIO_STATE_BYTES_MAX];
	struct err err = { 0 };
	struct drv_seg seg = { .len = 64, .write = true };
	uint32_t head, len;
	struct drv d;
	size_t n = running(&d, state);
	struct virtio_dev *dev = twin(&d);

	cr_assert_eq(virtio_state_load(dev, state, n, &err), 0, "%s", err.msg);
	cr_expect(dev->active && dev->paused);
	seg.addr = drv_alloc(&d, 64, 16);
	cr_assert_geq(drv_post(&d, 0, &seg, 1, false), 0);
	drv_run(&d);
	cr_expect(!drv_used(&d, 0, &head, &len), "served although paused");
	virtio_dev_resume(dev);
	cr_expect(drv_wait_used(&d, 0, &head, &len, 1000));
	cr_expect_eq(len, 64);
	drv_done(&d);
}

static void expect_refused(const char *what, unsigned off, uint8_t flip, int want)
{
	uint8_t state[VIRTIO_STATE_BYTES_MAX];
	struct err err = { 0 };
	struct drv d;
	size_t n = running(&d, state);
	struct virtio_dev *dev = twin(&d);

	state[off] ^= flip;
	cr_expect_eq(virtio_state_load(dev, state, n, &err), want, "%s: %s", what, err.msg);
	cr_expect(!dev->active, "%s", what);
	drv_done(&d);
}

Test(virtio_state, hostile)
{
	expect_refused("another type", OFF_ID, 1, -ENOTSUP);
	expect_refused("other features", 0, 1, -ENOTSUP);
	expect_refused("features that were not offered", 8, 1, -EINVAL);
	expect_refused("a status bit that isn't one", OFF_STATUS, 0x20, -EINVAL);
	expect_refused("DRIVER_OK alone", OFF_STATUS, VIRTIO_CONFIG_S_FEATURES_OK, -EINVAL);
	expect_refused("an interrupt of another kind", OFF_IRQ, 4, -EINVAL);
	expect_refused("a queue outside the memory", OFF_DESC0 + 7, 0x40, -EINVAL);
	expect_refused("a misaligned queue", OFF_DESC0, 1, -EINVAL);
	expect_refused("a size that isn't a power of two", OFF_DESC0 + 24, 1, -EINVAL);
	expect_refused("neither ready nor not", OFF_DESC0 + 34, 2, -EINVAL);
}

Test(virtio_state, wrong_length)
{
	uint8_t state[VIRTIO_STATE_BYTES_MAX];
	struct err err = { 0 };
	struct drv d;
	size_t n = running(&d, state);
	struct virtio_dev *dev = twin(&d);

	for (size_t len = 0; len < n; len++)
		cr_expect_eq(virtio_state_load(dev, state, len, &err), -EINVAL);
	drv_done(&d);
}
