/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/question.h"

#include <errno.h>

#include "base/log.h"
#include "base/num.h"

static void answer(struct question *q, enum dns_rcode rcode, const struct addr *addrs, size_t count,
		   uint32_t ttl)
{
	uint8_t out[DNS_UDP_MAX];
	size_t len = dns_answer_build(out, &q->query, rcode, addrs, count, ttl);

	q->answered(q, out, len);
}

static void refuse(struct question *q, const char *why)
{
	static struct log_limit lim = LOG_LIMIT(5);

	count_add(&q->egress->counts, COUNT_DNS_REFUSED, 1);
	if (log_allowed(&lim))
		log_info("dns.refused", "name=%s type=%u why=%s", q->query.name, q->query.type,
			 why);
	answer(q, DNS_REFUSED, NULL, 0, 0);
}

static void give(struct question *q, const struct dns_answer *a)
{
	struct addr addrs[EGRESS_ADDRS_MAX];
	const struct policy *p = q->egress->policy;
	size_t n = 0;

	/* The policy may have changed since it was asked. */
	if (p == NULL || !policy_resolves(p, q->query.name)) {
		refuse(q, "policy");
		return;
	}
	for (size_t i = 0; i < a->count; i++)
		if (policy_shows(p, &a->addrs[i]))
			addrs[n++] = a->addrs[i];
	count_add(&q->egress->counts, COUNT_DNS_REBOUND, a->count - n);
	if (n == 0 && a->count > 0)
		refuse(q, "special_address");
	else
		answer(q, a->rcode, addrs, n, MIN(a->ttl, EGRESS_TTL_MAX));
}

static void on_resolved(void *arg, int result, const struct dns_answer *a)
{
	struct question *q = arg;

	if (result < 0)
		answer(q, DNS_SERVFAIL, NULL, 0, 0);
	else
		give(q, a);
}

void question_ask(struct question *q, struct egress *e, const void *msg, size_t len,
		  question_fn *answered)
{
	struct dns_answer known;
	int r = dns_query_parse(msg, len, &q->query);

	q->egress = e;
	q->answered = answered;
	count_add(&e->counts, COUNT_DNS_QUESTIONS, 1);
	if (r < 0) {
		answered(q, NULL, 0);
	} else if (r > 0) {
		answer(q, (enum dns_rcode)r, NULL, 0, 0);
	} else if (e->policy == NULL || !policy_resolves(e->policy, q->query.name)) {
		refuse(q, "policy");
	} else if (q->query.type != DNS_TYPE_A && q->query.type != DNS_TYPE_AAAA) {
		answer(q, DNS_NOERROR, NULL, 0, 0);
	} else if (resolver_known(e->resolver, q->query.name, q->query.type, &known)) {
		count_add(&e->counts, COUNT_DNS_CACHED, 1);
		give(q, &known);
	} else if (resolver_ask(e->resolver, q->query.name, q->query.type, &q->wait, on_resolved,
				q) < 0) {
		answer(q, DNS_SERVFAIL, NULL, 0, 0);
	}
}

void question_cancel(struct question *q)
{
	resolver_cancel(&q->wait);
}
