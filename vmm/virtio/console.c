/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvc0, output only. What the guest writes goes into a ring that keeps the last CONSOLE_RING_BYTES
 * and is never interpreted; readers keep their own offset since boot. The receive queue is
 * accepted, because drivers insist on it, and nothing is ever put there. Size, several ports and
 * emergency write (a register that writes a byte without a queue) are not offered.
 *
 * A flood costs the guest's own time: nothing grows, nothing is logged, and of a chain, however
 * long, no more than a ring is copied. What was lost that way is counted.
 */
#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "vmm/virtio/devices.h"

#define CONSOLE_QUEUE_SIZE 64U
#define CONSOLE_QUEUE_TX   1U
#define CONSOLE_RING_BYTES 65536U
/* cols, rows, max_nr_ports, emerg_wr: all zero, as their features are not offered. */
#define CONSOLE_CONFIG_BYTES 12U

enum counter { REQUESTS, BYTES, OVERWRITTEN_BYTES, COUNTERS };

static const char *const counter_names[] = {
	[REQUESTS] = "requests",
	[BYTES] = "bytes",
	[OVERWRITTEN_BYTES] = "overwritten_bytes",
};
_Static_assert(ARRAY_SIZE(counter_names) == COUNTERS, "a name for each");

_Static_assert((CONSOLE_RING_BYTES & (CONSOLE_RING_BYTES - 1)) == 0, "positions are masked");
_Static_assert(sizeof(struct virtio_console_config) == CONSOLE_CONFIG_BYTES, "section 5.3.4");

struct console {
	struct virtio_dev dev;
	uint64_t total; /* bytes written since boot; the ring holds the last of them */
	struct virtq_chain chain;
	uint8_t ring[CONSOLE_RING_BYTES];
};

static struct console *to_console(struct virtio_dev *dev)
{
	return CONTAINER_OF(dev, struct console, dev);
}

/* Appends what the chain holds; of more than a ring only the end can survive. */
static int take(struct console *c, struct virtq *q)
{
	uint64_t off = 0, len = c->chain.read_bytes;
	uint64_t kept = MIN(c->total, CONSOLE_RING_BYTES);

	if (c->chain.nwrite > 0)
		return -EBADMSG;
	virtio_dev_count(&c->dev, REQUESTS, 1);
	virtio_dev_count(&c->dev, BYTES, len);
	virtio_dev_count(&c->dev, OVERWRITTEN_BYTES,
			 kept + len - MIN(kept + len, CONSOLE_RING_BYTES));
	if (len > CONSOLE_RING_BYTES) {
		off = len - CONSOLE_RING_BYTES;
		c->total += off;
		len = CONSOLE_RING_BYTES;
	}
	while (len > 0) {
		size_t at = c->total & (CONSOLE_RING_BYTES - 1);
		size_t n = (size_t)MIN(len, CONSOLE_RING_BYTES - at);
		int r = virtq_chain_read(q, &c->chain, off, c->ring + at, n);
		if (r < 0)
			return r;
		c->total += n;
		off += n;
		len -= n;
	}
	return virtq_push(q, c->chain.head, 0);
}

static int serve(struct virtio_dev *dev, unsigned qi)
{
	int r = take(to_console(dev), &dev->queues[qi]);

	return r < 0 ? r : 1;
}

static int console_notify(struct virtio_dev *dev, unsigned qi)
{
	if (qi != CONSOLE_QUEUE_TX)
		return 0;
	return virtio_dev_serve(dev, qi, &to_console(dev)->chain, serve);
}

size_t virtio_console_read(struct virtio_dev *dev, uint64_t *from, void *dst, size_t cap)
{
	struct console *c = to_console(dev);
	uint64_t oldest, pos;
	uint8_t *to = dst;
	size_t n = 0;

	pthread_mutex_lock(&dev->lock);
	oldest = c->total - MIN(c->total, CONSOLE_RING_BYTES);
	pos = MIN(MAX(*from, oldest), c->total);
	*from = pos;
	while (n < cap && pos < c->total) {
		size_t at = pos & (CONSOLE_RING_BYTES - 1);
		size_t part = (size_t)MIN(MIN(cap - n, c->total - pos), CONSOLE_RING_BYTES - at);
		memcpy(to + n, c->ring + at, part);
		n += part;
		pos += part;
	}
	pthread_mutex_unlock(&dev->lock);
	return n;
}

static void console_free(struct virtio_dev *dev)
{
	struct console *c = to_console(dev);

	virtio_dev_done(dev);
	free(c);
}

const struct virtio_dev_ops virtio_console_ops = {
	.name = "console",
	.id = VIRTIO_DEV_CONSOLE,
	.queues = 2,
	.queue_size_max = CONSOLE_QUEUE_SIZE,
	.notify = console_notify,
	.counter_names = counter_names,
	.counters_count = COUNTERS,
	.free = console_free,
};

int virtio_console_new(struct gmem *gmem, struct virtio_dev **ret)
{
	struct console *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return -ENOMEM;
	r = virtio_dev_init(&c->dev, &virtio_console_ops, gmem, virtio_console_ops.queues);
	if (r < 0) {
		free(c);
		return r;
	}
	c->dev.config_size = CONSOLE_CONFIG_BYTES;
	*ret = &c->dev;
	return 0;
}
