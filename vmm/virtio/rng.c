/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy from the host's getrandom(2). A guest can ask for as much as it likes; it gets at most
 * RNG_REQUEST_MAX bytes a request and RNG_RATE bytes a second on the average, so that it can't
 * turn the host's cycles into random numbers nobody needs. A request that must wait stays in the
 * queue.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/num.h"
#include "vmm/virtio/devices.h"

#define RNG_QUEUE_SIZE	64U
#define RNG_REQUEST_MAX 4096U
#define RNG_BURST	UINT64_C(65536)
#define RNG_RATE	UINT64_C(1048576) /* bytes a second */
#define RNG_RETRY_MS	10U

struct rng {
	struct virtio_dev dev;
	uint64_t tokens; /* bytes that may be given at once, <= RNG_BURST */
	uint64_t filled_ns;
	struct loop_timer *timer; /* loop's thread only */
	struct virtq_chain chain;
};

static struct rng *to_rng(struct virtio_dev *dev)
{
	return CONTAINER_OF(dev, struct rng, dev);
}

static void refill(struct rng *g)
{
	uint64_t now = now_ns(), idle = now - g->filled_ns;
	uint64_t full_ns = RNG_BURST * UINT64_C(1000000000) / RNG_RATE;
	uint64_t more = MIN(idle, full_ns) * RNG_RATE / UINT64_C(1000000000);

	if (more == 0)
		return; /* keep the fraction of a byte that has accumulated */
	g->tokens = MIN(g->tokens + more, RNG_BURST);
	g->filled_ns = now;
}

static void on_timer(void *arg)
{
	struct rng *g = arg;

	g->timer = NULL;
	virtio_dev_kick(&g->dev, 0);
}

/* Fills g->chain with fresh random bytes. */
static int serve(struct rng *g, struct virtq *q)
{
	size_t len = (size_t)MIN(g->chain.write_bytes, RNG_REQUEST_MAX);
	uint8_t bytes[RNG_REQUEST_MAX];
	ssize_t n;
	int r;

	if (g->chain.nread > 0 || len == 0)
		return -EBADMSG;
	do
		n = getrandom(bytes, len, 0);
	while (n < 0 && errno == EINTR);
	/* Up to 256 bytes never fail; more may be cut short by a signal. */
	BUG_ON(n <= 0);
	r = virtq_chain_write(q, &g->chain, 0, bytes, (size_t)n);
	explicit_bzero(bytes, sizeof(bytes));
	if (r < 0)
		return r;
	g->tokens -= MIN((uint64_t)n, g->tokens);
	return virtq_push(q, g->chain.head, (uint32_t)n);
}

static int rng_notify(struct virtio_dev *dev, unsigned qi)
{
	struct virtq *q = &dev->queues[qi];
	struct rng *g = to_rng(dev);
	unsigned budget = q->size;
	bool dry = false;
	int r;

	refill(g);
	do {
		r = virtq_disable_notify(q);
		while (r == 0 && budget > 0) {
			dry = g->tokens < RNG_REQUEST_MAX;
			r = dry ? 0 : virtq_pop(q, &g->chain);
			if (r <= 0)
				break;
			budget--;
			r = serve(g, q);
		}
		if (r == 0)
			r = virtio_dev_notify_used(dev, q);
		if (r == 0)
			r = virtq_enable_notify(q);
	} while (r > 0 && budget > 0 && !dry);
	if (r <= 0)
		return r;
	/* Dry: a timer tells when there is more. Without memory for one: look again at once. */
	if (!dry || (g->timer == NULL &&
		     loop_timer_add(dev->loop, RNG_RETRY_MS, on_timer, g, &g->timer) < 0))
		virtio_dev_kick(dev, qi);
	return 0;
}

static void rng_free(struct virtio_dev *dev)
{
	struct rng *g = to_rng(dev);

	loop_timer_del(g->timer);
	virtio_dev_done(dev);
	free(g);
}

const struct virtio_dev_ops virtio_rng_ops = {
	.name = "rng",
	.id = VIRTIO_DEV_RNG,
	.queues = 1,
	.queue_size_max = RNG_QUEUE_SIZE,
	.notify = rng_notify,
	.free = rng_free,
};

int virtio_rng_new(struct gmem *gmem, struct virtio_dev **ret)
{
	struct rng *g = calloc(1, sizeof(*g));
	int r;

	if (g == NULL)
		return -ENOMEM;
	r = virtio_dev_init(&g->dev, &virtio_rng_ops, gmem, virtio_rng_ops.queues);
	if (r < 0) {
		free(g);
		return r;
	}
	g->tokens = RNG_BURST;
	g->filled_ns = now_ns();
	*ret = &g->dev;
	return 0;
}
