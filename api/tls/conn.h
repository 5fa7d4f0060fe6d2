/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.h - one connection with TLS: its handshake, and then bytes both ways between what TLS
 * carries and a stream socket without it, never looked at. For casemate-tls, whose clients these
 * are, and for casemate-egress, which is also a server's client. Threads: the loop's.
 */
#ifndef API_TLS_CONN_H
#define API_TLS_CONN_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/loop.h"

#define CONN_STALL_MS  60000U /* without a byte taken by the client, while some wait for it */
#define CONN_LINGER_MS 5000U  /* for the client to close, once all is said */

struct conn;

struct conn_config {
	struct loop *loop;
	uint64_t handshake_ms, idle_ms;
	/* Has ended; only conn_free may follow. Called from the loop, or from conn_start. */
	void (*ended)(struct conn *c, void *arg);
	/* The handshake is over, well. */
	void (*established)(struct conn *c, void *arg);
	/* Right after that: the other side's socket, non-blocking, the connection's from now on; or
	 * -errno, which ends it. */
	int (*dial)(struct conn *c, void *arg);
	void *arg;
};

/* ssl: in connect or accept state; fd: the socket, non-blocking. Both are taken over on success.
 * cfg outlives it; mark is the caller's. 0 or -ENOMEM. Nothing happens until conn_start. */
MUST_USE int conn_new(const struct conn_config *cfg, SSL *ssl, int fd, void *mark,
		      struct conn **ret);
/* Bytes that were read from fd already, copied. Once, before conn_start. 0 or -ENOMEM. */
MUST_USE int conn_set_early(struct conn *c, const void *data, size_t len);
void conn_start(struct conn *c);
void *conn_mark(const struct conn *c);
/* Is it past its time? See the limits above and conn_config's. */
bool conn_is_late(const struct conn *c, uint64_t now);
/* NULL is fine. Resets nothing: what the kernel holds for the client is still sent. */
void conn_free(struct conn *c);

#endif
