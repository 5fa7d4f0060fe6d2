/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The n-th allocation fails, for each n until a whole scenario passes without: calls end, each
 * exactly once, and nothing leaks or hangs. The linker wraps the allocator (rpc.cmake).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "rpc_fixture.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static long countdown = -1; /* allocations until one fails; < 0: none will */
static bool failed;

static bool fails(void)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

/* Until the call has ended or the connection died under it. */
static void wait_for(struct fx *f, const struct fx_answer *a)
{
	uint64_t end = now_ms() + 5000;

	while (a->count == 0 && now_ms() < end)
		cr_assert_eq(loop_step(f->loop, 100), 0);
	cr_assert_eq(a->count, 1, "a call never ended");
}

static const Casemate__Agent__V1__HealthRequest empty = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;

static void try_call(struct fx *f, enum fx_method m, const int *fds, uint64_t timeout_ms)
{
	struct fx_answer a = { 0 };

	if (rpc_start(f->client, &fx_methods[m], &empty.base, fds, timeout_ms, &fx_answer_ops, &a,
		      NULL) == 0)
		wait_for(f, &a);
	else
		cr_assert_eq(a.count, 0);
}

static void try_write(struct fx *f)
{
	Casemate__Agent__V1__WriteFileRequest req = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	static uint8_t chunk[30000];
	struct fx_answer a = { 0 };
	struct rpc_pending *p;

	req.data.data = chunk;
	req.data.len = sizeof(chunk);
	if (rpc_start(f->client, &fx_methods[FX_WRITE], &req.base, NULL, 0, &fx_answer_ops, &a,
		      &p) < 0)
		return;
	for (int i = 0; i < 3 && a.count == 0; i++) {
		(void)!rpc_stream_send(p, &req.base);
		cr_assert_eq(loop_step(f->loop, 0), 0);
	}
	if (a.count == 0 && rpc_stream_close(p) < 0)
		rpc_cancel(p);
	wait_for(f, &a);
}

static void scenario(struct fx *f)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	cr_assert_eq(write(p[1], "x", 1), 1);
	try_call(f, FX_ONCE, NULL, 1000);
	try_call(f, FX_TAKE_FD, p, 0);
	try_call(f, FX_GIVE_FD, NULL, 0);
	try_call(f, FX_LATE, NULL, 1);
	try_write(f);
	fd_closep(&p[0]);
	fd_closep(&p[1]);
}

Test(rpc_oom, every_allocation)
{
	unsigned before = fx_fds_open(), rounds = 0;

	do {
		struct fx f;
		fx_init(&f, false);
		failed = false;
		countdown = (long)rounds;
		scenario(&f);
		countdown = -1;
		fx_settle(&f);
		cr_assert(f.late == NULL || f.server_closed == 0);
		fx_done(&f);
		cr_assert_eq(fx_fds_open(), before, "allocation %u", rounds);
		rounds++;
	} while (failed);
	cr_assert_gt(rounds, 20);
}

Test(rpc_oom, making_a_connection)
{
	unsigned before = fx_fds_open(), rounds = 0;
	int r;

	do {
		struct rpc_conn_config cfg = { 0 };
		struct rpc_conn *c = NULL;
		struct loop *l = NULL;
		int sv[2];
		cr_assert_eq(fd_socketpair(sv, true), 0);
		countdown = (long)rounds++;
		r = loop_new(&l);
		if (r == 0)
			r = rpc_conn_new(l, sv[0], &cfg, &c); /* takes sv[0] in any case */
		else
			fd_closep(&sv[0]);
		countdown = -1;
		cr_assert(r == 0 || r == -ENOMEM);
		rpc_conn_free(c);
		loop_free(l);
		fd_closep(&sv[1]);
		cr_assert_eq(fx_fds_open(), before);
	} while (r != 0);
	cr_assert_geq(rounds, 4);
}
