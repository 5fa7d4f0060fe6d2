/* SPDX-License-Identifier: Apache-2.0 */
/* How calls and connections end early: deadlines, cancelling, freeing, finishing, lost peers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "rpc_fixture.h"

static int start_late(struct fx *f, uint64_t timeout_ms, struct fx_answer *a,
		      struct rpc_pending **p)
{
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;

	return rpc_start(f->client, &fx_methods[FX_LATE], &req.base, NULL, timeout_ms,
			 &fx_answer_ops, a, p);
}

static void reply_late(struct fx *f)
{
	Casemate__Agent__V1__HealthResponse out = CASEMATE__AGENT__V1__HEALTH_RESPONSE__INIT;
	struct rpc_call *call = f->late;

	f->late = NULL;
	rpc_reply(call, &out.base, NULL);
}

Test(rpc_end, deadline)
{
	struct rpc_status st;
	uint64_t value, t = now_ms();
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(fx_call(&f, FX_LATE, NULL, 30, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_DEADLINE_EXCEEDED);
	cr_assert_geq(now_ms() - t, 29);
	cr_assert_lt(now_ms() - t, 2000);
	fx_settle(&f);
	/* The server had the deadline, too, and its answer to the forgotten call did no harm. */
	cr_assert_eq(f.cancelled, 1);
	cr_assert_eq(f.late, NULL);
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_OK);
	fx_done(&f);
}

/* A handler that didn't ask to be told may go on using its call. */
Test(rpc_end, deadline_unwatched)
{
	struct rpc_status st;
	uint64_t value;
	struct fx f;

	fx_init(&f, false);
	f.late_unwatched = true;
	cr_assert_eq(fx_call(&f, FX_LATE, NULL, 10, &st, &value, NULL), 0);
	fx_settle(&f);
	cr_assert_neq(f.late, NULL);
	cr_assert_eq(rpc_call_conn(f.late), NULL);
	reply_late(&f);
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_OK);
	fx_done(&f);
}

Test(rpc_end, cancel_then_answer)
{
	struct fx_answer a = { 0 };
	struct rpc_status st;
	struct rpc_pending *p;
	uint64_t value;
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(start_late(&f, 0, &a, &p), 0);
	fx_settle(&f);
	rpc_cancel(p);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_CANCELLED);
	reply_late(&f); /* ignored */
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_OK);
	cr_assert_eq(a.count, 1);
	fx_done(&f);
}

Test(rpc_end, server_goes_away)
{
	struct fx_answer a = { 0 };
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(start_late(&f, 0, &a, NULL), 0);
	fx_settle(&f);
	rpc_conn_free(f.server);
	f.server = NULL;
	cr_assert_eq(f.cancelled, 1);
	fx_settle(&f);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_UNAVAILABLE);
	cr_assert_eq(f.client_closed, 1);
	cr_assert_eq(f.client_reason, 0);
	cr_assert_eq(start_late(&f, 0, &a, NULL), -EPIPE);
	fx_done(&f);
}

Test(rpc_end, client_goes_away)
{
	struct fx_answer a = { 0 };
	struct fx f;

	fx_init(&f, false);
	f.late_unwatched = true;
	cr_assert_eq(start_late(&f, 0, &a, NULL), 0);
	fx_settle(&f);
	rpc_conn_free(f.client);
	f.client = NULL;
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_CANCELLED);
	cr_assert_eq(f.client_closed, 0);
	fx_settle(&f);
	cr_assert_eq(f.server_closed, 1);
	cr_assert_eq(f.server_reason, 0);
	rpc_conn_free(f.server);
	f.server = NULL;
	reply_late(&f); /* the call outlives its connection until it is ended */
	fx_done(&f);
}

/* The answer and the end of the connection arrive together: the answer counts. */
Test(rpc_end, answer_before_hangup)
{
	struct fx_answer a = { 0 }, b = { 0 };
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(start_late(&f, 0, &a, NULL), 0);
	fx_settle(&f);
	reply_late(&f);
	rpc_conn_free(f.server);
	f.server = NULL;
	/* Writing fails with EPIPE before the answer has been read. */
	cr_assert_eq(start_late(&f, 0, &b, NULL), 0);
	fx_settle(&f);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_OK);
	cr_assert_eq(b.count, 1);
	cr_assert_eq(b.st.code, RPC_UNAVAILABLE);
	cr_assert_eq(f.client_closed, 1);
	fx_done(&f);
}

struct race {
	struct fx *f;
	struct fx_answer a, b;
};

static void server_dies_and_we_write(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct race *race = arg;

	(void)fd;
	(void)events;
	loop_io_del(io);
	reply_late(race->f);
	rpc_conn_free(race->f->server);
	race->f->server = NULL;
	cr_assert_eq(start_late(race->f, 0, &race->b, NULL), 0);
}

/* The same within one round of the loop: the failure to write is handled before the connection's
 * own events are looked at. */
Test(rpc_end, answer_before_hangup_in_one_round)
{
	struct race race = { 0 };
	struct loop_io *io;
	struct fx f;
	int sv[2];

	fx_init(&f, false);
	race.f = &f;
	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(loop_io_add(f.loop, sv[0], EPOLLOUT, server_dies_and_we_write, &race, &io), 0);
	cr_assert_eq(start_late(&f, 0, &race.a, NULL), 0);
	cr_assert_eq(loop_io_set(io, 0), 0);
	fx_settle(&f);
	cr_assert_neq(f.late, NULL);
	cr_assert_eq(loop_io_set(io, EPOLLOUT), 0);
	fx_settle(&f);
	cr_assert_eq(race.a.count, 1);
	cr_assert_eq(race.a.st.code, RPC_OK);
	cr_assert_eq(race.b.count, 1);
	cr_assert_eq(race.b.st.code, RPC_UNAVAILABLE);
	cr_assert_eq(f.client_closed, 1);
	fx_done(&f);
	fd_closep(&sv[0]);
	fd_closep(&sv[1]);
}

