/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a worker is started at attach time, before the VM runs, and never in answer
 * to the guest: the process can then do without clone(2). Its first act is the hook, which
 * locks it down; the starter waits for the outcome, because a thread that could not be locked
 * down must stop the start.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/fd.h"
#include "vmm/virtio/devices.h"

struct virtio_worker {
	struct loop *loop;
	const char *role;
	int stop_fd; /* eventfd */
	pthread_t thread;
	bool started;
	sem_t ready;
	int hook_result;
};

static virtio_thread_hook_fn *thread_hook;

void virtio_set_thread_hook(virtio_thread_hook_fn *fn)
{
	thread_hook = fn;
}

static void on_stop(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct virtio_worker *w = arg;

	(void)io;
	(void)fd;
	(void)events;
	loop_stop(w->loop, 0);
}

int virtio_worker_new(struct virtio_worker **ret)
{
	struct virtio_worker *w = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return -ENOMEM;
	BUG_ON(sem_init(&w->ready, 0, 0) != 0);
	w->stop_fd = virtio_eventfd();
	r = w->stop_fd < 0 ? w->stop_fd : loop_new(&w->loop);
	if (r == 0)
		r = loop_io_add(w->loop, w->stop_fd, EPOLLIN, on_stop, w, NULL);
	if (r < 0) {
		virtio_worker_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

struct loop *virtio_worker_loop(struct virtio_worker *w)
{
	return w->loop;
}

static void *worker_main(void *arg)
{
	struct virtio_worker *w = arg;
	int r = thread_hook != NULL ? thread_hook(w->role) : 0;

	w->hook_result = r;
	BUG_ON(sem_post(&w->ready) != 0);
	if (r == 0)
		(void)loop_run(w->loop);
	return NULL;
}

int virtio_worker_start(struct virtio_worker *w, const char *role)
{
	sigset_t all, old;
	int r;

	w->role = role;
	/* Signals are for the main thread: a worker is born with all of them blocked. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, worker_main, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return -r;
	w->started = true;
	while (sem_wait(&w->ready) != 0)
		BUG_ON(errno != EINTR);
	if (w->hook_result < 0) {
		virtio_worker_stop(w);
		return w->hook_result;
	}
	return 0;
}

void virtio_worker_stop(struct virtio_worker *w)
{
	if (w == NULL || !w->started)
		return;
	virtio_eventfd_signal(w->stop_fd);
	BUG_ON(pthread_join(w->thread, NULL) != 0);
	w->started = false;
}

void virtio_worker_free(struct virtio_worker *w)
{
	if (w == NULL)
		return;
	virtio_worker_stop(w);
	loop_free(w->loop);
	fd_closep(&w->stop_fd);
	(void)sem_destroy(&w->ready);
	free(w);
}
