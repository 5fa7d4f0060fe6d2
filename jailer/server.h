/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - api/proto/jailer.proto on a unix socket.
 *
 * Only the service's user and root may connect (SO_PEERCRED); the socket itself is theirs, mode
 * 0600. A connection owns the jails that it made: when it ends, they end. Whoever keeps jails must
 * keep the connection.
 */
#ifndef JAILER_SERVER_H
#define JAILER_SERVER_H

#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"
#include "jailer/host.h"
#include "jailer/jail.h"
#include "jailer/sealer.h"

#define SERVER_CLIENTS_MAX 8

struct server;

struct saves;

/* Makes the socket (its directory too if only that is missing) and listens. All that it is given
 * outlives it. */
MUST_USE int server_new(struct loop *l, const struct host *h, struct jails *js,
			struct sealer *sealer, struct saves *saves, const char *path,
			uid_t daemon_uid, struct server **ret, struct err *err);
/* Ends all connections and removes the socket. */
void server_free(struct server *s);

#endif
