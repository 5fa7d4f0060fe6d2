/* SPDX-License-Identifier: Apache-2.0 */
/* The transport: every register, every width, every phase. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/num.h"
#include "fake_driver.h"

#define ACK	    VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER	    VIRTIO_CONFIG_S_DRIVER
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK

static void console(struct drv *d)
{
	struct virtio_dev *dev;

	drv_init(d);
	cr_assert_eq(virtio_console_new(&d->mem, &dev), 0);
	drv_attach(d, dev);
}

Test(virtio_mmio, identity)
{
	struct drv d;

	console(&d);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976U);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_VERSION), 2);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_DEVICE_ID), VIRTIO_DEV_CONSOLE);
	cr_assert_neq(drv_get(&d, VIRTIO_MMIO_VENDOR_ID), 0);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_STATUS), 0);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX, "no shared memory");
	cr_assert_eq(drv_offered(&d), UINT64_C(1) << VIRTIO_F_VERSION_1 |
					      UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
					      UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC);
	drv_set(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	drv_set(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	cr_assert_eq(d.dev->errors, 0);
	drv_done(&d);
}

/* All offsets and widths: the wrong ones read as zeros, are ignored, counted, and break nothing. */
Test(virtio_mmio, widths)
{
	static const size_t widths[] = { 1, 2, 3, 4, 5, 8 };
	uint8_t data[8], zero[8] = { 0 };
	struct drv d;

	console(&d);
	for (uint64_t off = 0; off < VIRTIO_MMIO_BYTES; off++) {
		for (size_t w = 0; w < ARRAY_SIZE(widths); w++) {
			uint64_t errors = d.dev->errors;
			bool config = off >= VIRTIO_MMIO_CONFIG;
			size_t len = widths[w];
			if (!config && len == 4 && off % 4 == 0)
				continue; /* may be a register */
			memset(data, 0xaa, sizeof(data));
			virtio_mmio_read(d.dev, off, data, len);
			cr_assert_arr_eq(data, zero, len, "offset %#lx width %zu",
					 (unsigned long)off, len);
			if (len < 8)
				cr_assert_eq(data[len], 0xaa, "wrote beyond the access");
			/* The console's configuration is 12 bytes of zeros. */
			bool fits = config && (len == 1 || len == 2 || len == 4) &&
				    off % len == 0 && off - VIRTIO_MMIO_CONFIG + len <= 12;
			cr_assert_eq(d.dev->errors, errors + !fits);
			virtio_mmio_write(d.dev, off, data, len);
			cr_assert_eq(d.dev->errors, errors + !fits + 1);
			cr_assert_eq(drv_get(&d, VIRTIO_MMIO_STATUS), 0);
		}
	}
	drv_done(&d);
}

Test(virtio_mmio, unknown_registers)
{
	static const uint64_t known[] = { 0x00, 0x04, 0x08, 0x0c, 0x10, 0x34, 0x44,
					  0x60, 0x70, 0xb0, 0xb4, 0xb8, 0xbc, 0xfc };
	struct drv d;

	console(&d);
	for (uint64_t off = 0; off < VIRTIO_MMIO_CONFIG; off += 4) {
		uint64_t errors = d.dev->errors;
		bool readable = false;
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			readable = readable || known[i] == off;
		uint32_t v = drv_get(&d, off);
		cr_assert_eq(d.dev->errors, errors + !readable, "%#lx", (unsigned long)off);
		if (!readable)
			cr_assert_eq(v, 0);
	}
	drv_done(&d);
}

