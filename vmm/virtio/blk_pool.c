/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/blk_pool.h"

#include <errno.h>

#include "base/bug.h"
#include "base/num.h"
#include "vmm/virtio/blk_internal.h"
#include "vmm/virtio/devices.h"

/* One in a process, as there is one VM in a process: the number of threads is then the same however
 * many drives there are. It exists from the first lane to the last. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct blk_lane *lanes; /* a ring, in the order in which they are served next */
	bool stopping;
	struct virtio_thread threads[BLK_POOL_THREADS];
	unsigned threads_count;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER };

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
	rq->next = NULL;
	return rq;
}

/* The next lane that may have a thread; the lane after it is asked first the next time. */
static struct blk_lane *next_lane(void)
{
	struct blk_lane *start = pool.lanes, *lane = start;

	if (start == NULL)
		return NULL;
	do {
		if (lane->pending.first != NULL && lane->running < lane->threads_max) {
			pool.lanes = lane->next;
			return lane;
		}
		lane = lane->next;
	} while (lane != start);
	return NULL;
}

static void serve(struct blk_lane *lane)
{
	struct blk_request *rq = blk_list_take(&lane->pending);

	lane->running++;
	lane->visitors++;
	pthread_mutex_unlock(&pool.lock);
	lane->run(rq, lane->arg);
	pthread_mutex_lock(&pool.lock);
	blk_list_append(&lane->done, rq);
	if (--lane->running == 0)
		pthread_cond_broadcast(&lane->idle);
	/* There is room in the lane again, which a thread may have found full. */
	if (lane->pending.first != NULL)
		pthread_cond_signal(&pool.work);
	pthread_mutex_unlock(&pool.lock);
	lane->reap(lane->arg);
	pthread_mutex_lock(&pool.lock);
	if (--lane->visitors == 0)
		pthread_cond_broadcast(&lane->idle);
}

static void thread_main(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&pool.lock);
	while (!pool.stopping) {
		struct blk_lane *lane = next_lane();
		if (lane != NULL)
			serve(lane);
		else
			pthread_cond_wait(&pool.work, &pool.lock);
	}
	pthread_mutex_unlock(&pool.lock);
}

static void stop_threads(void)
{
	pthread_mutex_lock(&pool.lock);
	pool.stopping = true;
	pthread_cond_broadcast(&pool.work);
	pthread_mutex_unlock(&pool.lock);
	for (unsigned i = 0; i < pool.threads_count; i++)
		virtio_thread_join(&pool.threads[i]);
	pool.threads_count = 0;
	pool.stopping = false;
}

/* So many there are afterwards. All are started before the first one is waited for: they lock
 * themselves down side by side. */
static int start_threads(unsigned count)
{
	unsigned first = pool.threads_count;
	int r = 0;

	while (r == 0 && pool.threads_count < count) {
		r = virtio_thread_start(&pool.threads[pool.threads_count], virtio_blk_ops.name,
					thread_main, NULL);
		pool.threads_count += r == 0;
	}
	for (unsigned i = first; i < pool.threads_count; i++) {
		int ready = virtio_thread_ready(&pool.threads[i]);
		r = r == 0 ? ready : r;
	}
	if (r < 0)
		stop_threads();
	return r;
}

int blk_pool_join(struct blk_lane *lane)
{
	int r;

	BUG_ON(lane->threads_max < 1 || lane->threads_max > BLK_POOL_LANE_MAX);
	r = start_threads(MIN(pool.threads_count + lane->threads_max, BLK_POOL_THREADS));
	if (r < 0)
		return r;
	BUG_ON(pthread_cond_init(&lane->idle, NULL) != 0);
	pthread_mutex_lock(&pool.lock);
	if (pool.lanes == NULL) {
		pool.lanes = lane->next = lane;
	} else {
		lane->next = pool.lanes->next;
		pool.lanes->next = lane;
	}
	pthread_mutex_unlock(&pool.lock);
	return 0;
}

void blk_pool_leave(struct blk_lane *lane)
{
	struct blk_lane *before = lane;
	bool last;

	if (lane->next == NULL)
		return;
	(void)blk_pool_cancel(lane);
	pthread_mutex_lock(&pool.lock);
	while (lane->visitors > 0)
		pthread_cond_wait(&lane->idle, &pool.lock);
	while (before->next != lane)
		before = before->next;
	last = before == lane;
	before->next = lane->next;
	pool.lanes = last ? NULL : before;
	pthread_mutex_unlock(&pool.lock);
	if (last)
		stop_threads();
	(void)pthread_cond_destroy(&lane->idle);
	lane->next = NULL;
}

void blk_pool_submit(struct blk_lane *lane, struct blk_request *rq)
{
	pthread_mutex_lock(&pool.lock);
	blk_list_append(&lane->pending, rq);
	pthread_mutex_unlock(&pool.lock);
	pthread_cond_signal(&pool.work);
}

struct blk_list blk_pool_take_done(struct blk_lane *lane)
{
	struct blk_list done;

	pthread_mutex_lock(&pool.lock);
	done = lane->done;
	lane->done = (struct blk_list){ NULL, NULL };
	pthread_mutex_unlock(&pool.lock);
	return done;
}

struct blk_list blk_pool_cancel(struct blk_lane *lane)
{
	struct blk_list all;
	struct blk_request *rq;

	pthread_mutex_lock(&pool.lock);
	__atomic_store_n(&lane->cancelling, true, __ATOMIC_RELAXED);
	all = lane->pending;
	lane->pending = (struct blk_list){ NULL, NULL };
	while (lane->running > 0)
		pthread_cond_wait(&lane->idle, &pool.lock);
	while ((rq = blk_list_take(&lane->done)) != NULL)
		blk_list_append(&all, rq);
	__atomic_store_n(&lane->cancelling, false, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&pool.lock);
	return all;
}
