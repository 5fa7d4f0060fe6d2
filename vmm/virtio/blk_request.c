/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: all that the guest says is copied, checked and turned into numbers of our
 * own in blk_request_parse; nothing afterwards looks at the chain. Data moves between the file and
 * guest memory directly (preadv2, pwritev2), so the iovec is the one thing that is kept, until the
 * request is done or the device is reset.
 *
 * A read or write is first tried on the serving thread with RWF_NOWAIT: what is in the page cache
 * is a copy, and cheaper than waking another thread. File systems without RWF_NOWAIT (tmpfs;
 * buffered writes of ext4) are tried without it, because they too rarely wait; when one did wait,
 * the drive's requests of that direction go to the pool for a while.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/le.h"
#include "base/num.h"
#include "vmm/virtio/blk_internal.h"

/* A larger one is copied by the pool when others wait behind it. */
#define TRY_BYTES_MAX (UINT64_C(64) * KIB)

struct header {
	le32_t type;
	le32_t reserved;
	le64_t sector;
};
_Static_assert(sizeof(struct header) == 16, "virtio 1.2, section 5.2.6");

struct segment {
	le64_t sector;
	le32_t sectors;
	le32_t flags;
};
_Static_assert(sizeof(struct segment) == 16, "virtio 1.2, section 5.2.6.1");

/* ---- Parsing -------------------------------------------------------------------------------- */

/* [sector, sector + bytes) as a range of the file. */
static bool locate(const struct blk_file *f, uint64_t sector, uint64_t bytes, uint64_t *ret_offset)
{
	uint64_t off;

	if (MUL_OVERFLOW(sector, BLK_SECTOR, &off) || !range_fits(off, bytes, f->bytes))
		return false;
	*ret_offset = off;
	return true;
}

/* 0: to be done; 1: rq->status says all. */
static int parse_transfer(struct blk *b, const struct virtq_chain *c, uint64_t sector,
			  struct blk_request *rq)
{
	bool in = rq->type == VIRTIO_BLK_T_IN;
	uint64_t len = in ? rq->in_room : c->read_bytes - sizeof(struct header);
	int r;

	rq->status = VIRTIO_BLK_S_IOERR;
	if (!in && b->file.read_only)
		return 1;
	if (len == 0 || len % BLK_SECTOR != 0 || len > BLK_REQUEST_MAX ||
	    !locate(&b->file, sector, len, &rq->offset))
		return 1;
	r = virtq_chain_iov(&b->dev.queues[rq->queue], c, in, in ? 0 : sizeof(struct header), len,
			    rq->iov, ARRAY_SIZE(rq->iov), &rq->iov_count);
	if (r < 0)
		return r;
	rq->bytes = len;
	return 0;
}

static uint8_t parse_range(const struct blk *b, bool zeroes, const struct segment *s,
			   struct blk_range *ret)
{
	uint32_t flags = le32_get(s->flags), sectors = le32_get(s->sectors);
	uint64_t bytes = (uint64_t)sectors * BLK_SECTOR;

	/* A flag that isn't known, and unmap where it says nothing (virtio 1.2, 5.2.6.2). */
	if ((flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0U)) != 0)
		return VIRTIO_BLK_S_UNSUPP;
	if (sectors == 0 || sectors > (zeroes ? BLK_ZEROES_SECTORS : BLK_DISCARD_SECTORS) ||
	    !locate(&b->file, le64_get(s->sector), bytes, &ret->offset))
		return VIRTIO_BLK_S_IOERR;
	ret->bytes = bytes;
	ret->unmap = flags != 0;
	return VIRTIO_BLK_S_OK;
}

static int parse_ranges(struct blk *b, const struct virtq_chain *c, struct blk_request *rq)
{
	bool zeroes = rq->type == VIRTIO_BLK_T_WRITE_ZEROES;
	uint64_t len = c->read_bytes - sizeof(struct header);
	struct segment segs[BLK_RANGES_MAX];
	int r;

	rq->status = VIRTIO_BLK_S_UNSUPP;
	if (!virtio_dev_has(&b->dev, zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD))
		return 1;
	rq->status = VIRTIO_BLK_S_IOERR;
	if (len == 0 || len % sizeof(segs[0]) != 0 || len > sizeof(segs))
		return 1;
	r = virtq_chain_read(&b->dev.queues[rq->queue], c, sizeof(struct header), segs, len);
	if (r < 0)
		return r;
	rq->ranges_count = (unsigned)(len / sizeof(segs[0]));
	for (unsigned i = 0; i < rq->ranges_count; i++) {
		rq->status = parse_range(b, zeroes, &segs[i], &rq->ranges[i]);
		if (rq->status != VIRTIO_BLK_S_OK)
			return 1;
	}
	return 0;
}

