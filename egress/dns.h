/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.h - DNS messages (RFC 1035): a guest's questions, a resolver's answers, and ours. Both sides
 * are hostile. Pure; fuzzed by fuzz/egress_dns.c.
 *
 * What a guest gets is built here from addresses; no byte of an upstream answer is passed on. So
 * there are answers to A and AAAA only; whatever else is asked gets an empty one (NODATA).
 */
#ifndef EGRESS_DNS_H
#define EGRESS_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "egress/addr.h"
#include "egress/name.h"

#define DNS_UDP_MAX  512U   /* neither side is offered more (EDNS) */
#define DNS_TCP_MAX  16384U /* of an answer that is read */
#define DNS_WIRE_MAX 255U   /* a name with its lengths */

enum { DNS_TYPE_A = 1, DNS_TYPE_CNAME = 5, DNS_TYPE_AAAA = 28 };

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
};

struct dns_query {
	uint16_t id;
	bool recursion; /* desired */
	bool asked;	/* there is a question: what follows holds */
	uint16_t type, class;
	uint8_t wire[DNS_WIRE_MAX]; /* the name as it came, to be sent back letter by letter */
	size_t wire_len;
	char name[NAME_CAP]; /* "" = no name that we compare: "a b.example", the root */
};

/*
 * A guest's message. 0; or the rcode to answer it with (*ret is filled as far as dns_answer_build
 * needs); or -EBADMSG: not to be answered at all (too short, or itself an answer).
 * Exactly one question, its name uncompressed; behind it at most an OPT record, which is ignored.
 */
MUST_USE int dns_query_parse(const void *msg, size_t len, struct dns_query *ret);

/* The answer to q: its length, at most DNS_UDP_MAX. count <= EGRESS_ADDRS_MAX, all of q's type. */
size_t dns_answer_build(uint8_t out[DNS_UDP_MAX], const struct dns_query *q, enum dns_rcode rcode,
			const struct addr *addrs, size_t count, uint32_t ttl);

/* A question to a resolver. name: normalized. Its length. */
size_t dns_query_build(uint8_t out[DNS_UDP_MAX], uint16_t id, const char *name, uint16_t type);

struct dns_answer {
	enum dns_rcode rcode;
	bool truncated; /* ask again by TCP; there is nothing else in here */
	struct addr addrs[EGRESS_ADDRS_MAX];
	size_t count;
	uint32_t ttl; /* the least of the chain's, seconds; 0 without addresses */
};

/*
 * A resolver's answer to dns_query_build(id, name, type): follows the CNAMEs from name, in their
 * order, to addresses. 0 or -EBADMSG: not the answer to this question, or malformed.
 */
MUST_USE int dns_answer_parse(const void *msg, size_t len, uint16_t id, const char *name,
			      uint16_t type, struct dns_answer *ret);

#endif
