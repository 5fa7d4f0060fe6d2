/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/le.h"
#include "base/num.h"

void drv_init(struct drv *d)
{
	(void)signal(SIGPIPE, SIG_IGN); /* as vmm/main.c */
	memset(d, 0, sizeof(*d));
	BUG_ON(gmem_init(&d->mem, DRV_MEM_BYTES) < 0);
	BUG_ON(loop_new(&d->loop) < 0);
	d->brk = 0x10000;
}

static void on_irq(void *arg, unsigned pin)
{
	struct drv *d = arg;

	BUG_ON(pin != DRV_PIN);
	__atomic_fetch_add(&d->irqs_new, 1, __ATOMIC_SEQ_CST);
}

struct virtio_irq drv_irq(struct drv *d)
{
	return (struct virtio_irq){ on_irq, d, DRV_PIN };
}

void drv_attach(struct drv *d, struct virtio_dev *dev)
{
	const struct virtio_irq irq = drv_irq(d);

	d->dev = dev;
	BUG_ON(virtio_dev_attach(dev, d->loop, &irq) < 0);
}

void drv_done(struct drv *d)
{
	virtio_dev_free(d->dev);
	loop_free(d->loop);
	gmem_done(&d->mem);
}

uint32_t drv_get(struct drv *d, uint64_t reg)
{
	le32_t v;

	virtio_mmio_read(d->dev, reg, &v, sizeof(v));
	return le32_get(v);
}

void drv_set(struct drv *d, uint64_t reg, uint32_t v)
{
	le32_t le = le32_put(v);

	virtio_mmio_write(d->dev, reg, &le, sizeof(le));
}

uint64_t drv_offered(struct drv *d)
{
	uint64_t low, high;

	drv_set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	low = drv_get(d, VIRTIO_MMIO_DEVICE_FEATURES);
	drv_set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	high = drv_get(d, VIRTIO_MMIO_DEVICE_FEATURES);
	return high << 32 | low;
}

