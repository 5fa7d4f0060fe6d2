/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "egress/policy_internal.h"

static bool port_is_web(uint16_t port)
{
	return port == POLICY_PORT_HTTP || port == POLICY_PORT_HTTPS;
}

/* port 0: any. */
static bool list_has(const struct dest_list *l, const struct addr *a, uint16_t port)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct dest *d = &l->all[i];

		if (!d->named && (d->port == 0 || port == 0 || d->port == port) &&
		    prefix_has(&d->prefix, a))
			return true;
	}
	return false;
}

static bool dest_takes_port(const struct dest *d, uint16_t port)
{
	return d->port == 0 ? port_is_web(port) : d->port == port;
}

bool policy_names(const struct policy *p, const char *name, uint16_t port)
{
	for (size_t i = 0; i < p->allow.count; i++) {
		const struct dest *d = &p->allow.all[i];

		if (d->named && dest_takes_port(d, port) && name_matches(&d->name, name))
			return true;
	}
	return false;
}

bool policy_lifts(const struct policy *p, const struct addr *a, uint16_t port)
{
	return list_has(&p->operator_allow, a, port);
}

bool policy_shows(const struct policy *p, const struct addr *a)
{
	return !addr_is_special(a) || policy_lifts(p, a, 0);
}

enum policy_verdict policy_wall(const struct policy *p, const struct addr *a, uint16_t port)
{
	if (addr_is_special(a) && !policy_lifts(p, a, port))
		return POLICY_DENY_SPECIAL;
	return list_has(&p->operator_deny, a, port) ? POLICY_DENY_OPERATOR : POLICY_ALLOW;
}

enum policy_verdict policy_decide(const struct policy *p, const char *name, const struct addr *a,
				  uint16_t port)
{
	enum policy_verdict wall = policy_wall(p, a, port);

	if (wall != POLICY_ALLOW)
		return wall;
	if ((name != NULL && policy_names(p, name, port)) || list_has(&p->allow, a, port))
		return POLICY_ALLOW;
	if (list_has(&p->deny, a, port))
		return POLICY_DENY_LISTED;
	return p->internet ? POLICY_ALLOW : POLICY_DENY_REST;
}

const char *policy_verdict_name(enum policy_verdict v)
{
	static const char *const names[] = {
		[POLICY_ALLOW] = "allow",
		[POLICY_DENY_SPECIAL] = "special",
		[POLICY_DENY_OPERATOR] = "operator",
		[POLICY_DENY_LISTED] = "denyOut",
		[POLICY_DENY_REST] = "not_allowed",
	};

	_Static_assert(ARRAY_SIZE(names) == POLICY_VERDICT_COUNT, "a word for each");
	return names[v];
}

bool policy_resolves(const struct policy *p, const char *name)
{
	if (p->internet)
		return true;
	for (size_t i = 0; i < p->allow.count; i++)
		if (p->allow.all[i].named && name_matches(&p->allow.all[i].name, name))
			return true;
	return false;
}

bool policy_wants_name(const struct policy *p, uint16_t port)
{
	if (p->rules_count > 0 && port_is_web(port))
		return true;
	for (size_t i = 0; i < p->allow.count; i++)
		if (p->allow.all[i].named && dest_takes_port(&p->allow.all[i], port))
			return true;
	return false;
}

const struct policy_rule *policy_rule_for(const struct policy *p, const char *name)
{
	const struct policy_rule *best = NULL;

	/* An exact name before "*.": then the longest. */
	for (size_t i = 0; i < p->rules_count; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (!name_matches(&r->host, name))
			continue;
		if (!r->host.below)
			return r;
		if (best == NULL || strlen(r->host.name) > strlen(best->host.name))
			best = r;
	}
	return best;
}

const struct policy_proxy *policy_proxy(const struct policy *p)
{
	return p->proxy.used ? &p->proxy : NULL;
}

bool policy_same_proxy(const struct policy *a, const struct policy *b)
{
	const struct policy_proxy *x = &a->proxy, *y = &b->proxy;

	if (!x->used || !y->used)
		return x->used == y->used;
	return strcmp(x->host, y->host) == 0 && addr_equal(&x->addr, &y->addr) &&
	       x->port == y->port && strcmp(x->user, y->user) == 0 &&
	       strcmp(x->password, y->password) == 0;
}

const struct policy_endpoint *policy_resolvers(const struct policy *p, size_t *ret_count)
{
	*ret_count = p->resolvers_count;
	return p->resolvers;
}

static void free_secret(char *s)
{
	if (s != NULL)
		explicit_bzero(s, strlen(s));
	free(s);
}

void policy_free(struct policy *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->rules_count; i++) {
		for (size_t k = 0; k < p->rules[i].count; k++) {
			free(p->rules[i].headers[k].name);
			free_secret(p->rules[i].headers[k].value);
		}
	}
	free(p->rules);
	free(p->allow.all);
	free(p->deny.all);
	free(p->operator_allow.all);
	free(p->operator_deny.all);
	explicit_bzero(p, sizeof(*p));
	free(p);
}
