/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: both ways, attributed to their frame, refused elsewhere, never leaked. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "api/rpc/internal.h"
#include "rpc_fixture.h"

static void pipe_with(int p[2], char c)
{
	cr_assert_eq(pipe(p), 0);
	cr_assert_eq(write(p[1], &c, 1), 1);
}

static void close_both(int p[2])
{
	fd_closep(&p[0]);
	fd_closep(&p[1]);
}

Test(rpc_fds, both_ways)
{
	unsigned before = fx_fds_open();
	struct rpc_status st;
	uint64_t value;
	struct fx f;

	fx_init(&f, false);
	for (int i = 0; i < 100; i++) {
		int p[2], got[2] = { -1, -1 };
		char c = (char)(i + 1);
		pipe_with(p, c);
		cr_assert_eq(fx_call(&f, FX_TAKE_FD, p, 2000, &st, &value, NULL), 0);
		cr_assert_eq(st.code, RPC_OK);
		cr_assert_eq(value, (uint64_t)c);
		close_both(p);
		cr_assert_eq(fx_call(&f, FX_GIVE_FD, NULL, 2000, &st, &value, got), 0);
		cr_assert_eq(st.code, RPC_OK);
		cr_assert_eq(write(got[1], &c, 1), 1);
		c = 0;
		cr_assert_eq(read(got[0], &c, 1), 1);
		cr_assert_eq(c, (char)(i + 1));
		cr_assert((fcntl(got[0], F_GETFD) & FD_CLOEXEC) != 0);
		close_both(got);
	}
	fx_done(&f);
	cr_assert_eq(fx_fds_open(), before);
}

/* Many requests and answers with descriptors, with other frames between, wait in both queues:
 * each answer must bring what its own request sent. */
Test(rpc_fds, queued_in_order)
{
	static struct fx_answer a[60], b[60];
	unsigned before = fx_fds_open();
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	struct fx f;

	fx_init(&f, false);
	for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
		int p[2];
		pipe_with(p, (char)(i + 1));
		cr_assert_eq(rpc_start(f.client, &fx_methods[FX_TAKE_FD], &req.base, p, 0,
				       &fx_answer_ops, &a[i], NULL),
			     0);
		close_both(p); /* the library has its own */
		cr_assert_eq(rpc_start(f.client, &fx_methods[i % 2 ? FX_GIVE_FD : FX_ONCE],
				       &req.base, NULL, 0, &fx_answer_ops, &b[i], NULL),
			     0);
	}
	fx_settle(&f);
	for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
		cr_assert_eq(a[i].count, 1);
		cr_assert_eq(a[i].st.code, RPC_OK);
		cr_assert_eq(a[i].value, i + 1, "call %zu got %lu", i, (unsigned long)a[i].value);
		cr_assert_eq(b[i].count, 1);
	}
	fx_done(&f);
	cr_assert_eq(fx_fds_open(), before);
}

/* Requests with descriptors behind megabytes of others, which the socket can't take at once. */
Test(rpc_fds, behind_a_full_socket)
{
	static uint8_t chunk[65536];
	static struct fx_answer a[FRAME_FDS_QUEUE_MAX];
	Casemate__Agent__V1__WriteFileRequest data = CASEMATE__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	unsigned before = fx_fds_open();
	struct fx_answer w = { 0 }, more = { 0 };
	struct rpc_pending *p;
	struct fx f;
	int fds[2];

	fx_init(&f, false);
	cr_assert_eq(
		rpc_start(f.client, &fx_methods[FX_WRITE], NULL, NULL, 0, &fx_answer_ops, &w, &p),
		0);
	data.data.data = chunk;
	data.data.len = sizeof(chunk);
	for (int i = 0; i < 32; i++)
		cr_assert_eq(rpc_stream_send(p, &data.base), 0);
	for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
		pipe_with(fds, (char)(i + 1));
		cr_assert_eq(rpc_start(f.client, &fx_methods[FX_TAKE_FD], &req.base, fds, 0,
				       &fx_answer_ops, &a[i], NULL),
			     0);
		close_both(fds);
		cr_assert_eq(rpc_stream_send(p, &data.base), 0);
	}
	/* How many may wait is bounded. */
	pipe_with(fds, 1);
	cr_assert_eq(rpc_start(f.client, &fx_methods[FX_TAKE_FD], &req.base, fds, 0, &fx_answer_ops,
			       &more, NULL),
		     -ENOSPC);
	close_both(fds);
	fx_settle(&f);
	for (size_t i = 0; i < ARRAY_SIZE(a); i++)
		cr_assert_eq(a[i].value, i + 1);
	cr_assert_eq(f.data, 32 + ARRAY_SIZE(a));
	fx_done(&f);
	cr_assert_eq(fx_fds_open(), before);
}

