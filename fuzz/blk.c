/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A drive: requests of every type and of none, with ranges at the edges, while the pool works when
 * the input says so, the file changes its size and the limits change. No request is ever lost or
 * in two places, the file never grows beyond what the guest was told, and a drive that is read-only
 * stays as it was.
 */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/le.h"
#include "base/num.h"
#include "fuzz/blk_pool.h"
#include "fuzz/device_rig.h"
#include "vmm/virtio/blk_internal.h"
#include "vmm/virtio/devices.h"

#define FILE_MAX (256 * KIB)
#define AREA	 UINT64_C(0x500000) /* headers, data, status */
#define AREA_LEN 0x10000U

static int disk = -1; /* of this run, writable */
static struct blk *now;

/* No other thread will do what a pause waits for. */
static void finish_and_pause(struct virtio_dev *dev)
{
	while (fuzz_pool_run(&now->lane, false))
		;
	BUG_ON(blk_queue_reap(now) < 0);
	virtio_blk_ops.pause(dev);
}

static struct virtio_dev *make(struct device_rig *r)
{
	static struct virtio_dev_ops here; /* the same device, on our own loop: no second thread */
	uint8_t shape = (uint8_t)rig_take(r, 1);
	struct virtio_blk_spec spec = { .read_only = (shape & 1U) != 0,
					.discard = (shape & 3U) == 2U,
					.queues = 1 + (shape >> 2 & 3U),
					.serial = "fuzz" };
	struct virtio_dev *dev;
	char path[32];

	disk = memfd_create("disk", MFD_CLOEXEC);
	BUG_ON(disk < 0 || ftruncate(disk, (off_t)(64 * KIB)) < 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", disk);
	spec.fd = spec.read_only ? open(path, O_RDONLY | O_CLOEXEC) : dup(disk);
	BUG_ON(virtio_blk_new(&r->d.mem, &spec, &dev) < 0);
	if ((shape & 16U) != 0) /* a driver without flush */
		dev->features &= ~(UINT64_C(1) << VIRTIO_BLK_F_FLUSH);
	here = *dev->ops;
	here.own_thread = false;
	here.pause = finish_and_pause;
	dev->ops = &here;
	now = to_blk(dev);
	return dev;
}

static uint64_t sector(struct device_rig *r)
{
	static const uint64_t v[] = {
		0, 1, 127, 128, 129, 511, 512, UINT64_MAX, UINT64_MAX / 512, UINT64_MAX / 512 + 1
	};
	uint8_t c = (uint8_t)rig_take(r, 1);

	return c < ARRAY_SIZE(v) ? v[c] : c < 128 ? c : rig_take(r, 8);
}

static uint32_t type(struct device_rig *r)
{
	static const uint32_t v[] = { VIRTIO_BLK_T_IN,	    VIRTIO_BLK_T_OUT,
				      VIRTIO_BLK_T_FLUSH,   VIRTIO_BLK_T_GET_ID,
				      VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };
	uint8_t c = (uint8_t)rig_take(r, 1) % 8;

	return c < ARRAY_SIZE(v) ? v[c] : (uint32_t)rig_take(r, 4);
}

static void write_header(struct device_rig *r, uint32_t t, uint64_t at)
{
	struct {
		le32_t type, reserved;
		le64_t sector;
	} h = { le32_put(t), le32_put(0), le64_put(sector(r)) };

	drv_write(&r->d, at, &h, sizeof(h));
}

static void write_ranges(struct device_rig *r, uint64_t at)
{
	for (unsigned i = 0; i < 3; i++) {
		struct {
			le64_t sector;
			le32_t sectors, flags;
		} s = { le64_put(sector(r)), le32_put((uint32_t)rig_take(r, 1)),
			le32_put((uint32_t)rig_take(r, 1) & 3U) };

		drv_write(&r->d, at + i * sizeof(s), &s, sizeof(s));
	}
}

/* As a driver would lay it out, but for what the input bends. */
static void request(struct device_rig *r)
{
	uint32_t t = type(r), len = 512U * ((uint32_t)rig_take(r, 1) % 70);
	uint8_t shape = (uint8_t)rig_take(r, 1);
	bool in = t == VIRTIO_BLK_T_IN || t == VIRTIO_BLK_T_GET_ID;
	uint64_t at = AREA + rig_take(r, 1) % 64 * 64;
	unsigned q = shape % r->d.dev->queues_count;

	if (t == VIRTIO_BLK_T_DISCARD || t == VIRTIO_BLK_T_WRITE_ZEROES) {
		len = 16 * ((uint32_t)rig_take(r, 1) % 18);
		write_ranges(r, at + 64);
	} else if (t == VIRTIO_BLK_T_GET_ID) {
		len = 20 + shape % 3;
	}
	if ((shape & 0x30U) == 0x30U)
		len += (uint32_t)rig_take(r, 1) % 4;
	write_header(r, t, at);
	struct drv_seg s[4] = { { at, 16, false },
				{ at + 64, len / 2, in },
				{ at + 64 + len / 2, len - len / 2, in },
				{ AREA + AREA_LEN + shape, 1, true } };
	if (r->d.q[q].size != 0)
		(void)drv_post(&r->d, q, s, 4, (shape & 0x40U) != 0);
}

static void host(struct device_rig *r)
{
	uint8_t op = (uint8_t)rig_take(r, 1);
	uint64_t bytes = 0;
	struct limits l = { 0 };

	switch (op % 8) {
	case 0:
		(void)fuzz_pool_run(&now->lane, (op & 8U) != 0);
		break;
	case 1:
		while (fuzz_pool_run(&now->lane, (op & 8U) != 0))
			;
		break;
	case 2:
		BUG_ON(ftruncate(disk, (off_t)(rig_take(r, 1) * KIB)) < 0);
		(void)!virtio_blk_resize(r->d.dev, &bytes);
		break;
	case 3:
		l.bytes = (struct limit_bucket){ rig_take(r, 3) * 1000, rig_take(r, 2) };
		l.operations = (struct limit_bucket){ rig_take(r, 2), rig_take(r, 1) };
		virtio_blk_set_limits(r->d.dev, (op & 8U) != 0 ? &l : &(struct limits){ 0 });
		break;
	default:
		request(r);
		break;
	}
}

static unsigned length_of(const struct blk_request *rq)
{
	unsigned n = 0;

	for (; rq != NULL; rq = rq->next) {
		n++;
		BUG_ON(n > BLK_REQUESTS_MAX);
	}
	return n;
}

static void check(struct device_rig *r)
{
	unsigned pooled = length_of(now->lane.pending.first) + length_of(now->lane.done.first);
	struct stat st;

	(void)r;
	BUG_ON(now->pooled != pooled);
	BUG_ON(now->used > BLK_REQUESTS_MAX || length_of(now->free) + pooled != now->used);
	BUG_ON(fstat(disk, &st) < 0 || (uint64_t)st.st_size > FILE_MAX);
	BUG_ON(now->file.read_only && st.st_blocks != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct device_rig_ops ops = { .make = make, .host = host, .check = check };
	int r = device_rig_run(&ops, data, len);

	fd_closep(&disk);
	return r;
}
