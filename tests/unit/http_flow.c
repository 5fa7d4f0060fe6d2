/* SPDX-License-Identifier: Apache-2.0 */
/* http_flow.c - an answer that grows: whoever fills it is asked for more whenever there is room. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/http/internal.h"
#include "base/fd.h"
#include "base/num.h"

#define TOTAL  (32U * HTTP_ROOM)
#define ROUNDS 4000

static const char body[HTTP_ROOM];
static size_t put;

/* As much as fits: nothing but a call of this makes room known, since no other event comes. */
static void fill(struct http_req *req)
{
	size_t n = MIN(http_reply_room(req), TOTAL - put);

	http_reply_put(req, body, n);
	put += n;
	if (put == TOTAL)
		http_reply_end(req, true);
}

static void on_readable(struct http_req *req, void *state)
{
	char rest[64];

	(void)state;
	while (http_pull(req, rest, sizeof(rest)) > 0)
		;
}

static void on_writable(struct http_req *req, void *state)
{
	(void)state;
	fill(req);
}

static void on_gone(struct http_req *req, void *state)
{
	(void)req;
	(void)state;
}

static void admit(struct http_req *req, void *arg)
{
	static const struct http_flow_ops ops = { on_readable, on_writable, on_gone };

	(void)arg;
	http_take(req, &ops);
	http_reply(req, 200, NULL, NULL, 0, HTTP_BODY_LENGTH, TOTAL);
	fill(req);
}

static const struct http_route routes[] = { { NULL, NULL, NULL } };
static const struct http_route *const tables[] = { routes };

