/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk: a raw file or block device, never probed for a format, so nothing that the guest writes
 * into it can change what it is.
 *
 * Theory of operation: blk_queue.c serves the queues on the drive's own thread, with the help of
 * the pool. Read-only is enforced by the feature bit, by a check of each request, and by the
 * descriptor's mode, which must be what was asked for.
 *
 * Reset: no thread may write guest memory for a request of the driver before the reset, because
 * the memory may already belong to something else. A reset therefore waits for the requests on
 * which the pool works (they can't be called back: the kernel is copying), takes back those that
 * wait and those that are done, and only then lets the driver go on. It holds dev->lock all the
 * time: the device is not seen half reset. A request carries the generation in which it was popped,
 * and none of an old one may ever be completed.
 *
 * The control thread never waits for dev->lock, except to pause: it posts what shall change, and
 * the drive's thread does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/le.h"
#include "base/num.h"
#include "vmm/virtio/blk_internal.h"
#include "vmm/virtio/devices.h"
#include "vmm/vmm_fds.h"

#define BIT(feature) (UINT64_C(1) << (feature))

/* virtio 1.2, section 5.2.4, up to what the offered features make visible. */
struct PACKED config {
	le64_t capacity; /* in sectors */
	le32_t size_max;
	le32_t seg_max;
	uint8_t geometry[4];
	le32_t blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	le16_t min_io_size;
	le32_t opt_io_size;
	uint8_t writeback;
	uint8_t unused0;
	le16_t num_queues;
	le32_t max_discard_sectors;
	le32_t max_discard_seg;
	le32_t discard_sector_alignment;
	le32_t max_write_zeroes_sectors;
	le32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
};
_Static_assert(sizeof(struct config) == 60, "virtio 1.2, section 5.2.4");
_Static_assert(sizeof(struct config) <= VIRTIO_CONFIG_MAX, "fits the configuration space");

static int blk_activate(struct virtio_dev *dev)
{
	struct blk *b = to_blk(dev);

	/* Without flush the driver takes each write for durable (virtio 1.2, section 5.2.6.2). */
	b->file.write_through = !virtio_dev_has(dev, VIRTIO_BLK_F_FLUSH);
	return 0;
}

static void blk_reset(struct virtio_dev *dev)
{
	struct blk *b = to_blk(dev);
	struct blk_list all = blk_pool_cancel(&b->lane);
	struct blk_request *rq;

	while ((rq = blk_list_take(&all)) != NULL)
		blk_request_free(b, rq);
	b->generation++;
	b->waiting = b->pooled = 0;
	pthread_cond_broadcast(&b->drained);
}

static void blk_pause(struct virtio_dev *dev)
{
	struct blk *b = to_blk(dev);

	/* The lock is free meanwhile: the pool's threads need it to give requests back. Nobody else
	 * uses the device now, because the vCPUs stand still and the serving thread sees
	 * dev->paused. */
	while (b->pooled > 0)
		pthread_cond_wait(&b->drained, &dev->lock);
}

static void reap(struct blk *b)
{
	int r = blk_queue_reap(b);

	if (r < 0)
		virtio_dev_fail(&b->dev, strerrordesc_np(-r));
}

/* A thread of the pool has done something. It gives it back if it can and else leaves it to the
 * drive's thread: the pool waits for no lock that is held while a queue is served. */
static void on_done(void *arg)
{
	struct blk *b = arg;

	if (pthread_mutex_trylock(&b->dev.lock) != 0) {
		virtio_eventfd_signal(b->post_fd);
		return;
	}
	reap(b);
	pthread_mutex_unlock(&b->dev.lock);
}

static void on_timer(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct blk *b = arg;

	(void)io;
	(void)fd;
	(void)events;
	virtio_dev_lock(&b->dev);
	b->throttled = false;
	blk_queue_kick_waiting(b);
	pthread_mutex_unlock(&b->dev.lock);
}

/* ---- What the control thread may change ----------------------------------------------------- */

static void set_limits(struct blk *b, const struct limits *limits)
{
	limiter_set(&b->limiter, limits, now_ns());
	b->limited = limits->bytes.rate != 0 || limits->operations.rate != 0;
	/* Whoever waited asks again. */
	b->throttled = false;
	blk_queue_kick_waiting(b);
}

static void set_capacity(struct blk *b, uint64_t bytes)
{
	le64_t sectors = le64_put(bytes / BLK_SECTOR);

	b->file.bytes = bytes;
	memcpy(b->dev.config + offsetof(struct config, capacity), &sectors, sizeof(sectors));
	virtio_dev_config_changed(&b->dev);
}

static void on_post(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct blk *b = arg;
	bool limits, resize;
	struct limits new_limits;
	uint64_t bytes;

	(void)io;
	(void)fd;
	(void)events;
	pthread_mutex_lock(&b->post_lock);
	limits = b->post_limits;
	resize = b->post_resize;
	b->post_limits = b->post_resize = false;
	new_limits = b->posted_limits;
	bytes = b->posted_bytes;
	pthread_mutex_unlock(&b->post_lock);
	virtio_dev_lock(&b->dev);
	reap(b);
	if (limits)
		set_limits(b, &new_limits);
	if (resize)
		set_capacity(b, bytes);
	pthread_mutex_unlock(&b->dev.lock);
}

void virtio_blk_set_limits(struct virtio_dev *dev, const struct limits *limits)
{
	struct blk *b = to_blk(dev);

	pthread_mutex_lock(&b->post_lock);
	b->posted_limits = *limits;
	b->post_limits = true;
	pthread_mutex_unlock(&b->post_lock);
	virtio_eventfd_signal(b->post_fd);
}

static int capacity_of(int fd, uint64_t *ret_bytes)
{
	off_t end = lseek(fd, 0, SEEK_END); /* the size of a block device too */

	if (end < 0)
		return -errno;
	if (end < (off_t)BLK_SECTOR)
		return -EINVAL;
	*ret_bytes = (uint64_t)end - (uint64_t)end % BLK_SECTOR;
	return 0;
}

int virtio_blk_resize(struct virtio_dev *dev, uint64_t *ret_bytes)
{
	struct blk *b = to_blk(dev);
	uint64_t bytes = 0;
	int r = capacity_of(b->file.fd, &bytes);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->post_lock);
	b->posted_bytes = bytes;
	b->post_resize = true;
	pthread_mutex_unlock(&b->post_lock);
	virtio_eventfd_signal(b->post_fd);
	*ret_bytes = bytes;
	return 0;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static int blk_attach(struct virtio_dev *dev)
{
	struct blk *b = to_blk(dev);
	int r;

	r = loop_io_add(dev->loop, b->timer_fd, EPOLLIN | EPOLLET, on_timer, b, &b->timer_io);
	if (r == 0)
		r = loop_io_add(dev->loop, b->post_fd, EPOLLIN | EPOLLET, on_post, b, &b->post_io);
	return r == 0 ? blk_pool_join(&b->lane) : r;
}

static void blk_free(struct virtio_dev *dev)
{
	struct blk *b = to_blk(dev);

	/* First the thread that gives work to the pool, then the pool, then what both use. */
	virtio_worker_stop(dev->worker);
	blk_pool_leave(&b->lane);
	loop_io_del(b->timer_io);
	loop_io_del(b->post_io);
	virtio_dev_done(dev);
	fd_closep(&b->timer_fd);
	fd_closep(&b->post_fd);
	fd_closep(&b->file.fd);
	(void)pthread_mutex_destroy(&b->post_lock);
	(void)pthread_cond_destroy(&b->drained);
	free(b);
}

static const char *const counter_names[] = {
	[BLK_READS] = "reads",
	[BLK_READ_BYTES] = "read_bytes",
	[BLK_WRITES] = "writes",
	[BLK_WRITE_BYTES] = "write_bytes",
	[BLK_FLUSHES] = "flushes",
	[BLK_DISCARDS] = "discards",
	[BLK_WRITE_ZEROES] = "write_zeroes",
	[BLK_FAILED] = "failed",
	[BLK_THROTTLED] = "throttled",
	[BLK_POOLED] = "pooled",
	[BLK_POLLED] = "polled",
};
_Static_assert(ARRAY_SIZE(counter_names) == BLK_COUNTER_COUNT, "one name a counter");
_Static_assert(BLK_COUNTER_COUNT <= VIRTIO_COUNTERS_MAX, "room for all");

const struct virtio_dev_ops virtio_blk_ops = {
	.name = "blk",
	.id = VIRTIO_DEV_BLK,
	.queues = VIRTIO_BLK_QUEUES_MAX,
	.queue_size_max = BLK_QUEUE_SIZE,
	.features = BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) |
		    BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
		    BIT(VIRTIO_BLK_F_FLUSH),
	.own_thread = true,
	.attach = blk_attach,
	.activate = blk_activate,
	.notify = blk_queue_notify,
	.reset = blk_reset,
	.pause = blk_pause,
	.counter_names = counter_names,
	.counters_count = BLK_COUNTER_COUNT,
	.free = blk_free,
};

