/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets to the guest. Nothing is queued here but what is owed: a bit per control packet and
 * connection, and a short list of RSTs for flows without a slot. Data are read from the host's
 * socket straight into the guest's buffer once there is one, and credit for it; so a guest that
 * posts no buffers costs nothing, and the host's writer is held up by its own socket.
 *
 * The sockets are watched edge-triggered: their readiness is remembered in the connection, and
 * while the guest has no buffers nothing is polled. A kick of the rx queue starts the pump again.
 */
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "base/num.h"
#include "vmm/virtio/vsock.h"

/* Packets of one connection before it is the next one's turn. */
#define RX_QUANTUM 32U
/* Buffers that one read of the socket fills: Linux posts buffers of 4 KiB. */
#define RX_BATCH 16U

/* A buffer of the guest's that a read is to fill. */
struct rx_buffer {
	gpa_t header;  /* room for a header, in one piece */
	uint32_t room; /* behind it */
	uint16_t head;
};

/* Room for a header and some data, and nothing that we are meant to read. */
static bool is_buffer(const struct virtq_chain *c)
{
	return c->nread == 0 && c->write_bytes > sizeof(struct vsock_hdr);
}

/* A buffer of the guest's in v->chain: 1, 0 = there is none, or negative. */
static int get_buffer(struct vsock *v)
{
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_RX];
	int r;

	if (v->rx_starved)
		return 0;
	r = virtq_pop(q, &v->chain);
	if (r == 0) {
		r = virtq_enable_notify(q);
		if (r > 0) {
			r = virtq_disable_notify(q);
			if (r == 0)
				r = virtq_pop(q, &v->chain);
		}
	}
	if (r == 0) {
		v->rx_starved = true;
		virtio_dev_count(&v->dev, VSOCK_RX_STARVED, 1);
	}
	if (r <= 0)
		return r;
	return is_buffer(&v->chain) ? 1 : -EBADMSG;
}

/* Completes the buffer in v->chain, whose data are in place. */
static int put_packet(struct vsock *v, const struct vsock_hdr *h)
{
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_RX];
	int r = virtq_chain_write(q, &v->chain, 0, h, sizeof(*h));

	if (r < 0)
		return r;
	virtio_dev_count(&v->dev, VSOCK_RX_PACKETS, 1);
	if (le16_get(h->op) == VIRTIO_VSOCK_OP_RST)
		virtio_dev_count(&v->dev, VSOCK_RSTS, 1);
	return virtq_push(q, v->chain.head, (uint32_t)sizeof(*h) + le32_get(h->len));
}

/* The header of a packet of c's; telling the credit is part of every packet. */
static struct vsock_hdr header(struct vsock_conn *c, uint16_t op, uint32_t flags, uint32_t len)
{
	c->credit.fwd_told = c->credit.fwd_cnt;
	c->owed &= ~(unsigned)VSOCK_OWES_CREDIT_UPDATE;
	return (struct vsock_hdr){
		.src_cid = le64_put(VSOCK_CID_HOST),
		.dst_cid = le64_put(c->v->guest_cid),
		.src_port = le32_put(c->host_port),
		.dst_port = le32_put(c->guest_port),
		.len = le32_put(len),
		.type = le16_put(VIRTIO_VSOCK_TYPE_STREAM),
		.op = le16_put(op),
		.flags = le32_put(flags),
		.buf_alloc = le32_put(VSOCK_BUF_BYTES),
		.fwd_cnt = le32_put(c->credit.fwd_cnt),
	};
}

/* ---- RSTs without a connection -------------------------------------------------------------- */

void vsock_rx_stray(struct vsock *v, const struct vsock_hdr *h)
{
	BUG_ON(v->stray_count >= VSOCK_STRAYS_MAX);
	v->strays[v->stray_count++] = (struct vsock_stray){
		.src_cid = le64_get(h->dst_cid),
		.src_port = le32_get(h->dst_port),
		.dst_port = le32_get(h->src_port),
		.type = le16_get(h->type),
	};
}

/* As many as the guest has buffers for: 0 or negative. */
static int send_strays(struct vsock *v)
{
	unsigned sent = 0;
	int r = 0;

	while (sent < v->stray_count) {
		const struct vsock_stray *s = &v->strays[sent];
		struct vsock_hdr h = {
			.src_cid = le64_put(s->src_cid),
			.dst_cid = le64_put(v->guest_cid),
			.src_port = le32_put(s->src_port),
			.dst_port = le32_put(s->dst_port),
			.type = le16_put(s->type),
			.op = le16_put(VIRTIO_VSOCK_OP_RST),
		};
		r = get_buffer(v);
		if (r > 0)
			r = put_packet(v, &h) < 0 ? -EFAULT : 1;
		if (r <= 0)
			break;
		sent++;
	}
	if (sent > 0) {
		v->stray_count -= sent;
		memmove(v->strays, v->strays + sent, v->stray_count * sizeof(v->strays[0]));
		if (v->tx_stalled)
			virtio_dev_kick(&v->dev, VSOCK_QUEUE_TX);
	}
	return r < 0 ? r : 0;
}

