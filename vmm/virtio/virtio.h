/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.h - a virtio device: what the VM (vmm/vm.c) and the devices know of each other.
 * Transport: virtio-mmio version 2 (virtio 1.2, section 4.2). Devices know no transport.
 *
 * Threads: vCPU threads call virtio_mmio_read/write. Queues are served on the device thread's
 * loop (blk: on its own thread). dev->lock serialises them; it is held while ops are called.
 * A queue notification is an eventfd (KVM ioeventfd on the QueueNotify register, datamatch =
 * queue index; kicked_seldom: the register's own write); an interrupt is a call of dev->irq.raise,
 * after InterruptStatus was set. What a vCPU touches for each interrupt (InterruptStatus,
 * InterruptACK, Status, QueueNotify) never waits for the lock, so that a slow disk stalls no vCPU.
 *
 * Pause: the control thread parks the vCPUs and then calls virtio_dev_pause for each device; when
 * that has returned nothing touches guest memory on the device's behalf until virtio_dev_resume.
 * Kicks of a paused device are dropped, and each enabled queue is kicked once when it resumes.
 *
 * Descriptors that the devices make are numbered from VMM_FD_DYNAMIC.
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
#include "vmm/virtio/limiter.h"
#include "vmm/virtio/queue.h"

#define VIRTIO_MMIO_BYTES   0x1000U /* one page of MMIO a device */
#define VIRTIO_MMIO_NOTIFY  0x50U   /* QueueNotify: where the ioeventfd goes */
#define VIRTIO_QUEUES_MAX   16U
#define VIRTIO_CONFIG_MAX   64U
#define VIRTIO_COUNTERS_MAX 24U

enum virtio_id {
	VIRTIO_DEV_NET = 1,
	VIRTIO_DEV_BLK = 2,
	VIRTIO_DEV_CONSOLE = 3,
	VIRTIO_DEV_RNG = 4,
	VIRTIO_DEV_BALLOON = 5,
	VIRTIO_DEV_VSOCK = 19,
	VIRTIO_DEV_PMEM = 27,
};

struct virtio_dev;
struct virtio_worker;

/* What a device type is; one const object each, listed in virtio_dev_types[] (dev.c), which is
 * the whole list of what a guest can talk to. */
struct virtio_dev_ops {
	const char *name;
	enum virtio_id id;
	unsigned queues; /* at most, VIRTIO_QUEUES_MAX; a device may have fewer */
	uint16_t queue_size_max;
	uint64_t features; /* offered, besides VIRTIO_F_VERSION_1 and the ring features */
	/* Its kicks may cost the guest an exit: no ioeventfd stands in front of them. */
	bool kicked_seldom;
	bool own_thread; /* served by a thread of its own instead of the loop given to attach */
	/* Optional, pure: do these driver_features go together? If not, FEATURES_OK stays away. */
	bool (*features_ok)(const struct virtio_dev *dev);
	/* Optional: the loop that serves the device is known (dev->loop). Before the VM runs. */
	int (*attach)(struct virtio_dev *dev);
	/* Optional: the guest has set DRIVER_OK; queues are frozen and checked. On a vCPU's
	 * thread. Negative: NEEDS_RESET. Each queue is notified once afterwards. */
	int (*activate)(struct virtio_dev *dev);
	/* The guest has kicked queue q. Negative: the guest broke the rules, NEEDS_RESET. On the
	 * serving thread. Bounded: at most a queue's worth of chains, then virtio_dev_kick. */
	int (*notify)(struct virtio_dev *dev, unsigned q);
	/* Optional, for a configuration that the driver writes to: `len` (1, 2 or 4) bytes at off,
	 * aligned, inside it, between DRIVER and the end. Updates dev->config. On a vCPU's thread,
	 * lock held. Negative: the guest broke the rules, NEEDS_RESET. */
	int (*write_config)(struct virtio_dev *dev, uint64_t off, const void *data, size_t len);
	/* Optional: the device was active and is no more, by the guest's wish or because it
	 * failed. No request may touch guest memory afterwards. On any thread. */
	void (*reset)(struct virtio_dev *dev);
	/*
	 * Optional, for a device that touches guest memory other than from notify: from a thread
	 * pool, a timer, a host descriptor. When pause returns, every chain that was popped has
	 * been pushed or put back, and nothing starts anew while dev->paused is set. Requests that
	 * the host is working on are waited for. dev->paused is set before pause and cleared
	 * before resume. On the control thread, lock held (waiting on a condition with it is fine);
	 * called in balance, whether or not the device is active; vCPUs don't run meanwhile.
	 */
	void (*pause)(struct virtio_dev *dev);
	void (*resume)(struct virtio_dev *dev);
	/*
	 * Optional, for a type that keeps more than transport and queues, or whose configuration
	 * changes while the guest runs. save writes at most VIRTIO_PRIVATE_BYTES_MAX (state.h) and
	 * returns the size; the device is paused. load takes such bytes, hostile, after the
	 * transport was loaded; src is NULL when there are none. restored tells an active device
	 * that what it knew of the host is gone. All on the control thread, lock held.
	 */
	size_t (*save)(struct virtio_dev *dev, void *dst);
	int (*load)(struct virtio_dev *dev, const void *src, size_t len);
	void (*restored)(struct virtio_dev *dev);
	/* What this type counts: counter_names[i] (a-z, 0-9, _) is the name of dev->counters[i] in
	 * GetMetrics. At most VIRTIO_COUNTERS_MAX. */
	const char *const *counter_names;
	unsigned counters_count;
	void (*free)(struct virtio_dev *dev);
};

/* A device's interrupt: raise(arg, pin) on any of its threads or a vCPU's, lock held; never waits.
 */
struct virtio_irq {
	void (*raise)(void *arg, unsigned pin);
	void *arg;
	unsigned pin;
};

struct virtio_dev {
	const struct virtio_dev_ops *ops;
	struct gmem *gmem;
	pthread_mutex_t lock;
	pthread_mutex_t turn;  /* to wait for the lock; dev.c */
	unsigned queues_count; /* of this device */
	struct virtq queues[VIRTIO_QUEUES_MAX];
	int kick_fds[VIRTIO_QUEUES_MAX]; /* eventfds, non-blocking */
	struct virtio_irq irq;		 /* from virtio_dev_attach on */
	uint8_t config[VIRTIO_CONFIG_MAX];
	size_t config_size;
	uint64_t features; /* offered, all of them */
	/* transport state, owned by mmio.c */
	uint64_t driver_features;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint32_t status;	   /* atomic loads without the lock */
	uint32_t interrupt_status; /* atomic */
	uint32_t config_generation;
	bool active;	 /* DRIVER_OK seen and activate succeeded; false again when it failed */
	bool paused;	 /* with lock */
	uint64_t errors; /* atomic: times that the guest broke the rules */
	uint64_t kicks, interrupts, resets;	/* atomic: what is counted of every device */
	uint64_t counters[VIRTIO_COUNTERS_MAX]; /* atomic: ops->counter_names */
	unsigned waiters;			/* atomic: threads in virtio_dev_lock */
	struct loop *loop;			/* serves the queues */
	struct loop_io *kick_ios[VIRTIO_QUEUES_MAX];
	struct virtio_worker *worker; /* own_thread only */
};

extern const struct virtio_dev_ops *const virtio_dev_types[];
extern const size_t virtio_dev_types_count;

/*
 * fn runs first in every thread that a device starts (from virtio_dev_attach on), before it
 * touches anything of the guest's: the VMM installs the thread's seccomp filter there. A negative
 * result makes virtio_dev_attach fail with it. Call once, before the first attach.
 */
typedef int virtio_thread_hook_fn(const char *role);
void virtio_set_thread_hook(virtio_thread_hook_fn *fn);

/* Common part of every device's constructor and destructor; queues: 1 to ops->queues. 0 or -errno.
 */
MUST_USE int virtio_dev_init(struct virtio_dev *dev, const struct virtio_dev_ops *ops,
			     struct gmem *gmem, unsigned queues);
void virtio_dev_done(struct virtio_dev *dev);
/* ops->free, NULL is fine. No vCPU runs any more; on the loop's thread (or after its end), before
 * loop_free. */
void virtio_dev_free(struct virtio_dev *dev);

/* Serves the device's kicks on this loop (the device thread's), or starts the device's own
 * thread; *irq is copied. Once, before the VM runs. 0 or -errno. */
MUST_USE int virtio_dev_attach(struct virtio_dev *dev, struct loop *l,
			       const struct virtio_irq *irq);

/* Comes to rest, or goes on: see "Pause" above. Control thread; not nested. */
void virtio_dev_pause(struct virtio_dev *dev);
void virtio_dev_resume(struct virtio_dev *dev);

/* Counts n of counter number `counter` of the type's table, or sets it where it is a level. Any
 * thread, no lock. */
static inline void virtio_dev_count(struct virtio_dev *dev, unsigned counter, uint64_t n)
{
	__atomic_fetch_add(&dev->counters[counter], n, __ATOMIC_RELAXED);
}
static inline void virtio_dev_gauge(struct virtio_dev *dev, unsigned counter, uint64_t v)
{
	__atomic_store_n(&dev->counters[counter], v, __ATOMIC_RELAXED);
}
/* Every counter of the device, the common ones (kicks, interrupts, resets, errors) first. Any
 * thread. */
typedef void virtio_counter_fn(const char *name, uint64_t value, void *arg);
void virtio_dev_metrics(const struct virtio_dev *dev, virtio_counter_fn *fn, void *arg);

/* An access of a vCPU to the device's MMIO page; off < VIRTIO_MMIO_BYTES; len as KVM gives it. */
void virtio_mmio_read(struct virtio_dev *dev, uint64_t off, void *data, size_t len);
void virtio_mmio_write(struct virtio_dev *dev, uint64_t off, const void *data, size_t len);

/* For devices, lock held: interrupt for used buffers of q if the driver wants one. Negative: the
 * guest broke the rules. */
MUST_USE int virtio_dev_notify_used(struct virtio_dev *dev, struct virtq *q);
/* dev->config has changed: counts the generation and tells the driver. Lock held. */
void virtio_dev_config_changed(struct virtio_dev *dev);
/*
 * What a notify does for a device whose requests are answered at once: takes each chain of queue qi
 * into *chain and has `serve` answer it, at most a queue's worth and not while somebody waits for
 * the lock; what is left is kicked again. serve: 1 = pushed, 0 = put back, and somebody else sees
 * to a kick, negative = the guest broke the rules. Lock held; as ops->notify.
 */
typedef int virtio_serve_fn(struct virtio_dev *dev, unsigned qi);
MUST_USE int virtio_dev_serve(struct virtio_dev *dev, unsigned qi, struct virtq_chain *chain,
			      virtio_serve_fn *serve);
/* The guest broke the rules: NEEDS_RESET, config interrupt, counted, logged with a limit. Lock
 * held. ops->reset has been called when it returns; the queues are not to be touched any more. */
void virtio_dev_fail(struct virtio_dev *dev, const char *why);
/* As if the guest had kicked queue q once more: how long work is cut into bounded rounds. */
void virtio_dev_kick(struct virtio_dev *dev, unsigned q);
/* Takes dev->lock like a vCPU: the serving thread leaves its round early for it. */
void virtio_dev_lock(struct virtio_dev *dev);
/* Someone waits for the lock: leave the round early, virtio_dev_kick, return. */
static inline bool virtio_dev_wanted(const struct virtio_dev *dev)
{
	return __atomic_load_n(&dev->waiters, __ATOMIC_RELAXED) > 0;
}
static inline bool virtio_dev_has(const struct virtio_dev *dev, unsigned feature_bit)
{
	return (dev->driver_features >> feature_bit & 1U) != 0;
}

/* ---- Constructors: each takes its fd and owns it from success on --------------------------- */

#define VIRTIO_BLK_QUEUES_MAX 4U
struct virtio_blk_spec {
	int fd; /* a raw file or block device */
	bool read_only;
	bool discard;	    /* offer discard and write-zeroes; not with read_only */
	unsigned queues;    /* 1 to VIRTIO_BLK_QUEUES_MAX */
	const char *serial; /* at most 20 characters */
	struct limits limits;
};
/* Capacity = the size of cfg->fd rounded down to 512 (-EINVAL: none). -EBADF: not a file or block
 * device, appending, or not open for exactly what the drive may do: a drive that is read-only takes
 * no descriptor that can write. */
MUST_USE int virtio_blk_new(struct gmem *gmem, const struct virtio_blk_spec *cfg,
			    struct virtio_dev **ret);
/* New limits, from a moment later on. Control thread; never blocks on the drive's storage. */
void virtio_blk_set_limits(struct virtio_dev *dev, const struct limits *limits);
/* The file has another size: the new capacity in *ret_bytes, of which the guest learns a moment
 * later. Data beyond a new end is the caller's to worry about. -EINVAL: less than a sector.
 * Control thread; as above. */
MUST_USE int virtio_blk_resize(struct virtio_dev *dev, uint64_t *ret_bytes);
/* Entropy from getrandom(2), rate limited. */
MUST_USE int virtio_rng_new(struct gmem *gmem, struct virtio_dev **ret);

/* hvc0. Guest output goes to a ring of the last 64 KiB; there is no input. */
MUST_USE int virtio_console_new(struct gmem *gmem, struct virtio_dev **ret);
/* Copies output from byte `from` (since boot) on; *from becomes the offset of the first byte
 * copied (larger when older bytes were lost). Returns the count. Any thread. */
size_t virtio_console_read(struct virtio_dev *dev, uint64_t *from, void *dst, size_t cap);

/* The balloon: see balloon.c for what is offered. */
struct virtio_balloon_options {
	bool deflate_on_oom;	  /* a guest short of memory takes pages back by itself */
	bool free_page_reporting; /* what the guest doesn't use goes back to the host */
	uint64_t statistics_ms;	  /* how often the guest tells its numbers; 0 = never */
};
MUST_USE int virtio_balloon_new(struct gmem *gmem, const struct virtio_balloon_options *options,
				struct virtio_dev **ret);
/* How much memory the guest is asked to give up. Any thread. -EINVAL: not whole pages of 4 KiB;
 * -ERANGE: more than it has. */
MUST_USE int virtio_balloon_set(struct virtio_dev *dev, uint64_t bytes);

/* A file that gmem_add_file has put behind the guest's memory, as persistent memory. Takes nothing;
 * KVM's slot for it is the caller's. */
MUST_USE int virtio_pmem_new(struct gmem *gmem, const struct gmem_region *file,
			     struct virtio_dev **ret);

/* The vsock device; its connections live on the loop given to virtio_dev_attach. The process must
 * ignore SIGPIPE: a host peer that goes away is an error, not a signal. */
MUST_USE int virtio_vsock_new(struct gmem *gmem, uint64_t guest_cid, struct virtio_dev **ret);
/* Joins the next guest connection to host port `port` to fd (taken on success, made
 * non-blocking). Loop's thread. Waits across resets. -ENOSPC beyond 64 waiting. */
MUST_USE int virtio_vsock_listen(struct virtio_dev *dev, uint32_t port, int fd);
/* Connects to a guest port; done(result) comes once, on the loop's thread and never from within
 * this call: 0, -ECONNREFUSED, -ETIMEDOUT (2 s, also when no driver is there), -ECONNRESET
 * (device reset), -ENOMEM. fd is taken in any case when this returns 0. Loop's thread. -ENOSPC
 * beyond 64 connections. Bytes that fd has to offer before done(0) are kept and sent after it. */
typedef void virtio_vsock_done_fn(int result, void *arg);
MUST_USE int virtio_vsock_connect(struct virtio_dev *dev, uint32_t port, int fd,
				  virtio_vsock_done_fn *done, void *arg);

#define VIRTIO_NET_MAC_BYTES 6U
#define VIRTIO_NET_PAIRS_MAX 4U
#define VIRTIO_NET_MTU_MIN   68U
#define VIRTIO_NET_MTU_MAX   65535U
#define VIRTIO_NET_HDR_BYTES 12U /* in front of each frame on a tap */

/* Tells the host which kinds of frames may be handed over (TUN_F_* of <linux/if_tun.h>): 0 or
 * -errno. On the device's thread. */
typedef int virtio_net_offload_fn(int tap, unsigned flags);
struct virtio_net_spec {
	uint8_t mac[VIRTIO_NET_MAC_BYTES]; /* unicast */
	unsigned mtu;			   /* VIRTIO_NET_MTU_MIN to _MAX; 0 = not told */
	unsigned pairs;			   /* 1 to VIRTIO_NET_PAIRS_MAX */
	struct limits receive, send;	   /* towards the guest, from it */
	virtio_net_offload_fn *set_offload;
};
/*
 * A network card. taps: a descriptor for each pair, non-blocking, read and written a frame at a
 * time with VIRTIO_NET_HDR_BYTES in front; all of them are taken on success. Link up. -EINVAL: no
 * such card.
 */
MUST_USE int virtio_net_new(struct gmem *gmem, const struct virtio_net_spec *cfg, const int *taps,
			    struct virtio_dev **ret);
/* While the VM lives; any thread. While the link is down frames are lost in both directions. */
void virtio_net_set_limits(struct virtio_dev *dev, const struct limits *receive,
			   const struct limits *send);
void virtio_net_set_link(struct virtio_dev *dev, bool up);

#endif
