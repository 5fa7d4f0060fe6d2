/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.h - the HTTP/1 requests of one connection, one after the other: each head is decided
 * about and written anew, perhaps with headers that a rule sets; bodies pass as they are.
 *
 * Every request of a connection is looked at, because the second may say another Host than the
 * first. What our reader refuses isn't passed on, so nothing can be hidden between two readings of
 * it. After a request that the server may take for another protocol (Upgrade) bytes pass unseen.
 * Memory: what stands in the two buffers. Pure but for its own state; fuzzed by fuzz/egress_http.c.
 */
#ifndef EGRESS_INSPECT_H
#define EGRESS_INSPECT_H

#include <stddef.h>

#include "api/http/body.h"
#include "api/http/head.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "egress/limits.h"
#include "egress/policy.h"

/* A head that is written anew: blanks around values are one, and headers are added. */
#define INSPECT_HEAD_OUT_MAX (HTTP_HEAD_MAX + EGRESS_HEADER_BYTES + 512U)

/* 0 and *ret_rule (NULL = nothing to set, or lives until the next call); or -errno: this request
 * isn't to go there. */
typedef int inspect_fn(void *arg, const struct http_head *h, const struct policy_rule **ret_rule);

enum inspect_state { INSPECT_HEAD, INSPECT_BODY, INSPECT_OPAQUE, INSPECT_CLOSED };

struct inspect {
	enum inspect_state state;
	struct http_body body;
	bool close; /* the request that is being passed on is the last */
	bool upgrade;
	size_t seen; /* bytes of an incomplete head that were looked at */
	inspect_fn *decide;
	void *arg;
};

void inspect_init(struct inspect *i, inspect_fn *decide, void *arg);

/*
 * Moves what it can from in to out. Stops when in has nothing whole, or out (whose ceiling is at
 * least INSPECT_HEAD_OUT_MAX) has no room; it goes on when called again after that changed.
 * 0; -EPROTO, -EFBIG, -ENOMEM; or what decide said: the connection is to end.
 */
MUST_USE int inspect_move(struct inspect *i, struct buf *in, struct buf *out);

#endif
