/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that sends any frames, posts any buffers and commands, while the host sends frames too,
 * the link comes and goes and the driver starts again. After each step the queues and every frame
 * in delivery must keep their invariants, and what reaches the host must carry a header that the
 * host can trust (check_sent says it anew, in other words than net_hdr.c). Guest memory changes
 * between fetches (mutate.h).
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "fuzz/mutate.h"
#include "tests/unit/fake_driver.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/net.h"

#define PAIRS 2U
#define STEPS 300U

struct rig {
	const uint8_t *data;
	size_t len;
	struct drv d;
	int host[PAIRS];
	bool paused;
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

/* Often small, sometimes at an edge, sometimes anything. */
static uint32_t number(struct rig *r)
{
	static const uint32_t v[] = { 1514,  1518,  1519,  4096,  9000,	 40000, 65535,
				      65550, 65553, 65554, 65566, 65600, 48,	34 };
	uint8_t c = (uint8_t)take(r, 1);

	if (c < 128)
		return c;
	return c < 128 + ARRAY_SIZE(v) ? v[c - 128] : (uint32_t)take(r, 2);
}

static struct net *net_of(struct rig *r)
{
	return CONTAINER_OF(r->d.dev, struct net, dev);
}

static void check(struct rig *r)
{
	struct net *n = net_of(r);

	BUG_ON(n->active < 1 || n->active > n->pairs);
	for (unsigned q = 0; q < n->dev.queues_count; q++)
		BUG_ON(!virtq_valid(&n->dev.queues[q]));
	for (unsigned p = 0; p < n->pairs; p++) {
		const struct net_rx *rx = &n->rx[p];
		BUG_ON(rx->bufs_count > NET_QUEUE_SIZE);
		BUG_ON(rx->bufs_count > 0 && (rx->spill_at > rx->spill_len ||
					      rx->spill_len > rx->len || rx->len > NET_FRAME_MAX));
		BUG_ON(r->paused && n->dev.active && rx->bufs_count > 0);
	}
}

static void check_sent(const struct net_hdr *h, size_t len)
{
	size_t start = le16_get(h->csum_start), offset = le16_get(h->csum_offset);

	BUG_ON(len < 14 || len > 65553);
	BUG_ON(le16_get(h->num_buffers) != 0);
	BUG_ON((h->flags & ~1U) != 0);
	if (h->flags == 0) {
		BUG_ON(h->gso_type != 0 || le16_get(h->gso_size) != 0 || start != 0 || offset != 0);
		return;
	}
	BUG_ON(start < 14 || start + offset + 2 > len);
	if (h->gso_type == 0)
		return;
	BUG_ON((h->gso_type & 0x7f) != 1 && (h->gso_type & 0x7f) != 4);
	BUG_ON(start < ((h->gso_type & 0x7f) == 1 ? 34U : 54U) || offset != 16);
	BUG_ON(start + 20 >= len || le16_get(h->gso_size) < 48);
	BUG_ON(le16_get(h->hdr_len) < start + 20 || le16_get(h->hdr_len) > len);
}

static void drain(struct rig *r)
{
	static uint8_t frame[128 * 1024];
	struct net_hdr h;

	for (unsigned i = 0; i < PAIRS; i++) {
		for (;;) {
			struct iovec iov[2] = { { &h, sizeof(h) }, { frame, sizeof(frame) } };
			ssize_t n = readv(r->host[i], iov, 2);
			if (n < 0)
				break;
			BUG_ON(n < (ssize_t)sizeof(h));
			check_sent(&h, (size_t)n - sizeof(h));
		}
	}
}

static void header(struct rig *r, struct net_hdr *h)
{
	uint8_t shape = (uint8_t)take(r, 1);

	*h = (struct net_hdr){ 0 };
	if ((shape & 1) != 0)
		h->flags = (shape & 16) != 0 ? (uint8_t)take(r, 1) : 1;
	if ((shape & 2) != 0)
		h->gso_type = (shape & 32) != 0 ? (uint8_t)take(r, 1) : (shape & 64) != 0 ? 4 : 1;
	h->gso_size = le16_put((shape & 4) != 0 ? (uint16_t)number(r) : 1448);
	h->csum_start = le16_put((shape & 8) != 0 ? (uint16_t)number(r) : 54);
	h->csum_offset = le16_put((shape & 8) != 0 ? (uint16_t)number(r) : 16);
	h->hdr_len = le16_put((uint16_t)take(r, 1));
	h->num_buffers = le16_put((uint16_t)take(r, 1));
}

static void host_sends(struct rig *r)
{
	static uint8_t frame[128 * 1024];
	struct net_hdr h;
	struct iovec iov[2] = { { &h, sizeof(h) }, { frame, 0 } };
	int fd = r->host[take(r, 1) % PAIRS];

	header(r, &h);
	iov[1].iov_len = number(r);
	/* Shorter than a header, now and then. */
	if (iov[1].iov_len == 0)
		iov[0].iov_len = 1 + take(r, 1) % sizeof(h);
	BUG_ON(writev(fd, iov, 2) < 0 && errno != EAGAIN);
}

static void guest_sends(struct rig *r)
{
	uint8_t shape = (uint8_t)take(r, 1);
	uint32_t len = number(r);
	struct net_hdr h;
	struct drv_seg s[4] = { { 0x300000, sizeof(h), (shape & 3) == 3 } };

	header(r, &h);
	drv_write(&r->d, 0x300000, &h, sizeof(h));
	if ((shape & 12) == 12)
		s[0].len = (uint32_t)take(r, 1) % 16;
	for (unsigned i = 1; i < 4; i++)
		s[i] = (struct drv_seg){ 0x300000 + sizeof(h) * i, len / 3 + (i == 3 ? len % 3 : 0),
					 (shape & 0x70) == 0x70 && i == 3 };
	(void)drv_post(&r->d, shape & 0x80 ? 3 : 1, s, 4, (shape & 16) != 0);
}

static void buffers(struct rig *r)
{
	unsigned pair = (unsigned)take(r, 1) % PAIRS, n = 1 + (unsigned)take(r, 1) % 64;
	uint32_t len = number(r) + (uint32_t)take(r, 1) % 16;
	struct drv_seg s[2] = { { 0x500000, len / 2, true }, { 0x580000, len - len / 2, true } };

	if (take(r, 1) == 255)
		s[0].write = false;
	while (n-- > 0 && drv_post(&r->d, 2 * pair, s, 2, false) >= 0)
		;
}

static void command(struct rig *r)
{
	uint8_t cmd[4] = { 4, 0, 1, 0 }, shape = (uint8_t)take(r, 1);
	struct drv_seg s[2] = { { 0x700000, sizeof(cmd), false }, { 0x700010, 1, true } };

	cmd[2] = (uint8_t)take(r, 1) % 4;
	if ((shape & 3) == 3)
		cmd[take(r, 1) % sizeof(cmd)] = (uint8_t)take(r, 1);
	if ((shape & 12) == 12)
		s[0].len = (uint32_t)take(r, 1) % 8;
	drv_write(&r->d, 0x700000, cmd, sizeof(cmd));
	(void)drv_post(&r->d, (shape & 16) != 0 ? 2 : 2 * PAIRS, s, (shape & 0x60) == 0x60 ? 1 : 2,
		       false);
}

static void control(struct rig *r)
{
	uint8_t op = (uint8_t)take(r, 1);
	struct limits l = { 0 };

	switch (op % 4) {
	case 0:
		virtio_net_set_link(r->d.dev, (op & 4) != 0);
		break;
	case 1:
		l.bytes = (struct limit_bucket){ number(r) * 1000, number(r) };
		l.operations = (struct limit_bucket){ number(r), number(r) };
		virtio_net_set_limits(r->d.dev, (op & 4) != 0 ? &l : &(struct limits){ 0 },
				      (op & 8) != 0 ? &l : &(struct limits){ 0 });
		break;
	default:
		if (r->paused)
			virtio_dev_resume(r->d.dev);
		else
			virtio_dev_pause(r->d.dev);
		r->paused = !r->paused;
		break;
	}
}

static void collect(struct rig *r)
{
	uint32_t head, len;

	for (unsigned q = 0; q <= 2 * PAIRS; q++)
		for (unsigned i = 0; r->d.q[q].size > 0 && i < 1000; i++)
			if (!drv_used(&r->d, q, &head, &len))
				break;
	drain(r);
}

static void start(struct rig *r)
{
	static const uint8_t maybe[] = { 0, 7, 8, 9, 11, 12, 13, 15, 22, 17, 28, 29, 1, 3 };
	uint64_t without = 0, bits = take(r, 2);

	if (r->paused)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(maybe); i++)
		without |= (bits >> i & 1) << maybe[i];
	drain(r);
	r->d.brk = 0x10000;
	drv_negotiate(&r->d, without);
	for (unsigned q = 0; q <= 2 * PAIRS; q++)
		if ((bits & 0x8000) == 0 || q != 3)
			drv_queue_setup(&r->d, q, (bits & 0x4000) != 0 ? 8 : NET_QUEUE_SIZE);
	drv_driver_ok(&r->d);
}

