/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/pool.h"

#include <errno.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/num.h"

#define PREPARING_MAX 4U   /* at a time: the rest of the machine has work to do */
#define REFILL_MS     2U   /* after a cell was taken: not while its request is being answered */
#define RETRY_MS      500U /* after a failure, doubled with each in a row */
#define RETRY_MS_MAX  60000U

static const struct cell_ops ops;

static void push(struct cell **list, struct cell *c)
{
	c->next = *list;
	*list = c;
}

static void remove_from(struct cell **list, const struct cell *c)
{
	while (*list != c) {
		BUG_ON(*list == NULL);
		list = &(*list)->next;
	}
	*list = c->next;
}

static struct pool_waiter *pop_waiter(struct pool *p)
{
	struct pool_waiter *w = p->first;

	if (w == NULL)
		return NULL;
	p->first = w->next;
	if (p->first == NULL)
		p->last = &p->first;
	p->waiters_count--;
	return w;
}

static void fill(struct pool *p);

static void on_refill(void *arg)
{
	struct pool *p = arg;

	p->refill = NULL;
	fill(p);
}

static void fill_later(struct pool *p, uint64_t ms)
{
	if (p->refill != NULL || p->closing)
		return;
	if (loop_timer_add(p->cells->loop, ms, on_refill, p, &p->refill) < 0)
		log_error("pool.timer", "out of memory");
}

static uint64_t retry_ms(const struct pool *p)
{
	unsigned shift = MIN(p->failures - 1, 7U);

	return MIN(RETRY_MS << shift, RETRY_MS_MAX);
}

/* A cell could not be made: who waits first is told, else we are the only ones to know. */
static void tell_failure(struct pool *p, const struct err *why)
{
	struct pool_waiter *w = pop_waiter(p);

	p->failures++;
	if (w != NULL)
		w->none(w, why);
	else if (!p->closing)
		log_warn("pool.failed", "nic=%d in_a_row=%u %s", (int)p->nic, p->failures,
			 why->msg);
	fill_later(p, p->first != NULL ? REFILL_MS : retry_ms(p));
}

/* As many as are waited for, and then as many as are to lie ready. */
static void fill(struct pool *p)
{
	while (!p->closing && p->preparing_count < PREPARING_MAX &&
	       p->preparing_count + p->ready_count < p->want + p->waiters_count) {
		struct cell *c;
		struct err err;
		if (cell_new(p->cells, p->nic, &ops, p, &c, &err) < 0) {
			tell_failure(p, &err);
			return;
		}
		push(&p->preparing, c);
		p->preparing_count++;
	}
}

static void on_ready(struct cell *c, void *arg)
{
	struct pool *p = arg;
	struct pool_waiter *w = pop_waiter(p);

	remove_from(&p->preparing, c);
	p->preparing_count--;
	p->failures = 0;
	if (p->closing || (w == NULL && p->ready_count >= p->want)) {
		cell_drop(c); /* whoever it was made for is gone */
	} else if (w != NULL) {
		w->got(w, c);
	} else {
		push(&p->ready, c);
		p->ready_count++;
	}
	if (p->preparing_count + p->ready_count < p->want + p->waiters_count)
		fill_later(p, REFILL_MS);
}

static void on_failed(struct cell *c, const struct err *why, void *arg)
{
	struct pool *p = arg;

	if (c->ready_once) {
		remove_from(&p->ready, c);
		p->ready_count--;
	} else {
		remove_from(&p->preparing, c);
		p->preparing_count--;
	}
	tell_failure(p, why);
}

/* It is never claimed while it is ours. */
static const struct cell_ops ops = { .ready = on_ready, .failed = on_failed };

void pool_init(struct pool *p, struct cells *cs, bool nic, unsigned want)
{
	*p = (struct pool){ .cells = cs, .nic = nic, .want = want };
	p->last = &p->first;
	fill_later(p, 0);
}

void pool_close(struct pool *p)
{
	const struct err why = { .code = -ECANCELED, .msg = "the jailer is ending" };
	struct pool_waiter *w;

	p->closing = true;
	loop_timer_del(p->refill);
	p->refill = NULL;
	while (p->ready != NULL) {
		struct cell *c = p->ready;
		p->ready = c->next;
		p->ready_count--;
		cell_drop(c);
	}
	for (struct cell *c = p->preparing; c != NULL; c = c->next)
		cell_kill(c);
	while ((w = pop_waiter(p)) != NULL)
		w->none(w, &why);
}

void pool_get(struct pool *p, struct pool_waiter *w)
{
	struct cell *c = p->ready;

	if (c != NULL) {
		p->ready = c->next;
		p->ready_count--;
		fill_later(p, REFILL_MS);
		w->got(w, c);
		return;
	}
	w->next = NULL;
	*p->last = w;
	p->last = &w->next;
	p->waiters_count++;
	/* Not later: somebody is waiting. */
	fill(p);
}

void pool_unget(struct pool *p, struct pool_waiter *w)
{
	struct pool_waiter **at = &p->first;

	while (*at != w) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = w->next;
	if (*at == NULL)
		p->last = at;
	p->waiters_count--;
}
