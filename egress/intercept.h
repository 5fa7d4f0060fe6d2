/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intercept.h - a TLS connection to a name whose requests get headers: two ends of TLS, and what
 * lies between them in clear text, for inspect.c to see.
 *
 *     guest ==TLS== our server's end -- socket A        socket B -- our client's end ==TLS== server
 *
 * The server's certificate is checked first: before that the guest gets no answer, and nothing of
 * any request can go out. The caller joins A and B. The loop's thread.
 */
#ifndef EGRESS_INTERCEPT_H
#define EGRESS_INTERCEPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "egress/egress.h"

struct intercept;

struct intercept_ops {
	/* The server is who it should be. a and b: non-blocking stream sockets, the caller's.
	 * False: it can't go on, and is told that it has ended. */
	bool (*ready)(void *arg, int a, int b);
	/* It isn't (verified: false), or there is no way on; before ready. */
	void (*failed)(void *arg, bool verified);
	/* The guest's end is over, after ready. */
	void (*ended)(void *arg);
};

/*
 * *guest, *upstream: the connections; taken over, and -1 then: upstream's at once, also on failure;
 * the guest's when ready is called. first: what the guest has sent already. name: normalized; lives
 * until this has returned. Calls no operation before it has returned; after failed or ended only
 * intercept_free may follow, also from inside. 0, -EBUSY: EGRESS_TLS_MAX there are, -ENOMEM,
 * -errno.
 */
MUST_USE int intercept_new(struct egress *e, int *guest, int *upstream, const char *name,
			   const void *first, size_t len, const struct intercept_ops *ops,
			   void *arg, struct intercept **ret);
/* What is freed next is reset, not ended in order. */
void intercept_reset(struct intercept *i);
/* NULL is fine. */
void intercept_free(struct intercept *i);

#endif
