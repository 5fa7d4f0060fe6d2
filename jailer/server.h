/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - api/proto/jailer.proto on a unix socket.
 *
 * Only the service's user and root may connect (SO_PEERCRED); the socket itself is theirs, mode
 * 0600. A connection owns the jails that it made: when it ends, they end, unless it has asked for
 * a hold (hold.h).
 */
#ifndef JAILER_SERVER_H
#define JAILER_SERVER_H

#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

#define SERVER_CLIENTS_MAX 8

struct server;

struct session; /* handlers.h: what each client's handlers work on */

/* Makes the socket (its directory too if only that is missing) and listens. What `shared` points
 * to outlives it. */
MUST_USE int server_new(struct loop *l, const struct session *shared, const char *path,
			uid_t daemon_uid, struct server **ret, struct err *err);
/* Ends all connections and removes the socket. */
void server_free(struct server *s);

#endif
