/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from a peer that doesn't follow the rules. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "api/rpc/internal.h"
#include "rpc_fixture.h"

/* One frame as it stands: no check of what is put in. */
static size_t put_frame(uint8_t *out, uint32_t len, uint32_t id, uint8_t type, uint8_t flags,
			const void *body, size_t body_len)
{
	frame_header_put(
		out, &(struct frame_header){ .len = len, .id = id, .type = type, .flags = flags });
	if (body_len > 0)
		memcpy(out + FRAME_HEADER_BYTES, body, body_len);
	return FRAME_HEADER_BYTES + body_len;
}

static size_t put_call(uint8_t *out, size_t cap, enum fx_method m, uint32_t id, uint8_t flags,
		       const ProtobufCMessage *msg)
{
	struct frame_tx tx;
	size_t len;

	frame_tx_init(&tx);
	cr_assert_eq(fx_request(&tx, m, id, flags, msg), 0);
	len = buf_len(&tx.out);
	cr_assert_leq(len, cap);
	memcpy(out, buf_head(&tx.out), len);
	frame_tx_done(&tx);
	return len;
}

static const Casemate__Agent__V1__HealthRequest empty = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;

/* What became of a connection that got these bytes: its reason, or 1 = it goes on. */
static int feed(struct fx *f, const uint8_t *bytes, size_t len)
{
	fx_init(f, true);
	cr_assert_eq(fd_write_full(f->raw, bytes, len), 0);
	fx_settle(f);
	return f->server_closed > 0 ? f->server_reason : 1;
}

