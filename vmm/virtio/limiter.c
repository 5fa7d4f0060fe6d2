/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a bucket gains `rate` tokens a second up to `burst`. Only whole tokens are
 * added, and refill_ns moves on by exactly the time that they took, so that frequent questions
 * lose no fraction. What is asked for passes when the bucket holds it, or when the bucket is full
 * (then it goes into debt): so nothing waits for ever, and the average holds.
 *
 * Products of a rate and a time need up to 128 bits; nothing here overflows for any input.
 */
#include "vmm/virtio/limiter.h"

#include "base/num.h"

#define NS_PER_S UINT64_C(1000000000)
/* No burst and no charge is larger, so that sums of two fit into an int64_t. */
#define AMOUNT_MAX (INT64_MAX / 4)

__extension__ typedef unsigned __int128 u128;

static int64_t burst_of(const struct limit_bucket *b)
{
	uint64_t burst = b->burst != 0 ? b->burst : b->rate;

	return (int64_t)MIN(burst, (uint64_t)AMOUNT_MAX);
}

/* Adds what has come in since the last time. */
static void refill(struct limiter_bucket *b, uint64_t now_ns)
{
	int64_t full = burst_of(&b->limit);
	uint64_t elapsed, room;
	u128 gained;

	if (b->limit.rate == 0 || now_ns <= b->refill_ns)
		return;
	elapsed = now_ns - b->refill_ns;
	room = (uint64_t)(full - b->tokens);
	gained = (u128)elapsed * b->limit.rate / NS_PER_S;
	if (gained >= room) {
		b->tokens = full;
		b->refill_ns = now_ns;
		return;
	}
	b->tokens += (int64_t)gained;
	/* Rounded up: a fraction of a token is never counted twice. */
	b->refill_ns += (uint64_t)((gained * NS_PER_S + b->limit.rate - 1) / b->limit.rate);
}

static int64_t charge_of(uint64_t amount)
{
	return (int64_t)MIN(amount, (uint64_t)AMOUNT_MAX);
}

/* How long until `amount` may pass: 0 = now. b is refilled up to now. */
static uint64_t wait_for(const struct limiter_bucket *b, uint64_t amount, uint64_t now_ns)
{
	int64_t want = MIN(charge_of(amount), burst_of(&b->limit));
	uint64_t since = now_ns > b->refill_ns ? now_ns - b->refill_ns : 0;
	u128 ns;

	if (b->limit.rate == 0 || amount == 0 || b->tokens >= want)
		return 0;
	ns = ((u128)(uint64_t)(want - b->tokens) * NS_PER_S + b->limit.rate - 1) / b->limit.rate;
	if (ns <= since)
		return 1;
	return (uint64_t)MIN(ns - since, (u128)UINT64_MAX);
}

static void set_bucket(struct limiter_bucket *b, const struct limit_bucket *limit, uint64_t now_ns)
{
	bool limited = b->limit.rate != 0;
	int64_t full = burst_of(limit);

	refill(b, now_ns);
	b->tokens = limited ? MIN(b->tokens, full) : full;
	b->limit = *limit;
	b->refill_ns = now_ns;
}

void limiter_set(struct limiter *l, const struct limits *limits, uint64_t now_ns)
{
	set_bucket(&l->bytes, &limits->bytes, now_ns);
	set_bucket(&l->operations, &limits->operations, now_ns);
}

bool limiter_take(struct limiter *l, uint64_t bytes, uint64_t now_ns, uint64_t *ret_wait_ns)
{
	uint64_t wait;

	refill(&l->bytes, now_ns);
	refill(&l->operations, now_ns);
	wait = MAX(wait_for(&l->bytes, bytes, now_ns), wait_for(&l->operations, 1, now_ns));
	if (wait > 0) {
		*ret_wait_ns = wait;
		return false;
	}
	if (l->bytes.limit.rate != 0)
		l->bytes.tokens -= charge_of(bytes);
	if (l->operations.limit.rate != 0)
		l->operations.tokens--;
	return true;
}

static void give_back(struct limiter_bucket *b, uint64_t amount)
{
	if (b->limit.rate != 0)
		b->tokens = MIN(b->tokens + charge_of(amount), burst_of(&b->limit));
}

void limiter_return(struct limiter *l, uint64_t bytes)
{
	give_back(&l->bytes, bytes);
	give_back(&l->operations, 1);
}
