/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: what all device types have in common. A kick is an eventfd that KVM (or
 * virtio_dev_kick) writes; it is watched edge-triggered, so each write is one event and the
 * counter never has to be read: one system call less a kick. The counter's 2^64 is out of reach.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "vmm/virtio/devices.h"
#include "vmm/vmm_fds.h"

const struct virtio_dev_ops *const virtio_dev_types[] = {
	&virtio_balloon_ops, &virtio_blk_ops,	&virtio_net_ops,  &virtio_console_ops,
	&virtio_rng_ops,     &virtio_vsock_ops, &virtio_pmem_ops,
};
const size_t virtio_dev_types_count = ARRAY_SIZE(virtio_dev_types);

int virtio_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd_lift(fd, VMM_FD_DYNAMIC);
}

void virtio_eventfd_signal(int fd)
{
	uint64_t one = 1;

	/* EAGAIN would mean 2^64 - 1 signals that nobody has seen. */
	BUG_ON(write(fd, &one, sizeof(one)) != (ssize_t)sizeof(one));
}

static bool is_listed(const struct virtio_dev_ops *ops)
{
	for (size_t i = 0; i < virtio_dev_types_count; i++) {
		if (virtio_dev_types[i] == ops)
			return true;
	}
	return false;
}

int virtio_dev_init(struct virtio_dev *dev, const struct virtio_dev_ops *ops, struct gmem *gmem,
		    unsigned queues)
{
	int r = 0;

	BUG_ON(!is_listed(ops) || ops->queues > VIRTIO_QUEUES_MAX || queues < 1 ||
	       queues > ops->queues || ops->counters_count > VIRTIO_COUNTERS_MAX);
	*dev = (struct virtio_dev){ .ops = ops, .gmem = gmem, .queues_count = queues };
	dev->features = ops->features | UINT64_C(1) << VIRTIO_F_VERSION_1 |
			UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
			UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC;
	BUG_ON(pthread_mutex_init(&dev->lock, NULL) != 0);
	BUG_ON(pthread_mutex_init(&dev->turn, NULL) != 0);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		dev->kick_fds[i] = -1;
	for (unsigned i = 0; i < queues && r >= 0; i++) {
		virtq_init(&dev->queues[i], gmem, ops->queue_size_max);
		r = dev->kick_fds[i] = virtio_eventfd();
	}
	if (r < 0) {
		virtio_dev_done(dev);
		return r;
	}
	return 0;
}

void virtio_dev_done(struct virtio_dev *dev)
{
	virtio_worker_stop(dev->worker);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		loop_io_del(dev->kick_ios[i]);
		dev->kick_ios[i] = NULL;
		fd_closep(&dev->kick_fds[i]);
	}
	virtio_worker_free(dev->worker);
	dev->worker = NULL;
	(void)pthread_mutex_destroy(&dev->lock);
	(void)pthread_mutex_destroy(&dev->turn);
}

void virtio_dev_free(struct virtio_dev *dev)
{
	if (dev != NULL)
		dev->ops->free(dev);
}

/*
 * A thread that has just given the lock up gets a mutex again long before a thread that was asleep
 * for it; a serving thread that leaves its round for a vCPU would take turn after turn in vain. So
 * whoever waits for the lock holds `turn`, and the next one waits for that.
 */
static void lock_in_turn(struct virtio_dev *dev)
{
	pthread_mutex_lock(&dev->turn);
	pthread_mutex_lock(&dev->lock);
	pthread_mutex_unlock(&dev->turn);
}

static void on_kick(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct virtio_dev *dev = arg;
	unsigned q = 0;
	int r = 0;

	(void)io;
	(void)events;
	while (q < dev->queues_count && dev->kick_fds[q] != fd)
		q++;
	BUG_ON(q == dev->queues_count);
	lock_in_turn(dev);
	/* A kick before DRIVER_OK, after a reset or for a queue that was never enabled says
	 * nothing; one while the device is paused is made up for by virtio_dev_resume. */
	if (dev->active && !dev->paused && dev->queues[q].ready) {
		__atomic_fetch_add(&dev->kicks, 1, __ATOMIC_RELAXED);
		r = dev->ops->notify(dev, q);
	}
	if (r < 0)
		virtio_dev_fail(dev, strerrordesc_np(-r));
	pthread_mutex_unlock(&dev->lock);
}

int virtio_dev_attach(struct virtio_dev *dev, struct loop *l, const struct virtio_irq *irq)
{
	int r = 0;

	BUG_ON(dev->loop != NULL);
	dev->irq = *irq;
	if (dev->ops->own_thread) {
		r = virtio_worker_new(&dev->worker);
		if (r < 0)
			return r;
		l = virtio_worker_loop(dev->worker);
	}
	dev->loop = l;
	for (unsigned i = 0; i < dev->queues_count && r == 0; i++)
		r = loop_io_add(l, dev->kick_fds[i], EPOLLIN | EPOLLET, on_kick, dev,
				&dev->kick_ios[i]);
	if (r == 0 && dev->ops->attach != NULL)
		r = dev->ops->attach(dev);
	if (r == 0 && dev->worker != NULL)
		r = virtio_worker_start(dev->worker, dev->ops->name);
	return r;
}

