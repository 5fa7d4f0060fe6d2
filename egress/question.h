/* SPDX-License-Identifier: Apache-2.0 */
/*
 * question.h - a DNS question of the guest, from its bytes to the bytes of the answer, whichever
 * way it came. The loop's thread.
 *
 * What the policy has no use for is REFUSED and never leaves the host: a question is a message,
 * too. Addresses that no connection could be made to (addr_is_special) are left out of answers; if
 * none is left, the answer is REFUSED.
 */
#ifndef EGRESS_QUESTION_H
#define EGRESS_QUESTION_H

#include <stddef.h>
#include <stdint.h>

#include "egress/dns.h"
#include "egress/egress.h"
#include "egress/resolver.h"

struct question;
/* len 0: there is no answer to this. May be called from question_ask. */
typedef void question_fn(struct question *q, const uint8_t *answer, size_t len);

struct question {
	struct egress *egress;
	struct dns_query query;
	struct resolver_wait wait;
	question_fn *answered;
};

/* *q must be zero or one that was answered. */
void question_ask(struct question *q, struct egress *e, const void *msg, size_t len,
		  question_fn *answered);
/* Without an answer. Also of one that doesn't wait. */
void question_cancel(struct question *q);

#endif