/* Queued and received descriptors are closed when the connection ends early. */
Test(rpc_fds, closed_with_the_connection)
{
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	unsigned before = fx_fds_open();
	struct fx_answer a = { 0 };
	struct fx f;
	int p[2];

	fx_init(&f, false);
	rpc_conn_pause(f.server, true);
	pipe_with(p, 1);
	for (int i = 0; i < 40; i++)
		cr_assert_eq(rpc_start(f.client, &fx_methods[FX_TAKE_FD], &req.base, p, 0,
				       &fx_answer_ops, &a, NULL),
			     0);
	close_both(p);
	fx_done(&f);
	cr_assert_eq(a.count, 40);
	cr_assert_eq(fx_fds_open(), before);
}

/* ---- Wrong uses, by a peer that speaks bytes itself ---- */

static size_t make_request(enum fx_method m, uint32_t id, uint8_t *out, size_t cap)
{
	Casemate__Agent__V1__HealthRequest req = CASEMATE__AGENT__V1__HEALTH_REQUEST__INIT;
	struct frame_tx tx;
	size_t len;

	frame_tx_init(&tx);
	cr_assert_eq(fx_request(&tx, m, id, 0, &req.base), 0);
	len = buf_len(&tx.out);
	cr_assert_leq(len, cap);
	memcpy(out, buf_head(&tx.out), len);
	frame_tx_done(&tx);
	return len;
}

/* Sends the request in two parts with descriptors on each; returns why the server closed, or 1. */
static int send_split(enum fx_method m, size_t split, size_t nfds1, size_t nfds2)
{
	unsigned before = fx_fds_open();
	uint8_t bytes[256];
	int fds[FD_PASS_MAX], p[2], result;
	size_t len;
	struct fx f;

	fx_init(&f, true);
	pipe_with(p, 'x');
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = p[0];
	len = make_request(m, 1, bytes, sizeof(bytes));
	if (split > 0)
		cr_assert_eq(fd_send(f.raw, bytes, split, fds, nfds1), (ssize_t)split);
	fx_settle(&f);
	if (f.server_closed == 0)
		cr_assert_eq(fd_send(f.raw, bytes + split, len - split, fds, nfds2),
			     (ssize_t)(len - split));
	fx_settle(&f);
	result = f.server_closed > 0 ? f.server_reason : 1;
	if (result == 1)
		cr_assert_eq(f.calls, 1);
	else
		cr_assert_eq(f.calls, 0);
	close_both(p);
	fx_done(&f);
	cr_assert_eq(fx_fds_open(), before, "split %zu, %zu and %zu descriptors", split, nfds1,
		     nfds2);
	return result;
}

Test(rpc_fds, wrong_count)
{
	cr_assert_eq(send_split(FX_TAKE_FD, 0, 0, 2), 1);
	cr_assert_eq(send_split(FX_TAKE_FD, 0, 0, 0), -EPROTO);
	cr_assert_eq(send_split(FX_TAKE_FD, 0, 0, 1), -EPROTO);
	cr_assert_eq(send_split(FX_TAKE_FD, 0, 0, 3), -EPROTO);
	cr_assert_eq(send_split(FX_TAKE_FD, 0, 0, FD_PASS_MAX), -EPROTO);
	cr_assert_eq(send_split(FX_ONCE, 0, 0, 0), 1);
	cr_assert_eq(send_split(FX_ONCE, 0, 0, 1), -EPROTO);
}

Test(rpc_fds, only_with_the_first_byte)
{
	uint8_t bytes[256];
	size_t len = make_request(FX_TAKE_FD, 1, bytes, sizeof(bytes));

	for (size_t split = 1; split < len; split++) {
		cr_assert_eq(send_split(FX_TAKE_FD, split, 2, 0), 1);
		cr_assert_eq(send_split(FX_TAKE_FD, split, 0, 2), -EPROTO);
		cr_assert_eq(send_split(FX_TAKE_FD, split, 1, 1), -EPROTO);
		cr_assert_eq(send_split(FX_TAKE_FD, split, 2, 2), -EPROTO);
	}
}

