/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets from the guest. The header is gathered into a local copy and everything is decided on
 * that copy; the data stay where they are until they are written or copied. A packet that
 * contradicts its own chain fails the device; one that lies about its flow only hurts that flow.
 */
#include <errno.h>
#include <linux/virtio_vsock.h>

#include "base/fd.h"
#include "vmm/virtio/vsock.h"

/* Bytes taken from the guest in one round, so that other devices have their turn. */
#define TX_ROUND_BYTES (1024U * 1024U)

/* A REQUEST for a host port: joined to the fd that waits there, or refused. */
static void accept_request(struct vsock *v, const struct vsock_hdr *h)
{
	uint32_t host_port = le32_get(h->dst_port);
	struct vsock_conn *c;
	int fd = vsock_conn_room(v) ? vsock_listen_take(v, host_port) : -1;

	if (fd < 0) {
		virtio_dev_count(&v->dev, VSOCK_REFUSED, 1);
		vsock_rx_stray(v, h);
		return;
	}
	if (vsock_conn_new(v, host_port, le32_get(h->src_port), fd, &c) < 0) {
		fd_closep(&fd);
		vsock_rx_stray(v, h);
		return;
	}
	vsock_credit_peer(&c->credit, le32_get(h->buf_alloc), le32_get(h->fwd_cnt));
	c->owed = VSOCK_OWES_RESPONSE;
}

static int handle(struct vsock *v, const struct vsock_hdr *h)
{
	uint16_t op = le16_get(h->op);
	struct vsock_conn *c;

	/* A packet in another's name gets no answer: there is nobody to answer to. */
	if (le64_get(h->src_cid) != v->guest_cid) {
		__atomic_fetch_add(&v->dev.errors, 1, __ATOMIC_RELAXED);
		virtio_dev_count(&v->dev, VSOCK_SPOOFED, 1);
		return 0;
	}
	if (le64_get(h->dst_cid) != VSOCK_CID_HOST ||
	    le16_get(h->type) != VIRTIO_VSOCK_TYPE_STREAM) {
		if (op != VIRTIO_VSOCK_OP_RST)
			vsock_rx_stray(v, h);
		return 0;
	}
	c = vsock_conn_find(v, le32_get(h->dst_port), le32_get(h->src_port));
	if (c != NULL)
		return vsock_conn_packet(c, h);
	if (op == VIRTIO_VSOCK_OP_REQUEST)
		accept_request(v, h);
	else if (op != VIRTIO_VSOCK_OP_RST)
		vsock_rx_stray(v, h);
	return 0;
}

/* Takes one packet: its bytes, 0 = none, or negative. */
static int take(struct vsock *v, struct virtq *q)
{
	struct virtq_chain *chain = &v->chain;
	struct vsock_hdr h;
	int r;

	r = virtq_pop(q, chain);
	if (r <= 0)
		return r;
	if (chain->nwrite > 0 || chain->read_bytes < sizeof(h))
		return -EBADMSG;
	r = virtq_chain_read(q, chain, 0, &h, sizeof(h));
	if (r < 0)
		return r;
	if (le32_get(h.len) > VSOCK_PACKET_MAX || le32_get(h.len) > chain->read_bytes - sizeof(h))
		return -EBADMSG;
	virtio_dev_count(&v->dev, VSOCK_TX_PACKETS, 1);
	r = handle(v, &h);
	if (r == 0)
		r = virtq_push(q, chain->head, 0);
	return r < 0 ? r : (int)(sizeof(h) + le32_get(h.len));
}

int vsock_tx(struct vsock *v)
{
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_TX];
	unsigned packets = q->size, bytes = 0;
	int r;

	v->tx_stalled = false;
	do {
		r = virtq_disable_notify(q);
		while (r == 0 && packets > 0 && bytes < TX_ROUND_BYTES) {
			/* Every packet may need an RST in answer; none is lost. */
			if (v->stray_count == VSOCK_STRAYS_MAX) {
				v->tx_stalled = true;
				virtio_dev_count(&v->dev, VSOCK_TX_STALLED, 1);
				break;
			}
			r = take(v, q);
			if (r <= 0)
				break;
			bytes += (unsigned)r;
			packets--;
			r = 0;
		}
		if (r == 0)
			r = virtio_dev_notify_used(&v->dev, q);
		if (r == 0 && !v->tx_stalled)
			r = virtq_enable_notify(q);
	} while (r > 0 && packets > 0 && bytes < TX_ROUND_BYTES);
	if (r > 0)
		virtio_dev_kick(&v->dev, VSOCK_QUEUE_TX);
	return r < 0 ? r : 0;
}
