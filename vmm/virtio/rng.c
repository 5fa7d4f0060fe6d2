/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy from the host's getrandom(2). A guest can ask for as much as it likes; it gets at most
 * RNG_REQUEST_MAX bytes a request, and RNG_RATE bytes and RNG_REQUESTS requests a second on the
 * average, so that it can't turn the host's cycles into random numbers nobody needs. A request that
 * must wait stays in the queue.
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
#define RNG_REQUESTS	UINT64_C(4096)	  /* a second, and at once */
#define NS_PER_MS	UINT64_C(1000000)

enum counter { REQUESTS, BYTES, THROTTLED, COUNTERS };

static const char *const counter_names[] = {
	[REQUESTS] = "requests",
	[BYTES] = "bytes",
	[THROTTLED] = "throttled",
};
_Static_assert(ARRAY_SIZE(counter_names) == COUNTERS, "a name for each");

struct rng {
	struct virtio_dev dev;
	struct limiter limiter;
	struct loop_timer *timer; /* loop's thread only */
	struct virtq_chain chain;
};

static struct rng *to_rng(struct virtio_dev *dev)
{
	return CONTAINER_OF(dev, struct rng, dev);
}

static void on_timer(void *arg)
{
	struct rng *g = arg;

	g->timer = NULL;
	virtio_dev_kick(&g->dev, 0);
}

/* Looks at the queue again when there is something to give: 0, as for a chain that waits. */
static int wait_for_tokens(struct rng *g, uint64_t wait_ns)
{
	virtio_dev_count(&g->dev, THROTTLED, 1);
	/* Without memory for a timer: at once. */
	if (g->timer == NULL &&
	    loop_timer_add(g->dev.loop, wait_ns / NS_PER_MS + 1, on_timer, g, &g->timer) < 0)
		virtio_dev_kick(&g->dev, 0);
	return 0;
}

/* Fills g->chain with fresh random bytes: 1, 0 = it was put back and waits, or negative. */
static int serve(struct virtio_dev *dev, unsigned qi)
{
	struct virtq *q = &dev->queues[qi];
	struct rng *g = to_rng(dev);
	size_t len = (size_t)MIN(g->chain.write_bytes, RNG_REQUEST_MAX);
	uint8_t bytes[RNG_REQUEST_MAX];
	uint64_t wait_ns = 0;
	ssize_t n;
	int r;

	if (g->chain.nread > 0 || len == 0)
		return -EBADMSG;
	if (!limiter_take(&g->limiter, len, now_ns(), &wait_ns)) {
		virtq_unpop(q);
		return wait_for_tokens(g, wait_ns);
	}
	do
		n = getrandom(bytes, len, 0);
	while (n < 0 && errno == EINTR);
	/* Up to 256 bytes never fail; more may be cut short by a signal. */
	BUG_ON(n <= 0);
	r = virtq_chain_write(q, &g->chain, 0, bytes, (size_t)n);
	explicit_bzero(bytes, sizeof(bytes));
	if (r == 0)
		r = virtq_push(q, g->chain.head, (uint32_t)n);
	virtio_dev_count(&g->dev, REQUESTS, 1);
	virtio_dev_count(&g->dev, BYTES, (uint64_t)n);
	return r < 0 ? r : 1;
}

static int rng_notify(struct virtio_dev *dev, unsigned qi)
{
	return virtio_dev_serve(dev, qi, &to_rng(dev)->chain, serve);
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
	.counter_names = counter_names,
	.counters_count = COUNTERS,
	.free = rng_free,
};

int virtio_rng_new(struct gmem *gmem, struct virtio_dev **ret)
{
	const struct limits limits = { .bytes = { .rate = RNG_RATE, .burst = RNG_BURST },
				       .operations = { .rate = RNG_REQUESTS } };
	struct rng *g = calloc(1, sizeof(*g));
	int r;

	if (g == NULL)
		return -ENOMEM;
	r = virtio_dev_init(&g->dev, &virtio_rng_ops, gmem, virtio_rng_ops.queues);
	if (r < 0) {
		free(g);
		return r;
	}
	limiter_set(&g->limiter, &limits, now_ns());
	*ret = &g->dev;
	return 0;
}
