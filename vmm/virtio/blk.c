/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk: a raw file or block device, never probed for a format, so nothing that the guest writes
 * into it can change what it is.
 *
 * Theory of operation: requests are served one after the other on the device's own thread, with
 * dev->lock held. A reset therefore finds no request in flight: it waits for the one that is
 * being served, and the round ends early for it. The file is read and written in guest memory
 * directly (preadv2, pwritev2); only the header, the status and the serial number are copied.
 * Read-only is enforced by the feature bit, by a check of each request, and by the fd's mode.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/le.h"
#include "base/num.h"
#include "vmm/virtio/devices.h"

#define BLK_QUEUE_SIZE 128U
#define BLK_SECTOR     512U
/* A request with all its segments, header and status fills a queue without indirect tables. */
#define BLK_SEG_MAX	  (BLK_QUEUE_SIZE - 2U)
#define BLK_SEG_BYTES_MAX (64U * 1024U)
#define BLK_REQUEST_MAX	  ((uint64_t)BLK_SEG_MAX * BLK_SEG_BYTES_MAX)
/* Used buffers are announced at the end of a round, or earlier when the disk is that slow. */
#define BLK_ANNOUNCE_NS	 UINT64_C(100000)
#define BLK_SERIAL_BYTES 20U

struct req_header {
	le32_t type;
	le32_t reserved;
	le64_t sector;
};
_Static_assert(sizeof(struct req_header) == 16, "virtio 1.2, section 5.2.6");

/* The part of the configuration that the offered features make visible. */
struct blk_config {
	le64_t capacity; /* in sectors */
	le32_t size_max;
	le32_t seg_max;
};
_Static_assert(sizeof(struct blk_config) == 16, "virtio 1.2, section 5.2.4");
_Static_assert(sizeof(struct blk_config) <= VIRTIO_CONFIG_MAX, "fits the configuration space");

struct blk {
	struct virtio_dev dev;
	int fd;
	bool read_only;
	uint64_t bytes; /* capacity, a multiple of BLK_SECTOR */
	uint8_t serial[BLK_SERIAL_BYTES];
	struct virtq_chain chain; /* of the request being served */
	struct iovec iov[VIRTQ_SIZE_MAX];
};

static struct blk *to_blk(struct virtio_dev *dev)
{
	return CONTAINER_OF(dev, struct blk, dev);
}

/* Drops the first n bytes from iov[*first..count). */
static void iov_advance(struct iovec *iov, size_t *first, size_t count, size_t n)
{
	while (*first < count && n >= iov[*first].iov_len)
		n -= iov[(*first)++].iov_len;
	if (n > 0) {
		BUG_ON(*first >= count);
		iov[*first].iov_base = (char *)iov[*first].iov_base + n;
		iov[*first].iov_len -= n;
	}
}

/* Moves `len` bytes between the file and the guest; a short transfer is continued. */
static int transfer(struct blk *b, bool to_guest, uint64_t chain_off, uint64_t file_off,
		    uint64_t len)
{
	size_t first = 0, count = 0;
	int r = virtq_chain_iov(&b->dev.queues[0], &b->chain, to_guest, chain_off, len, b->iov,
				ARRAY_SIZE(b->iov), &count);

	if (r < 0)
		return r;
	while (len > 0) {
		int n = (int)(count - first);
		ssize_t done = to_guest ? preadv2(b->fd, b->iov + first, n, (off_t)file_off, 0)
					: pwritev2(b->fd, b->iov + first, n, (off_t)file_off, 0);
		if (done < 0 && errno == EINTR)
			continue;
		/* 0: the file has become shorter than it was when the VM was configured. */
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		iov_advance(b->iov, &first, count, (size_t)done);
		file_off += (uint64_t)done;
		len -= (uint64_t)done;
	}
	return 0;
}

