/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a worker is started at attach time, before the VM runs, and never in answer
 * to the guest: the process can then do without clone(2). Its first act is the hook, which
 * locks it down; the starter waits for the outcome, because a thread that could not be locked
 * down must stop the start.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/fd.h"
#include "vmm/virtio/devices.h"

struct virtio_worker {
	struct loop *loop;
	int stop_fd; /* eventfd */
	struct virtio_thread thread;
	bool started;
};

static virtio_thread_hook_fn *thread_hook;

void virtio_set_thread_hook(virtio_thread_hook_fn *fn)
{
	thread_hook = fn;
}

static void *thread_main(void *arg)
{
	struct virtio_thread *t = arg;
	int r = thread_hook != NULL ? thread_hook(t->role) : 0;

	t->hook_result = r;
	BUG_ON(sem_post(&t->ready) != 0);
	if (r == 0)
		t->fn(t->arg);
	return NULL;
}

int virtio_thread_start(struct virtio_thread *t, const char *role, void (*fn)(void *arg), void *arg)
{
	sigset_t all, old;
	int r;

	*t = (struct virtio_thread){ .role = role, .fn = fn, .arg = arg };
	BUG_ON(sem_init(&t->ready, 0, 0) != 0);
	/* Signals are for the main thread: a worker is born with all of them blocked. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&t->thread, NULL, thread_main, t);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		(void)sem_destroy(&t->ready);
	return -r;
}

int virtio_thread_ready(struct virtio_thread *t)
{
	while (sem_wait(&t->ready) != 0)
		BUG_ON(errno != EINTR);
	return t->hook_result;
}

void virtio_thread_join(struct virtio_thread *t)
{
	BUG_ON(pthread_join(t->thread, NULL) != 0);
	(void)sem_destroy(&t->ready);
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

static void worker_main(void *arg)
{
	struct virtio_worker *w = arg;

	(void)loop_run(w->loop);
}

int virtio_worker_start(struct virtio_worker *w, const char *role)
{
	int r = virtio_thread_start(&w->thread, role, worker_main, w);

	if (r < 0)
		return r;
	w->started = true;
	r = virtio_thread_ready(&w->thread);
	if (r < 0)
		virtio_worker_stop(w);
	return r;
}

void virtio_worker_stop(struct virtio_worker *w)
{
	if (w == NULL || !w->started)
		return;
	virtio_eventfd_signal(w->stop_fd);
	virtio_thread_join(&w->thread);
	w->started = false;
}

void virtio_worker_free(struct virtio_worker *w)
{
	if (w == NULL)
		return;
	virtio_worker_stop(w);
	loop_free(w->loop);
	fd_closep(&w->stop_fd);
	free(w);
}
