/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock_guest.h"

#include <criterion/criterion.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

void vg_init(struct vg *g, bool start, uint64_t without)
{
	struct virtio_dev *dev;

	memset(g, 0, sizeof(*g));
	drv_init(&g->d);
	cr_assert_eq(virtio_vsock_new(&g->d.mem, VG_CID, &dev), 0);
	drv_attach(&g->d, dev);
	g->tx_hdr = drv_alloc(&g->d, sizeof(struct vsock_hdr), 4);
	g->tx_data = drv_alloc(&g->d, VG_TX_BYTES, 4096);
	if (start)
		vg_start(g, without, 100);
}

void vg_start(struct vg *g, uint64_t without, unsigned rx_buffers)
{
	drv_start(&g->d, without);
	vg_post_rx(g, rx_buffers);
	drv_run(&g->d);
}

void vg_done(struct vg *g)
{
	drv_done(&g->d);
}

struct vsock *vg_vsock(struct vg *g)
{
	return CONTAINER_OF(g->d.dev, struct vsock, dev);
}

bool vg_valid(struct vg *g)
{
	struct vsock *v = vg_vsock(g);

	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		if (!vsock_conn_valid(&v->conns[i]))
			return false;
	}
	return virtq_valid(&v->dev.queues[0]) && virtq_valid(&v->dev.queues[1]);
}

void vg_post_rx(struct vg *g, unsigned n)
{
	const uint32_t len = VG_RX_BYTES + sizeof(struct vsock_hdr);

	for (unsigned i = 0; i < n; i++) {
		struct drv_queue *q = &g->d.q[VSOCK_QUEUE_RX];
		uint16_t head;
		cr_assert_gt(q->nfree, 0);
		head = q->free[q->nfree - 1];
		if (g->rx_addr[head] == 0)
			g->rx_addr[head] = drv_alloc(&g->d, len, 16);
		uint64_t at = g->rx_addr[head];
		bool split = g->rx_split && head % 3 == 0;
		struct drv_seg whole = { at, len, true };
		struct drv_seg pieces[] = { { at, 20, true },
					    { at + 20, 100, true },
					    { at + 120, len - 120, true } };
		cr_assert_eq(drv_post(&g->d, VSOCK_QUEUE_RX, split ? pieces : &whole, split ? 3 : 1,
				      false),
			     head);
	}
}

bool vg_take(struct vg *g, struct vg_packet *p)
{
	uint32_t head, len;

	if (!drv_used(&g->d, VSOCK_QUEUE_RX, &head, &len))
		return false;
	cr_assert_geq(len, sizeof(p->h));
	drv_read(&g->d, g->rx_addr[head], &p->h, sizeof(p->h));
	cr_assert_eq(len, sizeof(p->h) + le32_get(p->h.len));
	drv_read(&g->d, g->rx_addr[head] + sizeof(p->h), p->data, le32_get(p->h.len));
	cr_assert_eq(le64_get(p->h.dst_cid), VG_CID);
	return true;
}

bool vg_recv(struct vg *g, struct vg_packet *p)
{
	drv_run(&g->d);
	if (!vg_take(g, p))
		return false;
	vg_post_rx(g, 1);
	return true;
}

void vg_expect(struct vg *g, uint16_t op, struct vg_packet *p)
{
	cr_assert(vg_recv(g, p), "no packet; wanted op %u", op);
	cr_assert_eq(le16_get(p->h.op), op, "op %u, wanted %u", le16_get(p->h.op), op);
	cr_assert(vg_valid(g));
}

bool vg_silent(struct vg *g)
{
	struct vg_packet p;

	return !vg_recv(g, &p);
}