/* A read or write of `len` bytes at `sector`: the status for the guest. */
static uint8_t read_write(struct blk *b, bool to_guest, uint64_t sector, uint64_t len)
{
	uint64_t off;

	if (!to_guest && b->read_only)
		return VIRTIO_BLK_S_IOERR;
	if (len == 0 || len % BLK_SECTOR != 0 || len > BLK_REQUEST_MAX)
		return VIRTIO_BLK_S_IOERR;
	if (MUL_OVERFLOW(sector, BLK_SECTOR, &off) || !range_fits(off, len, b->bytes))
		return VIRTIO_BLK_S_IOERR;
	if (transfer(b, to_guest, to_guest ? 0 : sizeof(struct req_header), off, len) < 0)
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static uint8_t get_id(struct blk *b, uint64_t room)
{
	size_t len = (size_t)MIN(room, sizeof(b->serial));

	if (virtq_chain_write(&b->dev.queues[0], &b->chain, 0, b->serial, len) < 0)
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

/* Serves b->chain: 0, or negative when the chain can't even hold a header and a status. */
static int serve(struct blk *b)
{
	struct virtq *q = &b->dev.queues[0];
	struct virtq_chain *c = &b->chain;
	uint64_t in_room, written = 0;
	struct req_header h;
	uint8_t status;
	int r;

	if (c->read_bytes < sizeof(h) || c->write_bytes < 1)
		return -EBADMSG;
	r = virtq_chain_read(q, c, 0, &h, sizeof(h));
	if (r < 0)
		return r;
	in_room = c->write_bytes - 1; /* the status is the last byte */
	switch (le32_get(h.type)) {
	case VIRTIO_BLK_T_IN:
		status = read_write(b, true, le64_get(h.sector), in_room);
		written = status == VIRTIO_BLK_S_OK ? in_room : 0;
		break;
	case VIRTIO_BLK_T_OUT:
		status = read_write(b, false, le64_get(h.sector), c->read_bytes - sizeof(h));
		break;
	case VIRTIO_BLK_T_FLUSH:
		status = fdatasync(b->fd) == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
		break;
	case VIRTIO_BLK_T_GET_ID:
		status = get_id(b, in_room);
		written = status == VIRTIO_BLK_S_OK ? MIN(in_room, sizeof(b->serial)) : 0;
		break;
	default:
		status = VIRTIO_BLK_S_UNSUPP;
		break;
	}
	r = virtq_chain_write(q, c, in_room, &status, sizeof(status));
	/* The length counts from the start of the writable part and must not claim bytes that
	 * were never written, so the status is only included when all before it was filled. */
	return r < 0 ? r : virtq_push(q, c->head, (uint32_t)(written + (written == in_room)));
}

static int blk_notify(struct virtio_dev *dev, unsigned qi)
{
	struct virtq *q = &dev->queues[qi];
	struct blk *b = to_blk(dev);
	uint64_t announced = now_ns();
	unsigned budget = q->size;
	int r;

	do {
		r = virtq_disable_notify(q);
		while (r == 0 && budget > 0 && !virtio_dev_wanted(dev)) {
			r = virtq_pop(q, &b->chain);
			if (r <= 0)
				break;
			budget--;
			r = serve(b);
			if (r == 0 && now_ns() - announced > BLK_ANNOUNCE_NS) {
				r = virtio_dev_notify_used(dev, q);
				announced = now_ns();
			}
		}
		if (r == 0)
			r = virtio_dev_notify_used(dev, q);
		if (r == 0)
			r = virtq_enable_notify(q);
	} while (r > 0 && budget > 0 && !virtio_dev_wanted(dev));
	if (r > 0)
		virtio_dev_kick(dev, qi);
	return r < 0 ? r : 0;
}

static void blk_free(struct virtio_dev *dev)
{
	struct blk *b = to_blk(dev);

	virtio_dev_done(dev);
	fd_closep(&b->fd);
	free(b);
}

const struct virtio_dev_ops virtio_blk_ops = {
	.name = "blk",
	.id = VIRTIO_DEV_BLK,
	.queues = 1,
	.queue_size_max = BLK_QUEUE_SIZE,
	.features = UINT64_C(1) << VIRTIO_BLK_F_SIZE_MAX | UINT64_C(1) << VIRTIO_BLK_F_SEG_MAX |
		    UINT64_C(1) << VIRTIO_BLK_F_FLUSH,
	.own_thread = true,
	.notify = blk_notify,
	.free = blk_free,
};

static int check_fd(int fd, bool read_only, uint64_t *ret_bytes)
{
	int flags = fcntl(fd, F_GETFL);
	off_t end;

	if (flags < 0)
		return -errno;
	if (!read_only && (flags & O_ACCMODE) != O_RDWR)
		return -EBADF;
	end = lseek(fd, 0, SEEK_END); /* the size of a block device too */
	if (end < 0)
		return -errno;
	if (end < (off_t)BLK_SECTOR)
		return -EINVAL;
	*ret_bytes = (uint64_t)end - (uint64_t)end % BLK_SECTOR;
	return 0;
}

int virtio_blk_new(struct gmem *gmem, int fd, bool read_only, const char *serial,
		   struct virtio_dev **ret)
{
	struct blk_config config;
	uint64_t bytes = 0;
	struct blk *b;
	int r = check_fd(fd, read_only, &bytes);

	if (r < 0)
		return r;
	if (strlen(serial) > BLK_SERIAL_BYTES)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	r = virtio_dev_init(&b->dev, &virtio_blk_ops, gmem, 1);
	if (r < 0) {
		free(b);
		return r;
	}
	b->fd = fd;
	b->read_only = read_only;
	b->bytes = bytes;
	memcpy(b->serial, serial, strlen(serial)); /* padded with zeros, not terminated */
	if (read_only)
		b->dev.features |= UINT64_C(1) << VIRTIO_BLK_F_RO;
	config = (struct blk_config){ .capacity = le64_put(bytes / BLK_SECTOR),
				      .size_max = le32_put(BLK_SEG_BYTES_MAX),
				      .seg_max = le32_put(BLK_SEG_MAX) };
	memcpy(b->dev.config, &config, sizeof(config));
	b->dev.config_size = sizeof(config);
	*ret = &b->dev;
	return 0;
}
