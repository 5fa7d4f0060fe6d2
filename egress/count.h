/* SPDX-License-Identifier: Apache-2.0 */
/* count.h - what casemate-egress counts since it started; `status` tells it. One thread. */
#ifndef EGRESS_COUNT_H
#define EGRESS_COUNT_H

#include <stdint.h>

/* COUNT(symbol, name): the one list. */
#define COUNTS(COUNT)                                         \
	COUNT(ACCEPTED, "connections_accepted")               \
	COUNT(CONNECTED, "connections_connected")             \
	COUNT(DENIED_SPECIAL, "connections_denied_special")   \
	COUNT(DENIED_POLICY, "connections_denied_policy")     \
	COUNT(DENIED_NAME, "connections_denied_name")         \
	COUNT(FAILED, "connections_failed")                   \
	COUNT(TIMED_OUT, "connections_timed_out")             \
	COUNT(ENDED_BY_POLICY, "connections_ended_by_policy") \
	COUNT(BYTES_OUT, "bytes_out")                         \
	COUNT(BYTES_IN, "bytes_in")                           \
	COUNT(HEADERS_SET, "requests_with_headers_set")       \
	COUNT(DNS_QUESTIONS, "dns_questions")                 \
	COUNT(DNS_REFUSED, "dns_refused")                     \
	COUNT(DNS_CACHED, "dns_answered_from_cache")          \
	COUNT(DNS_UPSTREAM, "dns_asked_upstream")             \
	COUNT(DNS_OVERLOAD, "dns_dropped_overload")           \
	COUNT(DNS_FAILED, "dns_failed")                       \
	COUNT(DNS_FORGED, "dns_answers_not_ours")             \
	COUNT(DNS_REBOUND, "dns_addresses_dropped")           \
	COUNT(POLICIES, "policies_taken")

enum count {
#define COUNT_ENUM(symbol, name) COUNT_##symbol,
	COUNTS(COUNT_ENUM)
#undef COUNT_ENUM
		COUNT_COUNT
};

struct counts {
	uint64_t v[COUNT_COUNT];
};

static inline void count_add(struct counts *c, enum count which, uint64_t n)
{
	c->v[which] += n;
}

const char *count_name(enum count which);

#endif