/* ---- Control packets ------------------------------------------------------------------------ */

/* Sends one control packet if it is owed: 1 = nothing (more) in the way, 0 = no buffer. */
static int pay(struct vsock_conn *c, enum vsock_owed what, uint16_t op, uint32_t flags)
{
	struct vsock_hdr h;
	int r;

	if ((c->owed & (unsigned)what) == 0)
		return 1;
	r = get_buffer(c->v);
	if (r <= 0)
		return r;
	h = header(c, op, flags, 0);
	c->owed &= ~(unsigned)what;
	r = put_packet(c->v, &h);
	return r < 0 ? r : 1;
}

/* What comes before data. Results as pay. */
static int pay_first(struct vsock_conn *c)
{
	int r = c->v->event_shown ? 1 : pay(c, VSOCK_OWES_REQUEST, VIRTIO_VSOCK_OP_REQUEST, 0);

	if (r > 0)
		r = pay(c, VSOCK_OWES_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE, 0);
	if (r > 0)
		r = pay(c, VSOCK_OWES_CREDIT_REQUEST, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0);
	return r;
}

/* What comes after data. Every packet tells the credit, so an update is only sent when there was
 * nothing else to send. */
static int pay_last(struct vsock_conn *c)
{
	int r = 1;

	if ((c->owed & VSOCK_OWES_SHUTDOWN) != 0) {
		r = pay(c, VSOCK_OWES_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN, c->host_shut);
		if (r > 0)
			vsock_conn_shutdown_sent(c);
	}
	if (r > 0 && (c->owed & VSOCK_OWES_RST) != 0) {
		r = pay(c, VSOCK_OWES_RST, VIRTIO_VSOCK_OP_RST, 0);
		if (r > 0)
			vsock_conn_drop(c, -ECONNRESET);
	}
	return r > 0 ? pay(c, VSOCK_OWES_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0) : r;
}

/* ---- Data ----------------------------------------------------------------------------------- */

/* Is there something to read that the guest would take? */
static bool wants_data(struct vsock_conn *c)
{
	if (c->state != VSOCK_OPEN || !c->can_read)
		return false;
	/* Nobody reads there, or the end has been met already (an edge may tell of it again). */
	if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0 ||
	    (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0)
		return false;
	if (vsock_credit_space(&c->credit) > 0)
		return true;
	if (!c->credit_asked) {
		c->credit_asked = true;
		c->owed |= VSOCK_OWES_CREDIT_REQUEST;
	}
	return false;
}

/*
 * Adds the buffer in v->chain to those that the next read fills, up to `most` bytes: its room, or 0
 * when it doesn't lend itself to that: too many pieces, or a header that is not in one piece.
 */
static uint32_t add_buffer(struct vsock *v, struct rx_buffer *b, uint64_t most, size_t *count)
{
	const struct virtq_seg *first = &v->chain.segs[v->chain.nread];
	const uint64_t off = sizeof(struct vsock_hdr);
	uint64_t room = MIN(v->chain.write_bytes - off, most);
	size_t had = *count;

	if (first->len < sizeof(struct vsock_hdr) ||
	    virtq_chain_iov(&v->dev.queues[VSOCK_QUEUE_RX], &v->chain, true, off, room, v->iov,
			    ARRAY_SIZE(v->iov), count) < 0) {
		*count = had;
		return 0;
	}
	*b = (struct rx_buffer){ .head = v->chain.head,
				 .header = first->addr,
				 .room = (uint32_t)room };
	return b->room;
}

/* Buffers for up to `most` bytes; the first one is in v->chain: how many, or negative. */
static int take_buffers(struct vsock *v, struct rx_buffer b[RX_BATCH], uint64_t most, size_t *count)
{
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_RX];
	unsigned n = 0;
	int r = 1;

	while (r > 0) {
		uint32_t room = add_buffer(v, &b[n], MIN(most, VSOCK_PACKET_MAX), count);
		if (room == 0) {
			virtq_unpop(q);
			break;
		}
		n++;
		most -= room;
		if (most == 0 || n == RX_BATCH)
			break;
		r = virtq_pop(q, &v->chain);
		if (r > 0 && !is_buffer(&v->chain))
			r = -EBADMSG;
	}
	return r < 0 ? r : (int)n;
}