static int answer_id(struct blk *b, const struct virtq_chain *c, struct blk_request *rq)
{
	uint32_t len = MIN(rq->in_room, BLK_SERIAL_BYTES);
	int r = virtq_chain_write(&b->dev.queues[rq->queue], c, 0, b->serial, len);

	if (r < 0)
		return r;
	rq->in_done = len;
	rq->status = VIRTIO_BLK_S_OK;
	return 1;
}

int blk_request_parse(struct blk *b, const struct virtq_chain *c, struct blk_request *rq)
{
	const struct virtq_seg *last;
	struct header h;
	int r;

	if (c->read_bytes < sizeof(h) || c->write_bytes < 1)
		return -EBADMSG;
	r = virtq_chain_read(&b->dev.queues[rq->queue], c, 0, &h, sizeof(h));
	if (r < 0)
		return r;
	/* The status is the last byte of the chain. */
	last = &c->segs[c->nread + c->nwrite - 1];
	rq->status_at = gpa(last->addr.v + last->len - 1);
	/* A chain longer than 4 GiB is too long for every request; its used length is 0. */
	rq->in_room = (uint32_t)MIN(c->write_bytes - 1, (uint64_t)UINT32_MAX - 1);
	rq->in_done = rq->out_done = 0;
	rq->offset = rq->bytes = 0;
	rq->iov_first = rq->iov_count = 0;
	rq->ranges_count = 0;
	rq->type = le32_get(h.type);
	switch (rq->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		return parse_transfer(b, c, le64_get(h.sector), rq);
	case VIRTIO_BLK_T_FLUSH:
		return 0;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return parse_ranges(b, c, rq);
	case VIRTIO_BLK_T_GET_ID:
		return answer_id(b, c, rq);
	default:
		rq->status = VIRTIO_BLK_S_UNSUPP;
		return 1;
	}
}

uint64_t blk_request_cost(const struct blk_request *rq)
{
	uint64_t cost = rq->bytes;

	/* A discard moves nothing; zeroes may have to be written. */
	if (rq->type == VIRTIO_BLK_T_WRITE_ZEROES)
		for (unsigned i = 0; i < rq->ranges_count; i++)
			cost += rq->ranges[i].bytes;
	return cost;
}

/* ---- Doing ---------------------------------------------------------------------------------- */

/* Drops the first n bytes from what is left. */
static void advance(struct blk_request *rq, size_t n)
{
	rq->offset += n;
	rq->bytes -= n;
	while (rq->iov_first < rq->iov_count && n >= rq->iov[rq->iov_first].iov_len)
		n -= rq->iov[rq->iov_first++].iov_len;
	if (n > 0) {
		struct iovec *v = &rq->iov[rq->iov_first];
		BUG_ON(rq->iov_first >= rq->iov_count);
		v->iov_base = (char *)v->iov_base + n;
		v->iov_len -= n;
	}
}

/* Moves what is left, a short transfer is continued: 0 or -errno. */
static int transfer(struct blk *b, struct blk_request *rq, int flags)
{
	bool in = rq->type == VIRTIO_BLK_T_IN;

	while (rq->bytes > 0) {
		const struct iovec *iov = rq->iov + rq->iov_first;
		int n = (int)(rq->iov_count - rq->iov_first);
		ssize_t done = in ? preadv2(b->file.fd, iov, n, (off_t)rq->offset, flags)
				  : pwritev2(b->file.fd, iov, n, (off_t)rq->offset,
					     flags | (b->file.write_through ? RWF_DSYNC : 0));
		if (done < 0 && errno == EINTR)
			continue;
		/* 0: the file has become shorter than the guest was told. */
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		advance(rq, (size_t)done);
		rq->out_done += in ? 0U : (uint32_t)done;
	}
	rq->in_done = in ? rq->in_room : 0;
	rq->status = VIRTIO_BLK_S_OK;
	return 0;
}

