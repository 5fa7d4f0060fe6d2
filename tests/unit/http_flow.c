/* SPDX-License-Identifier: Apache-2.0 */
/* http_flow.c - an answer that grows: whoever fills it is asked for more whenever there is room. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/http/http.h"
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
