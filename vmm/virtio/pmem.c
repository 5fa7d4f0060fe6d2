/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file as memory (virtio 1.2, section 5.19): the guest's processors load from it, and its page
 * cache holds nothing of it a second time. All of the device that is served is one request, the
 * flush. The file is read-only for everyone, so there is never anything to flush; a guest that
 * stores to it all the same has its stores dropped, as KVM's read-only slots do it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/le.h"
#include "base/num.h"
#include "vmm/virtio/devices.h"

#define PMEM_QUEUE_SIZE 64U

/* <linux/virtio_pmem.h>, with types that know their byte order. */
struct pmem_config {
	le64_t start, size;
};
_Static_assert(sizeof(struct pmem_config) == 16, "virtio 1.2, 5.19.4");
#define PMEM_REQUEST_FLUSH 0U
#define PMEM_RESULT_OK	   0U
#define PMEM_RESULT_FAILED 1U /* EIO */

enum counter { FLUSHES, FAILED, COUNTERS };

static const char *const counter_names[] = {
	[FLUSHES] = "flushes",
	[FAILED] = "failed",
};
_Static_assert(ARRAY_SIZE(counter_names) == COUNTERS, "a name for each");

struct pmem {
	struct virtio_dev dev;
	struct virtq_chain chain;
};

static struct pmem *to_pmem(struct virtio_dev *dev)
{
	return CONTAINER_OF(dev, struct pmem, dev);
}

/* Answers p->chain: 1, or negative. */
static int serve(struct virtio_dev *dev, unsigned qi)
{
	struct virtq *q = &dev->queues[qi];
	struct pmem *p = to_pmem(dev);
	le32_t type, result;
	bool flush;
	int r = virtq_chain_read(q, &p->chain, 0, &type, sizeof(type));

	if (r < 0)
		return r;
	flush = le32_get(type) == PMEM_REQUEST_FLUSH;
	result = le32_put(flush ? PMEM_RESULT_OK : PMEM_RESULT_FAILED);
	r = virtq_chain_write(q, &p->chain, 0, &result, sizeof(result));
	if (r == 0)
		r = virtq_push(q, p->chain.head, sizeof(result));
	if (r < 0)
		return r;
	virtio_dev_count(dev, flush ? FLUSHES : FAILED, 1);
	return 1;
}

static int pmem_notify(struct virtio_dev *dev, unsigned qi)
{
	return virtio_dev_serve(dev, qi, &to_pmem(dev)->chain, serve);
}

static void pmem_free(struct virtio_dev *dev)
{
	virtio_dev_done(dev);
	free(to_pmem(dev));
}

const struct virtio_dev_ops virtio_pmem_ops = {
	.name = "pmem",
	.id = VIRTIO_DEV_PMEM,
	.queues = 1,
	.queue_size_max = PMEM_QUEUE_SIZE,
	.notify = pmem_notify,
	.counter_names = counter_names,
	.counters_count = COUNTERS,
	.free = pmem_free,
};

int virtio_pmem_new(struct gmem *gmem, const struct gmem_region *file, struct virtio_dev **ret)
{
	const struct pmem_config config = { .start = le64_put(file->gpa),
					    .size = le64_put(file->size) };
	struct pmem *p = calloc(1, sizeof(*p));
	int r;

	if (p == NULL)
		return -ENOMEM;
	r = virtio_dev_init(&p->dev, &virtio_pmem_ops, gmem, virtio_pmem_ops.queues);
	if (r < 0) {
		free(p);
		return r;
	}
	memcpy(p->dev.config, &config, sizeof(config));
	p->dev.config_size = sizeof(config);
	*ret = &p->dev;
	return 0;
}
