/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

static struct loop *loop;

static void setup(void)
{
	cr_assert_eq(loop_new(&loop), 0);
}

static void teardown(void)
{
	loop_free(loop);
}

TestSuite(base_loop, .init = setup, .fini = teardown);

/* ---- Descriptors ---- */

struct pair {
	int sv[2];
	struct loop_io *io;
	unsigned calls;
	struct pair *other;
};

static void pair_open(struct pair *p, loop_io_fn *fn)
{
	*p = (struct pair){ 0 };
	cr_assert_eq(fd_socketpair(p->sv, true), 0);
	cr_assert_eq(loop_io_add(loop, p->sv[0], EPOLLIN, fn, p, &p->io), 0);
}

static void pair_close(struct pair *p)
{
	loop_io_del(p->io);
	p->io = NULL;
	fd_closep(&p->sv[0]);
	fd_closep(&p->sv[1]);
}

static void count_byte(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct pair *p = arg;
	char c;

	cr_assert_eq(io, p->io);
	cr_assert((events & EPOLLIN) != 0);
	cr_assert_eq(read(fd, &c, 1), 1);
	p->calls++;
}

Test(base_loop, level_triggered)
{
	struct pair p;

	pair_open(&p, count_byte);
	cr_assert_eq(fd_write_full(p.sv[1], "123", 3), 0);
	for (unsigned i = 1; i <= 3; i++) {
		cr_assert_eq(loop_step(loop, 1000), 0);
		cr_assert_eq(p.calls, i);
	}
	cr_assert_eq(loop_step(loop, 0), 0);
	cr_assert_eq(p.calls, 3);
	cr_assert_eq(loop_io_set(p.io, 0), 0);
	cr_assert_eq(fd_write_full(p.sv[1], "4", 1), 0);
	cr_assert_eq(loop_step(loop, 0), 0);
	cr_assert_eq(p.calls, 3);
	cr_assert_eq(loop_io_set(p.io, EPOLLIN), 0);
	cr_assert_eq(loop_step(loop, 1000), 0);
	cr_assert_eq(p.calls, 4);
	pair_close(&p);
}

static void close_both(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct pair *p = arg;

	(void)io;
	(void)fd;
	(void)events;
	p->calls++;
	p->other->calls += 100 * (p->other->io == NULL); /* called after its removal */
	pair_close(p->other);
	pair_close(p);
}

/* Both are ready in one batch; whichever comes first removes both, and the other stays silent. */
Test(base_loop, removal_within_a_batch)
{
	struct pair a, b;

	pair_open(&a, close_both);
	pair_open(&b, close_both);
	a.other = &b;
	b.other = &a;
	cr_assert_eq(fd_write_full(a.sv[1], "x", 1), 0);
	cr_assert_eq(fd_write_full(b.sv[1], "x", 1), 0);
	cr_assert_eq(loop_step(loop, 1000), 0);
	cr_assert_eq(a.calls + b.calls, 1);
	cr_assert_eq(loop_step(loop, 0), 0);
	cr_assert_eq(a.calls + b.calls, 1);
}

static void remove_and_nest(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	close_both(io, fd, events, arg);
	/* A callback that waits for something: the outer batch still knows the removed sources. */
	cr_assert_eq(loop_step(loop, 0), 0);
	cr_assert_eq(loop_step(loop, 0), 0);
}

Test(base_loop, nested)
{
	struct pair a, b;

	pair_open(&a, remove_and_nest);
	pair_open(&b, remove_and_nest);
	a.other = &b;
	b.other = &a;
	cr_assert_eq(fd_write_full(a.sv[1], "x", 1), 0);
	cr_assert_eq(fd_write_full(b.sv[1], "x", 1), 0);
	cr_assert_eq(loop_step(loop, 1000), 0);
	cr_assert_eq(a.calls + b.calls, 1);
}

Test(base_loop, bad_descriptor)
{
	struct loop_io *io = NULL;

	cr_assert_eq(loop_io_add(loop, -1, EPOLLIN, count_byte, NULL, &io), -EBADF);
	cr_assert_eq(io, NULL);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(loop_io_add(loop, fd, EPOLLIN, count_byte, NULL, &io), -EPERM);
	fd_closep(&fd);
}

static void on_hup(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	(void)io;
	(void)fd;
	*(uint32_t *)arg |= events;
}

Test(base_loop, hangup_without_interest)
{
	uint32_t seen = 0;
	struct loop_io *io;
	int sv[2];

	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(loop_io_add(loop, sv[0], 0, on_hup, &seen, &io), 0);
	fd_closep(&sv[1]);
	cr_assert_eq(loop_step(loop, 1000), 0);
	cr_assert((seen & EPOLLHUP) != 0);
	loop_io_del(io);
	fd_closep(&sv[0]);
}

/* ---- Timers ---- */

