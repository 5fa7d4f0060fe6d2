/* SPDX-License-Identifier: Apache-2.0 */
/* The relay between two socketpairs: a - [relay] - b. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/relay.h"

#define BULK (10U * 1024U * 1024U)

struct fixture {
	struct loop *loop;
	struct relay *relay;
	int a, b;	/* the outer ends */
	int a_in, b_in; /* the relay's */
	unsigned ended;
};

static void on_ended(struct relay *r, void *arg)
{
	struct fixture *f = arg;

	f->ended++;
	relay_free(r);
	f->relay = NULL;
}

static void set_up(struct fixture *f, const char *first)
{
	int sv[2];

	memset(f, 0, sizeof(*f));
	cr_assert_eq(loop_new(&f->loop), 0);
	cr_assert_eq(fd_socketpair(sv, true), 0);
	f->a = sv[0];
	f->a_in = sv[1];
	cr_assert_eq(fd_socketpair(sv, true), 0);
	f->b = sv[0];
	f->b_in = sv[1];
	cr_assert_eq(
		relay_new(f->loop, f->a_in, f->b_in, first, strlen(first), on_ended, f, &f->relay),
		0);
}

static void tear_down(struct fixture *f)
{
	relay_free(f->relay);
	fd_closep(&f->a);
	fd_closep(&f->b);
	fd_closep(&f->a_in);
	fd_closep(&f->b_in);
	loop_free(f->loop);
}

static void settle(struct fixture *f)
{
	for (int i = 0; i < 20; i++)
		cr_assert_eq(loop_step(f->loop, 0), 0);
}

static void expect(int fd, const char *text)
{
	char got[64] = "";
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	cr_assert_eq(n, (ssize_t)strlen(text), "%zd of \"%s\"", n, text);
	cr_assert_str_eq(got, text);
}

static void expect_nothing(int fd)
{
	char c;

	cr_assert_eq(recv(fd, &c, 1, MSG_DONTWAIT), -1);
	cr_assert_eq(errno, EAGAIN);
}

static void expect_end(int fd)
{
	char c;

	cr_assert_eq(recv(fd, &c, 1, MSG_DONTWAIT), 0);
}

Test(relay, both_ways, .timeout = 20)
{
	struct fixture f;

	set_up(&f, "first ");
	cr_assert_eq(send(f.a, "to b", 4, 0), 4);
	cr_assert_eq(send(f.b, "to a", 4, 0), 4);
	settle(&f);
	expect(f.a, "to a");
	expect(f.b, "first to b");
	cr_assert_eq(f.ended, 0);
	tear_down(&f);
}

/* The end of one direction leaves the other alone. */
Test(relay, half_close, .timeout = 20)
{
	struct fixture f;

	set_up(&f, "");
	cr_assert_eq(send(f.a, "last", 4, 0), 4);
	cr_assert_eq(shutdown(f.a, SHUT_WR), 0);
	settle(&f);
	expect(f.b, "last");
	expect_end(f.b);
	expect_nothing(f.a);
	cr_assert_eq(send(f.b, "answer", 6, 0), 6);
	settle(&f);
	expect(f.a, "answer");
	cr_assert_eq(f.ended, 0);
	cr_assert_eq(shutdown(f.b, SHUT_WR), 0);
	settle(&f);
	expect_end(f.a);
	cr_assert_eq(f.ended, 1);
	tear_down(&f);
}

/* Bytes that were sent before a close arrive; the relay ends; the loop doesn't spin meanwhile. */
Test(relay, close_after_bytes, .timeout = 20)
{
	struct fixture f;

	set_up(&f, "");
	cr_assert_eq(send(f.a, "bye", 3, 0), 3);
	fd_closep(&f.a);
	settle(&f);
	expect(f.b, "bye");
	expect_end(f.b);
	settle(&f);
	cr_assert_eq(f.ended, 1);
	tear_down(&f);
}

/* A reader that doesn't read holds the writer back: only buffers are filled. */
Test(relay, back_pressure, .timeout = 20)
{
	static char block[65536];
	struct fixture f;
	size_t sent = 0, got = 0;

	set_up(&f, "");
	for (int idle = 0; idle < 3;) {
		ssize_t n = send(f.a, block, sizeof(block), MSG_DONTWAIT);
		settle(&f);
		idle = n > 0 ? 0 : idle + 1;
		sent += n > 0 ? (size_t)n : 0;
	}
	cr_assert_lt(sent, 2U * 1024U * 1024U);
	/* The sender goes away; what it has sent still comes, all of it. */
	fd_closep(&f.a);
	for (int i = 0; i < 10000 && f.ended == 0; i++) {
		ssize_t n = recv(f.b, block, sizeof(block), MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
		settle(&f);
	}
	for (ssize_t n = 1; n > 0; got += n > 0 ? (size_t)n : 0)
		n = recv(f.b, block, sizeof(block), MSG_DONTWAIT);
	cr_assert_eq(got, sent);
	cr_assert_eq(f.ended, 1);
	tear_down(&f);
}

/* While its peer is stuck, an end that has hung up must not keep the loop busy. */
Test(relay, no_spinning, .timeout = 20)
{
	static char block[65536];
	struct fixture f;
	int busy = 0;

	set_up(&f, "");
	for (int i = 0; i < 64; i++) {
		(void)send(f.a, block, sizeof(block), MSG_DONTWAIT);
		settle(&f);
	}
	fd_closep(&f.a);
	settle(&f);
	/* An idle loop sleeps for its whole timeout. */
	for (int i = 0; i < 5; i++) {
		const uint64_t begin = now_ms();
		cr_assert_eq(loop_step(f.loop, 20), 0);
		busy += now_ms() - begin < 15;
	}
	cr_assert_eq(busy, 0);
	tear_down(&f);
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 131 + (i >> 8) * 17 + (i >> 16));
}