/* Without RWF_NOWAIT, as long as that doesn't make the other requests wait. */
static bool try_blocking(struct blk *b, struct blk_request *rq, unsigned dir)
{
	struct blk_pace *pace = &b->file.pace[dir];
	uint64_t start = now_ns();

	if (!blk_pace_may(pace, start))
		return false;
	rq->status = VIRTIO_BLK_S_IOERR;
	(void)transfer(b, rq, 0);
	blk_pace_took(pace, start, now_ns());
	return true;
}

bool blk_request_try(struct blk *b, struct blk_request *rq)
{
	unsigned dir = rq->type == VIRTIO_BLK_T_OUT;
	int r;

	if (rq->type != VIRTIO_BLK_T_IN && rq->type != VIRTIO_BLK_T_OUT)
		return false;
	if (dir == 1 && b->file.write_through)
		return false;
	if (rq->bytes > TRY_BYTES_MAX && virtq_backlog(&b->dev.queues[rq->queue]) > 0)
		return false;
	if (b->file.no_nowait[dir])
		return try_blocking(b, rq, dir);
	r = transfer(b, rq, RWF_NOWAIT);
	if (r == 0)
		return true;
	if (r == -EOPNOTSUPP) {
		b->file.no_nowait[dir] = true;
		return try_blocking(b, rq, dir);
	}
	/* -EAGAIN, or an error that the pool will meet again. */
	return false;
}

/*
 * After a flush has failed, what was written before may be lost, and the kernel tells it only
 * once: no later flush may say that all is well.
 */
static int flush(struct blk *b)
{
	int r;

	if (b->file.read_only)
		return 0;
	if (__atomic_load_n(&b->file.flush_failed, __ATOMIC_RELAXED))
		return -EIO;
	r = fdatasync(b->file.fd) < 0 ? -errno : 0;
	if (r < 0)
		__atomic_store_n(&b->file.flush_failed, true, __ATOMIC_RELAXED);
	return r;
}

static int punch_hole(const struct blk *b, const struct blk_range *g)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return fallocate(b->file.fd, mode, (off_t)g->offset, (off_t)g->bytes) < 0 ? -errno : 0;
}

/* For file systems that can't do it themselves. */
static int write_zeroes(const struct blk *b, const struct blk_range *g)
{
	static const uint8_t zeroes[64 * KIB];
	const struct iovec v = { .iov_base = (void *)(uintptr_t)zeroes, .iov_len = sizeof(zeroes) };
	struct iovec iov[16];
	uint64_t off = g->offset, left = g->bytes;

	for (size_t i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = v;
	while (left > 0) {
		int n = (int)MIN(left / sizeof(zeroes), ARRAY_SIZE(iov));
		ssize_t done;
		if (n == 0) {
			iov[0].iov_len = left;
			n = 1;
		}
		if (blk_pool_cancelling(&b->lane))
			return -ECANCELED;
		done = pwritev2(b->file.fd, iov, n, (off_t)off, 0);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		off += (uint64_t)done;
		left -= (uint64_t)done;
	}
	return 0;
}

static int zero_range(const struct blk *b, const struct blk_range *g)
{
	int mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	int r = g->unmap ? punch_hole(b, g) : -EOPNOTSUPP;

	if (r == -EOPNOTSUPP)
		r = fallocate(b->file.fd, mode, (off_t)g->offset, (off_t)g->bytes) < 0 ? -errno : 0;
	return r == -EOPNOTSUPP ? write_zeroes(b, g) : r;
}

static int for_ranges(struct blk *b, const struct blk_request *rq)
{
	bool zeroes = rq->type == VIRTIO_BLK_T_WRITE_ZEROES;
	int r = 0;

	for (unsigned i = 0; i < rq->ranges_count && r == 0; i++) {
		if (blk_pool_cancelling(&b->lane))
			return -ECANCELED;
		do {
			r = zeroes ? zero_range(b, &rq->ranges[i]) : punch_hole(b, &rq->ranges[i]);
		} while (r == -EINTR);
	}
	if (r == 0 && b->file.write_through)
		r = flush(b);
	return r;
}

void blk_request_run(struct blk_request *rq, void *blk)
{
	struct blk *b = blk;
	int r;

	switch (rq->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		r = transfer(b, rq, 0);
		break;
	case VIRTIO_BLK_T_FLUSH:
		r = flush(b);
		break;
	default:
		r = for_ranges(b, rq);
		break;
	}
	/* A file system that knows no holes. */
	rq->status = r == 0		? VIRTIO_BLK_S_OK
		     : r == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP
					: VIRTIO_BLK_S_IOERR;
}
