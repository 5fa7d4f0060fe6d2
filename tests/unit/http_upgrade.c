/* SPDX-License-Identifier: Apache-2.0 */
/* http_upgrade.c - a request that was held becomes another protocol's connection. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/http/http.h"
#include "base/fd.h"

#define ROUNDS 100

static struct loop *loop;
static struct http_req *held;
static int given = -1;

static void on_gone(struct http_req *req, void *state)
{
	(void)req;
	(void)state;
	held = NULL;
}

static void route(struct http_req *req, void *arg)
{
	(void)arg;
	held = req;
	http_hold(req, on_gone);
}

static void on_up(struct http_req *req, int fd, const void *extra, size_t len, void *state)
{
	(void)req;
	(void)extra;
	(void)state;
	cr_expect_eq(len, 0);
	given = fd;
}

static int listen_at(struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* An abstract name: nothing to remove. */
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "casemate-test-%d", (int)getpid());
	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (const struct sockaddr *)a, sizeof(*a)), 0);
	cr_assert_eq(listen(fd, 4), 0);
	return fd;
}

static const struct http_route routes[] = { { "GET", "/up", route }, { NULL, NULL, NULL } };
static const struct http_route *const tables[] = { routes };

/* The 101 leaves in one piece, and nothing else happens on the connection until the other protocol
 * speaks: which may be the server's turn. */
Test(http_upgrade, of_a_held_request)
{
	static const char request[] = "GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
				      "Upgrade: x\r\n\r\n";
	struct http_config cfg = { .tables = tables, .tables_count = 1 };
	struct sockaddr_un a;
	struct http *h;
	char answer[512];
	int fd, server;
	ssize_t n;

	cr_assert_eq(loop_new(&loop), 0);
	cfg.loop = loop;
	cr_assert_eq(http_new(&cfg, &h), 0);
	server = listen_at(&a);
	cr_assert_eq(http_listen(h, server, HTTP_DOOR_LOCAL), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(fd_write_full(fd, request, sizeof(request) - 1), 0);
	for (int i = 0; i < ROUNDS && held == NULL; i++)
		cr_assert_eq(loop_step(loop, 10), 0);
	cr_assert_not_null(held);
	http_upgrade(held, "x", NULL, 0, on_up);
	for (int i = 0; i < ROUNDS && given < 0; i++)
		cr_assert_eq(loop_step(loop, 10), 0);
	cr_assert_geq(given, 0, "nobody has got the connection");
	n = read(fd, answer, sizeof(answer) - 1);
	cr_assert_gt(n, 0);
	answer[n] = '\0';
	cr_expect_eq(strncmp(answer, "HTTP/1.1 101 ", 13), 0, "%s", answer);
	cr_expect_eq(write(given, "hello", 5), 5);
	cr_expect_eq(read(fd, answer, sizeof(answer)), 5);
	close(fd);
	http_free(h);
	loop_free(loop);
}
