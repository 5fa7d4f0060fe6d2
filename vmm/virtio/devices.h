/* SPDX-License-Identifier: Apache-2.0 */
/* devices.h - what the device types and the common part (dev.c, worker.c) share. */
#ifndef VMM_VIRTIO_DEVICES_H
#define VMM_VIRTIO_DEVICES_H

#include <pthread.h>
#include <semaphore.h>

#include "base/compiler.h"
#include "base/loop.h"
#include "vmm/virtio/virtio.h"

extern const struct virtio_dev_ops virtio_balloon_ops;
extern const struct virtio_dev_ops virtio_blk_ops;
extern const struct virtio_dev_ops virtio_console_ops;
extern const struct virtio_dev_ops virtio_net_ops;
extern const struct virtio_dev_ops virtio_pmem_ops;
extern const struct virtio_dev_ops virtio_rng_ops;
extern const struct virtio_dev_ops virtio_vsock_ops;

/* An eventfd, non-blocking, numbered from VMM_FD_DYNAMIC: the fd or -errno. */
MUST_USE int virtio_eventfd(void);
/* Adds one to it. */
void virtio_eventfd_signal(int fd);

/* A thread of a device: its first act is the hook (virtio_set_thread_hook), then fn. _start starts
 * it, _ready waits for the hook's verdict: negative, and fn is not called. Each that was started
 * must be asked once, and joined. 0 or -errno. */
struct virtio_thread {
	pthread_t thread;
	const char *role;
	void (*fn)(void *arg);
	void *arg;
	sem_t ready;
	int hook_result;
};
MUST_USE int virtio_thread_start(struct virtio_thread *t, const char *role, void (*fn)(void *arg),
				 void *arg);
MUST_USE int virtio_thread_ready(struct virtio_thread *t);
void virtio_thread_join(struct virtio_thread *t);

/* A thread with a loop of its own. _new makes the loop, _start the thread (and waits for the
 * hook's verdict), _free ends the thread and frees both; NULL is fine. */
MUST_USE int virtio_worker_new(struct virtio_worker **ret);
struct loop *virtio_worker_loop(struct virtio_worker *w);
MUST_USE int virtio_worker_start(struct virtio_worker *w, const char *role);
/* Ends the thread; the loop stays, so that its sources can be removed. */
void virtio_worker_stop(struct virtio_worker *w);
void virtio_worker_free(struct virtio_worker *w);

#endif
