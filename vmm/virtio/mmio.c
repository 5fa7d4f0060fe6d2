/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: every register is one row of a table: offset, the phases of the device's
 * life in which it may be written, and what reading and writing it does. A register is 32 bits
 * wide and is accessed as 32 bits; the configuration space takes 1, 2 or 4 aligned bytes.
 *
 *     INIT ──DRIVER──▶ FEATURES ──FEATURES_OK──▶ QUEUES ──DRIVER_OK──▶ RUN
 *       ▲                     any rule broken ──▶ BROKEN                │
 *       └──────────────────────── status = 0 ◀──────────────────────────┘
 *
 * What configures the device can only be written in the phase where it is asked for, so nothing
 * that was checked can change under a running device. An access that no row knows reads as zero
 * or is ignored, and counted; a write in the wrong phase fails the device.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/bug.h"
#include "base/le.h"
#include "base/num.h"
#include "vmm/virtio/devices.h"

#define MMIO_MAGIC   0x74726976U /* "virt" */
#define MMIO_VERSION 2U
#define MMIO_VENDOR  0x454d5343U /* "CSME" */

enum phase {
	PHASE_INIT = 1U << 0,
	PHASE_FEATURES = 1U << 1,
	PHASE_QUEUES = 1U << 2,
	PHASE_RUN = 1U << 3,
	PHASE_BROKEN = 1U << 4,
};
#define PHASE_ANY (PHASE_INIT | PHASE_FEATURES | PHASE_QUEUES | PHASE_RUN | PHASE_BROKEN)

/* Which accesses wait for dev->lock. What a vCPU touches for each interrupt must not. */
enum locking { LOCK_NONE, LOCK_WRITE, LOCK_BOTH };

struct reg {
	uint16_t off;
	uint8_t write_phases;
	enum locking locking;
	uint32_t (*read)(struct virtio_dev *dev);
	/* Negative: the driver broke the rules. */
	int (*write)(struct virtio_dev *dev, uint32_t v);
};

static uint32_t get_status(const struct virtio_dev *dev)
{
	return __atomic_load_n(&dev->status, __ATOMIC_RELAXED);
}

static void set_status(struct virtio_dev *dev, uint32_t status)
{
	__atomic_store_n(&dev->status, status, __ATOMIC_RELAXED);
}

static enum phase phase_of(const struct virtio_dev *dev)
{
	uint32_t s = get_status(dev);

