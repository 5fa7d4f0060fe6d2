/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/egress.h"

#include "egress/route.h"

static bool is_own_unless_lifted(const struct egress *e, const struct addr *a, uint16_t port)
{
	return !policy_lifts(e->policy, a, port) && route_is_own(e->routes, a);
}

enum policy_verdict egress_decide(const struct egress *e, const char *name, const struct addr *a,
				  uint16_t port)
{
	enum policy_verdict v;

	if (e->policy == NULL)
		return POLICY_DENY_REST;
	v = policy_decide(e->policy, name, a, port);
	if (v == POLICY_ALLOW && is_own_unless_lifted(e, a, port))
		return POLICY_DENY_SPECIAL;
	return v;
}

bool egress_walled(const struct egress *e, const struct addr *a, uint16_t port)
{
	return e->policy == NULL || policy_wall(e->policy, a, port) != POLICY_ALLOW ||
	       is_own_unless_lifted(e, a, port);
}
