/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a connection joins a stream of the guest's to a unix socket of the host's.
 *
 *            host's connect          guest's REQUEST
 *                  ▼                        ▼
 *             CONNECTING ──RESPONSE──▶    OPEN ──both done──▶ LINGER ──RST──▶ free
 *                  │ RST, timeout           │ RST from the guest
 *                  ▼                        ├──────▶ DRAIN ──backlog written──▶ free
 *                 free                      └─rule broken─▶ RESET ──our RST sent──▶ free
 *
 * From the guest: data go straight from the packet to the socket; what the socket doesn't take
 * waits in the ring, which can't overflow because it is as large as the credit that the guest
 * was given. The guest's end of stream (SHUTDOWN, or even RST) is passed on after the ring has
 * been written, so nothing in flight is lost.
 *
 * To the guest: vsock_rx.c reads the socket straight into the guest's buffers, so nothing is
 * held here in that direction.
 */
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"
#include "vmm/virtio/vsock.h"

/* EPOLLOUT is added while something waits to be written: an edge for each time that the peer has
 * read would wake us for nothing. */
#define EVENTS_READ (EPOLLIN | EPOLLRDHUP | EPOLLET)

#define SHUT_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

/* ---- Slots ---------------------------------------------------------------------------------- */

struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		struct vsock_conn *c = &v->conns[i];
		/* One that is only draining doesn't exist for the guest any more. */
		if (c->state != VSOCK_FREE && c->state != VSOCK_DRAIN &&
		    c->host_port == host_port && c->guest_port == guest_port)
			return c;
	}
	return NULL;
}

static bool is_free(const struct vsock_conn *c)
{
	return c->state == VSOCK_FREE && !c->done_ready;
}

/* Only kept for politeness towards the guest. */
static bool is_evictable(const struct vsock_conn *c)
{
	return (c->state == VSOCK_LINGER || c->state == VSOCK_RESET) && !c->done_ready;
}

static struct vsock_conn *find_slot(struct vsock *v)
{
	struct vsock_conn *evict = NULL;

	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		struct vsock_conn *c = &v->conns[i];
		if (is_free(c))
			return c;
		if (is_evictable(c))
			evict = c;
	}
	return evict;
}

bool vsock_conn_room(const struct vsock *v)
{
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		if (is_free(&v->conns[i]) || is_evictable(&v->conns[i]))
			return true;
	}
	return false;
}

int vsock_conn_new(struct vsock *v, uint32_t host_port, uint32_t guest_port, int fd,
		   struct vsock_conn **ret)
{
	struct vsock_conn *c = find_slot(v);
	struct loop_io *io;
	uint8_t *ring;
	int r;

	if (c == NULL)
		return -ENOSPC;
	r = loop_io_add(v->dev.loop, fd, EVENTS_READ, vsock_on_fd, c, &io);
	if (r < 0)
		return r;
	ring = c->ring;
	*c = (struct vsock_conn){ .v = v,
				  .state = VSOCK_OPEN,
				  .host_port = host_port,
				  .guest_port = guest_port,
				  .fd = fd,
				  .io = io,
				  .can_write = true,
				  .ring = ring };
	virtio_dev_count(&v->dev, VSOCK_OPENED, 1);
	*ret = c;
	return 0;
}

void vsock_conn_watch_out(struct vsock_conn *c, bool on)
{
	if (c->watch_out == on)
		return;
	c->watch_out = on;
	/* It is registered; changing that takes no memory. */
	BUG_ON(loop_io_set(c->io, EVENTS_READ | (on ? EPOLLOUT : 0U)) < 0);
}

static void close_fd(struct vsock_conn *c)
{
	loop_io_del(c->io);
	c->io = NULL;
	fd_closep(&c->fd);
	c->can_read = c->can_write = c->watch_out = false;
	c->ring_off = c->ring_len = 0;
}

/* Whoever waits for the connect hears the result from on_wake, not from in here. */
static void finish_connect(struct vsock_conn *c, int result)
{
	loop_timer_del(c->timer);
	c->timer = NULL;
	if (c->done == NULL || c->done_ready)
		return;
	c->done_ready = true;
	c->done_result = result;
	vsock_wake(c->v);
}

void vsock_conn_drop(struct vsock_conn *c, int result)
{
	close_fd(c);
	finish_connect(c, result);
	c->state = VSOCK_FREE;
	c->owed = 0;
}

void vsock_conn_abort(struct vsock_conn *c, int result)
{
	close_fd(c);
	finish_connect(c, result);
	c->state = VSOCK_RESET;
	c->owed = VSOCK_OWES_RST;
}

