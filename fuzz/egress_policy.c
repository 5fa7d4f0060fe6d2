/* SPDX-License-Identifier: Apache-2.0 */
/* A policy document: what is accepted keeps to its ceilings, and the walls stand whatever it says:
 * no tenant's field lifts a special address. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/bug.h"
#include "egress/policy.h"

static const char *const special[] = { "127.0.0.1", "169.254.169.254", "10.0.0.1", "::1",
				       "fe80::1" };

static void check(const struct policy *p)
{
	const struct policy_rule *r = policy_rule_for(p, "api.example.org");
	size_t n;

	(void)policy_resolvers(p, &n);
	BUG_ON(n > EGRESS_RESOLVERS_MAX);
	BUG_ON(r != NULL && r->count > EGRESS_HEADERS_MAX);
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		struct addr a;

		BUG_ON(addr_parse(special[i], &a) < 0);
		BUG_ON(!policy_lifts(p, &a, 80) &&
		       policy_decide(p, "api.example.org", &a, 80) != POLICY_DENY_SPECIAL);
	}
	if (policy_names(p, "api.example.org", 443))
		BUG_ON(!policy_resolves(p, "api.example.org") || !policy_wants_name(p, 443));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct policy *p;
	int r = policy_parse((const char *)data, size, &p, &err);

	BUG_ON(r > 0 || (r < 0 && err.code != r));
	if (r < 0)
		return 0;
	check(p);
	policy_free(p);
	return 0;
}