	if ((s & (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)) != 0)
		return PHASE_BROKEN;
	if ((s & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
		return PHASE_RUN;
	if ((s & VIRTIO_CONFIG_S_FEATURES_OK) != 0)
		return PHASE_QUEUES;
	return (s & VIRTIO_CONFIG_S_DRIVER) != 0 ? PHASE_FEATURES : PHASE_INIT;
}

static void count_error(struct virtio_dev *dev)
{
	__atomic_fetch_add(&dev->errors, 1, __ATOMIC_RELAXED);
}

/* ---- Identity and features ------------------------------------------------------------------ */

static uint32_t read_magic(struct virtio_dev *dev)
{
	(void)dev;
	return MMIO_MAGIC;
}

static uint32_t read_version(struct virtio_dev *dev)
{
	(void)dev;
	return MMIO_VERSION;
}

static uint32_t read_device_id(struct virtio_dev *dev)
{
	return dev->ops->id;
}

static uint32_t read_vendor(struct virtio_dev *dev)
{
	(void)dev;
	return MMIO_VENDOR;
}

static uint32_t read_device_features(struct virtio_dev *dev)
{
	uint32_t sel = dev->device_features_sel;

	return sel < 2 ? (uint32_t)(dev->features >> (sel * 32)) : 0;
}

static int write_device_features_sel(struct virtio_dev *dev, uint32_t v)
{
	dev->device_features_sel = v;
	return 0;
}

static int write_driver_features(struct virtio_dev *dev, uint32_t v)
{
	uint32_t sel = dev->driver_features_sel;

	if (sel >= 2)
		return v == 0 ? 0 : -EINVAL; /* bits that no device offers */
	dev->driver_features &= ~(UINT64_C(0xffffffff) << (sel * 32));
	dev->driver_features |= (uint64_t)v << (sel * 32);
	return 0;
}

static int write_driver_features_sel(struct virtio_dev *dev, uint32_t v)
{
	dev->driver_features_sel = v;
	return 0;
}

/* ---- Queues --------------------------------------------------------------------------------- */

/* The selected queue, or NULL when there is none of that number. */
static struct virtq *selected(struct virtio_dev *dev)
{
	return dev->queue_sel < dev->queues_count ? &dev->queues[dev->queue_sel] : NULL;
}

static int write_queue_sel(struct virtio_dev *dev, uint32_t v)
{
	dev->queue_sel = v;
	return 0;
}

static uint32_t read_queue_num_max(struct virtio_dev *dev)
{
	const struct virtq *q = selected(dev);

	return q != NULL ? q->size_max : 0;
}

static int write_queue_num(struct virtio_dev *dev, uint32_t v)
{
	struct virtq *q = selected(dev);

	if (q == NULL || q->ready || !is_pow2(v) || v > q->size_max)
		return -EINVAL;
	q->size = v;
	return 0;
}

static uint32_t read_queue_ready(struct virtio_dev *dev)
{
	const struct virtq *q = selected(dev);

	/* A broken device uses no queue any more. Linux's pmem driver, when it is removed, stops
	 * its queue before the reset, which breaks the device, and wants to read that it has
	 * stopped. */
	return q != NULL && q->ready && phase_of(dev) != PHASE_BROKEN;
}

static int write_queue_ready(struct virtio_dev *dev, uint32_t v)
{
	struct virtq *q = selected(dev);

	/* Linux clears the bit once more after a reset; that changes nothing in any phase. */
	if (v == 0 && (q == NULL || !q->ready))
		return 0;
	if (phase_of(dev) == PHASE_BROKEN)
		return 0;
	if (phase_of(dev) != PHASE_QUEUES || q == NULL || v > 1)
		return -EINVAL;
	if (v == 0)
		q->ready = false;
	else if (!q->ready)
		return virtq_enable(q, virtio_dev_has(dev, VIRTIO_RING_F_EVENT_IDX),
				    virtio_dev_has(dev, VIRTIO_RING_F_INDIRECT_DESC));
	return 0;
}

static int set_half(const struct virtq *q, gpa_t *a, uint32_t v, bool high)
{
	if (q->ready)
		return -EINVAL;
	a->v = high ? (a->v & 0xffffffffU) | (uint64_t)v << 32 : (a->v & ~UINT64_C(0xffffffff)) | v;
	return 0;
}

#define QUEUE_ADDRESS(area)                                                   \
	static int write_##area##_low(struct virtio_dev *dev, uint32_t v)     \
	{                                                                     \
		struct virtq *q = selected(dev);                              \
		return q == NULL ? -EINVAL : set_half(q, &q->area, v, false); \
	}                                                                     \
	static int write_##area##_high(struct virtio_dev *dev, uint32_t v)    \
	{                                                                     \
		struct virtq *q = selected(dev);                              \
		return q == NULL ? -EINVAL : set_half(q, &q->area, v, true);  \
	}
QUEUE_ADDRESS(desc)
QUEUE_ADDRESS(avail)
QUEUE_ADDRESS(used)

/* Only reached where no ioeventfd stands in front: devices that are kicked_seldom. */
static int write_queue_notify(struct virtio_dev *dev, uint32_t v)
{
	if (v < dev->queues_count)
		virtio_dev_kick(dev, v);
	else
		count_error(dev);
	return 0;
}

/* ---- Interrupts and status ------------------------------------------------------------------ */

static uint32_t read_interrupt_status(struct virtio_dev *dev)
{
	/* Acquire: pairs with the release in dev.c. */
	return __atomic_load_n(&dev->interrupt_status, __ATOMIC_ACQUIRE);
}

static int write_interrupt_ack(struct virtio_dev *dev, uint32_t v)
{
	__atomic_fetch_and(&dev->interrupt_status, ~v, __ATOMIC_RELAXED);
	return 0;
}

static uint32_t read_status(struct virtio_dev *dev)
{
	return get_status(dev);
}

static void reset(struct virtio_dev *dev)
{
	__atomic_fetch_add(&dev->resets, 1, __ATOMIC_RELAXED);
	if (dev->active) {
		dev->active = false;
		if (dev->ops->reset != NULL)
			dev->ops->reset(dev);
	}
	for (unsigned i = 0; i < dev->queues_count; i++)
		virtq_reset(&dev->queues[i]);
	dev->driver_features = 0;
	dev->device_features_sel = dev->driver_features_sel = dev->queue_sel = 0;
	__atomic_store_n(&dev->interrupt_status, 0, __ATOMIC_RELAXED);
	set_status(dev, 0);
}

/* A subset of what is offered, and never without VERSION_1: there is no legacy device here. */
static bool features_fit(const struct virtio_dev *dev)
{
	return (dev->driver_features & ~dev->features) == 0 &&
	       virtio_dev_has(dev, VIRTIO_F_VERSION_1) &&
	       (dev->ops->features_ok == NULL || dev->ops->features_ok(dev));
}

static int start(struct virtio_dev *dev)
{
	int r = dev->ops->activate != NULL ? dev->ops->activate(dev) : 0;

	if (r < 0)
		return r;
	dev->active = true;
	/* A kick that came too early was dropped; look at every queue once. */
	for (unsigned i = 0; i < dev->queues_count; i++)
		virtio_dev_kick(dev, i);
	return 0;
}

static int write_status(struct virtio_dev *dev, uint32_t v)
{
	/* The order in which the driver sets the bits (virtio 1.2, section 3.1.1). */
	static const uint32_t order[] = { VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER,
					  VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER_OK };
	uint32_t old = get_status(dev), known = VIRTIO_CONFIG_S_FAILED;

	if (v == 0) {
		reset(dev);
		return 0;
	}
	/* The device's own bit; Linux writes back what it has read. */
	v &= ~(uint32_t)VIRTIO_CONFIG_S_NEEDS_RESET;
	if (phase_of(dev) == PHASE_BROKEN) {
		set_status(dev, old | (v & VIRTIO_CONFIG_S_FAILED));
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if ((v & order[i]) != 0 && i > 0 && (v & order[i - 1]) == 0)
			return -EINVAL;
		known |= order[i];
	}
	if ((v & ~known) != 0 || (old & ~v) != 0)
		return -EINVAL; /* a bit is cleared by a reset only */
	if ((v & ~old & VIRTIO_CONFIG_S_FEATURES_OK) != 0 && !features_fit(dev)) {
		count_error(dev);
		/* The bit that stays away is the answer (section 3.1.1, step 6). */
		v &= ~(uint32_t)(VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
	}
	set_status(dev, v);
	if ((v & VIRTIO_CONFIG_S_FAILED) != 0)
		return 0;
	return (v & ~old & VIRTIO_CONFIG_S_DRIVER_OK) != 0 ? start(dev) : 0;
}

/* ---- Shared memory (none) and the configuration --------------------------------------------- */

static int write_shm_sel(struct virtio_dev *dev, uint32_t v)
{
	(void)dev;
	(void)v;
	return 0;
}

static uint32_t read_no_shm(struct virtio_dev *dev)
{
	(void)dev;
	return UINT32_MAX; /* a length of -1: no such region */
}

static uint32_t read_config_generation(struct virtio_dev *dev)
{
	return dev->config_generation;
}

static const struct reg regs[] = {
	{ VIRTIO_MMIO_MAGIC_VALUE, 0, LOCK_NONE, read_magic, NULL },
	{ VIRTIO_MMIO_VERSION, 0, LOCK_NONE, read_version, NULL },
	{ VIRTIO_MMIO_DEVICE_ID, 0, LOCK_NONE, read_device_id, NULL },
	{ VIRTIO_MMIO_VENDOR_ID, 0, LOCK_NONE, read_vendor, NULL },
	{ VIRTIO_MMIO_DEVICE_FEATURES, 0, LOCK_BOTH, read_device_features, NULL },
	{ VIRTIO_MMIO_DEVICE_FEATURES_SEL, PHASE_ANY, LOCK_BOTH, NULL, write_device_features_sel },
	{ VIRTIO_MMIO_DRIVER_FEATURES, PHASE_FEATURES, LOCK_BOTH, NULL, write_driver_features },
	{ VIRTIO_MMIO_DRIVER_FEATURES_SEL, PHASE_ANY, LOCK_BOTH, NULL, write_driver_features_sel },
	{ VIRTIO_MMIO_QUEUE_SEL, PHASE_ANY, LOCK_BOTH, NULL, write_queue_sel },
	{ VIRTIO_MMIO_QUEUE_NUM_MAX, 0, LOCK_BOTH, read_queue_num_max, NULL },
	{ VIRTIO_MMIO_QUEUE_NUM, PHASE_QUEUES, LOCK_BOTH, NULL, write_queue_num },
	{ VIRTIO_MMIO_QUEUE_READY, PHASE_ANY, LOCK_BOTH, read_queue_ready, write_queue_ready },
	{ VIRTIO_MMIO_QUEUE_NOTIFY, PHASE_ANY, LOCK_NONE, NULL, write_queue_notify },
	{ VIRTIO_MMIO_INTERRUPT_STATUS, 0, LOCK_NONE, read_interrupt_status, NULL },
	{ VIRTIO_MMIO_INTERRUPT_ACK, PHASE_ANY, LOCK_NONE, NULL, write_interrupt_ack },
	{ VIRTIO_MMIO_STATUS, PHASE_ANY, LOCK_WRITE, read_status, write_status },
	{ VIRTIO_MMIO_QUEUE_DESC_LOW, PHASE_QUEUES, LOCK_BOTH, NULL, write_desc_low },
	{ VIRTIO_MMIO_QUEUE_DESC_HIGH, PHASE_QUEUES, LOCK_BOTH, NULL, write_desc_high },
	{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, PHASE_QUEUES, LOCK_BOTH, NULL, write_avail_low },
	{ VIRTIO_MMIO_QUEUE_AVAIL_HIGH, PHASE_QUEUES, LOCK_BOTH, NULL, write_avail_high },
	{ VIRTIO_MMIO_QUEUE_USED_LOW, PHASE_QUEUES, LOCK_BOTH, NULL, write_used_low },
	{ VIRTIO_MMIO_QUEUE_USED_HIGH, PHASE_QUEUES, LOCK_BOTH, NULL, write_used_high },
	{ VIRTIO_MMIO_SHM_SEL, PHASE_ANY, LOCK_NONE, NULL, write_shm_sel },
	{ VIRTIO_MMIO_SHM_LEN_LOW, 0, LOCK_NONE, read_no_shm, NULL },
	{ VIRTIO_MMIO_SHM_LEN_HIGH, 0, LOCK_NONE, read_no_shm, NULL },
	{ VIRTIO_MMIO_SHM_BASE_LOW, 0, LOCK_NONE, read_no_shm, NULL },
	{ VIRTIO_MMIO_SHM_BASE_HIGH, 0, LOCK_NONE, read_no_shm, NULL },
	{ VIRTIO_MMIO_CONFIG_GENERATION, 0, LOCK_BOTH, read_config_generation, NULL },
};

_Static_assert(VIRTIO_MMIO_QUEUE_NOTIFY == VIRTIO_MMIO_NOTIFY, "where the ioeventfd goes");

static const struct reg *find_reg(uint64_t off, size_t len)
{
	if (len != sizeof(uint32_t))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
		if (regs[i].off == off)
			return &regs[i];
	}
	return NULL;
}

static bool config_fits(const struct virtio_dev *dev, uint64_t off, size_t len)
{
	return (len == 1 || len == 2 || len == 4) && off % len == 0 &&
	       range_fits(off, len, dev->config_size);
}

static void read_config(struct virtio_dev *dev, uint64_t off, void *data, size_t len)
{
	if (!config_fits(dev, off, len)) {
		count_error(dev);
		return;
	}
	virtio_dev_lock(dev);
	memcpy(data, dev->config + off, len);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_mmio_read(struct virtio_dev *dev, uint64_t off, void *data, size_t len)
{
	const struct reg *r;
	le32_t v;

	memset(data, 0, len);
	if (off >= VIRTIO_MMIO_CONFIG && off < VIRTIO_MMIO_BYTES) {
		read_config(dev, off - VIRTIO_MMIO_CONFIG, data, len);
		return;
	}
	r = find_reg(off, len);
	if (r == NULL || r->read == NULL) {
		count_error(dev);
		return;
	}
	if (r->locking != LOCK_BOTH) {
		v = le32_put(r->read(dev));
	} else {
		virtio_dev_lock(dev);
		v = le32_put(r->read(dev));
		pthread_mutex_unlock(&dev->lock);
	}
	memcpy(data, &v, sizeof(v));
}

static void write_locked(struct virtio_dev *dev, const struct reg *r, uint32_t v)
{
	enum phase now = phase_of(dev);
	int rc;

	if ((r->write_phases & now) == 0) {
		/* A broken device takes nothing and breaks no further. */
		if (now == PHASE_BROKEN)
			count_error(dev);
		else
			virtio_dev_fail(dev, "register written at the wrong time");
		return;
	}
	rc = r->write(dev, v);
	if (rc < 0)
		virtio_dev_fail(dev, "register given a value that it can't take");
}

static void write_config(struct virtio_dev *dev, uint64_t off, const void *data, size_t len)
{
	const unsigned phases = PHASE_FEATURES | PHASE_QUEUES | PHASE_RUN;

	if (dev->ops->write_config == NULL || !config_fits(dev, off, len)) {
		count_error(dev); /* most devices' configuration can't be written */
		return;
	}
	virtio_dev_lock(dev);
	if ((phases & phase_of(dev)) == 0)
		count_error(dev);
	else if (dev->ops->write_config(dev, off, data, len) < 0)
		virtio_dev_fail(dev, "configuration given a value that it can't take");
	pthread_mutex_unlock(&dev->lock);
}

void virtio_mmio_write(struct virtio_dev *dev, uint64_t off, const void *data, size_t len)
{
	const struct reg *r = find_reg(off, len);
	le32_t v;

	if (off >= VIRTIO_MMIO_CONFIG && off < VIRTIO_MMIO_BYTES) {
		write_config(dev, off - VIRTIO_MMIO_CONFIG, data, len);
		return;
	}
	if (r == NULL || r->write == NULL) {
		count_error(dev);
		return;
	}
	memcpy(&v, data, sizeof(v));
	if (r->locking == LOCK_NONE) {
		(void)r->write(dev, le32_get(v));
		return;
	}
	virtio_dev_lock(dev);
	write_locked(dev, r, le32_get(v));
	pthread_mutex_unlock(&dev->lock);
}
