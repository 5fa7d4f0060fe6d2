/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/state.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/bug.h"
#include "base/le.h"
#include "vmm/virtio/devices.h"

struct queue_state {
	le64_t desc, avail, used;
	le32_t size;
	le16_t avail_next, used_next, used_told;
	uint8_t ready;
	uint8_t zero[5];
};
_Static_assert(sizeof(struct queue_state) == 40, "docs/SNAPSHOT.md");

struct dev_state {
	le64_t features, driver_features;
	le32_t id, queues;
	le32_t device_features_sel, driver_features_sel, queue_sel;
	le32_t status, interrupt_status, config_generation;
	le32_t config_bytes;
	le32_t zero;
	uint8_t config[VIRTIO_CONFIG_MAX];
	/* queue_state[queues] */
};
_Static_assert(sizeof(struct dev_state) == 56 + VIRTIO_CONFIG_MAX, "docs/SNAPSHOT.md");
_Static_assert(sizeof(struct dev_state) + VIRTIO_QUEUES_MAX * sizeof(struct queue_state) <=
		       VIRTIO_STATE_BYTES_MAX,
	       "room for every queue");

/* Every bit that a driver may have set, and the device's own. */
#define STATUS_KNOWN                                                                          \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)
#define STATUS_BROKEN (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)

static struct queue_state save_queue(const struct virtq *q)
{
	return (struct queue_state){
		.desc = le64_put(q->desc.v),
		.avail = le64_put(q->avail.v),
		.used = le64_put(q->used.v),
		.size = le32_put(q->size),
		.avail_next = le16_put(q->avail_next),
		.used_next = le16_put(q->used_next),
		.used_told = le16_put(q->used_told),
		.ready = q->ready,
	};
}

size_t virtio_state_save(struct virtio_dev *dev, void *dst)
{
	struct dev_state s;
	uint8_t *at = dst;

	pthread_mutex_lock(&dev->lock);
	BUG_ON(!dev->paused);
	s = (struct dev_state){
		.features = le64_put(dev->features),
		.driver_features = le64_put(dev->driver_features),
		.id = le32_put(dev->ops->id),
		.queues = le32_put(dev->queues_count),
		.device_features_sel = le32_put(dev->device_features_sel),
		.driver_features_sel = le32_put(dev->driver_features_sel),
		.queue_sel = le32_put(dev->queue_sel),
		.status = le32_put(__atomic_load_n(&dev->status, __ATOMIC_RELAXED)),
		.interrupt_status =
			le32_put(__atomic_load_n(&dev->interrupt_status, __ATOMIC_RELAXED)),
		.config_generation = le32_put(dev->config_generation),
		.config_bytes = le32_put((uint32_t)dev->config_size),
	};
	memcpy(s.config, dev->config, sizeof(s.config));
	memcpy(at, &s, sizeof(s));
	at += sizeof(s);
	for (unsigned i = 0; i < dev->queues_count; i++) {
		const struct queue_state q = save_queue(&dev->queues[i]);
		memcpy(at, &q, sizeof(q));
		at += sizeof(q);
	}
	pthread_mutex_unlock(&dev->lock);
	return (size_t)(at - (uint8_t *)dst);
}

static int load_queue(struct virtio_dev *dev, struct virtq *q, const struct queue_state *s)
{
	int r;

	q->desc = gpa(le64_get(s->desc));
	q->avail = gpa(le64_get(s->avail));
	q->used = gpa(le64_get(s->used));
	if (le32_get(s->size) > q->size_max || s->ready > 1)
		return -EINVAL;
	q->size = le32_get(s->size);
	if (s->ready == 0)
		return 0;
	r = virtq_enable(q, virtio_dev_has(dev, VIRTIO_RING_F_EVENT_IDX),
			 virtio_dev_has(dev, VIRTIO_RING_F_INDIRECT_DESC));
	if (r < 0)
		return r;
	q->avail_next = q->avail_seen = le16_get(s->avail_next); /* the index is fetched again */
	q->used_next = le16_get(s->used_next);
	q->used_told = le16_get(s->used_told);
	return virtq_valid(q) ? 0 : -EINVAL;
}

