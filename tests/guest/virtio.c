/* SPDX-License-Identifier: Apache-2.0 */
/* virtio.c - a small driver for virtio-mmio version 2 (virtio 1.2, 4.2.2), split queues. */
#include "guest.h"
#include "virtio_regs.h"

#define QUEUES_MAX 12U

/* Descriptors, then avail, then used: a page a queue is enough for 32 entries. */
static uint8_t queue_pages[QUEUES_MAX][4096] __attribute__((aligned(4096)));
static unsigned queue_pages_used;

static void write64(uint64_t a, uint64_t v)
{
	mmio_write32(a, (uint32_t)v);
	mmio_write32(a + 4, (uint32_t)(v >> 32));
}

static bool queue_open(struct vdev *d, unsigned index)
{
	struct vq *q = &d->q[index];
	uint8_t *page = (uint8_t *)q->desc; /* of an earlier vdev_open */

	if (page == NULL && queue_pages_used == QUEUES_MAX)
		return false;
	if (page == NULL)
		page = queue_pages[queue_pages_used++];
	else /* both rings' flags and indices */
		*(volatile uint32_t *)(page + 1024) = *(volatile uint32_t *)(page + 2048) = 0;
	*q = (struct vq){ .desc = (struct vq_desc *)page,
			  .avail = (uint16_t *)(page + 1024),
			  .used = (uint16_t *)(page + 2048),
			  .index = index };
	mmio_write32(d->base + REG_QUEUE_SEL, index);
	if (mmio_read32(d->base + REG_QUEUE_MAX) < VQ_SIZE)
		return false;
	mmio_write32(d->base + REG_QUEUE_NUM, VQ_SIZE);
	write64(d->base + REG_DESC, (uint64_t)q->desc);
	write64(d->base + REG_AVAIL, (uint64_t)q->avail);
	write64(d->base + REG_USED, (uint64_t)q->used);
	mmio_write32(d->base + REG_QUEUE_READY, 1);
	return mmio_read32(d->base + REG_QUEUE_READY) == 1;
}

bool vdev_open(struct vdev *d, uint32_t id, unsigned nth, uint64_t features, unsigned queues)
{
	const uint64_t want = features | 1ULL << 32; /* VERSION_1 */

	for (unsigned i = 0; i < acpi.device_count; i++) {
		uint64_t b = acpi.devices[i].base;
		if (mmio_read32(b + REG_MAGIC) != 0x74726976 || mmio_read32(b + REG_VERSION) != 2 ||
		    mmio_read32(b + REG_DEVICE_ID) != id || nth-- != 0)
			continue;
		d->base = b;
		d->irq = i;
		cpu_route_irq(acpi.devices[i].gsi, i);
		mmio_write32(b + REG_STATUS, 0);
		mmio_write32(b + REG_STATUS, STATUS_ACK);
		mmio_write32(b + REG_STATUS, STATUS_ACK | STATUS_DRIVER);
		mmio_write32(b + REG_DRIVER_SEL, 0);
		mmio_write32(b + REG_DRIVER, (uint32_t)want);
		mmio_write32(b + REG_DRIVER_SEL, 1);
		mmio_write32(b + REG_DRIVER, (uint32_t)(want >> 32));
		mmio_write32(b + REG_STATUS, STATUS_ACK | STATUS_DRIVER | STATUS_FEATURES_OK);
		if ((mmio_read32(b + REG_STATUS) & STATUS_FEATURES_OK) == 0)
			return false;
		for (unsigned q = 0; q < queues; q++)
			if (!queue_open(d, q))
				return false;
		mmio_write32(b + REG_STATUS,
			     STATUS_ACK | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_OK);
		return true;
	}
	return false;
}

void vdev_ack(unsigned n)
{
	uint64_t b = n < acpi.device_count ? acpi.devices[n].base : 0;

	if (b == 0) /* an interrupt of no device */
		return;
	/* Whatever it was about: whoever waits looks for itself. Reading it is one exit more. */
	mmio_write32(b + REG_IRQ_ACK, IRQ_USED | IRQ_CONFIG);
}

void vq_add(struct vq *q, uint16_t head, const struct vq_buf *bufs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		q->desc[head + i] = (struct vq_desc){
			.addr = (uint64_t)bufs[i].data,
			.len = bufs[i].len,
			.flags = (uint16_t)((i + 1 < n ? 1U : 0U) |
					    (bufs[i].device_writes ? 2U : 0U)),
			.next = (uint16_t)(head + i + 1),
		};
	vq_again(q, head);
}

void vq_again(struct vq *q, uint16_t head)
{
	uint16_t idx = q->avail[1];

	q->avail[2 + idx % VQ_SIZE] = head;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	q->avail[1] = (uint16_t)(idx + 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void vq_kick(struct vdev *d, struct vq *q)
{
	mmio_write32(d->base + REG_NOTIFY, q->index);
}

bool vq_used(struct vq *q, uint16_t *head, uint32_t *len)
{
	volatile uint32_t *ring = (volatile uint32_t *)(q->used + 2);
	unsigned at = q->last_used % VQ_SIZE;

	if (q->used[1] == q->last_used)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*head = (uint16_t)ring[at * 2];
	*len = ring[at * 2 + 1];
	q->last_used++;
	return true;
}

void vq_wait(struct vdev *d, struct vq *q, uint16_t *head, uint32_t *len)
{
	for (;;) {
		uint32_t seen = irq_count[d->irq];
		if (vq_used(q, head, len))
			break;
		cpu_wait_irq(d->irq, seen);
	}
}
