/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.h - asks the configured resolvers for the addresses of names, and remembers.
 *
 * Each question goes out from a socket of its own, connected, with a random id: an answer from
 * somewhere else never arrives, and who wants to forge one must guess port and id. An answer
 * that was cut off is asked for again by TCP. What one resolver can't answer, the next is asked.
 * Questions to resolvers are limited in number at a time and by a rate, because a guest causes
 * them.
 *
 * Addresses are as the resolvers gave them: whoever uses one asks egress_decide first.
 *
 * Threads: the loop's.
 */
#ifndef EGRESS_RESOLVER_H
#define EGRESS_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/loop.h"
#include "egress/count.h"
#include "egress/dns.h"
#include "egress/policy.h"

struct resolver;
struct resolver_query;

/* result: 0, or -ETIMEDOUT, and *a is not to be used. Never called from resolver_ask. */
typedef void resolver_fn(void *arg, int result, const struct dns_answer *a);

/* One that waits for an answer; the caller's memory. */
struct resolver_wait {
	struct resolver_wait *next;
	struct resolver_query *query; /* NULL = not waiting */
	resolver_fn *fn;
	void *arg;
};

MUST_USE int resolver_new(struct loop *l, struct counts *counts, struct resolver **ret);
/* Nobody may be waiting. NULL is fine. */
void resolver_free(struct resolver *r);
/* Takes other resolvers and forgets all answers. Questions under way go on. */
void resolver_configure(struct resolver *r, const struct policy_endpoint *all, size_t count);

/* Is the answer known? name: normalized; type: A or AAAA. */
bool resolver_known(const struct resolver *r, const char *name, uint16_t type,
		    struct dns_answer *ret);
/* Asks. 0: fn will be called, unless cancelled. -EBUSY: too many questions; -ENETUNREACH: no
 * resolver; or another -errno. */
MUST_USE int resolver_ask(struct resolver *r, const char *name, uint16_t type,
			  struct resolver_wait *w, resolver_fn *fn, void *arg);
/* Also of one that isn't waiting. */
void resolver_cancel(struct resolver_wait *w);

#endif