/* Is it of this device? Types with a load function have configurations that change while the
 * guest runs, and see to it themselves. */
static int check_kind(const struct virtio_dev *dev, const struct dev_state *s, struct err *err)
{
	if (le32_get(s->id) != dev->ops->id || le32_get(s->queues) != dev->queues_count)
		return err_set(err, -ENOTSUP, "%s: the snapshot has another device there",
			       dev->ops->name);
	if (le64_get(s->features) != dev->features)
		return err_set(err, -ENOTSUP, "%s: the snapshot's device has other features",
			       dev->ops->name);
	if (le32_get(s->config_bytes) != dev->config_size ||
	    (dev->ops->load == NULL && memcmp(s->config, dev->config, sizeof(s->config)) != 0))
		return err_set(err, -ENOTSUP, "%s: the snapshot's device is configured otherwise",
			       dev->ops->name);
	return 0;
}

/* What the registers would have refused. */
static int check_transport(const struct virtio_dev *dev, const struct dev_state *s)
{
	uint32_t status = le32_get(s->status);

	if ((status & ~(uint32_t)STATUS_KNOWN) != 0 || (le32_get(s->interrupt_status) & ~3U) != 0)
		return -EINVAL;
	if ((status & VIRTIO_CONFIG_S_DRIVER_OK) != 0 &&
	    (status & VIRTIO_CONFIG_S_FEATURES_OK) == 0)
		return -EINVAL;
	if ((status & VIRTIO_CONFIG_S_FEATURES_OK) != 0 &&
	    ((le64_get(s->driver_features) & ~dev->features) != 0 ||
	     (le64_get(s->driver_features) >> VIRTIO_F_VERSION_1 & 1U) == 0))
		return -EINVAL;
	return 0;
}

static int load_locked(struct virtio_dev *dev, const struct dev_state *s, const uint8_t *queues)
{
	uint32_t status = le32_get(s->status);
	int r = check_transport(dev, s);

	dev->driver_features = le64_get(s->driver_features);
	dev->device_features_sel = le32_get(s->device_features_sel);
	dev->driver_features_sel = le32_get(s->driver_features_sel);
	dev->queue_sel = le32_get(s->queue_sel);
	dev->config_generation = le32_get(s->config_generation);
	if (r == 0 && (status & VIRTIO_CONFIG_S_FEATURES_OK) != 0 &&
	    dev->ops->features_ok != NULL && !dev->ops->features_ok(dev))
		r = -EINVAL;
	for (unsigned i = 0; i < dev->queues_count && r == 0; i++) {
		struct queue_state q;
		memcpy(&q, queues + i * sizeof(q), sizeof(q));
		r = load_queue(dev, &dev->queues[i], &q);
	}
	if (r < 0)
		return r;
	__atomic_store_n(&dev->status, status, __ATOMIC_RELAXED);
	__atomic_store_n(&dev->interrupt_status, le32_get(s->interrupt_status), __ATOMIC_RELAXED);
	if ((status & VIRTIO_CONFIG_S_DRIVER_OK) == 0 || (status & STATUS_BROKEN) != 0)
		return 0;
	if (dev->ops->activate != NULL)
		r = dev->ops->activate(dev);
	dev->active = r == 0;
	return r;
}

int virtio_state_load(struct virtio_dev *dev, const void *src, size_t len, struct err *err)
{
	struct dev_state s;
	int r;

	if (len != sizeof(s) + dev->queues_count * sizeof(struct queue_state))
		return err_set(err, -EINVAL, "%s: %zu bytes of state", dev->ops->name, len);
	memcpy(&s, src, sizeof(s));
	r = check_kind(dev, &s, err);
	if (r < 0)
		return r;
	virtio_dev_pause(dev);
	pthread_mutex_lock(&dev->lock);
	r = load_locked(dev, &s, (const uint8_t *)src + sizeof(s));
	pthread_mutex_unlock(&dev->lock);
	return r < 0 ? err_set(err, -EINVAL, "%s: damaged state", dev->ops->name) : 0;
}