Test(virtio_mmio, config_space)
{
	struct virtio_dev *dev;
	uint64_t cid = 0;
	uint16_t half = 0;
	struct drv d;

	drv_init(&d);
	cr_assert_eq(virtio_vsock_new(&d.mem, 0x1122334455667788, &dev), 0);
	drv_attach(&d, dev);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_CONFIG), 0x55667788U);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_CONFIG + 4), 0x11223344U);
	virtio_mmio_read(dev, VIRTIO_MMIO_CONFIG + 6, &half, 2);
	cr_assert_eq(half, 0x1122);
	cr_assert_eq(dev->errors, 0);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_CONFIG + 8), 0, "beyond the end");
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_BYTES - 4), 0);
	virtio_mmio_read(dev, VIRTIO_MMIO_CONFIG, &cid, 8);
	cr_assert_eq(cid, 0, "8 bytes at once isn't a legal access");
	virtio_mmio_read(dev, VIRTIO_MMIO_BYTES, &cid, 4);
	virtio_mmio_read(dev, UINT64_MAX, &cid, 4);
	cr_assert_eq(dev->errors, 5);
	drv_set(&d, VIRTIO_MMIO_CONFIG, 99);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_CONFIG), 0x55667788U, "read-only");
	drv_done(&d);
}

Test(virtio_mmio, starts_and_resets)
{
	struct drv d;

	console(&d);
	drv_start(&d, 0);
	cr_assert(d.dev->active);
	drv_set(&d, VIRTIO_MMIO_QUEUE_SEL, 1);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_QUEUE_READY), 1);
	drv_set(&d, VIRTIO_MMIO_STATUS, 0);
	cr_assert(!d.dev->active);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_STATUS), 0);
	cr_assert_eq(d.dev->driver_features, 0);
	for (unsigned q = 0; q < 2; q++) {
		drv_set(&d, VIRTIO_MMIO_QUEUE_SEL, q);
		cr_assert_eq(drv_get(&d, VIRTIO_MMIO_QUEUE_READY), 0);
		cr_assert_eq(d.dev->queues[q].desc.v, 0);
		/* Linux deletes its queues after the reset. */
		drv_set(&d, VIRTIO_MMIO_QUEUE_READY, 0);
	}
	cr_assert_eq(d.dev->errors, 0);
	drv_start(&d, 0);
	cr_assert(d.dev->active);
	cr_assert_eq(d.dev->errors, 0);
	drv_done(&d);
}

Test(virtio_mmio, features)
{
	struct drv d;

	console(&d);
	/* Without VERSION_1: the bit stays away, the device doesn't break. */
	drv_negotiate(&d, UINT64_C(1) << VIRTIO_F_VERSION_1);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_STATUS), ACK | DRIVER);
	/* A bit that isn't offered. */
	drv_set(&d, VIRTIO_MMIO_STATUS, 0);
	drv_set(&d, VIRTIO_MMIO_STATUS, ACK);
	drv_set(&d, VIRTIO_MMIO_STATUS, ACK | DRIVER);
	drv_set(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	drv_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 1U << (VIRTIO_F_VERSION_1 - 32));
	drv_set(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	drv_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	drv_set(&d, VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_STATUS), ACK | DRIVER);
	/* Corrected, it is accepted; then it is frozen. */
	drv_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 0);
	drv_set(&d, VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_STATUS), ACK | DRIVER | FEATURES_OK);
	drv_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 1U << VIRTIO_RING_F_EVENT_IDX);
	cr_assert(drv_broken(&d));
	cr_assert(!virtio_dev_has(d.dev, VIRTIO_RING_F_EVENT_IDX));
	drv_done(&d);
}

Test(virtio_mmio, features_beyond_64)
{
	struct drv d;

	console(&d);
	drv_set(&d, VIRTIO_MMIO_STATUS, ACK);
	drv_set(&d, VIRTIO_MMIO_STATUS, ACK | DRIVER);
	drv_set(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	drv_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 0);
	cr_assert(!drv_broken(&d));
	drv_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	cr_assert(drv_broken(&d));
	drv_done(&d);
}