bool vsock_conn_valid(const struct vsock_conn *c)
{
	uint32_t held = c->credit.rx_cnt - c->credit.fwd_cnt;
	bool has_fd =
		c->state == VSOCK_CONNECTING || c->state == VSOCK_OPEN || c->state == VSOCK_DRAIN;

	if (has_fd != (c->fd >= 0) || has_fd != (c->io != NULL))
		return false;
	if (c->state == VSOCK_RESET && c->owed != VSOCK_OWES_RST)
		return false;
	if (c->timer != NULL && c->state != VSOCK_CONNECTING)
		return false;
	/* A backlog waits for an edge, which only comes to a fd that was found full. */
	if (c->ring_len > 0 && (c->can_write || !c->watch_out))
		return false;
	return c->ring_off < VSOCK_BUF_BYTES && c->ring_len <= VSOCK_BUF_BYTES &&
	       (!has_fd || held == c->ring_len);
}

/* ---- The backlog towards the fd ------------------------------------------------------------- */

static void forwarded(struct vsock_conn *c, uint32_t len)
{
	vsock_credit_forward(&c->credit, len);
	virtio_dev_count(&c->v->dev, VSOCK_TX_BYTES, len);
	if (c->state == VSOCK_OPEN && vsock_credit_stale(&c->credit))
		c->owed |= VSOCK_OWES_CREDIT_UPDATE;
}

/* Copies what is left of the packet in v->chain into the ring. The credit check made the room. */
static int ring_put(struct vsock_conn *c, uint64_t off, uint32_t len)
{
	struct vsock *v = c->v;

	BUG_ON(len > VSOCK_BUF_BYTES - c->ring_len);
	while (len > 0) {
		uint32_t at = (c->ring_off + c->ring_len) % VSOCK_BUF_BYTES;
		uint32_t n = MIN(len, VSOCK_BUF_BYTES - at);
		int r = virtq_chain_read(&v->dev.queues[VSOCK_QUEUE_TX], &v->chain, off,
					 c->ring + at, n);
		if (r < 0)
			return r;
		c->ring_len += n;
		off += n;
		len -= n;
	}
	return 0;
}

static void ring_consume(struct vsock_conn *c, uint32_t len)
{
	c->ring_len -= len;
	/* An empty ring starts over, so that a fast reader never makes it touch more pages. */
	c->ring_off = c->ring_len == 0 ? 0 : (c->ring_off + len) % VSOCK_BUF_BYTES;
	forwarded(c, len);
}

/* The end of one direction or both has come closer: does what follows from it. */
static void advance(struct vsock_conn *c)
{
	bool guest_sends = (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) == 0;

	if (c->state == VSOCK_DRAIN && c->ring_len == 0) {
		vsock_conn_drop(c, -ECONNRESET);
		return;
	}
	if (c->state != VSOCK_OPEN || guest_sends || c->ring_len > 0)
		return;
	if (c->guest_shut == SHUT_BOTH) {
		/* The guest has closed and everything that it said is delivered: confirmed. */
		vsock_conn_abort(c, -ECONNRESET);
		return;
	}
	if (!c->write_shut) {
		c->write_shut = true;
		(void)shutdown(c->fd, SHUT_WR);
	}
	if ((c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0 && c->host_shut != SHUT_BOTH) {
		c->host_shut = SHUT_BOTH;
		c->owed |= VSOCK_OWES_SHUTDOWN;
	}
}

/* The fd will never take another byte: what the guest sends is dropped from now on, with credit,
 * until it has read our SHUTDOWN. */
static void write_failed(struct vsock_conn *c)
{
	ring_consume(c, c->ring_len);
	c->can_write = false;
	if (c->state == VSOCK_OPEN && (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) == 0) {
		c->host_shut |= VIRTIO_VSOCK_SHUTDOWN_RCV;
		c->owed |= VSOCK_OWES_SHUTDOWN;
	}
}

/* Bytes written, 0 when the socket is full or will take nothing more. It need not be non-blocking:
 * whoever has another descriptor of it could change that at any time. */
static uint32_t write_some(struct vsock_conn *c, struct iovec *iov, size_t count)
{
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n;

	do
		n = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (uint32_t)n;
	if (errno == EAGAIN) {
		c->can_write = false;
		vsock_conn_watch_out(c, true); /* an edge comes at once if it has just got room */
	} else {
		write_failed(c);
	}
	return 0;
}

void vsock_conn_flush(struct vsock_conn *c)
{
	while (c->can_write && c->ring_len > 0) {
		uint32_t first = MIN(c->ring_len, VSOCK_BUF_BYTES - c->ring_off);
		struct iovec iov[2] = {
			{ .iov_base = c->ring + c->ring_off, .iov_len = first },
			{ .iov_base = c->ring, .iov_len = c->ring_len - first },
		};
		uint32_t n = write_some(c, iov, iov[1].iov_len > 0 ? 2 : 1);
		if (n > 0)
			ring_consume(c, n);
	}
	advance(c);
}

void vsock_conn_eof(struct vsock_conn *c, bool gone)
{
	c->can_read = false;
	c->host_shut |= VIRTIO_VSOCK_SHUTDOWN_SEND;
	c->owed |= VSOCK_OWES_SHUTDOWN;
	if (gone) {
		write_failed(c);
		c->host_shut = SHUT_BOTH;
	}
	advance(c);
}

void vsock_conn_shutdown_sent(struct vsock_conn *c)
{
	if (c->state != VSOCK_OPEN || c->host_shut != SHUT_BOTH)
		return;
	close_fd(c);
	c->state = VSOCK_LINGER;
	c->owed = 0;
}

void vsock_conn_orphan(struct vsock_conn *c)
{
	if (c->state != VSOCK_OPEN && c->state != VSOCK_DRAIN) {
		vsock_conn_drop(c, -ECONNRESET);
		return;
	}
	c->state = VSOCK_DRAIN;
	c->owed = 0;
	c->can_read = false;
	(void)shutdown(c->fd, SHUT_RD);
	advance(c);
}

/* ---- Packets from the guest ----------------------------------------------------------------- */

/* len bytes of data in v->chain. */
static int packet_data(struct vsock_conn *c, uint32_t len)
{
	struct vsock *v = c->v;
	uint64_t off = sizeof(struct vsock_hdr);
	uint32_t written = 0;
	size_t count = 0;
	int r;

	if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0 ||
	    !vsock_credit_take(&c->credit, len)) {
		vsock_conn_abort(c, -ECONNRESET);
		return 0;
	}
	if (c->ring_len == 0 && c->can_write && len > 0) {
		r = virtq_chain_iov(&v->dev.queues[VSOCK_QUEUE_TX], &v->chain, false, off, len,
				    v->iov, ARRAY_SIZE(v->iov), &count);
		if (r < 0)
			return r;
		written = write_some(c, v->iov, count);
	}
	if ((c->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0)
		written = len; /* nobody wants it */
	forwarded(c, written);
	r = ring_put(c, off + written, len - written);
	/* A short write need not mean that the fd is full, and only a full one has an edge to come.
	 */
	if (r == 0 && c->ring_len > 0)
		vsock_conn_flush(c);
	return r;
}

static void packet_shutdown(struct vsock_conn *c, unsigned flags)
{
	c->guest_shut |= flags & SHUT_BOTH;
	if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0) {
		/* The host's writer learns that nobody reads. */
		c->can_read = false;
		(void)shutdown(c->fd, SHUT_RD);
	}
	advance(c);
}