/* The descriptor must allow exactly what the drive may do, and at any offset. */
static int check_fd(int fd, bool read_only)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0)
		return -errno;
	if ((flags & O_ACCMODE) != (read_only ? O_RDONLY : O_RDWR) ||
	    (flags & (O_APPEND | O_PATH)) != 0)
		return -EBADF;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? 0 : -EBADF;
}

static uint64_t features_of(const struct virtio_blk_spec *cfg)
{
	uint64_t f = 0;

	if (cfg->read_only)
		f |= BIT(VIRTIO_BLK_F_RO);
	if (cfg->queues > 1)
		f |= BIT(VIRTIO_BLK_F_MQ);
	if (cfg->discard)
		f |= BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	return f;
}

static void fill_config(struct blk *b, const struct virtio_blk_spec *cfg)
{
	const struct config c = {
		.capacity = le64_put(b->file.bytes / BLK_SECTOR),
		.size_max = le32_put(BLK_SEG_BYTES_MAX),
		.seg_max = le32_put(BLK_SEG_MAX),
		.blk_size = le32_put(BLK_SECTOR),
		.physical_block_exp = 3, /* 8 sectors: pages and file systems' blocks */
		.num_queues = le16_put((uint16_t)cfg->queues),
		.max_discard_sectors = le32_put(BLK_DISCARD_SECTORS),
		.max_discard_seg = le32_put(BLK_RANGES_MAX),
		.discard_sector_alignment = le32_put(BLK_ALIGN_SECTORS),
		.max_write_zeroes_sectors = le32_put(BLK_ZEROES_SECTORS),
		.max_write_zeroes_seg = le32_put(BLK_RANGES_MAX),
		.write_zeroes_may_unmap = 1,
	};

	memcpy(b->dev.config, &c, sizeof(c));
	b->dev.config_size = sizeof(c);
}