static void done_frees(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
		       void *arg)
{
	struct fx *f = arg;

	(void)st;
	(void)out;
	(void)fds;
	rpc_conn_free(f->client);
	f->client = NULL;
}

Test(rpc_end, free_in_done)
{
	static const struct rpc_pending_ops ops = { .done = done_frees };
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	struct fx_answer a = { 0 };
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(start_late(&f, 0, &a, NULL), 0);
	cr_assert_eq(rpc_start(f.client, &fx_methods[FX_ONCE], &req.base, NULL, 0, &ops, &f, NULL),
		     0);
	fx_settle(&f);
	cr_assert_eq(f.client, NULL);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_CANCELLED);
	cr_assert_eq(f.server_closed, 1);
	fx_done(&f);
}

Test(rpc_end, free_in_deadline)
{
	static const struct rpc_pending_ops ops = { .done = done_frees };
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(rpc_start(f.client, &fx_methods[FX_LATE], &req.base, NULL, 5, &ops, &f, NULL),
		     0);
	fx_settle(&f);
	cr_assert_eq(f.client, NULL);
	fx_done(&f);
}

Test(rpc_end, free_in_handler)
{
	Casemate__Agent__V1__IdentifyRequest req = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;
	char text[] = "free";
	struct rpc_status st;
	struct fx f;

	fx_init(&f, false);
	req.hostname = text;
	cr_assert_eq(rpc_call_wait(f.loop, f.client, &fx_methods[FX_ECHO], &req.base, NULL, 2000,
				   &st, NULL, NULL),
		     0);
	cr_assert_eq(st.code, RPC_UNAVAILABLE);
	cr_assert_eq(f.server, NULL);
	cr_assert_eq(f.server_closed, 0);
	fx_done(&f);
}

static void closed_frees(struct rpc_conn *c, int reason, void *arg)
{
	(void)reason;
	rpc_conn_free(c);
	*(struct rpc_conn **)arg = NULL;
}

Test(rpc_end, free_in_closed)
{
	struct rpc_conn *c;
	struct rpc_conn_config cfg = { .closed = closed_frees, .arg = &c };
	struct loop *l;
	int sv[2];

	cr_assert_eq(loop_new(&l), 0);
	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(rpc_conn_new(l, sv[0], &cfg, &c), 0);
	fd_closep(&sv[1]);
	while (c != NULL)
		cr_assert_eq(loop_step(l, 1000), 0);
	loop_free(l);
}

Test(rpc_end, finish_sends_what_is_queued)
{
	struct fx_answer a = { 0 };
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(start_late(&f, 0, &a, NULL), 0);
	fx_settle(&f);
	reply_late(&f);
	rpc_conn_finish(f.server);
	cr_assert_eq(f.server_closed, 0); /* never from inside the call */
	fx_settle(&f);
	cr_assert_eq(f.server_closed, 1);
	cr_assert_eq(f.server_reason, 0);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_OK);
	fx_done(&f);
}

/* While its owner pauses it, a connection keeps what the dead peer said, and costs no time. */
Test(rpc_end, paused_over_hangup)
{
	struct fx_answer a = { 0 };
	unsigned rounds = 0;
	uint64_t t;
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(start_late(&f, 0, &a, NULL), 0);
	fx_settle(&f);
	rpc_conn_pause(f.client, true);
	reply_late(&f);
	rpc_conn_free(f.server);
	f.server = NULL;
	for (t = now_ms(); now_ms() - t < 100; rounds++)
		cr_assert_eq(loop_step(f.loop, 25), 0);
	cr_assert_lt(rounds, 20);
	cr_assert_eq(a.count, 0);
	cr_assert_eq(f.client_closed, 0);
	rpc_conn_pause(f.client, false);
	fx_settle(&f);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_OK);
	cr_assert_eq(f.client_closed, 1);
	fx_done(&f);
}

/* A peer that shut its receiving side only: answers can't be delivered, so it is dropped. */
Test(rpc_end, peer_reads_no_more)
{
	struct fx_answer a = { 0 };
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(shutdown(rpc_conn_fd(f.client), SHUT_RD), 0);
	cr_assert_eq(start_late(&f, 0, &a, NULL), 0);
	for (int i = 0; i < 20 && f.late == NULL && f.server_closed == 0; i++)
		cr_assert_eq(loop_step(f.loop, 5), 0);
	if (f.late != NULL)
		reply_late(&f);
	fx_settle(&f);
	cr_assert_eq(f.server_closed, 1);
	fx_done(&f);
}

static void stop_soon(void *arg)
{
	loop_stop(arg, 1);
}

Test(rpc_end, waiting_ends_with_the_loop)
{
	struct rpc_status st;
	uint64_t value;
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(loop_timer_add(f.loop, 5, stop_soon, f.loop, NULL), 0);
	cr_assert_eq(fx_call(&f, FX_LATE, NULL, 0, &st, &value, NULL), -EINTR);
	fx_done(&f);
}

Test(rpc_end, new_on_a_bad_descriptor)
{
	struct rpc_conn_config cfg = { 0 };
	struct rpc_conn *c = NULL;
	struct loop *l;
	int sv[2];

	cr_assert_eq(loop_new(&l), 0);
	cr_assert_eq(fd_socketpair(sv, true), 0);
	fd_closep(&sv[1]);
	int bad = sv[0];
	fd_closep(&sv[0]);
	cr_assert_eq(rpc_conn_new(l, bad, &cfg, &c), -EBADF);
	cr_assert_eq(c, NULL);
	loop_free(l);
}
