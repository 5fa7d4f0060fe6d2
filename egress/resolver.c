/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "egress/cache.h"

#define FORGED_MAX 16U /* wrong answers to one question; then its port is given up */

struct resolver_query {
	struct resolver *resolver;
	struct resolver_wait *waits;
	struct loop_io *io;
	struct loop_timer *timer;
	int fd; /* -1 = between two tries */
	bool used;
	bool stream;  /* by TCP */
	unsigned try; /* how many have begun */
	unsigned forged;
	uint16_t id, type;
	char name[NAME_CAP];
	uint8_t *in; /* of TCP: the length and what has come */
	size_t in_len;
};

struct resolver {
	struct loop *loop;
	struct counts *counts;
	struct cache *cache;
	struct policy_endpoint upstream[EGRESS_RESOLVERS_MAX];
	size_t upstream_count;
	struct resolver_query queries[EGRESS_QUERIES_MAX];
	uint64_t tokens_ms; /* a bucket: questions times the time that one takes to earn */
	uint64_t filled_ms;
};

#define TOKEN_MS (1000U / EGRESS_QUERY_RATE)

static void query_next(struct resolver_query *q);

int resolver_new(struct loop *l, struct counts *counts, struct resolver **ret)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int e;

	if (r == NULL)
		return -ENOMEM;
	r->loop = l;
	r->counts = counts;
	r->tokens_ms = EGRESS_QUERY_BURST * TOKEN_MS;
	r->filled_ms = now_ms();
	for (size_t i = 0; i < EGRESS_QUERIES_MAX; i++)
		r->queries[i].fd = -1;
	e = cache_new(&r->cache);
	if (e < 0) {
		free(r);
		return e;
	}
	*ret = r;
	return 0;
}

/* Ends the try that is under way. */
static void query_hang_up(struct resolver_query *q)
{
	loop_io_del(q->io);
	q->io = NULL;
	loop_timer_del(q->timer);
	q->timer = NULL;
	fd_closep(&q->fd);
	free(q->in);
	q->in = NULL;
	q->in_len = 0;
	q->stream = false;
}

static void query_release(struct resolver_query *q)
{
	query_hang_up(q);
	q->used = false;
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < EGRESS_QUERIES_MAX; i++) {
		BUG_ON(r->queries[i].used && r->queries[i].waits != NULL);
		query_release(&r->queries[i]);
	}
	cache_free(r->cache);
	free(r);
}

void resolver_configure(struct resolver *r, const struct policy_endpoint *all, size_t count)
{
	BUG_ON(count > EGRESS_RESOLVERS_MAX);
	for (size_t i = 0; i < count; i++)
		r->upstream[i] = all[i];
	r->upstream_count = count;
	cache_clear(r->cache);
}

bool resolver_known(const struct resolver *r, const char *name, uint16_t type,
		    struct dns_answer *ret)
{
	return cache_get(r->cache, name, type, now_ms(), ret);
}

/* Tells all that wait. A callback may ask again, or cancel another wait of the same query. */
static void query_finish(struct resolver_query *q, int result, const struct dns_answer *a)
{
	query_hang_up(q);
	while (q->waits != NULL) {
		struct resolver_wait *w = q->waits;

		q->waits = w->next;
		w->query = NULL;
		w->fn(w->arg, result, a);
	}
	q->used = false;
}

static void query_answered(struct resolver_query *q, const struct dns_answer *a)
{
	/* Its trouble, not the name's: another one may know. */
	if (a->rcode != DNS_NOERROR && a->rcode != DNS_NXDOMAIN) {
		query_next(q);
		return;
	}
	cache_put(q->resolver->cache, q->name, q->type, a, now_ms());
	query_finish(q, 0, a);
}

static void on_timeout(void *arg)
{
	struct resolver_query *q = arg;

	q->timer = NULL;
	query_next(q);
}