void virtio_dev_kick(struct virtio_dev *dev, unsigned q)
{
	virtio_eventfd_signal(dev->kick_fds[q]);
}

void virtio_dev_lock(struct virtio_dev *dev)
{
	/* Announced first: see virtio_dev_wanted. */
	__atomic_fetch_add(&dev->waiters, 1U, __ATOMIC_RELAXED);
	lock_in_turn(dev);
	__atomic_fetch_sub(&dev->waiters, 1U, __ATOMIC_RELAXED);
}

void virtio_dev_pause(struct virtio_dev *dev)
{
	virtio_dev_lock(dev);
	BUG_ON(dev->paused);
	dev->paused = true;
	if (dev->ops->pause != NULL)
		dev->ops->pause(dev);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_dev_resume(struct virtio_dev *dev)
{
	uint32_t kicks = 0;

	pthread_mutex_lock(&dev->lock);
	BUG_ON(!dev->paused);
	dev->paused = false;
	if (dev->ops->resume != NULL)
		dev->ops->resume(dev);
	for (unsigned q = 0; q < dev->queues_count; q++)
		kicks |= (uint32_t)(dev->active && dev->queues[q].ready) << q;
	pthread_mutex_unlock(&dev->lock);
	/* What was kicked meanwhile was dropped: look once at every queue that may hold something.
	 */
	for (unsigned q = 0; q < dev->queues_count; q++) {
		if ((kicks >> q & 1U) != 0)
			virtio_dev_kick(dev, q);
	}
}

void virtio_dev_metrics(const struct virtio_dev *dev, virtio_counter_fn *fn, void *arg)
{
	fn("kicks", __atomic_load_n(&dev->kicks, __ATOMIC_RELAXED), arg);
	fn("interrupts", __atomic_load_n(&dev->interrupts, __ATOMIC_RELAXED), arg);
	fn("resets", __atomic_load_n(&dev->resets, __ATOMIC_RELAXED), arg);
	fn("errors", __atomic_load_n(&dev->errors, __ATOMIC_RELAXED), arg);
	for (unsigned i = 0; i < dev->ops->counters_count; i++)
		fn(dev->ops->counter_names[i], __atomic_load_n(&dev->counters[i], __ATOMIC_RELAXED),
		   arg);
}

static void interrupt(struct virtio_dev *dev, uint32_t reason)
{
	__atomic_fetch_add(&dev->interrupts, 1, __ATOMIC_RELAXED);
	/* Release: a vCPU that reads the reason also sees the rings that it stands for. And before
	 * the pin is looked at (struct ioapic_ops). */
	__atomic_fetch_or(&dev->interrupt_status, reason, __ATOMIC_SEQ_CST);
	dev->irq.raise(dev->irq.arg, dev->irq.pin);
}

int virtio_dev_notify_used(struct virtio_dev *dev, struct virtq *q)
{
	int r = virtq_needs_irq(q);

	if (r > 0)
		interrupt(dev, VIRTIO_MMIO_INT_VRING);
	return r < 0 ? r : 0;
}

int virtio_dev_serve(struct virtio_dev *dev, unsigned qi, struct virtq_chain *chain,
		     virtio_serve_fn *serve)
{
	struct virtq *q = &dev->queues[qi];
	unsigned budget = q->size;
	bool waits = false;
	int r;

	do {
		r = virtq_disable_notify(q);
		while (r == 0 && budget > 0 && !waits && !virtio_dev_wanted(dev)) {
			r = virtq_pop(q, chain);
			if (r <= 0)
				break;
			budget--;
			r = serve(dev, qi);
			waits = r == 0;
			r = MIN(r, 0);
		}
		if (r == 0)
			r = virtio_dev_notify_used(dev, q);
		/* While it waits no kick of the driver's is needed. */
		if (r == 0 && !waits)
			r = virtq_enable_notify(q);
	} while (r > 0 && budget > 0 && !virtio_dev_wanted(dev));
	if (r > 0)
		virtio_dev_kick(dev, qi);
	return MIN(r, 0);
}

void virtio_dev_config_changed(struct virtio_dev *dev)
{
	uint32_t status = __atomic_load_n(&dev->status, __ATOMIC_RELAXED);

	dev->config_generation++;
	if ((status & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
		interrupt(dev, VIRTIO_MMIO_INT_CONFIG);
}

void virtio_dev_fail(struct virtio_dev *dev, const char *why)
{
	static struct log_limit limit = LOG_LIMIT(5);
	uint32_t status = __atomic_load_n(&dev->status, __ATOMIC_RELAXED);

	__atomic_fetch_add(&dev->errors, 1, __ATOMIC_RELAXED);
	if (log_allowed(&limit))
		log_warn("virtio.fail", "device=%s status=%#x why=\"%s\"", dev->ops->name, status,
			 why);
	if ((status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
		return;
	__atomic_store_n(&dev->status, status | VIRTIO_CONFIG_S_NEEDS_RESET, __ATOMIC_RELAXED);
	if ((status & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
		interrupt(dev, VIRTIO_MMIO_INT_CONFIG);
	if (dev->active) {
		dev->active = false;
		if (dev->ops->reset != NULL)
			dev->ops->reset(dev);
	}
}
