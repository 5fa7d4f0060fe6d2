/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - accepts clients and bounds them: in all, of one address, and in handshakes, of which
 * the oldest makes room, so that who doesn't finish his keeps nobody out. Threads: the loop's.
 */
#ifndef API_TLS_SERVER_H
#define API_TLS_SERVER_H

#include <openssl/types.h>
#include <stddef.h>

#include "api/tls/conn.h"
#include "base/compiler.h"
#include "base/loop.h"

#define SERVER_DOORS_MAX 8U

struct server;

struct server_config {
	struct loop *loop;
	const char *to; /* casemated's unix socket */
	size_t conns, conns_per_source;
	uint64_t handshake_ms, idle_ms;
	/* After server_drain: the last connection has ended. */
	void (*drained)(void *arg);
	void *arg;
};

/* 0, -ENAMETOOLONG (to) or -ENOMEM. */
MUST_USE int server_new(const struct server_config *cfg, struct server **ret);
/* What new connections get: taken over. Those that there are keep theirs. */
void server_use(struct server *s, SSL_CTX *tls);
/* Serves fd, a listening TCP socket, non-blocking, taken over also on failure: after server_use. */
MUST_USE int server_listen(struct server *s, int fd);
/* Accepts nobody any more. */
void server_drain(struct server *s);
/* Ends all. NULL is fine. */
void server_free(struct server *s);

struct server_counts {
	uint64_t accepted;
	uint64_t established; /* handshakes that ended well */
	uint64_t refused;     /* for want of room, or as too many of an address */
	uint64_t evicted;     /* handshakes that made room */
	uint64_t late;	      /* ended by time */
	size_t conns;
};
void server_count(const struct server *s, struct server_counts *ret);

#endif