/* Steps in a wrong order, and bits that go away. */
Test(virtio_mmio, status_order)
{
	static const struct {
		uint32_t steps[4];
		bool broken;
	} cases[] = {
		{ { ACK, ACK | DRIVER }, false },
		{ { ACK, ACK, ACK | DRIVER, ACK | DRIVER }, false },
		{ { DRIVER }, true },
		{ { ACK, ACK | FEATURES_OK }, true },
		{ { ACK, ACK | DRIVER, ACK | DRIVER | DRIVER_OK }, true },
		{ { ACK, ACK | DRIVER, ACK }, true },
		{ { ACK, ACK | 0x20 }, true },
		{ { ACK, ACK | 0x100 }, true },
		{ { ACK, UINT32_MAX }, true },
		/* NEEDS_RESET is the device's: ignored when the driver writes it. */
		{ { ACK, ACK | VIRTIO_CONFIG_S_NEEDS_RESET, ACK | DRIVER }, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct drv d;
		console(&d);
		for (size_t s = 0; s < 4 && cases[i].steps[s] != 0; s++)
			drv_set(&d, VIRTIO_MMIO_STATUS, cases[i].steps[s]);
		cr_assert_eq(drv_broken(&d), cases[i].broken, "case %zu", i);
		drv_set(&d, VIRTIO_MMIO_STATUS, 0);
		cr_assert(!drv_broken(&d), "a reset heals");
		drv_start(&d, 0);
		drv_done(&d);
	}
}

/* Every register that configures, written in every phase: legal in exactly one. */
Test(virtio_mmio, phases)
{
	enum { INIT, FEATURES, QUEUES, RUN, PHASES };
	static const struct {
		uint64_t reg;
		uint32_t value;
		unsigned legal; /* bits of phases */
	} rows[] = {
		{ VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1, 0xf },
		{ VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0, 0xf },
		{ VIRTIO_MMIO_DRIVER_FEATURES, 0, 1U << FEATURES },
		{ VIRTIO_MMIO_QUEUE_SEL, 1, 0xf },
		{ VIRTIO_MMIO_QUEUE_NUM, 16, 1U << QUEUES },
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, 0x1000, 1U << QUEUES },
		{ VIRTIO_MMIO_QUEUE_DESC_HIGH, 0, 1U << QUEUES },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x1000, 1U << QUEUES },
		{ VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0, 1U << QUEUES },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, 0x1000, 1U << QUEUES },
		{ VIRTIO_MMIO_QUEUE_USED_HIGH, 0, 1U << QUEUES },
		{ VIRTIO_MMIO_QUEUE_NOTIFY, 0, 0xf },
		{ VIRTIO_MMIO_INTERRUPT_ACK, 3, 0xf },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (unsigned phase = INIT; phase < PHASES; phase++) {
			bool legal = (rows[i].legal >> phase & 1) != 0;
			struct virtq before;
			struct drv d;
			console(&d);
			if (phase == FEATURES) {
				drv_set(&d, VIRTIO_MMIO_STATUS, ACK);
				drv_set(&d, VIRTIO_MMIO_STATUS, ACK | DRIVER);
			} else if (phase >= QUEUES) {
				drv_negotiate(&d, 0);
			}
			if (phase == RUN) {
				drv_queue_setup(&d, 0, 16);
				drv_driver_ok(&d);
			}
			before = d.dev->queues[0];
			drv_set(&d, rows[i].reg, rows[i].value);
			cr_assert_eq(drv_broken(&d), !legal, "register %#lx in phase %u",
				     (unsigned long)rows[i].reg, phase);
			if (!legal)
				cr_assert_eq(memcmp(&before, &d.dev->queues[0], sizeof(before)), 0,
					     "nothing changes but the status");
			cr_assert_eq(d.dev->active, phase == RUN && legal);
			drv_done(&d);
		}
	}
}

