/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - every ceiling of casemate-egress in one place. */
#ifndef EGRESS_LIMITS_H
#define EGRESS_LIMITS_H

/* Names and addresses. */
#define EGRESS_NAME_MAX	 253U /* characters of a domain name (RFC 1035), without NUL */
#define EGRESS_LABEL_MAX 63U
#define EGRESS_ADDRS_MAX 8U /* of one answer that are kept; so that every answer fits 512 bytes */

/* The policy. */
#define EGRESS_DESTS_MAX     256U  /* entries of each list */
#define EGRESS_RULES_MAX     64U   /* hosts with headers */
#define EGRESS_HEADERS_MAX   16U   /* of one host */
#define EGRESS_HEADER_BYTES  8192U /* of all headers of one host, as they are sent */
#define EGRESS_RESOLVERS_MAX 3U
#define EGRESS_SECRET_MAX    255U /* user and password of a SOCKS5 proxy (RFC 1929) */

/* What a guest sends before it is known where to. */
#define EGRESS_HELLO_MAX   12288U /* bytes of a ClientHello with its record headers */
#define EGRESS_RECORDS_MAX 32U	  /* records that it may be cut into */
#define EGRESS_SNIFF_MS	   5000U  /* from the connection to the last byte of hello or head */

/* The resolver. */
#define EGRESS_CACHE_MAX       256U
#define EGRESS_QUERIES_MAX     64U   /* on their way upstream */
#define EGRESS_QUERY_BURST     100U  /* a bucket of queries that upstream gets... */
#define EGRESS_QUERY_RATE      50U   /* ...and how many a second fill it */
#define EGRESS_QUERY_MS	       1500U /* an answer is waited for */
#define EGRESS_QUERY_TRIES     3U
#define EGRESS_TTL_MIN	       5U /* seconds that an answer is kept at least */
#define EGRESS_TTL_MAX	       300U
#define EGRESS_TTL_NEGATIVE    10U
#define EGRESS_DNS_PENDING_MAX 128U /* questions of the guest that wait */
#define EGRESS_DNS_CONNS_MAX   8U   /* its connections to port 53 */
#define EGRESS_DNS_IDLE_MS     10000U

/* Connections. */
#define EGRESS_FLOWS_MAX 512U /* the most that --connections takes */
#define EGRESS_FLOWS	 128U
#define EGRESS_DIAL_MAX	 4U	/* addresses that are tried */
#define EGRESS_DIAL_MS	 10000U /* each */
#define EGRESS_IDLE_MS	 600000U
#define EGRESS_TLS_MAX	 64U	/* connections whose TLS ends here */
#define EGRESS_TLS_MS	 10000U /* each of their two handshakes */
#define EGRESS_LIFE_MS	 43200000U

/* After an accept that failed for want of something of the host's. */
#define EGRESS_BREATHE_MS 100U

#endif