static int packet_open(struct vsock_conn *c, const struct vsock_hdr *h)
{
	vsock_credit_peer(&c->credit, le32_get(h->buf_alloc), le32_get(h->fwd_cnt));
	if (vsock_credit_space(&c->credit) > 0)
		c->credit_asked = false;
	switch (le16_get(h->op)) {
	case VIRTIO_VSOCK_OP_RW:
		return packet_data(c, le32_get(h->len));
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		return 0;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		c->owed |= VSOCK_OWES_CREDIT_UPDATE;
		return 0;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		packet_shutdown(c, le32_get(h->flags));
		return 0;
	case VIRTIO_VSOCK_OP_RST:
		vsock_conn_orphan(c);
		return 0;
	default:
		vsock_conn_abort(c, -ECONNRESET);
		return 0;
	}
}

static void packet_connecting(struct vsock_conn *c, const struct vsock_hdr *h)
{
	uint16_t op = le16_get(h->op);

	/* An answer to what was never asked comes from a guest that guesses ports. */
	if (op == VIRTIO_VSOCK_OP_RESPONSE && (c->owed & VSOCK_OWES_REQUEST) == 0) {
		vsock_credit_peer(&c->credit, le32_get(h->buf_alloc), le32_get(h->fwd_cnt));
		c->state = VSOCK_OPEN;
		finish_connect(c, 0);
	} else if (op == VIRTIO_VSOCK_OP_RST) {
		vsock_conn_drop(c, -ECONNREFUSED);
	} else {
		vsock_conn_abort(c, -ECONNREFUSED);
	}
}

int vsock_conn_packet(struct vsock_conn *c, const struct vsock_hdr *h)
{
	uint16_t op = le16_get(h->op);

	switch (c->state) {
	case VSOCK_CONNECTING:
		packet_connecting(c, h);
		return 0;
	case VSOCK_OPEN:
		return packet_open(c, h);
	case VSOCK_LINGER:
		/* Its close has crossed ours: confirmed, as it would be in OPEN. */
		if (op == VIRTIO_VSOCK_OP_SHUTDOWN && le32_get(h->flags) == SHUT_BOTH)
			vsock_conn_abort(c, -ECONNRESET);
		else if (op == VIRTIO_VSOCK_OP_RST)
			vsock_conn_drop(c, -ECONNRESET);
		return 0;
	case VSOCK_RESET: /* an RST is on its way and says all there is to say */
		if (op == VIRTIO_VSOCK_OP_RST)
			vsock_conn_drop(c, -ECONNRESET);
		return 0;
	case VSOCK_FREE:
	case VSOCK_DRAIN:
	case VSOCK_STATE_COUNT:
		break;
	}
	BUG("a packet for a connection that can't be found");
}
