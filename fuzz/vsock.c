/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that sends any packets, and a host that listens, connects, writes, reads and goes away
 * at any moment. After each step every connection must keep its invariant, and however it went,
 * no more is held for a flow than its buffer. Guest memory changes between fetches (mutate.h).
 */
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "fuzz/mutate.h"
#include "tests/unit/fake_driver.h"
#include "vmm/virtio/vsock.h"

#define CID   UINT64_C(42)
#define PEERS 8U

struct rig {
	const uint8_t *data;
	size_t len;
	struct drv d;
	int peers[PEERS]; /* the host's ends */
	unsigned waiting; /* connects whose result hasn't come */
};

static uint64_t take(struct rig *r, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0 && r->len > 0) {
		v = v << 8 | *r->data++;
		r->len--;
	}
	return v;
}

/* Often a small number, sometimes one at an edge, sometimes anything. */
static uint32_t number(struct rig *r)
{
	static const uint32_t v[] = { UINT32_MAX, UINT32_MAX - 1, 1U << 31, 65536,
				      65537,	  131072,	  131073,   262144 };
	uint8_t c = (uint8_t)take(r, 1);

	if (c < 128)
		return c;
	return c < 128 + ARRAY_SIZE(v) ? v[c - 128] : (uint32_t)take(r, 4);
}

static void check(struct rig *r)
{
	struct vsock *v = CONTAINER_OF(r->d.dev, struct vsock, dev);

	BUG_ON(!virtq_valid(&v->dev.queues[0]) || !virtq_valid(&v->dev.queues[1]));
	BUG_ON(v->stray_count > VSOCK_STRAYS_MAX || v->listen_count > VSOCK_LISTENS_MAX);
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++)
		BUG_ON(!vsock_conn_valid(&v->conns[i]));
}

static void start(struct rig *r)
{
	r->d.brk = 0x10000;
	drv_start(&r->d, (take(r, 1) & 3) << 28); /* event indices, indirect tables */
}

static void on_done(int result, void *arg)
{
	struct rig *r = arg;

	BUG_ON(r->waiting == 0 || result > 0);
	r->waiting--;
}

/* A new pair: one end for the device, the other in place of an older peer. */
static int pair(struct rig *r)
{
	int sv[2], *peer = &r->peers[take(r, 1) % PEERS];

	fd_closep(peer);
	BUG_ON(fd_socketpair(sv, true) < 0);
	*peer = sv[1];
	return sv[0];
}

static void host(struct rig *r)
{
	uint8_t op = (uint8_t)take(r, 1), buf[4096] = { 0 };
	int *peer = &r->peers[take(r, 1) % PEERS];
	uint32_t n;
	int fd;

	if (op >= 248) {
		struct virtio_dev *dev = r->d.dev;
		virtio_dev_pause(dev);
		pthread_mutex_lock(&dev->lock);
		if (dev->active)
			dev->ops->restored(dev);
		pthread_mutex_unlock(&dev->lock);
		virtio_dev_resume(dev);
		return;
	}
	switch (op % 6) {
	case 0:
		fd = pair(r);
		if (virtio_vsock_listen(r->d.dev, number(r), fd) < 0)
			fd_closep(&fd);
		break;
	case 1:
		fd = pair(r);
		r->waiting++;
		if (virtio_vsock_connect(r->d.dev, number(r), fd, on_done, r) < 0) {
			r->waiting--;
			fd_closep(&fd);
		}
		break;
	case 2:
		n = number(r);
		if (*peer >= 0)
			(void)!write(*peer, buf, MIN(n, sizeof(buf)));
		break;
	case 3:
		if (*peer >= 0)
			(void)!read(*peer, buf, sizeof(buf));
		break;
	case 4:
		if (*peer >= 0)
			(void)shutdown(*peer, op / 6 % 3);
		break;
	default:
		fd_closep(peer);
		break;
	}
}

static void packet(struct rig *r)
{
	uint8_t shape = (uint8_t)take(r, 1);
	uint32_t len = number(r), room;
	struct vsock_hdr h = {
		.src_cid = le64_put((shape & 1) != 0 ? take(r, 1) : CID),
		.dst_cid = le64_put((shape & 2) != 0 ? take(r, 1) : VSOCK_CID_HOST),
		.src_port = le32_put(number(r)),
		/* The host's ephemeral ports are known: a hostile guest counts too. */
		.dst_port = le32_put((shape & 4) != 0 ? 0x40000000U + (uint32_t)take(r, 1) % 4
						      : number(r)),
		.len = le32_put(len),
		.type = le16_put(
			(uint16_t)((shape & 8) != 0 ? take(r, 1) : VIRTIO_VSOCK_TYPE_STREAM)),
		.op = le16_put((uint16_t)(take(r, 1) % 10)),
		.flags = le32_put(number(r)),
		.buf_alloc = le32_put(number(r)),
		.fwd_cnt = le32_put(number(r)),
	};
	struct drv_seg s[3] = { { 0x400000, sizeof(h), false }, { 0x400100, 0, false } };
	unsigned n = 2;

	room = (shape & 16) != 0 ? number(r) & 0x1ffff : MIN(len, 0x20000U);
	s[1].len = room / 2;
	s[2] = (struct drv_seg){ 0x500000, room - room / 2, (shape & 32) != 0 };
	n = room > 1 ? 3 : 2;
	drv_write(&r->d, 0x400000, &h, sizeof(h));
	if (r->d.q[VSOCK_QUEUE_TX].nfree >= n)
		(void)drv_post(&r->d, VSOCK_QUEUE_TX, s, n, false);
}

static void buffers(struct rig *r)
{
	unsigned n = 1 + (unsigned)take(r, 1) % 32;
	uint32_t extra = number(r) & 0xffff;
	struct drv_seg s = { 0x600000, 44 + extra, true };

	while (n-- > 0 && drv_post(&r->d, VSOCK_QUEUE_RX, &s, 1, false) >= 0)
		;
}

static void collect(struct rig *r)
{
	uint32_t head, len;

	while (drv_used(&r->d, VSOCK_QUEUE_RX, &head, &len))
		;
	while (drv_used(&r->d, VSOCK_QUEUE_TX, &head, &len))
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct virtio_dev *dev;
	struct rig r = { 0 };

	mutate_split(&data, &len);
	r.data = data;
	r.len = len;
	log_setup("fuzz", LOG_LEVEL_ERROR);
	for (unsigned i = 0; i < PEERS; i++)
		r.peers[i] = -1;
	drv_init(&r.d);
	BUG_ON(virtio_vsock_new(&r.d.mem, CID, &dev) < 0);
	drv_attach(&r.d, dev);
	r.d.lenient = true;
	mutate_on();
	start(&r);
	for (unsigned i = 0; r.len > 0 && i < 300; i++) {
		switch (take(&r, 1) % 8) {
		case 0:
		case 1:
			host(&r);
			break;
		case 2:
		case 3:
		case 4:
			packet(&r);
			break;
		case 5:
			buffers(&r);
			break;
		case 6:
			drv_run(&r.d);
			collect(&r);
			break;
		default:
			if (take(&r, 1) % 8 == 0 || drv_broken(&r.d))
				start(&r);
			break;
		}
		check(&r);
	}
	drv_run(&r.d);
	check(&r);
	for (unsigned i = 0; i < PEERS; i++)
		fd_closep(&r.peers[i]);
	mutate_off();
	drv_done(&r.d);
	return 0;
}