static int connect_to(struct http *h)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* An abstract name: nothing to remove. */
	(void)snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "casemate-flow-%d", (int)getpid());
	cr_assert_eq(bind(server, (const struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(server, 4), 0);
	cr_assert_eq(http_listen(h, server, HTTP_DOOR_LOCAL), 0);
	cr_assert_eq(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* The client's socket takes all that there is room for at once, so nothing has to be waited for. */
Test(http_flow, room_is_told_of, .timeout = 60)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	struct http_config cfg = { .tables = tables, .tables_count = 1, .admit = admit };
	struct http *h;
	size_t got = 0;
	int fd;

	cr_assert_eq(loop_new(&cfg.loop), 0);
	cr_assert_eq(http_new(&cfg, &h), 0);
	fd = connect_to(h);
	cr_assert_eq(fd_write_full(fd, request, sizeof(request) - 1), 0);
	for (int i = 0; i < ROUNDS && got < TOTAL; i++) {
		char block[16384];
		ssize_t n;

		cr_assert_eq(loop_step(cfg.loop, 1), 0);
		while ((n = recv(fd, block, sizeof(block), MSG_DONTWAIT)) > 0)
			got += (size_t)n;
		cr_assert(n < 0 && errno == EAGAIN, "it ended after %zu", got);
	}
	cr_assert_geq(got, TOTAL, "it stands still");
	close(fd);
	http_free(h);
	loop_free(cfg.loop);
}

/* Nobody reads the answer, and the first thing that is sent may find the socket full. */
Test(http_flow, an_answer_that_stands_still_has_a_deadline, .timeout = 60)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	struct http_config cfg = { .tables = tables, .tables_count = 1, .admit = admit };
	struct http *h;
	int fd;

	cr_assert_eq(loop_new(&cfg.loop), 0);
	cr_assert_eq(http_new(&cfg, &h), 0);
	fd = connect_to(h);
	cr_assert_eq(fd_write_full(fd, request, sizeof(request) - 1), 0);
	for (int i = 0; i < ROUNDS && (h->first == NULL || buf_len(&h->first->out) == 0 ||
				       (h->first->events & EPOLLOUT) == 0);
	     i++)
		cr_assert_eq(loop_step(cfg.loop, 1), 0);
	cr_assert_neq(h->first->deadline_ms, 0);
	close(fd);
	http_free(h);
	loop_free(cfg.loop);
}

/* ---- Bodies in place ------------------------------------------------------------------------- */

#define PIECES_MAX 65536U

static struct {
	char got[PIECES_MAX];
	size_t len;
	size_t want; /* the answer comes when so much has been taken: the rest is left */
	unsigned requests;
	bool ended;
} body_of;

static void on_piece(struct http_req *req, void *state)
{
	const void *data;
	ssize_t n = 0;

	(void)state;
	while (body_of.len < body_of.want && (n = http_peek(req, &data)) > 0) {
		/* Less than is shown: what is left is shown again. */
		size_t len = MIN((size_t)n, MIN((size_t)7, body_of.want - body_of.len));
		cr_assert_leq(body_of.len + len, sizeof(body_of.got));
		memcpy(body_of.got + body_of.len, data, len);
		body_of.len += len;
		http_skip(req, len);
	}
	if (n == 0 && body_of.len < body_of.want)
		body_of.ended = true;
	if (n == -EPROTO)
		http_error(req, 400, "bad_request", "cut off");
	else if (body_of.ended || body_of.len == body_of.want)
		http_text(req, NULL, "taken", 5);
}

static void admit_body(struct http_req *req, void *arg)
{
	static const struct http_flow_ops ops = { on_piece, on_writable, on_gone };

	(void)arg;
	body_of.requests++;
	cr_assert_str_eq(http_request_head(req)->method, "POST", "a body was taken for a request");
	http_take(req, &ops);
}

/* The answers to `len` bytes that come in pieces of `step`. */
static void serve(const char *bytes, size_t len, size_t step, char *answers, size_t max)
{
	struct http_config cfg = { .tables = tables, .tables_count = 1, .admit = admit_body };
	struct http *h;
	size_t got = 0;
	ssize_t n = 0;
	int fd;

	cr_assert_eq(loop_new(&cfg.loop), 0);
	cr_assert_eq(http_new(&cfg, &h), 0);
	fd = connect_to(h);
	cr_assert_eq(loop_step(cfg.loop, 100), 0);
	for (size_t off = 0; off < len; off += step) {
		cr_assert_eq(fd_write_full(fd, bytes + off, MIN(step, len - off)), 0);
		cr_assert_eq(loop_step(cfg.loop, 100), 0);
	}
	for (int i = 0; i < 8; i++) {
		cr_assert_eq(loop_step(cfg.loop, 1), 0);
		n = recv(fd, answers + got, max - 1 - got, MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
	}
	answers[got] = '\0';
	close(fd);
	http_free(h);
	loop_free(cfg.loop);
}

Test(http_flow, a_chunked_body_is_shown_in_place, .timeout = 60)
{
	static const char text[] =
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		"5\r\nhello\r\n1;x=y\r\n \r\nA\r\nbig world!\r\n0\r\n\r\n";
	char answers[4096];

	for (size_t step = 1; step < sizeof(text); step++) {
		memset(&body_of, 0, sizeof(body_of));
		body_of.want = PIECES_MAX;
		serve(text, sizeof(text) - 1, step, answers, sizeof(answers));
		cr_assert_eq(body_of.len, 16, "%zu of 16 by steps of %zu", body_of.len, step);
		cr_assert_eq(memcmp(body_of.got, "hello big world!", 16), 0);
		cr_assert(body_of.ended && strstr(answers, "200 OK") != NULL);
	}
}

/* What was shown and never taken belongs to the request that is over, and the next one comes after
 * it. */
Test(http_flow, a_body_that_nobody_wanted_is_no_request, .timeout = 60)
{
	static const char text[] = "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n"
				   "12345GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
				   "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde";
	char answers[4096];

	memset(&body_of, 0, sizeof(body_of));
	body_of.want = 5;
	serve(text, sizeof(text) - 1, sizeof(text) - 1, answers, sizeof(answers));
	cr_assert_eq(body_of.requests, 2, "%u requests", body_of.requests);
	cr_assert_eq(memcmp(body_of.got, "12345", 5), 0);
	cr_assert_not_null(strstr(answers, "200 OK"));
	cr_assert_not_null(strstr(strstr(answers, "200 OK") + 1, "200 OK"), "one answer only");
}