static int make_fds(struct blk *b)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	if (timer < 0)
		return -errno;
	b->timer_fd = fd_lift(timer, VMM_FD_DYNAMIC);
	if (b->timer_fd < 0)
		return b->timer_fd;
	b->post_fd = virtio_eventfd();
	return b->post_fd < 0 ? b->post_fd : 0;
}

int virtio_blk_new(struct gmem *gmem, const struct virtio_blk_spec *cfg, struct virtio_dev **ret)
{
	uint64_t bytes = 0;
	struct blk *b;
	int r = check_fd(cfg->fd, cfg->read_only);

	if (r == 0)
		r = capacity_of(cfg->fd, &bytes);
	if (r < 0)
		return r;
	if (strlen(cfg->serial) > BLK_SERIAL_BYTES || cfg->queues < 1 ||
	    cfg->queues > VIRTIO_BLK_QUEUES_MAX || (cfg->read_only && cfg->discard))
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	b->timer_fd = b->post_fd = b->file.fd = -1;
	BUG_ON(pthread_mutex_init(&b->post_lock, NULL) != 0);
	BUG_ON(pthread_cond_init(&b->drained, NULL) != 0);
	r = virtio_dev_init(&b->dev, &virtio_blk_ops, gmem, cfg->queues);
	if (r < 0) {
		free(b);
		return r;
	}
	r = make_fds(b);
	if (r < 0) {
		blk_free(&b->dev);
		return r;
	}
	b->dev.features |= features_of(cfg);
	b->file.fd = cfg->fd;
	b->file.read_only = cfg->read_only;
	b->file.bytes = bytes;
	memcpy(b->serial, cfg->serial, strlen(cfg->serial)); /* zeros follow, no terminator */
	fill_config(b, cfg);
	b->lane = (struct blk_lane){ .run = blk_request_run,
				     .reap = on_done,
				     .arg = b,
				     .threads_max = cfg->read_only ? BLK_POOL_LANE_READ_ONLY
								   : BLK_POOL_LANE_MAX };
	set_limits(b, &cfg->limits);
	*ret = &b->dev;
	return 0;
}
