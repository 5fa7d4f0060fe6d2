/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel.h - one connection that somebody made here, joined to a TCP port inside a sandbox, through
 * casemated (GET /v1/sandboxes/{id}/tcp) and the agent's forwarder (docs/PROTOCOL.md, 6.2). Needs
 * no network in the sandbox. Threads: the loop's.
 */
#ifndef API_CLI_TUNNEL_H
#define API_CLI_TUNNEL_H

#include <stdint.h>

#include "api/cli/cli.h"

struct tunnel;

/* It is over. why: NULL = both sides have ended it, else what went wrong. Must call tunnel_free. */
typedef void tunnel_ended_fn(struct tunnel *t, const char *why, void *arg);

/* Takes fd over, a connected stream socket, also on failure. ended is called from the loop, never
 * from here. 0 or -errno and *err. */
MUST_USE int tunnel_new(struct cli *cli, const char *id, uint16_t port, int fd,
			tunnel_ended_fn *ended, void *arg, struct tunnel **ret, struct err *err);
/* NULL is fine. */
void tunnel_free(struct tunnel *t);

#endif