Test(virtio_mmio, ready_is_frozen)
{
	static const uint64_t frozen[] = {
		VIRTIO_MMIO_QUEUE_NUM,	      VIRTIO_MMIO_QUEUE_DESC_LOW,
		VIRTIO_MMIO_QUEUE_DESC_HIGH,  VIRTIO_MMIO_QUEUE_AVAIL_LOW,
		VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_MMIO_QUEUE_USED_LOW,
		VIRTIO_MMIO_QUEUE_USED_HIGH
	};
	struct drv d;

	for (size_t i = 0; i < ARRAY_SIZE(frozen); i++) {
		console(&d);
		drv_negotiate(&d, 0);
		drv_queue_setup(&d, 0, 16);
		cr_assert(!drv_broken(&d));
		drv_set(&d, frozen[i], 32);
		cr_assert(drv_broken(&d));
		drv_done(&d);
	}
	/* It may be taken back before DRIVER_OK, and not after. */
	console(&d);
	drv_negotiate(&d, 0);
	drv_queue_setup(&d, 0, 16);
	drv_set(&d, VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_QUEUE_READY), 0);
	drv_set(&d, VIRTIO_MMIO_QUEUE_READY, 1);
	drv_set(&d, VIRTIO_MMIO_QUEUE_READY, 1);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_QUEUE_READY), 1);
	drv_driver_ok(&d);
	cr_assert(d.dev->active);
	drv_set(&d, VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert(drv_broken(&d));
	cr_assert(!d.dev->active);
	drv_done(&d);
}

Test(virtio_mmio, bad_queues)
{
	static const uint32_t sizes[] = { 0, 3, 63, 128, 65535, 65536, UINT32_MAX };
	static const uint32_t selectors[] = { 2, 7, 8, 0xffff, UINT32_MAX };
	struct drv d;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		console(&d);
		drv_negotiate(&d, 0);
		drv_set(&d, VIRTIO_MMIO_QUEUE_NUM, sizes[i]);
		cr_assert(drv_broken(&d), "size %u", sizes[i]);
		drv_done(&d);
	}
	for (size_t i = 0; i < ARRAY_SIZE(selectors); i++) {
		console(&d);
		drv_negotiate(&d, 0);
		drv_set(&d, VIRTIO_MMIO_QUEUE_SEL, selectors[i]);
		cr_assert_eq(drv_get(&d, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		cr_assert_eq(drv_get(&d, VIRTIO_MMIO_QUEUE_READY), 0);
		cr_assert(!drv_broken(&d), "looking is allowed");
		drv_set(&d, VIRTIO_MMIO_QUEUE_READY, 0);
		cr_assert(!drv_broken(&d));
		drv_set(&d, VIRTIO_MMIO_QUEUE_READY, 1);
		cr_assert(drv_broken(&d));
		drv_done(&d);
	}
	/* Ready without addresses or with areas outside RAM. */
	console(&d);
	drv_negotiate(&d, 0);
	drv_set(&d, VIRTIO_MMIO_QUEUE_SEL, 0);
	drv_set(&d, VIRTIO_MMIO_QUEUE_NUM, 16);
	drv_set(&d, VIRTIO_MMIO_QUEUE_USED_HIGH, 1);
	drv_set(&d, VIRTIO_MMIO_QUEUE_READY, 1);
	cr_assert(drv_broken(&d));
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_QUEUE_READY), 0);
	drv_done(&d);
}

Test(virtio_mmio, notify_any_number)
{
	struct drv d;

	console(&d);
	drv_start(&d, 0);
	drv_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
	drv_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 0x10000);
	drv_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
	cr_assert_eq(d.dev->errors, 3);
	for (int i = 0; i < 1000; i++)
		drv_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	drv_run(&d);
	cr_assert(!drv_broken(&d));
	/* A queue that was never enabled. */
	drv_negotiate(&d, 0);
	drv_driver_ok(&d);
	drv_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	drv_run(&d);
	cr_assert(!drv_broken(&d));
	drv_done(&d);
}

