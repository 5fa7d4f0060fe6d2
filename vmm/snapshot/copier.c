/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot/copier.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/num.h"
#include "vmm/virtio/devices.h"

struct copier {
	const struct gmem *m;
	struct virtio_thread thread;
	int event_fd; /* it is done */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* with lock */
	enum { COPIER_RESTS, COPIER_WORKS, COPIER_DONE } state;
	bool cancelled;
	int fd;
	uint64_t at, to;
	int result;
	/* the control thread's */
	copier_done_fn *done;
	void *arg;
};

/* One part; the lock is held but for the copying. */
static void copy_part(struct copier *c)
{
	const uint64_t from = c->at, to = MIN(c->to, from + COPIER_PART_BYTES);
	const int fd = c->fd;
	int r;

	pthread_mutex_unlock(&c->lock);
	r = gmem_save_part(c->m, fd, from, to);
	pthread_mutex_lock(&c->lock);
	c->at = to;
	c->result = r;
}

static void work(struct copier *c)
{
	while (c->result == 0 && c->at < c->to && !c->cancelled)
		copy_part(c);
	c->state = COPIER_DONE;
	/* copier_cancel waits for it, or else the loop. */
	pthread_cond_broadcast(&c->changed);
	if (!c->cancelled)
		virtio_eventfd_signal(c->event_fd);
}

static void thread_main(void *arg)
{
	struct copier *c = arg;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (c->state != COPIER_WORKS)
			pthread_cond_wait(&c->changed, &c->lock);
		work(c);
	}
}

static void on_event(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct copier *c = arg;
	uint64_t count;
	bool done;
	int r;

	(void)io;
	(void)events;
	(void)!read(fd, &count, sizeof(count));
	pthread_mutex_lock(&c->lock);
	/* It may have been given up since it was signalled. */
	done = c->state == COPIER_DONE;
	if (done)
		c->state = COPIER_RESTS;
	r = c->result;
	pthread_mutex_unlock(&c->lock);
	if (done)
		c->done(r, c->arg);
}

int copier_new(const struct gmem *m, struct loop *loop, struct copier **ret)
{
	struct copier *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return -ENOMEM;
	c->m = m;
	BUG_ON(pthread_mutex_init(&c->lock, NULL) != 0);
	BUG_ON(pthread_cond_init(&c->changed, NULL) != 0);
	c->event_fd = virtio_eventfd();
	r = c->event_fd < 0 ? c->event_fd
			    : loop_io_add(loop, c->event_fd, EPOLLIN, on_event, c, NULL);
	if (r == 0)
		r = virtio_thread_start(&c->thread, "copy", thread_main, c);
	/* What is half made goes with the process: no VM is built without it. */
	if (r == 0)
		*ret = c;
	return r;
}

int copier_ready(struct copier *c)
{
	return virtio_thread_ready(&c->thread);
}

void copier_begin(struct copier *c, int fd, uint64_t from, uint64_t to, copier_done_fn *done,
		  void *arg)
{
	pthread_mutex_lock(&c->lock);
	BUG_ON(c->state != COPIER_RESTS);
	c->state = COPIER_WORKS;
	c->cancelled = false;
	c->fd = fd;
	c->at = from;
	c->to = to;
	c->result = 0;
	c->done = done;
	c->arg = arg;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void copier_cancel(struct copier *c)
{
	pthread_mutex_lock(&c->lock);
	c->cancelled = true;
	while (c->state == COPIER_WORKS)
		pthread_cond_wait(&c->changed, &c->lock);
	c->state = COPIER_RESTS;
	pthread_mutex_unlock(&c->lock);
}
