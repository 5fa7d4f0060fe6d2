/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the request and, behind it, nothing; the daemon's 101; two bytes that say
 * which port; one byte that says whether the guest's side is connected; then a relay. Nothing of
 * the client's is read before that, so a client that comes too early waits in its socket.
 */
#include "api/cli/tunnel.h"

#include <endian.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/cli/http_client.h"
#include "api/http/head.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"
#include "base/relay.h"

#define OPEN_MS 20000U /* the agent's own limit is 10 s */

struct tunnel {
	struct loop *loop;
	struct loop_io *io;
	struct loop_timer *timer;
	struct relay *relay;
	int client, daemon;
	uint16_t port;
	bool upgraded;
	size_t len;
	tunnel_ended_fn *ended;
	void *arg;
	char in[HTTP_HEAD_MAX + 1];
};

void tunnel_free(struct tunnel *t)
{
	if (t == NULL)
		return;
	loop_io_del(t->io);
	loop_timer_del(t->timer);
	relay_free(t->relay);
	fd_closep(&t->client);
	fd_closep(&t->daemon);
	free(t);
}

static void over(struct tunnel *t, const char *why)
{
	loop_io_del(t->io);
	t->io = NULL;
	loop_timer_del(t->timer);
	t->timer = NULL;
	t->ended(t, why, t->arg);
}

static void on_relay_ended(struct relay *r, void *arg)
{
	struct tunnel *t = arg;

	BUG_ON(r != t->relay);
	over(t, NULL);
}

/* The forwarder's answer: 0, or an errno of the guest's. */
static void take_verdict(struct tunnel *t)
{
	const unsigned verdict = (unsigned char)t->in[0];
	int r;

	if (verdict != 0) {
		over(t, verdict == ECONNREFUSED ? "nobody listens on that port of the sandbox"
						: "the sandbox can't connect to its port");
		return;
	}
	loop_io_del(t->io);
	t->io = NULL;
	loop_timer_del(t->timer);
	t->timer = NULL;
	r = relay_new(t->loop, t->client, t->daemon, NULL, 0, on_relay_ended, t, &t->relay);
	if (r < 0)
		over(t, "out of memory");
}

/* An error's message is in its body, which may not be here yet: the status must do. */
static const char *refusal(unsigned status)
{
	switch (status) {
	case 404:
		return "no such sandbox";
	case 409:
		return "the sandbox is not running";
	case 429:
		return "too many streams into the sandbox";
	default:
		return "the daemon refuses; see its log";
	}
}

static void take_head(struct tunnel *t, size_t len)
{
	const uint16_t port = htole16(t->port);
	const bool more = len < t->len;
	struct http_head h;
	int r = http_response_parse(t->in, len, "GET", &h);

	if (r == 0 && h.status != 101) {
		over(t, refusal(h.status));
	} else if (r < 0 || !h.upgrade || more) {
		over(t, "the daemon's answer is malformed");
	} else if (fd_write_full(t->daemon, &port, sizeof(port)) < 0) {
		over(t, "the daemon has gone");
	} else {
		t->upgraded = true;
		t->len = 0;
	}
}

/* Of the verdict one byte and no more: what follows is the client's. */
static void on_readable(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct tunnel *t = arg;
	const size_t room = t->upgraded ? 1 : HTTP_HEAD_MAX - t->len;
	ssize_t n = recv(fd, t->in + t->len, room, MSG_DONTWAIT), head;

	(void)io;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		over(t, t->upgraded ? "the sandbox has gone" : "the daemon has gone");
		return;
	}
	if (t->upgraded) {
		take_verdict(t);
		return;
	}
	t->len += (size_t)n;
	head = http_head_length(t->in, t->len, 0);
	if (head < 0)
		over(t, "the daemon's answer is malformed");
	else if (head > 0)
		take_head(t, (size_t)head);
}

static void on_late(void *arg)
{
	struct tunnel *t = arg;

	t->timer = NULL;
	over(t, "no connection in time");
}

static int begin(struct tunnel *t, const char *id)
{
	char request[160];
	int n = snprintf(request, sizeof(request),
			 "GET /v1/sandboxes/%s/tcp HTTP/1.1\r\nHost: casemate\r\n"
			 "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
			 id);
	int r = fd_write_full(t->daemon, request, (size_t)n);

	if (r == 0)
		r = loop_io_add(t->loop, t->daemon, EPOLLIN, on_readable, t, &t->io);
	return r < 0 ? r : loop_timer_add(t->loop, OPEN_MS, on_late, t, &t->timer);
}

int tunnel_new(struct cli *cli, const char *id, uint16_t port, int fd, tunnel_ended_fn *ended,
	       void *arg, struct tunnel **ret, struct err *err)
{
	struct tunnel *t = calloc(1, sizeof(*t));
	int r;

	if (t == NULL) {
		fd_closep(&fd);
		return err_set(err, -ENOMEM, "out of memory");
	}
	t->loop = cli->loop;
	t->client = fd;
	t->daemon = -1;
	t->port = port;
	t->ended = ended;
	t->arg = arg;
	r = http_client_dial(cli, &t->daemon, err);
	if (r == 0) {
		r = begin(t, id);
		if (r < 0)
			(void)err_sys(err, r, "daemon");
	}
	if (r < 0) {
		tunnel_free(t);
		return r;
	}
	*ret = t;
	return 0;
}