static ssize_t read_some(struct vsock_conn *c, size_t count)
{
	/* No room for descriptors: those that a peer passes are dropped by the kernel. */
	struct msghdr msg = { .msg_iov = c->v->iov, .msg_iovlen = count };
	ssize_t n;

	do
		n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Nothing was read: empty for now, or the end. */
static void read_nothing(struct vsock_conn *c, ssize_t n)
{
	bool again = n < 0 && errno == EAGAIN;

	c->can_read = false;
	if (!again)
		vsock_conn_eof(c, n < 0 || c->hung_up);
}

/* n bytes were read. */
static void read_something(struct vsock_conn *c, uint64_t n, uint64_t room)
{
	/* Less than there was room for: empty for now, and an edge tells of more. Unless the peer
	 * has hung up: then no edge will come and the end of file is still to be read. */
	if (n < room && !c->hung_up && !c->read_ended)
		c->can_read = false;
	vsock_credit_sent(&c->credit, (uint32_t)n);
	virtio_dev_count(&c->v->dev, VSOCK_RX_BYTES, n);
}

/* One packet of data into the buffer in v->chain, whatever its shape: 1, or 0 when there was
 * nothing to read. */
static int send_packet(struct vsock_conn *c)
{
	struct vsock *v = c->v;
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_RX];
	const uint64_t off = sizeof(struct vsock_hdr);
	struct vsock_hdr h;
	uint64_t room;
	size_t count = 0;
	ssize_t n;
	int r;

	room = MIN(v->chain.write_bytes - off,
		   MIN(vsock_credit_space(&c->credit), VSOCK_PACKET_MAX));
	r = virtq_chain_iov(q, &v->chain, true, off, room, v->iov, ARRAY_SIZE(v->iov), &count);
	if (r < 0)
		return r;
	n = read_some(c, count);
	if (n <= 0) {
		virtq_unpop(q);
		read_nothing(c, n);
		return 0;
	}
	read_something(c, (uint64_t)n, room);
	h = header(c, VIRTIO_VSOCK_OP_RW, 0, (uint32_t)n);
	r = put_packet(v, &h);
	return r < 0 ? r : 1;
}

/* Completes the buffers that hold the n bytes; the others go back: packets sent, or negative. */
static int send_buffers(struct vsock_conn *c, const struct rx_buffer *b, unsigned buffers,
			uint64_t n)
{
	struct vsock *v = c->v;
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_RX];
	unsigned sent = 0;
	int r = 0;

	for (; n > 0 && r == 0; sent++) {
		uint32_t len = (uint32_t)MIN(b[sent].room, n);
		struct vsock_hdr h = header(c, VIRTIO_VSOCK_OP_RW, 0, len);
		r = gmem_write(v->dev.gmem, b[sent].header, &h, sizeof(h));
		if (r == 0)
			r = virtq_fill(q, b[sent].head, (uint32_t)sizeof(h) + len);
		n -= len;
	}
	for (unsigned i = sent; i < buffers; i++)
		virtq_unpop(q);
	if (r == 0 && sent > 0)
		r = virtq_publish(q);
	virtio_dev_count(&v->dev, VSOCK_RX_PACKETS, sent);
	return r < 0 ? r : (int)sent;
}

/* Data as far as one read of the socket goes: packets sent, 0 when there is nothing to read or no
 * buffer, or negative. */
static int send_data(struct vsock_conn *c)
{
	struct vsock *v = c->v;
	struct rx_buffer b[RX_BATCH];
	uint64_t room = 0;
	size_t count = 0;
	int r = get_buffer(v), buffers;
	ssize_t n;

	if (r <= 0)
		return r;
	buffers = take_buffers(v, b, vsock_credit_space(&c->credit), &count);
	if (buffers < 0)
		return buffers;
	if (buffers == 0) { /* it was put back */
		r = get_buffer(v);
		return r <= 0 ? r : send_packet(c);
	}
	for (int i = 0; i < buffers; i++)
		room += b[i].room;
	n = read_some(c, count);
	if (n <= 0)
		read_nothing(c, n);
	else
		read_something(c, (uint64_t)n, room);
	return send_buffers(c, b, (unsigned)buffers, n > 0 ? (uint64_t)n : 0);
}

/* Everything that c has for the guest, up to a quantum: 1 = there is more, 0, or negative. */
static int pump_conn(struct vsock_conn *c)
{
	unsigned n = 0;
	int r = pay_first(c);

	while (r > 0 && n < RX_QUANTUM && wants_data(c)) {
		r = send_data(c);
		n += (unsigned)MAX(r, 0);
	}
	if (r < 0)
		return r;
	/* wants_data may have asked for credit; EOF may have been met. */
	r = pay_first(c);
	if (r > 0)
		r = pay_last(c);
	if (r < 0)
		return r;
	return r > 0 && n >= RX_QUANTUM && wants_data(c);
}

int vsock_rx_pump(struct vsock *v)
{
	unsigned from = v->pump_from;
	bool more = false;
	int r;

	/* What is kept back while paused goes on with the kicks of the resume. */
	if (!v->dev.active || v->dev.paused)
		return 0;
	r = send_strays(v);
	for (unsigned i = 0; i < VSOCK_CONNS_MAX && r >= 0 && !v->rx_starved; i++) {
		struct vsock_conn *c = &v->conns[(from + i) % VSOCK_CONNS_MAX];
		if (c->state == VSOCK_FREE)
			continue;
		r = pump_conn(c);
		more = more || r > 0;
		/* Whom the buffers ran out on is first when there are new ones. */
		if (v->rx_starved)
			v->pump_from = (from + i) % VSOCK_CONNS_MAX;
	}
	if (r < 0)
		return r;
	if (more && !v->rx_starved)
		vsock_wake(v);
	return virtio_dev_notify_used(&v->dev, &v->dev.queues[VSOCK_QUEUE_RX]);
}
