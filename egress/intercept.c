/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/intercept.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/tls/conn.h"
#include "base/buf.h"
#include "base/bug.h"
#include "base/fd.h"
#include "egress/authority.h"

struct intercept {
	struct egress *egress;
	const struct intercept_ops *ops;
	void *arg;
	struct conn_config server_cfg, client_cfg;
	struct conn *server, *client; /* our ends: towards the guest, and upstream */
	SSL *server_tls;	      /* until server is there */
	SSL *client_tls;	      /* client's */
	struct buf first;
	int *guest;
	int guest_fd, upstream_fd;     /* of the ends, for a reset */
	int inner_a, outer_a, outer_b; /* inner: what our end will have; outer: ready's */
	bool verified, ready;
	struct loop_timer *timer;
};

static void set_timer(struct intercept *i, uint64_t ms, loop_timer_fn *fn)
{
	loop_timer_del(i->timer);
	i->timer = NULL;
	if (loop_timer_add(i->egress->loop, ms, fn, i, &i->timer) < 0)
		BUG("no memory for one timer");
}

static void fail(struct intercept *i)
{
	if (i->ready)
		i->ops->ended(i->arg);
	else
		i->ops->failed(i->arg, i->verified);
}

static void on_late(void *arg)
{
	struct intercept *i = arg;

	i->timer = NULL;
	fail(i);
}

/* ---- The guest's side ----------------------------------------------------------------------- */

static void on_server_ended(struct conn *c, void *arg)
{
	struct intercept *i = arg;

	(void)c;
	fail(i);
}

static void on_server_established(struct conn *c, void *arg)
{
	struct intercept *i = arg;

	(void)c;
	loop_timer_del(i->timer);
	i->timer = NULL;
}

static int on_server_dial(struct conn *c, void *arg)
{
	struct intercept *i = arg;

	(void)c;
	return fd_steal(&i->inner_a);
}

/* From the loop, not from inside of the other end's step. */
static void on_verified(void *arg)
{
	struct intercept *i = arg;
	int sv[2], r = fd_socketpair(sv, true);

	i->timer = NULL;
	if (r == 0) {
		i->outer_a = sv[0];
		i->inner_a = sv[1];
		r = conn_new(&i->server_cfg, i->server_tls, *i->guest, i, &i->server);
	}
	if (r < 0) {
		fail(i);
		return;
	}
	i->server_tls = NULL;
	i->guest_fd = fd_steal(i->guest);
	if (conn_set_early(i->server, buf_head(&i->first), buf_len(&i->first)) < 0) {
		fail(i);
		return;
	}
	buf_done(&i->first);
	i->ready = true;
	if (!i->ops->ready(i->arg, fd_steal(&i->outer_a), fd_steal(&i->outer_b))) {
		fail(i);
		return;
	}
	set_timer(i, EGRESS_TLS_MS, on_late);
	conn_start(i->server);
}

/* ---- The server's side ---------------------------------------------------------------------- */

static void on_client_ended(struct conn *c, void *arg)
{
	struct intercept *i = arg;

	if (!i->ready) {
		fail(i);
		return;
	}
	/* Its last bytes are in B, and the guest's end goes on until it has them. */
	conn_free(c);
	i->client = NULL;
	i->client_tls = NULL;
}

static void on_client_established(struct conn *c, void *arg)
{
	struct intercept *i = arg;

	(void)c;
	/* OpenSSL has ended the handshake of one that isn't good. */
	BUG_ON(SSL_get_verify_result(i->client_tls) != X509_V_OK);
	i->verified = true;
}

static int on_client_dial(struct conn *c, void *arg)
{
	struct intercept *i = arg;
	int sv[2], r = fd_socketpair(sv, true);

	(void)c;
	if (r < 0)
		return r;
	i->outer_b = sv[0];
	set_timer(i, 0, on_verified);
	return sv[1];
}

static void on_begin(void *arg)
{
	struct intercept *i = arg;

	i->timer = NULL;
	set_timer(i, EGRESS_TLS_MS, on_late);
	conn_start(i->client);
}

/* ---- Its life ------------------------------------------------------------------------------- */

static int prepare(struct intercept *i, int *upstream, const char *name, const void *first,
		   size_t len)
{
	struct authority *a = i->egress->authority;
	SSL *client = authority_client(a, name);
	int r;

	i->server_tls = authority_server(a, name);
	if (client == NULL || i->server_tls == NULL) {
		SSL_free(client);
		return -ENOMEM;
	}
	r = conn_new(&i->client_cfg, client, *upstream, i, &i->client);
	if (r < 0) {
		SSL_free(client);
		return r;
	}
	i->client_tls = client;
	i->upstream_fd = fd_steal(upstream);
	r = buf_put(&i->first, first, len);
	return r < 0 ? r : loop_timer_add(i->egress->loop, 0, on_begin, i, &i->timer);
}

int intercept_new(struct egress *e, int *guest, int *upstream, const char *name, const void *first,
		  size_t len, const struct intercept_ops *ops, void *arg, struct intercept **ret)
{
	struct intercept *i = calloc(1, sizeof(*i));
	int r = i == NULL ? -ENOMEM : e->intercepts == EGRESS_TLS_MAX ? -EBUSY : 0;

	if (r < 0) {
		free(i);
		fd_closep(upstream);
		return r;
	}
	*i = (struct intercept){ .egress = e,
				 .ops = ops,
				 .arg = arg,
				 .guest = guest,
				 .guest_fd = -1,
				 .upstream_fd = -1,
				 .inner_a = -1,
				 .outer_a = -1,
				 .outer_b = -1 };
	i->client_cfg = (struct conn_config){ .loop = e->loop,
					      .ended = on_client_ended,
					      .established = on_client_established,
					      .dial = on_client_dial,
					      .arg = i };
	i->server_cfg = (struct conn_config){ .loop = e->loop,
					      .ended = on_server_ended,
					      .established = on_server_established,
					      .dial = on_server_dial,
					      .arg = i };
	buf_init(&i->first, len);
	e->intercepts++;
	r = prepare(i, upstream, name, first, len);
	if (r < 0) {
		intercept_free(i);
		fd_closep(upstream);
		return r;
	}
	*ret = i;
	return 0;
}

void intercept_reset(struct intercept *i)
{
	const struct linger now = { .l_onoff = 1 };

	if (i->server != NULL)
		(void)setsockopt(i->guest_fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	if (i->client != NULL)
		(void)setsockopt(i->upstream_fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void intercept_free(struct intercept *i)
{
	if (i == NULL)
		return;
	loop_timer_del(i->timer);
	conn_free(i->server);
	conn_free(i->client);
	SSL_free(i->server_tls);
	buf_done(&i->first);
	fd_closep(&i->inner_a);
	fd_closep(&i->outer_a);
	fd_closep(&i->outer_b);
	i->egress->intercepts--;
	free(i);
}
