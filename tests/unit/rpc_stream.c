/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of both kinds: whole, in order, with back-pressure, and broken off. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "rpc_fixture.h"

#define TEN_MB (10U * 1024U * 1024U)

struct reader {
	struct fx *f;
	struct rpc_pending *p;
	uint64_t got, wrong;
	unsigned done, pause_each;
	unsigned messages;
	struct rpc_status st;
	uint64_t cancel_at; /* bytes; 0 = never */
};

static void unpause(void *arg)
{
	struct reader *r = arg;

	rpc_conn_pause(r->f->client, false);
}

static void on_data(const ProtobufCMessage *msg, void *arg)
{
	const Casemate__Agent__V1__ReadFileResponse *resp = (const void *)msg;
	struct reader *r = arg;

	for (size_t i = 0; i < resp->data.len; i++)
		r->wrong += resp->data.data[i] != fx_byte(r->got + i);
	r->got += resp->data.len;
	r->messages++;
	if (r->pause_each > 0 && r->messages % r->pause_each == 0) {
		rpc_conn_pause(r->f->client, true);
		cr_assert_eq(loop_timer_add(r->f->loop, 3, unpause, r, NULL), 0);
	}
	if (r->cancel_at > 0 && r->got >= r->cancel_at) {
		r->cancel_at = 0;
		rpc_cancel(r->p);
	}
}

static void on_done(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	struct reader *r = arg;

	(void)fds;
	cr_assert_eq(out, NULL);
	r->done++;
	r->st = *st;
}

static void read_start(struct fx *f, struct reader *r)
{
	static const struct rpc_pending_ops ops = { .data = on_data, .done = on_done };
	Casemate__Agent__V1__ReadFileRequest req = CASEMATE__AGENT__V1__READ_FILE_REQUEST__INIT;

	r->f = f;
	cr_assert_eq(rpc_start(f->client, &fx_methods[FX_READ], &req.base, NULL, 0, &ops, r, &r->p),
		     0);
}

static void wait_done(struct fx *f, const struct reader *r)
{
	uint64_t end = now_ms() + 20000;

	while (r->done == 0) {
		cr_assert_eq(loop_step(f->loop, 1000), 0);
		cr_assert_lt(now_ms(), end, "the stream stands still");
	}
}

Test(rpc_stream, read_10_mb)
{
	struct reader r = { 0 };
	struct fx f;

	fx_init(&f, false);
	f.to_send = TEN_MB + 7;
	read_start(&f, &r);
	wait_done(&f, &r);
	cr_assert_eq(r.st.code, RPC_OK);
	cr_assert_eq(r.got, TEN_MB + 7);
	cr_assert_eq(r.wrong, 0);
	cr_assert_gt(f.stalls, 1);
	fx_done(&f);
}

Test(rpc_stream, read_slowly)
{
	struct reader r = { .pause_each = 16 };
	struct rpc_status st;
	uint64_t value;
	struct fx f;

	fx_init(&f, false);
	f.to_send = TEN_MB;
	read_start(&f, &r);
	wait_done(&f, &r);
	cr_assert_eq(r.got, TEN_MB);
	cr_assert_eq(r.wrong, 0);
	/* Other calls on the connection still work. */
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	fx_done(&f);
}

/* What the server holds back for a client that doesn't read is bounded by the high mark. */
Test(rpc_stream, sender_stops_at_the_mark)
{
	struct reader r = { 0 };
	struct fx f;

	fx_init(&f, false);
	f.to_send = TEN_MB;
	rpc_conn_pause(f.client, true);
	read_start(&f, &r);
	fx_settle(&f);
	cr_assert_eq(f.calls, 1);
	cr_assert_lt(f.sent, 2U * 1024U * 1024U); /* socket buffers and RPC_OUT_HIGH */
	cr_assert(!rpc_conn_writable(f.server));
	cr_assert_eq(r.got, 0);
	rpc_conn_pause(f.client, false);
	wait_done(&f, &r);
	cr_assert_eq(r.got, TEN_MB);
	fx_done(&f);
}

/* A sender that ignores rpc_conn_writable meets the hard limit. */
Test(rpc_stream, queue_is_bounded)
{
	static uint8_t chunk[65536];
	Casemate__Agent__V1__ReadFileResponse out = CASEMATE__AGENT__V1__READ_FILE_RESPONSE__INIT;
	struct reader r = { 0 };
	unsigned n = 0;
	struct fx f;
	int e;

	fx_init(&f, false);
	f.to_send = TEN_MB;
	rpc_conn_pause(f.client, true);
	read_start(&f, &r);
	fx_settle(&f);
	out.data.data = chunk;
	out.data.len = sizeof(chunk);
	while ((e = rpc_send(f.stream, &out.base)) == 0)
		cr_assert_lt(++n, RPC_OUT_MAX / sizeof(chunk) + 16);
	cr_assert_eq(e, -ENOSPC);
	cr_assert_eq(f.server_closed, 0);
	/* An answer that must not be lost ends the connection when it doesn't fit. */
	rpc_fail(f.stream, RPC_ABORTED, "small ones still fit");
	f.stream = NULL;
	fx_settle(&f);
	cr_assert_eq(f.server_closed, 0);
	fx_done(&f);
}