void vg_send_raw(struct vg *g, const struct vsock_hdr *h, const void *data, uint32_t bytes,
		 unsigned segs)
{
	struct drv_seg s[16] = { { g->tx_hdr, sizeof(*h), false } };
	uint32_t head, len, off = 0;
	unsigned n = 1;

	cr_assert(bytes <= VG_TX_BYTES && segs < ARRAY_SIZE(s));
	drv_write(&g->d, g->tx_hdr, h, sizeof(*h));
	if (bytes > 0)
		drv_write(&g->d, g->tx_data, data, bytes);
	for (; n <= segs && off < bytes; n++) {
		uint32_t part = n == segs ? bytes - off : bytes / segs;
		s[n] = (struct drv_seg){ g->tx_data + off, part, false };
		off += part;
	}
	cr_assert_geq(drv_post(&g->d, VSOCK_QUEUE_TX, s, n, false), 0);
	drv_run(&g->d);
	while (drv_used(&g->d, VSOCK_QUEUE_TX, &head, &len))
		cr_assert_eq(len, 0);
}

struct vsock_hdr vg_hdr(const struct vg_flow *f, uint16_t op, uint32_t flags, uint32_t len)
{
	return (struct vsock_hdr){
		.src_cid = le64_put(VG_CID),
		.dst_cid = le64_put(VSOCK_CID_HOST),
		.src_port = le32_put(f->guest_port),
		.dst_port = le32_put(f->host_port),
		.len = le32_put(len),
		.type = le16_put(VIRTIO_VSOCK_TYPE_STREAM),
		.op = le16_put(op),
		.flags = le32_put(flags),
		.buf_alloc = le32_put(f->buf_alloc),
		.fwd_cnt = le32_put(f->fwd_cnt),
	};
}

void vg_send(struct vg *g, struct vg_flow *f, uint16_t op, uint32_t flags, const void *data,
	     uint32_t len)
{
	struct vsock_hdr h = vg_hdr(f, op, flags, len);

	f->tx_cnt += len;
	vg_send_raw(g, &h, data, len, 1);
}

void vg_note(struct vg_flow *f, const struct vg_packet *p)
{
	f->peer_buf = le32_get(p->h.buf_alloc);
	f->peer_fwd = le32_get(p->h.fwd_cnt);
	f->rx_cnt += le32_get(p->h.len);
	cr_assert_leq(f->rx_cnt - f->fwd_cnt, f->buf_alloc, "the device broke our credit");
}

uint32_t vg_space(const struct vg_flow *f)
{
	return f->peer_buf - (f->tx_cnt - f->peer_fwd);
}

int vg_open(struct vg *g, struct vg_flow *f, uint32_t host_port, uint32_t guest_port)
{
	struct vg_packet p;
	int sv[2];

	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert_eq(virtio_vsock_listen(g->d.dev, host_port, sv[0]), 0);
	*f = (struct vg_flow){ .host_port = host_port,
			       .guest_port = guest_port,
			       .buf_alloc = VG_BUF_ALLOC };
	vg_send(g, f, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	vg_expect(g, VIRTIO_VSOCK_OP_RESPONSE, &p);
	cr_assert_eq(le32_get(p.h.src_port), host_port);
	cr_assert_eq(le32_get(p.h.dst_port), guest_port);
	vg_note(f, &p);
	return sv[1];
}

static void on_done(int result, void *arg)
{
	int *got = arg;

	cr_assert_eq(*got, 1, "done came twice");
	*got = result;
}

int vg_open_host(struct vg *g, struct vg_flow *f, uint32_t guest_port)
{
	struct vg_packet p;
	int sv[2], result = 1;

	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert_eq(virtio_vsock_connect(g->d.dev, guest_port, sv[0], on_done, &result), 0);
	vg_expect(g, VIRTIO_VSOCK_OP_REQUEST, &p);
	cr_assert_eq(le32_get(p.h.dst_port), guest_port);
	cr_assert_eq(result, 1);
	*f = (struct vg_flow){ .host_port = le32_get(p.h.src_port),
			       .guest_port = guest_port,
			       .buf_alloc = VG_BUF_ALLOC };
	vg_note(f, &p);
	vg_send(g, f, VIRTIO_VSOCK_OP_RESPONSE, 0, NULL, 0);
	drv_run(&g->d);
	cr_assert_eq(result, 0);
	return sv[1];
}
