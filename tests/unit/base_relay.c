/* SPDX-License-Identifier: Apache-2.0 */
/* The relay between two socketpairs: a - [relay] - b. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