Test(rpc_stream, too_large_a_message)
{
	static uint8_t chunk[100000];
	Casemate__Agent__V1__ReadFileResponse out = CASEMATE__AGENT__V1__READ_FILE_RESPONSE__INIT;
	struct reader r = { 0 };
	struct fx f;

	fx_init(&f, false);
	f.to_send = TEN_MB;
	rpc_conn_pause(f.client, true);
	read_start(&f, &r);
	fx_settle(&f);
	out.data.data = chunk;
	out.data.len = sizeof(chunk);
	cr_assert_eq(rpc_send(f.stream, &out.base), -EMSGSIZE);
	fx_done(&f);
	cr_assert_eq(f.cancelled, 1);
}

Test(rpc_stream, cancel_in_data)
{
	struct reader r = { .cancel_at = 1000000 };
	struct rpc_status st;
	uint64_t value;
	struct fx f;

	fx_init(&f, false);
	f.to_send = TEN_MB;
	read_start(&f, &r);
	while (f.stream != NULL || r.done == 0)
		cr_assert_eq(loop_step(f.loop, 1000), 0);
	cr_assert_eq(r.done, 1);
	cr_assert_eq(r.st.code, RPC_CANCELLED);
	cr_assert_lt(r.got, 1100000);
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_OK);
	fx_done(&f);
}

Test(rpc_stream, server_fails_midway)
{
	struct reader r = { 0 };
	struct fx f;

	fx_init(&f, false);
	f.to_send = TEN_MB;
	read_start(&f, &r);
	while (r.messages < 3)
		cr_assert_eq(loop_step(f.loop, 1000), 0);
	rpc_fail(f.stream, RPC_DATA_LOSS, "disk");
	f.stream = NULL;
	wait_done(&f, &r);
	cr_assert_eq(r.st.code, RPC_DATA_LOSS);
	cr_assert_eq(r.wrong, 0);
	cr_assert_eq(r.got, f.sent);
	fx_done(&f);
}

Test(rpc_stream, client_dies_midway)
{
	struct reader r = { .cancel_at = 0 };
	struct fx f;

	fx_init(&f, false);
	f.to_send = TEN_MB;
	read_start(&f, &r);
	while (r.messages < 3)
		cr_assert_eq(loop_step(f.loop, 1000), 0);
	rpc_conn_free(f.client);
	f.client = NULL;
	fx_settle(&f);
	cr_assert_eq(r.done, 1);
	cr_assert_eq(f.cancelled, 1);
	cr_assert_eq(f.server_closed, 1);
	fx_done(&f);
}

/* ---- Client streams ---- */

static void send_chunk(struct rpc_pending *p, const char *path, size_t len)
{
	static uint8_t chunk[65536];
	Casemate__Agent__V1__WriteFileRequest req = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	char copy[32] = "";

	(void)snprintf(copy, sizeof(copy), "%s", path);
	req.path = copy;
	req.data.data = chunk;
	req.data.len = len;
	cr_assert_eq(rpc_stream_send(p, &req.base), 0);
}

static struct rpc_pending *write_start(struct fx *f, bool first, struct fx_answer *a)
{
	Casemate__Agent__V1__WriteFileRequest req = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	struct rpc_pending *p;
	char path[] = "file";

	req.path = path;
	cr_assert_eq(rpc_start(f->client, &fx_methods[FX_WRITE], first ? &req.base : NULL, NULL, 0,
			       &fx_answer_ops, a, &p),
		     0);
	return p;
}

Test(rpc_stream, write_10_mb)
{
	struct fx_answer a = { 0 };
	struct rpc_pending *p;
	uint64_t left = TEN_MB;
	struct fx f;

	fx_init(&f, false);
	p = write_start(&f, true, &a);
	while (left > 0) {
		while (left > 0 && rpc_conn_writable(f.client)) {
			size_t n = left < 65536 ? (size_t)left : 65536;
			send_chunk(p, "", n);
			left -= n;
		}
		cr_assert_eq(loop_step(f.loop, 1000), 0);
	}
	cr_assert_eq(a.count, 0);
	cr_assert_eq(rpc_stream_close(p), 0);
	fx_settle(&f);
	cr_assert_eq(f.half_closed, 1);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_OK);
	cr_assert_eq(a.value, TEN_MB);
	cr_assert_eq(f.data, 1 + TEN_MB / 65536);
	fx_done(&f);
}

Test(rpc_stream, write_nothing)
{
	struct fx_answer a = { 0 };
	struct fx f;

	fx_init(&f, false);
	cr_assert_eq(rpc_stream_close(write_start(&f, false, &a)), 0);
	fx_settle(&f);
	cr_assert_eq(f.data, 0);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_OK);
	fx_done(&f);
}

/* The server refuses while the client is still sending: what is under way is ignored. */
Test(rpc_stream, write_refused)
{
	struct fx_answer a = { 0 };
	struct rpc_pending *p;
	struct rpc_status st;
	uint64_t value;
	struct fx f;

	fx_init(&f, false);
	p = write_start(&f, true, &a);
	send_chunk(p, "refuse", 100);
	send_chunk(p, "", 100);
	send_chunk(p, "", 100);
	fx_settle(&f);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_RESOURCE_EXHAUSTED);
	cr_assert_str_eq(a.st.msg, "disk full");
	cr_assert_eq(f.data, 2);
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_OK);
	fx_done(&f);
}
