/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.h - what outlives a client's connection: its jails that run and the sandboxes that it has
 * paused on the disk, for a while, for whoever knows the token.
 *
 *     client: Hold(token, seconds) -> everything it makes belongs to the hold
 *     its connection ends          -> what was being made goes at once; the rest is lost, unless
 *     Hold(token) by the same uid  -> the hold, and all that is in it, is the new connection's
 *     nobody comes in time         -> all of it goes, as it would have without
 *
 * A hold has one client at a time. Everything belongs to the loop's thread.
 */
#ifndef JAILER_HOLD_H
#define JAILER_HOLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

#define HOLD_TOKEN_BYTES 32U
#define HOLD_SECONDS_MAX 3600U
#define HOLDS_MAX	 16U

struct hold; /* its address is the owner of its jails and files */
struct holds;
struct jails;
struct saves;

MUST_USE int holds_new(struct loop *l, struct jails *js, struct saves *ss, struct holds **ret);
/* Lets go of all that is held. NULL is fine. */
void holds_free(struct holds *hs);

/*
 * A client's: one that waits for it (*ret_found), or a new one. -EINVAL: not a token, or 0 or too
 * many seconds; -EBUSY: it has a client; -EACCES: another uid made it; -EDQUOT: HOLDS_MAX.
 */
MUST_USE int holds_take(struct holds *hs, const uint8_t *token, size_t len, uid_t uid,
			uint64_t seconds, struct hold **ret, bool *ret_found, struct err *err);
/* Its client is gone, and so are the calls that it had made. */
void hold_lose(struct hold *h);

#endif
