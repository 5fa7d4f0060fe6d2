/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - what a sandbox may reach: JSON in, checked tables out, and the decisions. Pure.
 * Fuzzed by fuzz/egress_policy.c. casemate-egress(8) describes the document.
 *
 * The order of decision, for an address that is about to be connected to:
 *   1. a special address (addr.h) is denied unless the operator allows it;
 *   2. what the operator denies is denied;
 *   3. what allowOut has is allowed: the name that the address was resolved from, or the address;
 *   4. what denyOut has is denied;
 *   5. the rest is as allow_internet_access says, which is false unless given.
 * A policy that says nothing allows nothing.
 */
#ifndef EGRESS_POLICY_H
#define EGRESS_POLICY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "egress/addr.h"
#include "egress/limits.h"
#include "egress/name.h"

enum policy_verdict {
	POLICY_ALLOW,
	POLICY_DENY_SPECIAL,
	POLICY_DENY_OPERATOR,
	POLICY_DENY_LISTED,
	POLICY_DENY_REST,
	POLICY_VERDICT_COUNT
};

struct policy_header {
	char *name;
	char *value;
};

/* What is put into each HTTP request to a name. The values are secrets. */
struct policy_rule {
	struct name_pattern host;
	struct policy_header headers[EGRESS_HEADERS_MAX];
	size_t count;
};

struct policy_endpoint {
	struct addr addr;
	uint16_t port;
};

/* A SOCKS5 server that carries all connections. host is a name, or "" and addr holds. */
struct policy_proxy {
	bool used;
	char host[NAME_CAP];
	struct addr addr;
	uint16_t port;
	char user[EGRESS_SECRET_MAX + 1]; /* "" = no authentication */
	char password[EGRESS_SECRET_MAX + 1];
};

struct policy;

/* 0 and *ret, or -EINVAL, -E2BIG, -ENOMEM with the reason in *err, which never has a secret. */
MUST_USE int policy_parse(const char *text, size_t len, struct policy **ret, struct err *err);
/* The same for a document that has been read: nothing of it is kept. */
MUST_USE int policy_from_json(const json_t *document, struct policy **ret, struct err *err);
/* Has it headers to set? */
bool policy_has_headers(const struct policy *p);
/* Could they be set if all TLS were refused? -EINVAL and *err: a name with headers is allowed for
 * port 443 alone. */
MUST_USE int policy_check_plain(const struct policy *p, struct err *err);
/* Wipes the secrets. NULL is fine. */
void policy_free(struct policy *p);

/* May a connection go to this address? name: normalized, and the address is what it was resolved
 * to by us; NULL: an address that the guest chose. */
enum policy_verdict policy_decide(const struct policy *p, const char *name, const struct addr *a,
				  uint16_t port);
/* Only the steps 1 and 2: POLICY_ALLOW when neither forbids it. */
enum policy_verdict policy_wall(const struct policy *p, const struct addr *a, uint16_t port);
/* The word for logs and counters. */
const char *policy_verdict_name(enum policy_verdict v);

/* Does allowOut name it, for this port? Without a port of its own an entry is for 80 and 443. */
bool policy_names(const struct policy *p, const char *name, uint16_t port);
/* May the guest have it resolved? What no connection could be made to is not asked for. */
bool policy_resolves(const struct policy *p, const char *name);
/* May the guest be told this address of a name? Not a special one that the operator hasn't lifted.
 */
bool policy_shows(const struct policy *p, const struct addr *a);
/* Must the first bytes be read to decide about a connection to this port? */
bool policy_wants_name(const struct policy *p, uint16_t port);
/* Has the operator allowed it though it is special, or this host's own? */
bool policy_lifts(const struct policy *p, const struct addr *a, uint16_t port);
/* The headers for requests to name, NULL = none. Lives as long as p. */
const struct policy_rule *policy_rule_for(const struct policy *p, const char *name);

const struct policy_proxy *policy_proxy(const struct policy *p); /* NULL = none */
bool policy_same_proxy(const struct policy *a, const struct policy *b);
/* Where names are asked for; *ret_count may be 0. */
const struct policy_endpoint *policy_resolvers(const struct policy *p, size_t *ret_count);

#endif