static int set_offload(int tap, unsigned flags)
{
	(void)tap;
	return flags % 2 == 0 ? 0 : -EINVAL;
}

static void open_rig(struct rig *r)
{
	static struct virtio_dev_ops here; /* the same device, on our own loop: no second thread */
	const struct virtio_net_spec spec = {
		.mac = { 2 }, .mtu = 1500, .pairs = PAIRS, .set_offload = set_offload
	};
	int taps[PAIRS], sv[2];
	struct virtio_dev *dev;

	for (unsigned i = 0; i < PAIRS; i++) {
		BUG_ON(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) < 0);
		taps[i] = sv[0];
		r->host[i] = sv[1];
	}
	drv_init(&r->d);
	BUG_ON(virtio_net_new(&r->d.mem, &spec, taps, &dev) < 0);
	here = *dev->ops;
	here.own_thread = false;
	dev->ops = &here;
	drv_attach(&r->d, dev);
	r->d.lenient = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const steps[])(struct rig *) = { host_sends, guest_sends, buffers, collect,
						       collect,	   control,	command, start };
	struct rig r = { 0 };

	mutate_split(&data, &len);
	r.data = data;
	r.len = len;
	log_setup("fuzz", LOG_LEVEL_ERROR);
	open_rig(&r);
	mutate_on();
	start(&r);
	for (unsigned i = 0; r.len > 0 && i < STEPS; i++) {
		uint8_t op = (uint8_t)take(&r, 1);
		if (op % 8 != 7 || op >= 128 || drv_broken(&r.d))
			steps[op % 8](&r);
		if ((op & 8) != 0)
			drv_run(&r.d);
		check(&r);
	}
	if (r.paused)
		virtio_dev_resume(r.d.dev);
	drv_run(&r.d);
	r.paused = false;
	check(&r);
	drain(&r);
	mutate_off();
	drv_done(&r.d);
	for (unsigned i = 0; i < PAIRS; i++)
		fd_closep(&r.host[i]);
	return 0;
}
