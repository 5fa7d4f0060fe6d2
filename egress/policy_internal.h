/* SPDX-License-Identifier: Apache-2.0 */
/* policy_internal.h - what a policy is made of: for policy.c and policy_parse.c only. */
#ifndef EGRESS_POLICY_INTERNAL_H
#define EGRESS_POLICY_INTERNAL_H

#include "egress/policy.h"

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

#endif
