/* SPDX-License-Identifier: Apache-2.0 */
/* Events: the ends of jails, each told once and to the right one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/native/jail_rig.h"

#define LOOK_MS	  10000
#define EVENT_MAX 8

static struct rig g;

struct told {
	unsigned count;
	char ids[EVENT_MAX][80];
	bool exited[EVENT_MAX];
	int status[EVENT_MAX];
	bool over;
	enum rpc_code code;
};
static struct told told, other;

static void setup(void)
{
	rig_require();
	g.max = 8;
	rig_prepare(&g);
	rig_start_jailer(&g);
	rig_connect(&g);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_events, .init = setup, .fini = teardown, .timeout = 60);

static void on_event(const ProtobufCMessage *msg, void *arg)
{
	const Casemate__Jailer__V1__EventsResponse *m = (const void *)msg;
	struct told *t = arg;

	cr_assert_lt(t->count, EVENT_MAX);
	cr_assert_not_null(m->ended);
	(void)snprintf(t->ids[t->count], sizeof(t->ids[0]), "%s", m->id);
	t->exited[t->count] = m->ended->exited;
	t->status[t->count] = m->ended->status;
	t->count++;
}

static void on_over(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct told *t = arg;

	(void)out;
	(void)fds;
	t->over = true;
	t->code = st->code;
}

static void begin(struct rpc_conn *c, struct told *t)
{
	static const struct rpc_pending_ops ops = { .data = on_event, .done = on_over };
	Casemate__Jailer__V1__EventsRequest q = CASEMATE__JAILER__V1__EVENTS_REQUEST__INIT;

	*t = (struct told){ 0 };
	cr_assert_eq(rpc_start(c, &jailer_methods[JAILER_EVENTS], &q.base, NULL, 0, &ops, t, NULL),
		     0);
}

static void wait_for(const struct told *t, unsigned count)
{
	while (t->count < count && !t->over)
		cr_assert_geq(loop_step(g.loop, LOOK_MS), 0);
	cr_assert_eq(t->count, count);
}

/* What was said before this call is here when it returns. */
static void round_trip(void)
{
	(void)rig_ready(&g);
}

static void ended(const char *id, bool by_itself)
{
	struct rig_jail j;

	rig_create_ok(&g, id, &j);
	if (by_itself)
		cr_assert_eq(write(j.control, "x", 1), 1);
	else
		cr_assert_eq(kill(j.pid, SIGKILL), 0);
}

Test(jail_events, each_end_is_told_once)
{
	bool exited, oom;
	int status;

	begin(g.conn, &told);
	ended("one", true);
	ended("two", false);
	wait_for(&told, 2);
	for (unsigned i = 0; i < 2; i++) {
		bool one = strcmp(told.ids[i], "one") == 0;
		cr_expect(one || strcmp(told.ids[i], "two") == 0);
		cr_expect_eq(told.exited[i], one);
		cr_expect_eq(told.status[i], one ? 7 : SIGKILL);
	}
	cr_expect_str_neq(told.ids[0], told.ids[1]);
	cr_expect_eq(rig_groups(&g), 0);
	/* They are forgotten: the ids are free. */
	cr_expect_eq(rig_wait(&g, "one", &exited, &status, &oom), RPC_NOT_FOUND);
	cr_expect_eq(rig_wait(&g, "two", &exited, &status, &oom), RPC_NOT_FOUND);
}

Test(jail_events, who_asked_for_the_end_is_told_instead)
{
	struct rig_jail j;
	bool exited, oom;
	int status;

	begin(g.conn, &told);
	rig_create_ok(&g, "one", &j);
	cr_assert_eq(rig_destroy(&g, "one"), RPC_OK);
	rig_create_ok(&g, "two", &j);
	cr_assert_eq(write(j.control, "x", 1), 1);
	cr_assert_eq(rig_wait(&g, "two", &exited, &status, &oom), RPC_OK);
	round_trip();
	cr_expect_eq(told.count, 0);
	/* Positive control: the stream is alive. */
	ended("three", true);
	wait_for(&told, 1);
}

Test(jail_events, what_ended_before_is_told_first)
{
	ended("one", true);
	for (int i = 0; i < 400 && rig_groups(&g) != 0; i++)
		usleep(5000);
	cr_assert_eq(rig_groups(&g), 0);
	begin(g.conn, &told);
	wait_for(&told, 1);
	cr_expect_str_eq(told.ids[0], "one");
}

Test(jail_events, one_stream_a_connection)
{
	begin(g.conn, &told);
	begin(g.conn, &other);
	while (!other.over)
		cr_assert_geq(loop_step(g.loop, LOOK_MS), 0);
	cr_expect_eq(other.code, RPC_FAILED_PRECONDITION);
	cr_expect_not(told.over);
	ended("one", true);
	wait_for(&told, 1);
}

/* Another connection hears nothing of ours while we are there, and of our end when we are not. */
Test(jail_events, the_ends_of_others)
{
	struct rpc_conn *first = g.conn;
	struct rig_jail j;

	begin(first, &told);
	rig_create_ok(&g, "one", &j);
	rig_create_ok(&g, "two", &j);
	rig_connect(&g);
	begin(g.conn, &other);
	round_trip();
	cr_assert_eq(kill(j.pid, SIGKILL), 0);
	wait_for(&told, 1);
	round_trip();
	cr_expect_eq(other.count, 0);
	rpc_conn_free(first);
	cr_expect_eq(told.code, RPC_CANCELLED);
	wait_for(&other, 1);
	cr_expect_str_eq(other.ids[0], "one");
}
