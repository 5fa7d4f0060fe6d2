/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.h - a virtio device: what the VM (vmm/vm.c) and the devices know of each other.
 * Transport: virtio-mmio version 2 (virtio 1.2, section 4.2). Devices know no transport.
 *
 * Threads: vCPU threads call virtio_mmio_read/write. Queues are served on the device thread's
 * loop (blk: on its own thread). dev->lock serialises them; it is held while ops are called.
 * A queue notification is an eventfd (KVM ioeventfd on the QueueNotify register, datamatch =
 * queue index); an interrupt is a write to irq_fd (KVM irqfd), after InterruptStatus was set.
 */
#ifndef VMM_VIRTIO_VIRTIO_H
#define VMM_VIRTIO_VIRTIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/loop.h"
#include "vmm/gmem.h"
#include "vmm/virtio/queue.h"

#define VIRTIO_MMIO_BYTES   0x1000U /* one page of MMIO a device */
#define VIRTIO_MMIO_NOTIFY  0x50U   /* QueueNotify: where the ioeventfd goes */
#define VIRTIO_QUEUES_MAX   8U
#define VIRTIO_CONFIG_MAX   64U

enum virtio_id {
	VIRTIO_DEV_NET = 1,
	VIRTIO_DEV_BLK = 2,
	VIRTIO_DEV_CONSOLE = 3,
	VIRTIO_DEV_RNG = 4,
	VIRTIO_DEV_BALLOON = 5,
	VIRTIO_DEV_VSOCK = 19,
};

struct virtio_dev;

/* What a device type is; one const object each, listed in virtio_dev_types[] (dev.c). */
struct virtio_dev_ops {
	const char *name;
	enum virtio_id id;
	unsigned queues;
	uint16_t queue_size_max;
	uint64_t features; /* offered, besides VIRTIO_F_VERSION_1 and the ring features */
	/* The guest has set DRIVER_OK; queues are frozen and checked. Negative: NEEDS_RESET. */
	int (*activate)(struct virtio_dev *dev);
	/* The guest has kicked queue q. Negative: the guest broke the rules, NEEDS_RESET. */
	int (*notify)(struct virtio_dev *dev, unsigned q);
	/* Back to the state before activate; no request may touch guest memory afterwards. */
	void (*reset)(struct virtio_dev *dev);
	void (*free)(struct virtio_dev *dev);
};

struct virtio_dev {
	const struct virtio_dev_ops *ops;
	struct gmem *gmem;
	pthread_mutex_t lock;
	struct virtq queues[VIRTIO_QUEUES_MAX];
	int kick_fds[VIRTIO_QUEUES_MAX]; /* eventfds, non-blocking */
	int irq_fd;			 /* eventfd */
	uint8_t config[VIRTIO_CONFIG_MAX];
	size_t config_size;
	uint64_t features; /* offered, all of them */
	/* transport state, owned by mmio.c */
	uint64_t driver_features;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint32_t status;
	uint32_t interrupt_status; /* atomic */
	uint32_t config_generation;
	bool active;	   /* DRIVER_OK seen and activate succeeded */
	uint64_t errors;   /* times that the guest broke the rules */
	struct loop_io *kick_ios[VIRTIO_QUEUES_MAX];
};

/* Common part of every device's constructor and destructor. 0 or -errno. */
MUST_USE int virtio_dev_init(struct virtio_dev *dev, const struct virtio_dev_ops *ops,
			     struct gmem *gmem);
void virtio_dev_done(struct virtio_dev *dev);
/* ops->free, NULL is fine. */
void virtio_dev_free(struct virtio_dev *dev);

/* Serves the device's kicks on this loop (the device thread's). Before the VM runs. */
MUST_USE int virtio_dev_attach(struct virtio_dev *dev, struct loop *l);

/* An access of a vCPU to the device's MMIO page; off < VIRTIO_MMIO_BYTES; len as KVM gives it. */
void virtio_mmio_read(struct virtio_dev *dev, uint64_t off, void *data, size_t len);
void virtio_mmio_write(struct virtio_dev *dev, uint64_t off, const void *data, size_t len);

/* For devices, lock held: interrupt for used buffers of q if the driver wants one. */
void virtio_dev_notify_used(struct virtio_dev *dev, struct virtq *q);
/* The guest broke the rules: NEEDS_RESET, config interrupt, counted, logged with a limit. */
void virtio_dev_fail(struct virtio_dev *dev, const char *why);
static inline bool virtio_dev_has(const struct virtio_dev *dev, unsigned feature_bit)
{
	return (dev->driver_features >> feature_bit & 1U) != 0;
}

/* ---- Constructors: each takes its fd and owns it from success on --------------------------- */

/* Raw file or block device; capacity = its size rounded down to 512. serial: <= 20 characters. */
MUST_USE int virtio_blk_new(struct gmem *gmem, int fd, bool read_only, const char *serial,
			    struct virtio_dev **ret);
/* Entropy from getrandom(2), rate limited. */
MUST_USE int virtio_rng_new(struct gmem *gmem, struct virtio_dev **ret);

/* hvc0. Guest output goes to a ring of the last 64 KiB; there is no input. */
MUST_USE int virtio_console_new(struct gmem *gmem, struct virtio_dev **ret);
/* Copies output from byte `from` (since boot) on; *from becomes the offset of the first byte
 * copied (larger when older bytes were lost). Returns the count. Any thread. */
size_t virtio_console_read(struct virtio_dev *dev, uint64_t *from, void *dst, size_t cap);

/* The vsock device; its connections live on the loop given to virtio_dev_attach. */
MUST_USE int virtio_vsock_new(struct gmem *gmem, uint64_t guest_cid, struct virtio_dev **ret);
/* Joins the next guest connection to host port `port` to fd (taken on success, made
 * non-blocking). Loop's thread. -ENOSPC beyond 64 waiting. */
MUST_USE int virtio_vsock_listen(struct virtio_dev *dev, uint32_t port, int fd);
/* Connects to a guest port; done(result) comes once, on the loop's thread: 0, -ECONNREFUSED,
 * -ETIMEDOUT (2 s), -ECONNRESET (device reset). fd is taken in any case when this returns 0. */
typedef void virtio_vsock_done_fn(int result, void *arg);
MUST_USE int virtio_vsock_connect(struct virtio_dev *dev, uint32_t port, int fd,
				  virtio_vsock_done_fn *done, void *arg);

#endif
