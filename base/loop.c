/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: epoll holds pointers to struct loop_io. A source that is removed while a
 * batch of events is being handled may still stand in that batch, so loop_io_del only marks it
 * dead (fn = NULL) and the outermost loop_step frees the dead when its batch is done. Timers are a
 * list sorted by deadline: there are few, and the nearest decides epoll's timeout.
 */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define LOOP_BATCH 64
#define NS_PER_MS  UINT64_C(1000000)

struct loop_io {
	struct loop *loop;
	struct loop_io *prev, *next; /* in loop->ios, or next alone in loop->dead */
	loop_io_fn *fn;		     /* NULL = removed */
	void *arg;
	int fd;
};

struct loop_timer {
	struct loop *loop;
	struct loop_timer *next;
	loop_timer_fn *fn;
	void *arg;
	uint64_t due_ns;
};

struct loop {
	int epfd;
	struct loop_io *ios;
	struct loop_io *dead;
	struct loop_timer *timers; /* nearest first */
	sigset_t signals;
	int sigfd;
	struct loop_io *sig_io;
	loop_signal_fn *sig_fn[_NSIG];
	void *sig_arg[_NSIG];
	unsigned depth; /* loop_step calls under way: a callback may run the loop */
	bool stopped;
	int result;
};

int loop_new(struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->sigfd = -1;
	(void)sigemptyset(&l->signals);
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0) {
		int r = -errno;
		free(l);
		return r;
	}
	*ret = l;
	return 0;
}

static void free_dead(struct loop *l)
{
	while (l->dead != NULL) {
		struct loop_io *io = l->dead;
		l->dead = io->next;
		free(io);
	}
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	BUG_ON(l->depth > 0);
	while (l->ios != NULL)
		loop_io_del(l->ios);
	free_dead(l);
	while (l->timers != NULL) {
		struct loop_timer *t = l->timers;
		l->timers = t->next;
		free(t);
	}
	fd_closep(&l->sigfd);
	fd_closep(&l->epfd);
	free(l);
}

int loop_io_add(struct loop *l, int fd, uint32_t events, loop_io_fn *fn, void *arg,
		struct loop_io **ret)
{
	struct loop_io *io = calloc(1, sizeof(*io));
	struct epoll_event ev = { .events = events, .data.ptr = io };

	if (io == NULL)
		return -ENOMEM;
	BUG_ON(fn == NULL);
	*io = (struct loop_io){ .loop = l, .fn = fn, .arg = arg, .fd = fd };
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int r = -errno;
		free(io);
		return r;
	}
	io->next = l->ios;
	if (l->ios != NULL)
		l->ios->prev = io;
	l->ios = io;
	if (ret != NULL)
		*ret = io;
	return 0;
}

int loop_io_set(struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = io };

	BUG_ON(io->fn == NULL);
	return epoll_ctl(io->loop->epfd, EPOLL_CTL_MOD, io->fd, &ev) < 0 ? -errno : 0;
}

void loop_io_del(struct loop_io *io)
{
	struct loop *l;

	if (io == NULL)
		return;
	l = io->loop;
	BUG_ON(io->fn == NULL);
	(void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, io->fd, NULL);
	if (io->prev != NULL)
		io->prev->next = io->next;
	else
		l->ios = io->next;
	if (io->next != NULL)
		io->next->prev = io->prev;
	io->fn = NULL;
	io->next = l->dead;
	l->dead = io;
}

int loop_timer_add(struct loop *l, uint64_t delay_ms, loop_timer_fn *fn, void *arg,
		   struct loop_timer **ret)
{
	struct loop_timer *t = calloc(1, sizeof(*t)), **at = &l->timers;

	if (t == NULL)
		return -ENOMEM;
	*t = (struct loop_timer){ .loop = l, .fn = fn, .arg = arg };
	if (MUL_OVERFLOW(delay_ms, NS_PER_MS, &t->due_ns) ||
	    ADD_OVERFLOW(now_ns(), t->due_ns, &t->due_ns))
		t->due_ns = UINT64_MAX;
	while (*at != NULL && (*at)->due_ns <= t->due_ns)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
	if (ret != NULL)
		*ret = t;
	return 0;
}

void loop_timer_del(struct loop_timer *t)
{
	struct loop_timer **at;

	if (t == NULL)
		return;
	for (at = &t->loop->timers; *at != t; at = &(*at)->next)
		BUG_ON(*at == NULL);
	*at = t->next;
	free(t);
}

static void on_signalfd(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct loop *l = arg;
	struct signalfd_siginfo si;

	(void)io;
	(void)events;
	if (read(fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo < _NSIG && l->sig_fn[si.ssi_signo] != NULL)
		l->sig_fn[si.ssi_signo]((int)si.ssi_signo, l->sig_arg[si.ssi_signo]);
}

int loop_signal_add(struct loop *l, int signo, loop_signal_fn *fn, void *arg)
{
	int fd, r;

	BUG_ON(signo <= 0 || signo >= _NSIG);
	(void)sigaddset(&l->signals, signo);
	r = pthread_sigmask(SIG_BLOCK, &l->signals, NULL);
	if (r != 0)
		return -r;
	fd = signalfd(l->sigfd, &l->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	l->sigfd = fd;
	l->sig_fn[signo] = fn;
	l->sig_arg[signo] = arg;
	if (l->sig_io != NULL)
		return 0;
	return loop_io_add(l, fd, EPOLLIN, on_signalfd, l, &l->sig_io);
}

/* Calls the timers that are due. One that a callback adds waits for the next round. */
static void run_timers(struct loop *l)
{
	uint64_t now = now_ns();

	/* Not due_ns == now: what a callback adds for at once is due at `now` or later. */
	while (l->timers != NULL && l->timers->due_ns < now) {
		struct loop_timer *t = l->timers;
		loop_timer_fn *fn = t->fn;
		void *arg = t->arg;
		l->timers = t->next;
		free(t);
		fn(arg);
	}
}

static int wait_ms(const struct loop *l, int timeout_ms)
{
	uint64_t now, left;

	if (l->timers == NULL)
		return timeout_ms;
	now = now_ns();
	if (l->timers->due_ns <= now)
		return 0;
	/* Rounded up: a timer is never early, and the loop doesn't spin through the last ms. */
	left = (l->timers->due_ns - now - 1) / NS_PER_MS + 1;
	if (timeout_ms >= 0 && left > (uint64_t)timeout_ms)
		return timeout_ms;
	return left > INT_MAX ? INT_MAX : (int)left;
}

int loop_step(struct loop *l, int timeout_ms)
{
	struct epoll_event ev[LOOP_BATCH];
	/* Not epoll_wait: that is one system call or another, by C library and architecture, and
	 * our filters would need both. */
	int n = epoll_pwait(l->epfd, ev, LOOP_BATCH, wait_ms(l, timeout_ms), NULL);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	l->depth++;
	for (int i = 0; i < n; i++) {
		struct loop_io *io = ev[i].data.ptr;
		if (io->fn != NULL)
			io->fn(io, io->fd, ev[i].events, io->arg);
	}
	run_timers(l);
	if (--l->depth == 0)
		free_dead(l);
	return 0;
}

int loop_run(struct loop *l)
{
	int r = 0;

	l->stopped = false;
	while (!l->stopped && r == 0)
		r = loop_step(l, -1);
	l->stopped = false;
	return r < 0 ? r : l->result;
}

void loop_stop(struct loop *l, int result)
{
	l->stopped = true;
	l->result = result;
}

bool loop_stopped(const struct loop *l)
{
	return l->stopped;
}