#define EXPECT(want, ...)                                                    \
	do {                                                                 \
		uint8_t b_[512];                                             \
		size_t n_ = put_frame(b_, __VA_ARGS__);                      \
		struct fx f_;                                                \
		cr_expect_eq(feed(&f_, b_, n_), (want), "%s", #__VA_ARGS__); \
		cr_expect_eq(f_.calls, 0);                                   \
		fx_done(&f_);                                                \
	} while (0)

Test(rpc_frames, bad_headers)
{
	EXPECT(-EPROTO, 0, 1, 0, 0, NULL, 0); /* type 0 */
	EXPECT(-EPROTO, 0, 1, 4, 0, NULL, 0); /* type 4 */
	EXPECT(-EPROTO, 0, 1, 255, 0, NULL, 0);
	EXPECT(-EPROTO, 0, 0, FRAME_REQUEST, 0, NULL, 0); /* stream 0 */
	EXPECT(-EPROTO, 0, 2, FRAME_REQUEST, 0, NULL, 0); /* a server's stream */
	EXPECT(-EPROTO, RPC_PAYLOAD_MAX + 1, 1, FRAME_REQUEST, 0, NULL, 0);
	EXPECT(-EPROTO, UINT32_MAX, 1, FRAME_REQUEST, 0, NULL, 0);
	EXPECT(1, RPC_PAYLOAD_MAX, 1, FRAME_REQUEST, 0, NULL, 0); /* waits for the payload */
	EXPECT(-EPROTO, 0, 1, FRAME_REQUEST, 0x3, NULL, 0);
	EXPECT(-EPROTO, 0, 1, FRAME_REQUEST, 0x4, NULL, 0);
	EXPECT(-EPROTO, 0, 1, FRAME_REQUEST, 0x80, NULL, 0);
	EXPECT(-EPROTO, 0, 1, FRAME_RESPONSE, 0, NULL, 0); /* a server gets no responses */
	EXPECT(-EPROTO, 0, 1, FRAME_RESPONSE, 1, NULL, 0);
	EXPECT(-EPROTO, 0, 1, FRAME_DATA, 0, NULL, 0); /* no such stream */
	EXPECT(-EPROTO, 0, 1, FRAME_DATA, 0x2, NULL, 0);
	EXPECT(-EPROTO, 1, 1, FRAME_DATA, 0x4, "x", 1); /* no-data with data */
	EXPECT(1, 0, 1, FRAME_REQUEST, 0, NULL, 0);	/* names no method: an error answer */
	EXPECT(-EBADMSG, 3, 1, FRAME_REQUEST, 0, "\xff\xff\xff", 3);
	EXPECT(-EBADMSG, 2, 1, FRAME_REQUEST, 0, "\x0a\x05",
	       2); /* a string longer than the frame */
}

/* The names' lengths count: nothing hides behind a NUL. */
Test(rpc_frames, nul_in_a_name)
{
	uint8_t b[256];
	size_t n = put_call(b, sizeof(b), FX_ONCE, 1, 0, &empty.base);
	uint8_t *name = memmem(b, n, "Once", 4);
	struct frame_header h;
	struct fx f;

	/* "Once" of 4 bytes becomes "Once\0x" of 6; the outer lengths grow with it. */
	cr_assert(name != NULL);
	memmove(name + 6, name + 4, n - (size_t)(name + 4 - b));
	name[4] = 0;
	name[5] = 'x';
	name[-1] = 6;
	cr_assert_eq(frame_header_get(b, &h), 0);
	h.len += 2;
	frame_header_put(b, &h);
	cr_assert_eq(feed(&f, b, n + 2), 1);
	cr_assert_eq(f.calls, 0);
	fx_done(&f);
}

Test(rpc_frames, stream_ids)
{
	static const struct {
		uint32_t first, second;
		int want;
	} cases[] = { { 1, 3, 1 },
		      { 1, 1, -EPROTO },
		      { 5, 3, -EPROTO },
		      { 1, 4, -EPROTO },
		      { 1, 0xffffffff, 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t b[512];
		struct fx f;
		size_t n = put_call(b, 256, FX_LATE, cases[i].first, 0, &empty.base);
		n += put_call(b + n, 256, FX_LATE, cases[i].second, 0, &empty.base);
		cr_expect_eq(feed(&f, b, n), cases[i].want, "case %zu", i);
		fx_done(&f);
	}
}

/* The peer closes after n bytes of three frames, for each n; whole frames are served. */
Test(rpc_frames, truncated_at_every_offset)
{
	uint8_t b[768];
	size_t at[4] = { 0 };

	for (unsigned i = 0; i < 3; i++)
		at[i + 1] = at[i] + put_call(b + at[i], 256, FX_LATE, 2 * i + 1, 0, &empty.base);
	for (size_t n = 0; n <= at[3]; n++) {
		unsigned whole = 0;
		struct fx f;
		fx_init(&f, true);
		cr_assert_eq(fd_write_full(f.raw, b, n), 0);
		fd_closep(&f.raw);
		while (f.server_closed == 0)
			cr_assert_eq(loop_step(f.loop, 1000), 0);
		while (whole < 3 && at[whole + 1] <= n)
			whole++;
		cr_expect_eq(f.calls, whole, "%zu bytes", n);
		cr_expect_eq(f.cancelled, whole);
		cr_expect_eq(f.server_reason, n == at[whole] ? 0 : -ECONNRESET, "%zu bytes: %d", n,
			     f.server_reason);
		fx_done(&f);
	}
}

/* Frames cut at every pair of places still mean the same. */
Test(rpc_frames, byte_by_byte)
{
	uint8_t b[768];
	size_t n = 0;
	struct fx f;

	fx_init(&f, true);
	for (unsigned i = 0; i < 3; i++)
		n += put_call(b + n, 256, FX_LATE, 2 * i + 1, 0, &empty.base);
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(fd_write_full(f.raw, b + i, 1), 0);
		cr_assert_eq(loop_step(f.loop, 1000), 0);
	}
	cr_assert_eq(f.calls, 3);
	cr_assert_eq(f.server_closed, 0);
	fx_done(&f);
}

/* Each bit of a request flipped, one at a time: an answer or an end, never a crash. */
Test(rpc_frames, every_bit_flipped)
{
	uint8_t b[256];
	size_t n = put_call(b, sizeof(b), FX_ONCE, 1, 0, &empty.base);
	struct fx f;

	fx_init(&f, true);
	for (size_t bit = 0; bit < n * 8; bit++) {
		struct rpc_conn *c;
		int sv[2];
		cr_assert_eq(fd_socketpair(sv, true), 0);
		c = fx_server(&f, sv[0]);
		b[bit / 8] ^= (uint8_t)(1U << bit % 8);
		rpc_conn_feed(c, b, n);
		b[bit / 8] ^= (uint8_t)(1U << bit % 8);
		rpc_conn_free(c);
		fd_closep(&sv[1]);
	}
	fx_done(&f);
}

/* ---- Requests that are well-formed but not allowed: answers ---- */

static enum rpc_code answer_code(struct fx *f)
{
	uint8_t b[512];
	ssize_t n = read(f->raw, b, sizeof(b));
	ProtobufCMessage *msg;
	enum rpc_code code;
	struct frame_header h;

	cr_assert_geq(n, (ssize_t)FRAME_HEADER_BYTES);
	cr_assert_eq(frame_header_get(b, &h), 0);
	cr_assert_eq(h.type, FRAME_RESPONSE);
	cr_assert_eq((size_t)n, FRAME_HEADER_BYTES + h.len);
	msg = rpc_unpack(&casemate__ttrpc__response__descriptor, b + FRAME_HEADER_BYTES, h.len);
	cr_assert(msg != NULL);
	const Casemate__Ttrpc__Response *resp = (const void *)msg;
	code = resp->status != NULL ? rpc_code_from_wire(resp->status->code) : RPC_OK;
	protobuf_c_message_free_unpacked(msg, NULL);
	return code;
}

Test(rpc_frames, flags_must_fit_the_method)
{
	static const struct {
		enum fx_method m;
		uint8_t flags;
	} cases[] = { { FX_ONCE, FRAME_REMOTE_OPEN },
		      { FX_ONCE, FRAME_REMOTE_CLOSED },
		      { FX_READ, 0 },
		      { FX_READ, FRAME_REMOTE_OPEN },
		      { FX_WRITE, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t b[256];
		struct fx f;
		size_t n = put_call(b, sizeof(b), cases[i].m, 1, cases[i].flags, &empty.base);
		cr_expect_eq(feed(&f, b, n), 1);
		cr_expect_eq(f.calls, 0);
		cr_expect_eq(answer_code(&f), RPC_INVALID_ARGUMENT);
		fx_done(&f);
	}
}

Test(rpc_frames, complete_client_stream)
{
	Casemate__Agent__V1__WriteFileRequest req = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	uint8_t b[256];
	struct fx f;
	size_t n;

	req.mode = 0600;
	n = put_call(b, sizeof(b), FX_WRITE, 1, FRAME_REMOTE_CLOSED, &req.base);
	cr_assert_eq(feed(&f, b, n), 1);
	cr_assert_eq(f.data, 1);
	cr_assert_eq(f.half_closed, 1);
	cr_assert_eq(answer_code(&f), RPC_OK);
	fx_done(&f);
}

Test(rpc_frames, data_after_the_end)
{
	static const struct {
		enum fx_method m;
		uint8_t flags;
		int want;
	} cases[] = {
		{ FX_ONCE, 0, 1 },		      /* answered already: ignored */
		{ FX_LATE, 0, -EPROTO },	      /* open, but unary */
		{ FX_READ, FRAME_REMOTE_CLOSED, 1 },  /* an empty stream, over already */
		{ FX_WRITE, FRAME_REMOTE_OPEN, 1 },   /* data is what it takes */
		{ FX_WRITE, FRAME_REMOTE_CLOSED, 1 }, /* answered already */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t b[512];
		struct fx f;
		size_t n = put_call(b, 256, cases[i].m, 1, cases[i].flags, &empty.base);
		n += put_frame(b + n, 0, 1, FRAME_DATA, 0, NULL, 0);
		cr_expect_eq(feed(&f, b, n), cases[i].want, "case %zu", i);
		fx_done(&f);
	}
}

Test(rpc_frames, stream_message_too_large)
{
	static uint8_t b[100256];
	size_t n = put_call(b, 256, FX_WRITE, 1, FRAME_REMOTE_OPEN, &empty.base);
	struct fx f;

	n += put_frame(b + n, 100000, 1, FRAME_DATA, 0, NULL, 0) + 100000;
	fx_init(&f, true);
	for (size_t off = 0; off < n && f.server_closed == 0; off += 4096) {
		size_t len = n - off < 4096 ? n - off : 4096;
		cr_assert_eq(fd_write_full(f.raw, b + off, len), 0);
		cr_assert_eq(loop_step(f.loop, 0), 0);
	}
	fx_settle(&f);
	cr_assert_eq(f.server_closed, 1);
	cr_assert_eq(f.server_reason, -EMSGSIZE);
	cr_assert_eq(f.cancelled, 1);
	fx_done(&f);
}

Test(rpc_frames, malformed_message)
{
	uint8_t b[256];
	size_t n = put_call(b, sizeof(b), FX_ONCE, 1, 0, &empty.base);
	struct frame_header h;
	struct fx f;

	/* Request.payload (field 3) of one byte that is no message. */
	memcpy(b + n, "\x1a\x01\x0a", 3);
	cr_assert_eq(frame_header_get(b, &h), 0);
	h.len += 3;
	frame_header_put(b, &h);
	cr_assert_eq(feed(&f, b, n + 3), 1);
	cr_assert_eq(f.calls, 0);
	cr_assert_eq(answer_code(&f), RPC_INVALID_ARGUMENT);
	fx_done(&f);
}

Test(rpc_frames, negative_timeout)
{
	uint8_t b[256];
	size_t n = put_call(b, sizeof(b), FX_ONCE, 1, 0, &empty.base);
	struct frame_header h;
	struct fx f;

	/* Request.timeout_nano (field 4) = -1. */
	memcpy(b + n, "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
	cr_assert_eq(frame_header_get(b, &h), 0);
	h.len += 11;
	frame_header_put(b, &h);
	cr_assert_eq(feed(&f, b, n + 11), 1);
	cr_assert_eq(f.calls, 0);
	cr_assert_eq(answer_code(&f), RPC_DEADLINE_EXCEEDED);
	fx_done(&f);
}

/* Two bytes of wire for an empty map entry cost some 90 bytes of heap: refused, not paid for. */
Test(rpc_frames, decoding_has_a_budget)
{
	enum { ENTRIES = 100000 };
	uint8_t *wire = malloc(2 * ENTRIES);
	ProtobufCMessage *msg;

	for (size_t i = 0; i < ENTRIES; i++)
		memcpy(wire + 2 * i, "\x22\x00", 2); /* IdentifyRequest.envs */
	cr_assert_eq(
		rpc_unpack(&casemate__agent__v1__identify_request__descriptor, wire, 2 * ENTRIES),
		NULL);
	/* The same bytes as one string are cheap, */
	memcpy(wire, "\x0a\xfb\x9a\x0c", 4); /* hostname of 200059 bytes would be too long */
	cr_assert_eq(
		rpc_unpack(&casemate__agent__v1__identify_request__descriptor, wire, 2 * ENTRIES),
		NULL);
	memcpy(wire, "\x0a\xbc\x9a\x0c", 4); /* 199996 bytes */
	msg = rpc_unpack(&casemate__agent__v1__identify_request__descriptor, wire, 2 * ENTRIES);
	cr_assert(msg != NULL);
	protobuf_c_message_free_unpacked(msg, NULL);
	/* and a small message may be as crowded as it likes. */
	for (size_t i = 0; i < 300; i++)
		memcpy(wire + 2 * i, "\x22\x00", 2);
	msg = rpc_unpack(&casemate__agent__v1__identify_request__descriptor, wire, 600);
	cr_assert(msg != NULL);
	protobuf_c_message_free_unpacked(msg, NULL);
	free(wire);
}

/* More calls at once than a connection may have, from a peer that doesn't count. */
Test(rpc_frames, too_many_streams)
{
	struct fx f;

	fx_init(&f, true);
	for (uint32_t i = 0; i <= RPC_STREAMS_MAX; i++) {
		uint8_t b[256];
		size_t n = put_call(b, sizeof(b), FX_LATE, 2 * i + 1, 0, &empty.base);
		cr_assert_eq(fd_write_full(f.raw, b, n), 0);
		cr_assert_eq(loop_step(f.loop, 1000), 0);
	}
	cr_assert_eq(f.calls, RPC_STREAMS_MAX);
	cr_assert_eq(f.server_closed, 0);
	cr_assert_eq(answer_code(&f), RPC_RESOURCE_EXHAUSTED);
	fx_done(&f);
	cr_assert_eq(f.cancelled, RPC_STREAMS_MAX);
}

/* A peer that asks and asks and never reads isn't served beyond what may wait for it. */
Test(rpc_frames, never_reads)
{
	Casemate__Agent__V1__IdentifyRequest req = CASEMATE__AGENT__V1__IDENTIFY_REQUEST__INIT;
	static char text[4000];
	uint8_t b[8192];
	struct fx f;

	fx_init(&f, true);
	memset(text, 'x', sizeof(text) - 1);
	req.hostname = text;
	for (uint32_t i = 0; i < 8000; i++) {
		size_t n = put_call(b, sizeof(b), FX_ECHO, 2 * i + 1, 0, &req.base);
		if (write(f.raw, b, n) != (ssize_t)n)
			break;
		cr_assert_eq(loop_step(f.loop, 0), 0);
	}
	fx_settle(&f);
	cr_assert_eq(f.server_closed, 0);
	cr_assert_lt(f.calls, 2 * RPC_OUT_MAX / sizeof(text));
	cr_assert_gt(f.calls, 100);
	fx_done(&f);
}

/* ---- A hostile server, as casemated meets one in each guest ---- */

static int client_fed(const uint8_t *bytes, size_t len, enum fx_method m, struct fx_answer *a)
{
	struct rpc_conn_config cfg = { 0 };
	struct rpc_conn *c;
	struct loop *l;
	int sv[2], r;

	*a = (struct fx_answer){ 0 };
	cr_assert_eq(loop_new(&l), 0);
	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(rpc_conn_new(l, sv[0], &cfg, &c), 0);
	r = rpc_start(c, &fx_methods[m], &empty.base, NULL, 0, &fx_answer_ops, a, NULL);
	cr_assert_eq(r, 0);
	rpc_conn_feed(c, bytes, len);
	r = c->closed ? -1 : 1;
	rpc_conn_free(c);
	fd_closep(&sv[1]);
	loop_free(l);
	cr_assert_eq(a->count, 1);
	return r;
}

Test(rpc_frames, hostile_server)
{
	struct fx_answer a;
	uint8_t b[512];
	size_t n;

	n = put_frame(b, 0, 1, FRAME_RESPONSE, 0, NULL, 0); /* OK, an empty message */
	cr_assert_eq(client_fed(b, n, FX_LATE, &a), 1);
	cr_assert_eq(a.st.code, RPC_OK);
	n += put_frame(b + n, 0, 1, FRAME_RESPONSE, 0, NULL, 0); /* twice */
	cr_assert_eq(client_fed(b, n, FX_LATE, &a), -1);
	n = put_frame(b, 0, 3, FRAME_RESPONSE, 0, NULL, 0); /* to nothing */
	cr_assert_eq(client_fed(b, n, FX_LATE, &a), -1);
	cr_assert_eq(a.st.code, RPC_UNAVAILABLE);
	n = put_frame(b, 0, 1, FRAME_REQUEST, 0, NULL, 0); /* clients serve nothing */
	cr_assert_eq(client_fed(b, n, FX_LATE, &a), -1);
	n = put_frame(b, 0, 1, FRAME_DATA, 0, NULL, 0); /* data on a unary call */
	cr_assert_eq(client_fed(b, n, FX_LATE, &a), -1);
	n = put_frame(b, 0, 1, FRAME_RESPONSE, 0, NULL, 0); /* descriptors are missing */
	cr_assert_eq(client_fed(b, n, FX_GIVE_FD, &a), -1);
	n = put_frame(b, 2, 1, FRAME_RESPONSE, 0, "\x12\x01", 2); /* payload cut short */
	cr_assert_eq(client_fed(b, n, FX_LATE, &a), -1);
	n = put_frame(b, 3, 1, FRAME_RESPONSE, 0, "\x12\x01\xff", 3); /* payload is no message */
	cr_assert_eq(client_fed(b, n, FX_LATE, &a), -1);
	n = put_frame(b, 5, 1, FRAME_RESPONSE, 0, "\x0a\x03\x08\xe8\x07", 5); /* code 1000 */
	cr_assert_eq(client_fed(b, n, FX_LATE, &a), 1);
	cr_assert_eq(a.st.code, RPC_UNKNOWN);
	n = put_frame(b, 10, 1, FRAME_RESPONSE, 0, "\x0a\x08\x08\x05\x12\x04\x1b[2J", 10);
	cr_assert_eq(client_fed(b, n, FX_LATE, &a), 1);
	cr_assert_eq(a.st.code, RPC_NOT_FOUND);
	cr_assert_str_eq(a.st.msg, "\\x1b[2J");
}

/* ---- The example of docs/PROTOCOL.md, byte for byte ---- */

Test(rpc_frames, example)
{
	static const uint8_t request[] = "\0\0\0\x23\0\0\0\1\1\0"
					 "\x0a\x19"
					 "casemate.agent.v1.Sandbox"
					 "\x12\x06"
					 "Health";
	static const uint8_t answer[] = "\0\0\0\5\0\0\0\1\2\0"
					"\x12\x03\x08\xdc\x0b";
	struct rpc_conn_config cfg = { 0 };
	struct fx_answer a = { 0 };
	struct rpc_conn *c;
	uint8_t b[64];
	struct loop *l;
	int sv[2];

	cr_assert_eq(loop_new(&l), 0);
	cr_assert_eq(fd_socketpair(sv, true), 0);
	cr_assert_eq(rpc_conn_new(l, sv[0], &cfg, &c), 0);
	cr_assert_eq(rpc_start(c, &agent_methods[AGENT_HEALTH], &empty.base, NULL, 0,
			       &fx_answer_ops, &a, NULL),
		     0);
	cr_assert_eq(read(sv[1], b, sizeof(b)), (ssize_t)sizeof(request) - 1);
	cr_assert_arr_eq(b, request, sizeof(request) - 1);
	cr_assert_eq(fd_write_full(sv[1], answer, sizeof(answer) - 1), 0);
	cr_assert_eq(loop_step(l, 1000), 0);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.st.code, RPC_OK);
	cr_assert_eq(a.value, 1500);
	rpc_conn_free(c);
	fd_closep(&sv[1]);
	loop_free(l);
}