/* Failing: one config interrupt, a bit, no more service; and the driver can start again. */
Test(virtio_mmio, fail_and_recover)
{
	uint32_t head, len;
	struct drv d;

	console(&d);
	drv_start(&d, 0);
	drv_run(&d);
	(void)drv_irqs(&d);
	drv_desc(&d, d.q[1].desc, 0, 0, 1, VRING_DESC_F_NEXT, 0); /* a loop */
	drv_avail(&d, 1, 0);
	drv_run(&d);
	cr_assert(drv_broken(&d));
	cr_assert(!d.dev->active);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(drv_irqs(&d), 1);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0, "acknowledged");
	drv_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	drv_set(&d, VIRTIO_MMIO_STATUS, 0xf);
	drv_run(&d);
	cr_assert(drv_broken(&d), "only a reset heals");
	cr_assert(!drv_used(&d, 1, &head, &len));
	cr_assert_eq(drv_irqs(&d), 0);
	drv_start(&d, 0);
	struct drv_seg s = { drv_alloc(&d, 4, 1), 4, false };
	drv_write(&d, s.addr, "abcd", 4);
	cr_assert_geq(drv_post(&d, 1, &s, 1, false), 0);
	drv_run(&d);
	cr_assert(drv_used(&d, 1, &head, &len));
	drv_done(&d);
}

/* A driver that gives up, and one that writes on after it broke the device. */
Test(virtio_mmio, failed_and_broken_take_nothing)
{
	struct drv d;

	console(&d);
	drv_negotiate(&d, 0);
	drv_set(&d, VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK | VIRTIO_CONFIG_S_FAILED);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_STATUS),
		     ACK | DRIVER | FEATURES_OK | VIRTIO_CONFIG_S_FAILED);
	drv_set(&d, VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	cr_assert(!d.dev->active, "only a reset leaves this state");
	drv_negotiate(&d, 0);
	drv_set(&d, VIRTIO_MMIO_QUEUE_NUM, 3);
	cr_assert(drv_broken(&d));
	drv_set(&d, VIRTIO_MMIO_QUEUE_SEL, 1);
	drv_set(&d, VIRTIO_MMIO_QUEUE_NUM, 16);
	drv_set(&d, VIRTIO_MMIO_QUEUE_READY, 1);
	drv_set(&d, VIRTIO_MMIO_SHM_SEL, 1);
	drv_driver_ok(&d);
	cr_assert(!d.dev->active && !d.dev->queues[1].ready);
	cr_assert_eq(d.dev->queues[1].size, 0);
	drv_start(&d, 0);
	cr_assert(d.dev->active);
	drv_done(&d);
}

/* Chains that were announced too early are found once the device runs. */
Test(virtio_mmio, early_kick_is_not_lost)
{
	uint32_t head, len;
	struct drv d;

	console(&d);
	drv_negotiate(&d, 0);
	drv_queue_setup(&d, 1, 16);
	struct drv_seg s = { drv_alloc(&d, 4, 1), 4, false };
	cr_assert_geq(drv_post(&d, 1, &s, 1, false), 0);
	drv_run(&d);
	cr_assert(!drv_used(&d, 1, &head, &len), "not before DRIVER_OK");
	drv_driver_ok(&d);
	drv_run(&d);
	cr_assert(drv_used(&d, 1, &head, &len));
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	drv_set(&d, VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(drv_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0, "a reset forgets interrupts");
	drv_done(&d);
}

/* A device that a register write has broken serves nothing, however good the chain is. */
Test(virtio_mmio, broken_serves_nothing)
{
	uint32_t head, len;
	struct drv d;

	console(&d);
	drv_start(&d, 0);
	drv_run(&d);
	drv_set(&d, VIRTIO_MMIO_QUEUE_NUM, 16);
	cr_assert(drv_broken(&d));
	struct drv_seg s = { drv_alloc(&d, 4, 1), 4, false };
	cr_assert_geq(drv_post(&d, 1, &s, 1, false), 0);
	drv_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	drv_run(&d);
	cr_assert(!drv_used(&d, 1, &head, &len));
	drv_done(&d);
}