/* Ten megabytes each way at once, whole and in order. */
Test(relay, bulk, .timeout = 60)
{
	uint8_t *in = malloc(65536), *out = malloc(65536);
	size_t sent[2] = { 0 }, got[2] = { 0 };
	struct fixture f;

	set_up(&f, "");
	const int fd[2] = { f.a, f.b };
	while (got[0] < BULK || got[1] < BULK) {
		for (int i = 0; i < 2; i++) {
			size_t len = BULK - sent[i] < 30011 ? BULK - sent[i] : 30011;
			for (size_t k = 0; k < len; k++)
				out[k] = pattern(sent[i] + k);
			ssize_t n = len == 0 ? 0 : send(fd[i], out, len, MSG_DONTWAIT);
			sent[i] += n > 0 ? (size_t)n : 0;
			n = recv(fd[1 - i], in, 65536, MSG_DONTWAIT);
			for (ssize_t k = 0; k < n; k++)
				cr_assert_eq(in[k], pattern(got[i] + (size_t)k));
			got[i] += n > 0 ? (size_t)n : 0;
		}
		cr_assert_eq(loop_step(f.loop, 0), 0);
	}
	free(in);
	free(out);
	tear_down(&f);
}

/* Upper case, and only whole pairs; '!' is refused. */
static int pairs(void *arg, struct buf *in, struct buf *out)
{
	unsigned *calls = arg;

	++*calls;
	while (buf_len(in) >= 2 && buf_room(out) >= 4) {
		const uint8_t *p = buf_head(in);
		const uint8_t twice[4] = { p[0], p[1], p[0], p[1] };

		if (p[0] == '!')
			return -EACCES;
		cr_assert_eq(buf_put(out, twice, sizeof(twice)), 0);
		buf_consume(in, 2);
	}
	return 0;
}

static ssize_t read_all(struct fixture *f, int fd, char *text, size_t cap)
{
	size_t have = 0;

	for (;;) {
		ssize_t n = recv(fd, text + have, cap - have, 0);

		if (n > 0)
			have += (size_t)n;
		else if (n == 0 || errno != EAGAIN)
			return (ssize_t)have;
		else
			cr_assert_eq(loop_step(f->loop, 1000), 0);
	}
}

Test(relay, filter)
{
	struct fixture f;
	unsigned calls = 0;
	char text[64] = { 0 };

	set_up(&f, "abc");
	relay_set_filter(f.relay, pairs, &calls);
	cr_assert_eq(send(f.a, "de", 2, 0), 2);
	cr_assert_eq(shutdown(f.a, SHUT_WR), 0);
	cr_assert_eq(send(f.b, "xy!", 3, 0), 3);
	/* What is no pair at the end is dropped; the other direction isn't filtered. */
	cr_assert_eq(read_all(&f, f.b, text, sizeof(text)), 8);
	cr_assert_eq(memcmp(text, "ababcdcd", 8), 0);
	cr_assert_gt(calls, 0);
	cr_assert_eq(relay_moved(f.relay, true), 8);
	cr_assert_eq(relay_moved(f.relay, false), 3);
	cr_assert_eq(shutdown(f.b, SHUT_WR), 0);
	cr_assert_eq(read_all(&f, f.a, text, sizeof(text)), 3);
	cr_assert_eq(f.ended, 1);
	tear_down(&f);
}

/* Twice as much comes out as went in, and the reader is slow: nothing is lost or kept back. */
Test(relay, filter_that_has_to_wait_for_room)
{
	static char bulk[200000], got[400001];
	struct fixture f;
	unsigned calls = 0;
	size_t sent = 0, have = 0;

	for (size_t i = 0; i < sizeof(bulk); i++)
		bulk[i] = (char)('a' + i % 26);
	set_up(&f, "");
	relay_set_filter(f.relay, pairs, &calls);
	for (unsigned rounds = 0; have < 400000; rounds++) {
		ssize_t n =
			sent == sizeof(bulk) ? 0 : send(f.a, bulk + sent, sizeof(bulk) - sent, 0);

		cr_assert_lt(rounds, 1000, "%zu bytes have gone in, %zu have come out", sent, have);
		sent += n > 0 ? (size_t)n : 0;
		/* No waiting: most rounds have nothing to do until the reader has taken more. */
		cr_assert_eq(loop_step(f.loop, 0), 0);
		n = recv(f.b, got + have, have < 300000 ? 1000 : 100000, 0);
		have += n > 0 ? (size_t)n : 0;
	}
	for (size_t i = 0; i < 400000; i++)
		cr_assert_eq(got[i], bulk[i / 4 * 2 + i % 2], "at %zu", i);
	tear_down(&f);
}

Test(relay, filter_that_refuses)
{
	struct fixture f;
	unsigned calls = 0;
	char text[64];

	set_up(&f, "ab!!cd");
	relay_set_filter(f.relay, pairs, &calls);
	cr_assert_eq(read_all(&f, f.b, text, sizeof(text)), 4,
		     "what it had let pass, then the end");
	cr_assert_eq(send(f.a, "ef", 2, 0), 2);
	cr_assert_eq(loop_step(f.loop, 0), 0);
	cr_assert_eq(recv(f.b, text, sizeof(text), 0), 0);
	tear_down(&f);
}