static int query_open(struct resolver_query *q, int type, loop_io_fn *fn)
{
	const struct policy_endpoint *to;
	struct sockaddr_storage ss;
	socklen_t len;
	int r;

	/* A policy without any may have come since the last try. */
	if (q->resolver->upstream_count == 0)
		return -ENETUNREACH;
	to = &q->resolver->upstream[(q->try - 1) % q->resolver->upstream_count];
	len = addr_to_sockaddr(&to->addr, to->port, &ss);
	q->fd = socket(ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->fd < 0)
		return -errno;
	/* The kernel chooses the port, at random. */
	if (connect(q->fd, (const struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return -errno;
	r = loop_io_add(q->resolver->loop, q->fd, type == SOCK_DGRAM ? EPOLLIN : EPOLLOUT, fn, q,
			&q->io);
	if (r == 0)
		r = loop_timer_add(q->resolver->loop, EGRESS_QUERY_MS, on_timeout, q, &q->timer);
	return r;
}

static int random_id(uint16_t *ret)
{
	ssize_t n = getrandom(ret, sizeof(*ret), 0);

	return n == (ssize_t)sizeof(*ret) ? 0 : -EIO;
}

static bool stream_send(struct resolver_query *q)
{
	uint8_t msg[2 + DNS_UDP_MAX];
	size_t len = dns_query_build(msg + 2, q->id, q->name, q->type);

	msg[0] = (uint8_t)(len >> 8);
	msg[1] = (uint8_t)len;
	/* A new connection takes a few hundred bytes at once, or something is wrong with it. */
	return send(q->fd, msg, len + 2, MSG_NOSIGNAL) == (ssize_t)(len + 2);
}

/* 0: more is to come; 1: all is there; -errno. */
static int stream_receive(struct resolver_query *q)
{
	size_t want = q->in_len < 2 ? 2 : 2U + (size_t)(q->in[0] << 8 | q->in[1]);
	ssize_t n;

	if (want > 2 + DNS_TCP_MAX)
		return -EMSGSIZE;
	if (q->in_len == want)
		return 1;
	n = recv(q->fd, q->in + q->in_len, want - q->in_len, 0);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
	q->in_len += (size_t)n;
	return q->in_len >= 2 && q->in_len == 2U + (size_t)(q->in[0] << 8 | q->in[1]);
}

static void on_stream(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct resolver_query *q = arg;
	struct dns_answer a;
	int r;

	(void)fd;
	if ((events & EPOLLOUT) != 0) {
		if (!stream_send(q) || loop_io_set(io, EPOLLIN) < 0)
			query_next(q);
		return;
	}
	r = stream_receive(q);
	if (r == 0)
		return;
	if (r < 0 || dns_answer_parse(q->in + 2, q->in_len - 2, q->id, q->name, q->type, &a) < 0 ||
	    a.truncated)
		query_next(q);
	else
		query_answered(q, &a);
}

/* The same resolver again, by TCP. */
static void query_stream(struct resolver_query *q)
{
	query_hang_up(q);
	q->stream = true;
	q->in = malloc(2 + DNS_TCP_MAX);
	if (q->in == NULL || random_id(&q->id) < 0 || query_open(q, SOCK_STREAM, on_stream) < 0)
		query_next(q);
}

static void on_datagram(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct resolver_query *q = arg;
	uint8_t msg[DNS_UDP_MAX];
	struct dns_answer a;
	ssize_t n = recv(fd, msg, sizeof(msg), MSG_DONTWAIT);

	(void)io;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) { /* nobody listens there */
		query_next(q);
		return;
	}
	if (dns_answer_parse(msg, (size_t)n, q->id, q->name, q->type, &a) < 0) {
		count_add(q->resolver->counts, COUNT_DNS_FORGED, 1);
		if (++q->forged >= FORGED_MAX)
			query_next(q);
		return;
	}
	if (a.truncated)
		query_stream(q);
	else
		query_answered(q, &a);
}

static int query_send(struct resolver_query *q)
{
	uint8_t msg[DNS_UDP_MAX];
	int r = random_id(&q->id);
	size_t len;

	if (r == 0)
		r = query_open(q, SOCK_DGRAM, on_datagram);
	if (r < 0)
		return r;
	len = dns_query_build(msg, q->id, q->name, q->type);
	return send(q->fd, msg, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -EIO;
}

static void on_give_up(void *arg)
{
	struct resolver_query *q = arg;

	q->timer = NULL;
	count_add(q->resolver->counts, COUNT_DNS_FAILED, 1);
	query_finish(q, -ETIMEDOUT, NULL);
}

/* The next try, at the next resolver. When there is none left the end is told from the loop: this
 * may still be inside of resolver_ask. */
static int query_try(struct resolver_query *q)
{
	while (q->try < EGRESS_QUERY_TRIES && q->resolver->upstream_count > 0) {
		query_hang_up(q);
		q->try++;
		q->forged = 0;
		if (query_send(q) == 0)
			return 0;
	}
	query_hang_up(q);
	return loop_timer_add(q->resolver->loop, 0, on_give_up, q, &q->timer);
}

/* The same from the loop, where the end can also be told at once. */
static void query_next(struct resolver_query *q)
{
	if (query_try(q) < 0)
		on_give_up(q);
}

/* May another question go upstream now? */
static bool take_token(struct resolver *r)
{
	uint64_t now = now_ms(), most = (uint64_t)EGRESS_QUERY_BURST * TOKEN_MS;

	r->tokens_ms = MIN(most, r->tokens_ms + (now - r->filled_ms));
	r->filled_ms = now;
	if (r->tokens_ms < TOKEN_MS)
		return false;
	r->tokens_ms -= TOKEN_MS;
	return true;
}

static struct resolver_query *query_find(struct resolver *r, const char *name, uint16_t type)
{
	for (size_t i = 0; i < EGRESS_QUERIES_MAX; i++) {
		struct resolver_query *q = &r->queries[i];

		/* One that is telling its result has no timer. */
		if (q->used && q->timer != NULL && q->type == type && strcmp(q->name, name) == 0)
			return q;
	}
	return NULL;
}

static struct resolver_query *query_new(struct resolver *r, const char *name, uint16_t type)
{
	size_t i = 0;
	struct resolver_query *q;

	while (i < EGRESS_QUERIES_MAX && r->queries[i].used)
		i++;
	if (i == EGRESS_QUERIES_MAX || !take_token(r))
		return NULL;
	q = &r->queries[i];
	*q = (struct resolver_query){ .resolver = r, .fd = -1, .used = true, .type = type };
	memcpy(q->name, name, strlen(name) + 1);
	count_add(r->counts, COUNT_DNS_UPSTREAM, 1);
	return q;
}

int resolver_ask(struct resolver *r, const char *name, uint16_t type, struct resolver_wait *w,
		 resolver_fn *fn, void *arg)
{
	struct resolver_query *q = query_find(r, name, type);
	bool fresh = q == NULL;

	BUG_ON(w->query != NULL);
	if (r->upstream_count == 0)
		return -ENETUNREACH;
	if (fresh)
		q = query_new(r, name, type);
	if (q == NULL) {
		count_add(r->counts, COUNT_DNS_OVERLOAD, 1);
		return -EBUSY;
	}
	*w = (struct resolver_wait){ .next = q->waits, .query = q, .fn = fn, .arg = arg };
	q->waits = w;
	if (fresh && query_try(q) < 0) {
		resolver_cancel(w);
		query_release(q);
		return -ENOMEM;
	}
	return 0;
}

void resolver_cancel(struct resolver_wait *w)
{
	struct resolver_wait **at;

	if (w->query == NULL)
		return;
	/* The question goes on: its answer will be remembered. */
	for (at = &w->query->waits; *at != w; at = &(*at)->next)
		BUG_ON(*at == NULL);
	*at = w->next;
	w->query = NULL;
}
