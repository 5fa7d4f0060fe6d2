/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socks.h - the client's side of SOCKS5 (RFC 1928, RFC 1929): one CONNECT. What the server answers
 * is hostile. No I/O; pure but for its own state. Fuzzed by fuzz/egress_socks.c.
 *
 *     socks_init; then until socks_done: send socks_output, and give socks_input as many bytes as
 *     socks_wants says, which never takes a byte of what the target sends.
 */
#ifndef EGRESS_SOCKS_H
#define EGRESS_SOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "egress/addr.h"
#include "egress/policy.h"

#define SOCKS_OUT_MAX (3U + 2U * EGRESS_SECRET_MAX)
#define SOCKS_IN_MAX  (4U + 256U + 2U)

enum socks_state {
	SOCKS_GREETING,
	SOCKS_AUTH,
	SOCKS_CONNECT,	    /* version, reply, reserved, kind of address */
	SOCKS_CONNECT_NAME, /* how long the name of the bound address is */
	SOCKS_CONNECT_REST, /* the bound address, which nobody needs */
	SOCKS_DONE,
};

struct socks {
	enum socks_state state;
	size_t wants;
	const struct policy_proxy *proxy;
	char name[NAME_CAP]; /* "" = the address */
	struct addr addr;
	uint16_t port;
};

/* proxy lives as long as s. name may be NULL: then it is the address. */
void socks_init(struct socks *s, const struct policy_proxy *proxy, const char *name,
		const struct addr *a, uint16_t port);
/* What to send before more is read: its length, 0 = nothing. Once for each state. */
size_t socks_output(const struct socks *s, uint8_t out[SOCKS_OUT_MAX]);
/* How many bytes socks_input wants; at most SOCKS_IN_MAX. */
size_t socks_wants(const struct socks *s);
/* Exactly so many bytes. 0; -EPROTO; -EACCES: it wants other credentials; -ECONNREFUSED: it can't
 * or won't connect. */
MUST_USE int socks_input(struct socks *s, const uint8_t *in);
static inline bool socks_done(const struct socks *s)
{
	return s->state == SOCKS_DONE;
}

#endif