static char letters[] = "abcdefghijklmnopqrstuvwxyz"; /* for what each timer notes */
static char order[64];
static size_t order_len;

static void note(void *arg)
{
	order[order_len++] = *(const char *)arg;
}

Test(base_loop, timers_in_order)
{
	uint64_t start = now_ns();
	struct loop_timer *gone;
	unsigned rounds = 0;

	cr_assert_eq(loop_timer_add(loop, 30, note, &letters[3], NULL), 0);
	cr_assert_eq(loop_timer_add(loop, 10, note, &letters[1], NULL), 0);
	cr_assert_eq(loop_timer_add(loop, 15, note, &letters[23], &gone), 0);
	cr_assert_eq(loop_timer_add(loop, 20, note, &letters[2], NULL), 0);
	cr_assert_eq(loop_timer_add(loop, 0, note, &letters[0], NULL), 0);
	cr_assert_eq(loop_timer_add(loop, UINT64_MAX, note, &letters[24], NULL), 0);
	loop_timer_del(gone);
	loop_timer_del(NULL);
	for (; order_len < 4; rounds++)
		cr_assert_eq(loop_step(loop, -1), 0);
	cr_assert_lt(rounds, 12);		   /* and waited for asleep */
	cr_assert_geq(now_ns() - start, 30000000); /* never early */
	cr_assert_arr_eq(order, "abcd", 4);
}

static unsigned rearmed;

static void rearm(void *arg)
{
	rearmed++;
	cr_assert_eq(loop_timer_add(loop, 0, rearm, arg, NULL), 0);
}

/* A timer that always comes back doesn't keep the loop from everything else. */
Test(base_loop, timer_that_rearms)
{
	struct pair p;

	pair_open(&p, count_byte);
	cr_assert_eq(loop_timer_add(loop, 0, rearm, NULL, NULL), 0);
	for (unsigned i = 1; i <= 100; i++) {
		cr_assert_eq(fd_write_full(p.sv[1], "x", 1), 0);
		cr_assert_eq(loop_step(loop, -1), 0);
		cr_assert_eq(p.calls, i);
		cr_assert_leq(rearmed, i);
	}
	cr_assert_geq(rearmed, 99);
	pair_close(&p);
}

static struct loop_timer *victim;

static void kill_victim(void *arg)
{
	(void)arg;
	loop_timer_del(victim);
}

Test(base_loop, timer_removes_a_due_one)
{
	cr_assert_eq(loop_timer_add(loop, 0, kill_victim, NULL, NULL), 0);
	cr_assert_eq(loop_timer_add(loop, 0, note, &letters[23], &victim), 0);
	cr_assert_eq(loop_step(loop, 5), 0);
	cr_assert_eq(loop_step(loop, 5), 0);
	cr_assert_eq(order_len, 0);
}

Test(base_loop, step_times_out)
{
	uint64_t t = now_ns();

	cr_assert_eq(loop_timer_add(loop, 10000, note, &letters[23], NULL), 0);
	cr_assert_eq(loop_step(loop, 10), 0);
	cr_assert_geq(now_ns() - t, 9000000);
	cr_assert_lt(now_ns() - t, UINT64_C(5000000000));
	cr_assert_eq(order_len, 0);
}

/* ---- Signals, running and stopping ---- */

static void on_signal(int signo, void *arg)
{
	*(int *)arg = signo;
	loop_stop(loop, signo);
}

Test(base_loop, signals)
{
	int usr1 = 0, usr2 = 0;

	cr_assert_eq(loop_signal_add(loop, SIGUSR1, on_signal, &usr1), 0);
	cr_assert_eq(loop_signal_add(loop, SIGUSR2, on_signal, &usr2), 0);
	cr_assert_eq(raise(SIGUSR2), 0);
	cr_assert_eq(loop_run(loop), SIGUSR2);
	cr_assert_eq(usr2, SIGUSR2);
	cr_assert_eq(usr1, 0);
	cr_assert_eq(raise(SIGUSR1), 0);
	cr_assert_eq(loop_run(loop), SIGUSR1);
	cr_assert_eq(usr1, SIGUSR1);
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(loop, 5);
}

Test(base_loop, stop_and_go_on)
{
	struct pair p;

	cr_assert_eq(loop_timer_add(loop, 1, stop, NULL, NULL), 0);
	cr_assert_eq(loop_run(loop), 5);
	cr_assert(!loop_stopped(loop));
	/* A stopped loop can be stepped and run again. */
	pair_open(&p, count_byte);
	cr_assert_eq(fd_write_full(p.sv[1], "x", 1), 0);
	cr_assert_eq(loop_step(loop, 1000), 0);
	cr_assert_eq(p.calls, 1);
	cr_assert_eq(loop_timer_add(loop, 1, stop, NULL, NULL), 0);
	while (!loop_stopped(loop))
		cr_assert_eq(loop_step(loop, -1), 0);
	pair_close(&p);
}
