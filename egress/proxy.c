/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "egress/flow.h"
#include "egress/resolver.h"

#define ROUND_MAX 16U /* connections a turn of the loop */

struct proxy {
	struct egress *egress;
	size_t max, count;
	bool paused;
	struct loop_timer *breathe;
	struct loop_io *listeners[PROXY_LISTENERS_MAX];
	size_t listeners_count;
	struct flow *flows[EGRESS_FLOWS_MAX]; /* NULL = free */
};

int proxy_new(struct egress *e, size_t max, struct proxy **ret)
{
	struct proxy *p = calloc(1, sizeof(*p));

	BUG_ON(max == 0 || max > EGRESS_FLOWS_MAX);
	if (p == NULL)
		return -ENOMEM;
	p->egress = e;
	p->max = max;
	*ret = p;
	return 0;
}

static void set_paused(struct proxy *p, bool paused)
{
	for (size_t i = 0; i < p->listeners_count; i++)
		BUG_ON(loop_io_set(p->listeners[i], paused ? 0 : EPOLLIN) < 0);
	p->paused = paused;
}

static void on_breathed(void *arg)
{
	struct proxy *p = arg;

	p->breathe = NULL;
	set_paused(p, p->count == p->max);
}

static void on_flow_ended(struct flow *f, void *arg)
{
	struct proxy *p = arg;
	size_t i = 0;

	while (i < EGRESS_FLOWS_MAX && p->flows[i] != f)
		i++;
	BUG_ON(i == EGRESS_FLOWS_MAX);
	p->flows[i] = NULL;
	p->count--;
	if (p->paused && p->breathe == NULL)
		set_paused(p, false);
}

/* False: there is no other one now, or there may be no other one. */
static bool accept_one(struct proxy *p, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	size_t i = 0;

	if (fd < 0 && errno == ECONNABORTED)
		return true;
	if (fd < 0) {
		/* Descriptors or memory: it would be reported at once again. */
		if (errno != EAGAIN && errno != EINTR &&
		    loop_timer_add(p->egress->loop, EGRESS_BREATHE_MS, on_breathed, p,
				   &p->breathe) == 0)
			set_paused(p, true);
		return false;
	}
	count_add(&p->egress->counts, COUNT_ACCEPTED, 1);
	while (i < EGRESS_FLOWS_MAX && p->flows[i] != NULL)
		i++;
	BUG_ON(i == EGRESS_FLOWS_MAX);
	if (flow_new(p->egress, fd, on_flow_ended, p, &p->flows[i]) < 0) {
		count_add(&p->egress->counts, COUNT_FAILED, 1);
		return true;
	}
	if (++p->count < p->max)
		return true;
	set_paused(p, true);
	return false;
}

static void on_connections(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct proxy *p = arg;

	(void)io;
	(void)events;
	/* Another listener of the same turn may have filled it. */
	for (unsigned i = 0; i < ROUND_MAX && !p->paused; i++)
		if (!accept_one(p, fd))
			break;
}

int proxy_listen(struct proxy *p, int fd)
{
	int r;

	if (p->listeners_count == PROXY_LISTENERS_MAX)
		return -E2BIG;
	r = loop_io_add(p->egress->loop, fd, EPOLLIN, on_connections, p,
			&p->listeners[p->listeners_count]);
	if (r == 0)
		p->listeners_count++;
	return r;
}

size_t proxy_set_policy(struct proxy *p, struct policy *policy)
{
	struct egress *e = p->egress;
	struct policy *old = e->policy;
	const struct policy_endpoint *resolvers;
	size_t count;
	uint64_t before = e->counts.v[COUNT_ENDED_BY_POLICY];

	e->policy = policy;
	resolvers = policy_resolvers(policy, &count);
	resolver_configure(e->resolver, resolvers, count);
	count_add(&e->counts, COUNT_POLICIES, 1);
	for (size_t i = 0; old != NULL && i < EGRESS_FLOWS_MAX; i++)
		if (p->flows[i] != NULL)
			flow_policy_changed(p->flows[i], old);
	policy_free(old);
	return (size_t)(e->counts.v[COUNT_ENDED_BY_POLICY] - before);
}

size_t proxy_count(const struct proxy *p)
{
	return p->count;
}

void proxy_free(struct proxy *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < EGRESS_FLOWS_MAX; i++)
		flow_free(p->flows[i]);
	for (size_t i = 0; i < p->listeners_count; i++)
		loop_io_del(p->listeners[i]);
	loop_timer_del(p->breathe);
	free(p);
}
