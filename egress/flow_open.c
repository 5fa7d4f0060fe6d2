/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a connection goes. Theory of operation:
 *
 *   name known, and allowed or to get headers -> look the name up -> check each address -> connect
 *   else                                      -> check the dialled address               -> connect
 *
 * With a SOCKS5 server the connection goes to that, whose own address must not be special either.
 * For a name that the policy lists, the server is told the name and resolves it itself, as E2B's
 * contract says: the address is then one of the server's world, not of this host's.
 */
#include <errno.h>
#include <string.h>

#include "egress/flow_internal.h"

static void connect_plan(struct flow *f);

static void on_dialled(void *arg, int fd, size_t at)
{
	struct flow *f = arg;

	f->dial = NULL;
	if (fd < 0) {
		flow_fail(f, fd);
		return;
	}
	f->target = f->plan.proxy == NULL ? f->plan.addrs[at] : f->plan.target;
	flow_connected(f, fd);
}

static void start_dial(struct flow *f)
{
	int r = dial_new(f->egress->loop, &f->plan, on_dialled, f, &f->dial);

	if (r < 0)
		flow_fail(f, r);
}

static void refuse(struct flow *f, enum policy_verdict v)
{
	flow_refuse(f, v == POLICY_DENY_SPECIAL ? COUNT_DENIED_SPECIAL : COUNT_DENIED_POLICY,
		    policy_verdict_name(v));
}

/* The SOCKS5 server's addresses are the plan's now, and the target is what they were. */
static void connect_proxy(struct flow *f, const struct policy_proxy *x, const struct addr *addrs,
			  size_t count)
{
	f->plan.target = f->plan.addrs[0];
	f->plan.target_port = f->port;
	f->plan.name = f->remote ? f->sniff.name : NULL;
	f->plan.proxy = x;
	f->plan.port = x->port;
	f->plan.count = 0;
	for (size_t i = 0; i < count && f->plan.count < EGRESS_DIAL_MAX; i++)
		if (!egress_walled(f->egress, &addrs[i], x->port))
			f->plan.addrs[f->plan.count++] = addrs[i];
	if (f->plan.count == 0)
		flow_refuse(f, COUNT_DENIED_SPECIAL, "special_proxy");
	else
		start_dial(f);
}

/* The name's addresses, as far as they are allowed; the one that the guest has dialled first. */
static void take_addresses(struct flow *f, const struct dns_answer *a)
{
	enum policy_verdict last = POLICY_DENY_REST;

	f->plan.count = 0;
	for (size_t i = 0; i < a->count; i++) {
		enum policy_verdict v =
			egress_decide(f->egress, f->sniff.name, &a->addrs[i], f->port);
		size_t n = f->plan.count;

		if (v != POLICY_ALLOW) {
			last = v;
			continue;
		}
		if (n > 0 && addr_equal(&a->addrs[i], &f->dialled)) {
			f->plan.addrs[n < EGRESS_DIAL_MAX ? n : n - 1] = f->plan.addrs[0];
			f->plan.addrs[0] = a->addrs[i];
		} else if (n < EGRESS_DIAL_MAX) {
			f->plan.addrs[n] = a->addrs[i];
		}
		f->plan.count += n < EGRESS_DIAL_MAX;
	}
	if (a->count == 0)
		flow_fail(f, -EHOSTUNREACH);
	else if (f->plan.count == 0)
		refuse(f, last);
	else
		connect_plan(f);
}

static void on_resolved(void *arg, int result, const struct dns_answer *a)
{
	struct flow *f = arg;
	const struct policy_proxy *x = policy_proxy(f->egress->policy);

	if (result < 0)
		flow_fail(f, result);
	else if (!f->for_proxy)
		take_addresses(f, a);
	else if (a->count == 0)
		flow_fail(f, -EHOSTUNREACH);
	else
		connect_proxy(f, x, a->addrs, a->count);
}

static void look_up(struct flow *f, const char *name, uint16_t type)
{
	struct dns_answer known;
	int r;

	if (resolver_known(f->egress->resolver, name, type, &known)) {
		on_resolved(f, 0, &known);
		return;
	}
	r = resolver_ask(f->egress->resolver, name, type, &f->wait, on_resolved, f);
	if (r < 0)
		flow_fail(f, r);
}

/* The target is known. Directly, or by the SOCKS5 server? */
static void connect_plan(struct flow *f)
{
	const struct policy_proxy *x = policy_proxy(f->egress->policy);

	if (x == NULL) {
		start_dial(f);
	} else if (x->host[0] == '\0') {
		connect_proxy(f, x, &x->addr, 1);
	} else {
		f->for_proxy = true;
		look_up(f, x->host, DNS_TYPE_A);
	}
}

static void open_by_name(struct flow *f, bool listed)
{
	f->by_name = true;
	f->remote = listed && policy_proxy(f->egress->policy) != NULL;
	if (f->remote) {
		f->plan.addrs[0] = f->dialled; /* not used: the name is */
		f->plan.count = 1;
		connect_plan(f);
		return;
	}
	look_up(f, f->sniff.name, addr_is_v4(&f->dialled) ? DNS_TYPE_A : DNS_TYPE_AAAA);
}

static void open_by_address(struct flow *f)
{
	enum policy_verdict v = egress_decide(f->egress, NULL, &f->dialled, f->port);

	if (v == POLICY_ALLOW) {
		f->plan.addrs[0] = f->dialled;
		f->plan.count = 1;
		connect_plan(f);
	} else if (f->sniff.name[0] != '\0' && v != POLICY_DENY_SPECIAL) {
		flow_refuse(f, COUNT_DENIED_NAME, "name");
	} else {
		refuse(f, v);
	}
}

void flow_open(struct flow *f)
{
	const struct policy *p = f->egress->policy;
	const char *name = f->sniff.name;
	const struct policy_rule *rule;
	bool listed;

	f->state = FLOW_OPEN;
	f->plan = (struct dial_plan){ .port = f->port };
	f->by_name = f->remote = f->for_proxy = f->secure = false;
	if (p == NULL || name[0] == '\0') {
		open_by_address(f);
		return;
	}
	listed = policy_names(p, name, f->port);
	rule = policy_rule_for(p, name);
	f->secure = rule != NULL && rule->count > 0 && f->sniff.kind == SNIFF_TLS;
	/* The request would go without the headers that it is to have: see casemate-egress(8). */
	if (f->secure && f->egress->authority == NULL)
		flow_refuse(f, COUNT_DENIED_NAME, "headers_need_http");
	else if (listed || (rule != NULL && rule->count > 0))
		open_by_name(f, listed);
	else
		open_by_address(f);
}

void flow_open_cancel(struct flow *f)
{
	resolver_cancel(&f->wait);
	dial_free(f->dial);
	f->dial = NULL;
}
