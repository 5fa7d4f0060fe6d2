/* SPDX-License-Identifier: Apache-2.0 */
/* The pool without threads, in the place of vmm/virtio/blk_pool.c: the input says when it works. */
#include "fuzz/blk_pool.h"

#include "base/bug.h"
#include "vmm/virtio/blk_internal.h"

void blk_list_append(struct blk_list *l, struct blk_request *rq)
{
	rq->next = NULL;
	if (l->last != NULL)
		l->last->next = rq;
	else
		l->first = rq;
	l->last = rq;
}

struct blk_request *blk_list_take(struct blk_list *l)
{
	struct blk_request *rq = l->first;

	if (rq == NULL)
		return NULL;
	l->first = rq->next;
	if (l->first == NULL)
		l->last = NULL;
	return rq;
}

int blk_pool_join(struct blk_lane *lane)
{
	(void)lane;
	return 0;
}

void blk_pool_leave(struct blk_lane *lane)
{
	(void)lane;
}

void blk_pool_submit(struct blk_lane *lane, struct blk_request *rq)
{
	blk_list_append(&lane->pending, rq);
}

struct blk_list blk_pool_take_done(struct blk_lane *lane)
{
	struct blk_list done = lane->done;

	lane->done = (struct blk_list){ NULL, NULL };
	return done;
}

struct blk_list blk_pool_cancel(struct blk_lane *lane)
{
	struct blk_list all = lane->pending;
	struct blk_request *rq;

	lane->pending = (struct blk_list){ NULL, NULL };
	while ((rq = blk_list_take(&lane->done)) != NULL)
		blk_list_append(&all, rq);
	return all;
}

bool fuzz_pool_run(struct blk_lane *lane, bool reap)
{
	struct blk_request *rq = blk_list_take(&lane->pending);

	if (rq != NULL) {
		lane->run(rq, lane->arg);
		blk_list_append(&lane->done, rq);
	}
	if (reap)
		lane->reap(lane->arg);
	return rq != NULL;
}