bool drv_broken(struct drv *d)
{
	return (drv_get(d, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
}

void drv_negotiate(struct drv *d, uint64_t without)
{
	uint64_t features;

	drv_set(d, VIRTIO_MMIO_STATUS, 0);
	memset(d->q, 0, sizeof(d->q));
	drv_set(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	drv_set(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	features = drv_offered(d) & ~without;
	drv_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	drv_set(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	drv_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	drv_set(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	drv_set(d, VIRTIO_MMIO_STATUS,
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		d->q[i].event_idx = (features >> VIRTIO_RING_F_EVENT_IDX & 1) != 0;
}

void drv_queue_setup(struct drv *d, unsigned qi, uint32_t size)
{
	struct drv_queue *q = &d->q[qi];

	q->index = (uint16_t)qi;
	q->size = size;
	q->desc = drv_alloc(d, 16 * (uint64_t)size, 16);
	q->avail = drv_alloc(d, 6 + 2 * (uint64_t)size, 2);
	q->used = drv_alloc(d, 6 + 8 * (uint64_t)size, 4);
	BUG_ON(gmem_zero(&d->mem, gpa(q->avail), 6 + 2 * (size_t)size) < 0);
	BUG_ON(gmem_zero(&d->mem, gpa(q->used), 6 + 8 * (size_t)size) < 0);
	q->nfree = size;
	for (unsigned i = 0; i < size; i++)
		q->free[i] = (uint16_t)(size - 1 - i);
	drv_set(d, VIRTIO_MMIO_QUEUE_SEL, qi);
	drv_set(d, VIRTIO_MMIO_QUEUE_NUM, size);
	drv_set(d, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)q->desc);
	drv_set(d, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(q->desc >> 32));
	drv_set(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)q->avail);
	drv_set(d, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(q->avail >> 32));
	drv_set(d, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)q->used);
	drv_set(d, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(q->used >> 32));
	drv_set(d, VIRTIO_MMIO_QUEUE_READY, 1);
}

void drv_driver_ok(struct drv *d)
{
	drv_set(d, VIRTIO_MMIO_STATUS, drv_get(d, VIRTIO_MMIO_STATUS) | VIRTIO_CONFIG_S_DRIVER_OK);
}

void drv_start(struct drv *d, uint64_t without)
{
	drv_negotiate(d, without);
	for (unsigned i = 0; i < d->dev->queues_count; i++)
		drv_queue_setup(d, i, d->dev->ops->queue_size_max);
	drv_driver_ok(d);
	BUG_ON(drv_broken(d));
}

uint64_t drv_alloc(struct drv *d, uint64_t bytes, uint64_t align)
{
	uint64_t at = align_up(d->brk, align);

	BUG_ON(gmem_check(&d->mem, gpa(at), bytes) < 0);
	d->brk = at + bytes;
	return at;
}

/* The guest reaches its memory as a processor does; gmem.h is the device's way. */
static uint8_t *ram(struct drv *d, uint64_t addr, size_t len)
{
	BUG_ON(gmem_check(&d->mem, gpa(addr), len) < 0);
	return d->mem.regions[0].hva + addr;
}

void drv_write(struct drv *d, uint64_t addr, const void *src, size_t len)
{
	memcpy(ram(d, addr, len), src, len);
}

void drv_read(struct drv *d, uint64_t addr, void *dst, size_t len)
{
	memcpy(dst, ram(d, addr, len), len);
}

void drv_desc(struct drv *d, uint64_t table, unsigned i, uint64_t addr, uint32_t len,
	      unsigned flags, unsigned next)
{
	struct {
		le64_t addr;
		le32_t len;
		le16_t flags, next;
	} e = { le64_put(addr), le32_put(len), le16_put((uint16_t)flags),
		le16_put((uint16_t)next) };

	drv_write(d, table + 16 * (uint64_t)i, &e, sizeof(e));
}

static uint16_t read16(struct drv *d, uint64_t addr)
{
	const uint16_t *p = (const void *)ram(d, addr, sizeof(*p));

	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void write16(struct drv *d, uint64_t addr, uint16_t v)
{
	uint16_t *p = (void *)ram(d, addr, sizeof(*p));

	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

void drv_avail(struct drv *d, unsigned qi, uint16_t head)
{
	struct drv_queue *q = &d->q[qi];
	uint16_t old = q->avail_idx++, event;
	bool kick;

	write16(d, q->avail + 4 + 2 * (uint64_t)(old & (q->size - 1)), head);
	write16(d, q->avail + 2, q->avail_idx);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = read16(d, q->used + 4 + 8 * (uint64_t)q->size);
	kick = q->event_idx ? (uint16_t)(q->avail_idx - event - 1) < (uint16_t)(q->avail_idx - old)
			    : (read16(d, q->used) & VRING_USED_F_NO_NOTIFY) == 0;
	if (kick) {
		q->kicks++;
		drv_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, qi);
	}
}

static unsigned seg_flags(const struct drv_seg *s, bool last)
{
	return (s->write ? VRING_DESC_F_WRITE : 0U) | (last ? 0U : VRING_DESC_F_NEXT);
}

static int post_indirect(struct drv *d, struct drv_queue *q, const struct drv_seg *segs, unsigned n)
{
	uint64_t table = drv_alloc(d, 16 * (uint64_t)n, 16);
	uint16_t head;

	if (q->nfree == 0)
		return -1;
	head = q->free[--q->nfree];
	q->next[head] = UINT16_MAX;
	for (unsigned i = 0; i < n; i++)
		drv_desc(d, table, i, segs[i].addr, segs[i].len, seg_flags(&segs[i], i == n - 1),
			 i + 1);
	drv_desc(d, q->desc, head, table, 16 * n, VRING_DESC_F_INDIRECT, 0);
	return head;
}

static int post_direct(struct drv *d, struct drv_queue *q, const struct drv_seg *segs, unsigned n)
{
	uint16_t ids[VIRTQ_SIZE_MAX];

	if (q->nfree < n)
		return -1;
	for (unsigned i = 0; i < n; i++)
		ids[i] = q->free[--q->nfree];
	for (unsigned i = 0; i < n; i++) {
		bool last = i == n - 1;
		q->next[ids[i]] = last ? UINT16_MAX : ids[i + 1];
		drv_desc(d, q->desc, ids[i], segs[i].addr, segs[i].len, seg_flags(&segs[i], last),
			 last ? 0 : ids[i + 1]);
	}
	return ids[0];
}

int drv_post(struct drv *d, unsigned qi, const struct drv_seg *segs, unsigned n, bool indirect)
{
	struct drv_queue *q = &d->q[qi];
	int head = indirect ? post_indirect(d, q, segs, n) : post_direct(d, q, segs, n);

	if (head >= 0)
		drv_avail(d, qi, (uint16_t)head);
	return head;
}

bool drv_used(struct drv *d, unsigned qi, uint32_t *head, uint32_t *len)
{
	struct drv_queue *q = &d->q[qi];
	uint64_t at = q->used + 4 + 8 * (uint64_t)(q->used_seen & (q->size - 1));
	le32_t e[2];

	if (read16(d, q->used + 2) == q->used_seen) {
		/* Everything seen: interrupt me for the next one. Then look again. */
		write16(d, q->avail + 4 + 2 * (uint64_t)q->size, q->used_seen);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (read16(d, q->used + 2) == q->used_seen)
			return false;
	}
	drv_read(d, at, e, sizeof(e));
	*head = le32_get(e[0]);
	*len = le32_get(e[1]);
	q->used_seen++;
	if (d->lenient && *head >= q->size)
		return true;
	BUG_ON(*head >= q->size);
	for (uint16_t i = (uint16_t)*head; i != UINT16_MAX; i = q->next[i]) {
		if (d->lenient && q->nfree >= q->size)
			break;
		BUG_ON(q->nfree >= q->size);
		q->free[q->nfree++] = i;
	}
	return true;
}

bool drv_wait_used(struct drv *d, unsigned q, uint32_t *head, uint32_t *len, int timeout_ms)
{
	uint64_t end = now_ms() + (uint64_t)timeout_ms;

	while (!drv_used(d, q, head, len)) {
		if (now_ms() > end)
			return false;
		BUG_ON(loop_step(d->loop, 1) < 0);
	}
	return true;
}

void drv_run(struct drv *d)
{
	/* The loop doesn't say whether it had something to do; a few empty rounds in a row do. */
	for (int i = 0; i < 4; i++)
		BUG_ON(loop_step(d->loop, 0) < 0);
}

uint64_t drv_irqs(struct drv *d)
{
	uint64_t n = __atomic_exchange_n(&d->irqs_new, 0, __ATOMIC_SEQ_CST);

	if (n == 0)
		return 0;
	d->irqs += n;
	drv_set(d, VIRTIO_MMIO_INTERRUPT_ACK, drv_get(d, VIRTIO_MMIO_INTERRUPT_STATUS));
	return n;
}
