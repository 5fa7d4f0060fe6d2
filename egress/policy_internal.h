/* SPDX-License-Identifier: Apache-2.0 */
/* policy_internal.h - what a policy is made of: for policy.c, policy_parse.c and policy_rules.c
 * only. */
#ifndef EGRESS_POLICY_INTERNAL_H
#define EGRESS_POLICY_INTERNAL_H

#include "egress/policy.h"

#define POLICY_PORT_HTTP  80U
#define POLICY_PORT_HTTPS 443U

/* A name or a prefix, and a port (0 = see policy_names; of a prefix: any). */
struct dest {
	bool named;
	uint16_t port;
	union {
		struct name_pattern name;
		struct prefix prefix;
	};
};

struct dest_list {
	struct dest *all;
	size_t count;
	bool any_names;
};

struct policy {
	struct dest_list allow, deny;
	struct dest_list operator_allow, operator_deny;
	bool internet;
	struct policy_rule *rules;
	size_t rules_count;
	struct policy_proxy proxy;
	struct policy_endpoint resolvers[EGRESS_RESOLVERS_MAX];
	size_t resolvers_count;
};

/* policy_rules.c: the member of the document; and, when all of it has been read, whether the rules
 * can be kept. 0 or -errno with err. */
MUST_USE int policy_take_rules(const json_t *v, struct policy *p, struct err *err);

#endif
