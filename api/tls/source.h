/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - how many connections each client address has. An IPv6 client owns a /64, so that is
 * what counts. Pure; one thread.
 */
#ifndef API_TLS_SOURCE_H
#define API_TLS_SOURCE_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/compiler.h"

struct sources;

/* For at most conns connections in all, per_source of one. 0 or -ENOMEM. */
MUST_USE int sources_new(size_t conns, size_t per_source, struct sources **ret);
void sources_free(struct sources *s);

/* One more connection of this address. Its slot, for source_give_back; -EDQUOT: it has enough;
 * -EINVAL: no address of the Internet. No more than conns may be taken. */
MUST_USE int source_take(struct sources *s, const struct sockaddr_storage *address);
void source_give_back(struct sources *s, int slot);

#endif