/* Two requests in one send: the descriptors belong to the first, not to the second. */
Test(rpc_fds, belong_to_the_frame_they_came_with)
{
	unsigned before = fx_fds_open();
	uint8_t bytes[512];
	struct fx f;
	size_t n;
	int p[2];

	fx_init(&f, true);
	pipe_with(p, 'x');
	n = make_request(FX_ONCE, 1, bytes, 256);
	n += make_request(FX_TAKE_FD, 3, bytes + n, 256);
	cr_assert_eq(fd_send(f.raw, bytes, n, p, 2), (ssize_t)n);
	fx_settle(&f);
	cr_assert_eq(f.server_closed, 1);
	cr_assert_eq(f.server_reason, -EPROTO);
	cr_assert_eq(f.calls, 0);
	close_both(p);
	fx_done(&f);
	cr_assert_eq(fx_fds_open(), before);
}

/* Plain bytes that are still in the socket when bytes with descriptors follow: recvmsg would
 * join them, and exact reads keep them apart. */
Test(rpc_fds, after_plain_frames)
{
	uint8_t bytes[512];
	struct fx f;
	size_t n;
	int p[2];

	fx_init(&f, true);
	pipe_with(p, 'x');
	n = make_request(FX_ONCE, 1, bytes, 256);
	cr_assert_eq(fd_send(f.raw, bytes, n, NULL, 0), (ssize_t)n);
	n = make_request(FX_TAKE_FD, 3, bytes, 256);
	cr_assert_eq(fd_send(f.raw, bytes, n, p, 2), (ssize_t)n);
	n = make_request(FX_ONCE, 5, bytes, 256);
	cr_assert_eq(fd_send(f.raw, bytes, n, NULL, 0), (ssize_t)n);
	fx_settle(&f);
	cr_assert_eq(f.server_closed, 0);
	cr_assert_eq(f.calls, 2); /* the second Once is refused */
	close_both(p);
	fx_done(&f);
}

Test(rpc_fds, unknown_method_or_data)
{
	for (int i = 0; i < 2; i++) {
		unsigned before = fx_fds_open();
		uint8_t bytes[256];
		struct fx f;
		size_t n;
		int p[2];

		fx_init(&f, true);
		pipe_with(p, 'x');
		n = make_request(FX_ONCE, 1, bytes, sizeof(bytes));
		if (i == 0) {
			uint8_t *name = memmem(bytes, n, "Once", 4);
			cr_assert(name != NULL);
			name[0] = 'o';
		} else {
			cr_assert_eq(fd_send(f.raw, bytes, n, NULL, 0), (ssize_t)n);
			frame_header_put(bytes,
					 &(struct frame_header){ .id = 1, .type = FRAME_DATA });
			n = FRAME_HEADER_BYTES;
		}
		cr_assert_eq(fd_send(f.raw, bytes, n, p, 1), (ssize_t)n);
		fx_settle(&f);
		cr_assert_eq(f.server_closed, 1);
		cr_assert_eq(f.server_reason, -EPROTO);
		close_both(p);
		fx_done(&f);
		cr_assert_eq(fx_fds_open(), before);
	}
}

/* ---- No socket at all: a pseudo-terminal stands for a serial line ---- */

static void raw_pty(int ret[2])
{
	struct termios t;

	ret[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert_geq(ret[0], 0);
	cr_assert_eq(grantpt(ret[0]), 0);
	cr_assert_eq(unlockpt(ret[0]), 0);
	ret[1] = open(ptsname(ret[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert_geq(ret[1], 0);
	cr_assert_eq(tcgetattr(ret[1], &t), 0);
	cfmakeraw(&t);
	cr_assert_eq(tcsetattr(ret[1], TCSANOW, &t), 0);
}

Test(rpc_fds, none_without_a_socket)
{
	unsigned before = fx_fds_open();
	struct rpc_status st;
	uint64_t value = 0;
	int pty[2], p[2];
	struct fx f;

	raw_pty(pty);
	fx_init_on(&f, pty[0], pty[1]);
	cr_assert_eq(fx_call(&f, FX_ONCE, NULL, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_OK);
	cr_assert_eq(value, 1);
	pipe_with(p, 'x');
	cr_assert_eq(fx_call(&f, FX_TAKE_FD, p, 2000, &st, &value, NULL), 0);
	cr_assert_eq(st.code, RPC_UNAVAILABLE);
	cr_assert_eq(f.client_closed, 1);
	cr_assert_eq(f.client_reason, -EOPNOTSUPP);
	close_both(p);
	fx_done(&f);
	cr_assert_eq(fx_fds_open(), before);
}
