/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to a resolver of the test's own, whose answers come when the test says so. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "egress/resolver.h"

struct rig {
	struct loop *loop;
	struct resolver *resolver;
	struct counts counts;
	struct policy_endpoint upstream;
	int fd; /* the upstream's */
	struct resolver_wait wait;
	unsigned answered;
	int result;
	struct dns_answer answer;
};

static void on_answer(void *arg, int result, const struct dns_answer *a)
{
	struct rig *g = arg;

	g->answered++;
	g->result = result;
	if (result == 0)
		g->answer = *a;
	loop_stop(g->loop, 0);
}

static void open_rig(struct rig *g)
{
	struct sockaddr_storage ss;
	socklen_t len;

	*g = (struct rig){ 0 };
	cr_assert_eq(addr_parse("127.0.0.1", &g->upstream.addr), 0);
	len = addr_to_sockaddr(&g->upstream.addr, 0, &ss);
	g->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(g->fd, 0);
	cr_assert_eq(bind(g->fd, (struct sockaddr *)&ss, len), 0);
	cr_assert_eq(getsockname(g->fd, (struct sockaddr *)&ss, &len), 0);
	cr_assert_eq(addr_from_sockaddr(&ss, &g->upstream.addr, &g->upstream.port), 0);
	cr_assert_eq(loop_new(&g->loop), 0);
	cr_assert_eq(resolver_new(g->loop, &g->counts, &g->resolver), 0);
	resolver_configure(g->resolver, &g->upstream, 1);
}

static void close_rig(struct rig *g)
{
	resolver_cancel(&g->wait);
	resolver_free(g->resolver);
	loop_free(g->loop);
	fd_closep(&g->fd);
}

static void ask(struct rig *g)
{
	cr_assert_eq(resolver_ask(g->resolver, "a.example", DNS_TYPE_A, &g->wait, on_answer, g), 0);
}

/* The upstream's answer to the next question: one address, or "too long for a datagram". */
static void reply(struct rig *g, bool truncated)
{
	uint8_t msg[DNS_UDP_MAX], out[DNS_UDP_MAX];
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	ssize_t n = recvfrom(g->fd, msg, sizeof(msg), 0, (struct sockaddr *)&peer, &len);
	struct dns_query q;
	size_t size;

	cr_assert_gt(n, 0);
	cr_assert_eq(dns_query_parse(msg, (size_t)n, &q), 0);
	size = dns_answer_build(out, &q, DNS_NOERROR, &g->upstream.addr, truncated ? 0 : 1, 60);
	if (truncated)
		out[2] |= 2; /* TC */
	cr_assert_eq(sendto(g->fd, out, size, 0, (struct sockaddr *)&peer, len), (ssize_t)size);
}

Test(egress_resolver, an_answer)
{
	struct rig g;

	open_rig(&g);
	ask(&g);
	reply(&g, false);
	cr_assert_eq(loop_run(g.loop), 0);
	cr_assert_eq(g.answered, 1);
	cr_assert_eq(g.result, 0);
	cr_assert_eq(g.answer.count, 1);
	cr_assert(resolver_known(g.resolver, "a.example", DNS_TYPE_A, &g.answer));
	close_rig(&g);
}

/* Between a question and its answer, which wants to be asked for again by TCP. */
Test(egress_resolver, a_policy_without_resolvers_while_one_is_asked)
{
	struct rig g;

	open_rig(&g);
	ask(&g);
	reply(&g, true);
	resolver_configure(g.resolver, NULL, 0);
	cr_assert_eq(loop_run(g.loop), 0);
	cr_assert_eq(g.answered, 1);
	cr_assert_eq(g.result, -ETIMEDOUT);
	cr_assert_eq(resolver_ask(g.resolver, "a.example", DNS_TYPE_A, &g.wait, on_answer, &g),
		     -ENETUNREACH);
	close_rig(&g);
}
