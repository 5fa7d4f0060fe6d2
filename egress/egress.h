/* SPDX-License-Identifier: Apache-2.0 */
/* egress.h - what the parts of casemate-egress share: the loop, the policy of now, the counters. */
#ifndef EGRESS_EGRESS_H
#define EGRESS_EGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "egress/count.h"
#include "egress/policy.h"

struct authority;
struct resolver;

struct egress {
	struct loop *loop;
	struct policy *policy; /* NULL before the first: nothing is allowed */
	struct resolver *resolver;
	struct counts counts;
	int routes;		     /* route_open's */
	struct authority *authority; /* NULL: no TLS ends here */
	unsigned intercepts;	     /* that there are */
};

/*
 * policy_decide, and this host's own addresses (route.h), which are special here.
 */
enum policy_verdict egress_decide(const struct egress *e, const char *name, const struct addr *a,
				  uint16_t port);
/* The same without what the tenant's lists say: an address that nothing may be connected to. */
bool egress_walled(const struct egress *e, const struct addr *a, uint16_t port);

#endif
