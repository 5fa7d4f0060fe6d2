/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: how long a frame is, is only known when it has been read. So room for a
 * frame like the last one is gathered from the queue, the frame is read straight into it, and
 * what is longer lands behind it in `spill`, of ours. Buffers that stayed empty go back to the
 * queue; a frame that spilled takes further buffers, if they may be merged, and is lost if not.
 *
 * Without buffers nothing is read: the tap's own queue, which is bounded, fills, and the kernel
 * drops. The tap is watched edge-triggered, so a tap with frames waiting wakes nobody again; it is
 * the driver's kick that does, and it is asked for only then. A frame whose end waits for buffers
 * is the only thing kept between rounds, one a queue at most.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/num.h"
#include "vmm/virtio/net.h"

/* Used buffers are announced after so many frames, and at the end of a round. */
#define ANNOUNCE_FRAMES 64U

enum { RX_EMPTY = 0, RX_DONE = 1 };

static bool mergeable(const struct net *n)
{
	return virtio_dev_has(&n->dev, VIRTIO_NET_F_MRG_RXBUF);
}

/* Pops a chain for the frame: 1, 0 = there is none, negative: the guest broke the rules. */
static int add_buffer(struct net_rx *rx, struct virtq *q, struct virtq_chain *c)
{
	int r = virtq_pop(q, c);

	if (r <= 0)
		return r;
	if (c->nread > 0 || c->write_bytes < (rx->bufs_count == 0 ? sizeof(struct net_hdr) : 1))
		return -EBADMSG;
	BUG_ON(rx->bufs_count == ARRAY_SIZE(rx->bufs)); /* a queue has no more than that */
	rx->bufs[rx->bufs_count++] = (struct net_rx_buf){ c->head, c->write_bytes };
	rx->room += c->write_bytes - (rx->bufs_count == 1 ? sizeof(struct net_hdr) : 0);
	return 1;
}

static void return_buffer(struct net_rx *rx, struct virtq *q)
{
	virtq_unpop(q);
	rx->room -= rx->bufs[--rx->bufs_count].bytes;
}

static void drop_frame(struct net_rx *rx, struct virtq *q)
{
	for (; rx->bufs_count > 0; rx->bufs_count--)
		virtq_unpop(q);
	rx->room = 0;
}

void net_rx_drop(struct net *n, unsigned pair)
{
	if (n->rx[pair].bufs_count > 0)
		net_count(n, NET_RX_DROPPED, 1);
	drop_frame(&n->rx[pair], net_rx_queue(n, pair));
}

/* Asks the driver for a kick when it posts: 1 when buffers have come meanwhile, 0, or negative. */
static int want_buffers(struct net *n, struct net_rx *rx, struct virtq *q)
{
	int r = virtq_enable_notify(q);

	if (r < 0)
		return r;
	if (r > 0) {
		r = virtq_disable_notify(q);
		return r < 0 ? r : 1;
	}
	rx->starved = true;
	net_count(n, NET_RX_STARVED, 1);
	return 0;
}

/* As add_buffer, and the first time that there is none, asks for a kick. */
static int must_add_buffer(struct net *n, struct net_rx *rx, struct virtq *q, struct virtq_chain *c)
{
	int r = add_buffer(rx, q, c);

	if (r != 0)
		return r;
	r = want_buffers(n, rx, q);
	return r <= 0 ? r : add_buffer(rx, q, c);
}

/* Room for a frame, as n->iov: the number of pieces, 0 = the guest has no buffer, or negative. */
static int gather(struct net *n, struct net_rx *rx, struct virtq *q)
{
	size_t count = 1, before;
	int r = must_add_buffer(n, rx, q, &rx->first);

	if (r <= 0)
		return r;
	n->iov[0] = (struct iovec){ .iov_base = &rx->hdr, .iov_len = sizeof(rx->hdr) };
	r = virtq_chain_iov(q, &rx->first, true, sizeof(rx->hdr), rx->room, n->iov, NET_IOV_MAX - 1,
			    &count);
	while (r == 0 && mergeable(n) && rx->room < rx->expect) {
		before = count;
		r = add_buffer(rx, q, &n->chain);
		if (r <= 0)
			break;
		r = virtq_chain_iov(q, &n->chain, true, 0, n->chain.write_bytes, n->iov,
				    NET_IOV_MAX - 1, &count);
		if (r == -E2BIG) { /* so many pieces: the rest is for the spill */
			return_buffer(rx, q);
			count = before;
			r = 0;
			break;
		}
	}
	if (r < 0)
		return r;
	n->iov[count++] = (struct iovec){ .iov_base = rx->spill, .iov_len = sizeof(rx->spill) };
	return (int)count;
}

/* Reads a frame with its header from one of the pair's taps: its length with the header, 0 when
 * none of them has one. */
static size_t read_tap(struct net *n, struct net_rx *rx, unsigned pair, int count)
{
	unsigned taps = (n->pairs - pair + n->active - 1) / n->active;

	for (unsigned tried = 0; tried < taps; tried++) {
		unsigned i = pair + rx->tap % taps * n->active;
		ssize_t done;
		do {
			done = readv(n->taps[i], n->iov, count);
		} while (done < 0 && errno == EINTR);
		if (done > 0)
			return (size_t)done;
		/* Nothing there; or the tap is gone, and then no event will come from it. */
		rx->tap = (rx->tap + 1) % taps;
	}
	return 0;
}

static int push_frame(struct net *n, struct net_rx *rx, struct virtq *q)
{
	uint64_t left = rx->len;
	size_t header = sizeof(rx->hdr);
	int r;

	rx->hdr.num_buffers = le16_put((uint16_t)rx->bufs_count);
	r = virtq_chain_write(q, &rx->first, 0, &rx->hdr, sizeof(rx->hdr));
	for (unsigned i = 0; i < rx->bufs_count && r == 0; i++) {
		uint64_t part = MIN(left, rx->bufs[i].bytes - header);
		r = virtq_fill(q, rx->bufs[i].head, (uint32_t)(header + part));
		left -= part;
		header = 0;
	}
	if (r == 0)
		r = virtq_publish(q);
	rx->bufs_count = 0;
	rx->room = 0;
	net_count(n, NET_RX_FRAMES, 1);
	net_count(n, NET_RX_BYTES, rx->len);
	return r < 0 ? r : RX_DONE;
}

/* Puts what spilled into further buffers: RX_DONE, or RX_EMPTY when it has to wait for them. */
static int deliver(struct net *n, struct net_rx *rx, struct virtq *q)
{
	while (rx->spill_at < rx->spill_len) {
		uint64_t part;
		int r;
		if (rx->bufs_count == q->size) { /* the whole queue is too small for it */
			drop_frame(rx, q);
			net_count(n, NET_RX_DROPPED, 1);
			return RX_DONE;
		}
		r = must_add_buffer(n, rx, q, &n->chain);
		if (r <= 0)
			return r < 0 ? r : RX_EMPTY;
		part = MIN(n->chain.write_bytes, rx->spill_len - rx->spill_at);
		r = virtq_chain_write(q, &n->chain, 0, rx->spill + rx->spill_at, (size_t)part);
		if (r < 0)
			return r;
		rx->spill_at += part;
	}
	return push_frame(n, rx, q);
}

/* Has the last frame been paid for? If it can't be yet, the timer is set. */
static bool limit_allows(struct net *n)
{
	uint64_t wait_ns;

	if (n->receive_owed == 0 || !n->receive_limited ||
	    limiter_take(&n->receive, n->receive_owed, now_ns(), &wait_ns)) {
		n->receive_owed = 0;
		return true;
	}
	net_count(n, NET_RX_THROTTLED, 1);
	net_wake_in(n, wait_ns);
	return false;
}

/* Reads one frame and throws it away. */
static int discard(struct net *n, struct net_rx *rx, unsigned pair)
{
	n->iov[0] = (struct iovec){ .iov_base = &rx->hdr, .iov_len = sizeof(rx->hdr) };
	n->iov[1] = (struct iovec){ .iov_base = rx->spill, .iov_len = sizeof(rx->spill) };
	if (read_tap(n, rx, pair, 2) == 0)
		return RX_EMPTY;
	net_count(n, NET_RX_DROPPED, 1);
	return RX_DONE;
}

/* Moves the next frame: RX_*, or negative: the guest broke the rules. */
static int receive_next(struct net *n, struct net_rx *rx, struct virtq *q, unsigned pair)
{
	size_t got;
	int count;

	if (!limit_allows(n))
		return RX_EMPTY;
	if (!n->link_up)
		return discard(n, rx, pair);
	count = gather(n, rx, q);
	if (count <= 0)
		return count < 0 ? count : RX_EMPTY;
	got = read_tap(n, rx, pair, count);
	if (got == 0) {
		drop_frame(rx, q);
		return RX_EMPTY;
	}
	rx->len = got > sizeof(rx->hdr) ? got - sizeof(rx->hdr) : 0;
	n->receive_owed = MAX(rx->len, 1);
	rx->spill_at = 0;
	rx->spill_len = rx->len > rx->room ? rx->len - rx->room : 0;
	if (!net_hdr_to_guest(&rx->hdr, n->dev.driver_features, rx->len, n->mtu) ||
	    (rx->spill_len > 0 && !mergeable(n))) {
		drop_frame(rx, q);
		net_count(n, NET_RX_DROPPED, 1);
		return RX_DONE;
	}
	/* Rises at once, falls slowly: a short frame among long ones doesn't make these spill. */
	rx->expect = MAX(rx->len, rx->expect - rx->expect / 8);
	while (rx->bufs_count > 1 && rx->room - rx->bufs[rx->bufs_count - 1].bytes >= rx->len)
		return_buffer(rx, q);
	return deliver(n, rx, q);
}

int net_rx_run(struct net *n, unsigned pair)
{
	struct virtq *q = net_rx_queue(n, pair);
	struct net_rx *rx = &n->rx[pair];
	unsigned budget = q->size;
	int r = RX_DONE;

	if (rx->starved || !net_offload_ready(n))
		return 0;
	while (r == RX_DONE && budget > 0 && !virtio_dev_wanted(&n->dev)) {
		r = rx->bufs_count > 0 ? deliver(n, rx, q) : receive_next(n, rx, q, pair);
		if (r < 0)
			return r;
		/* The first one at once: somebody may be waiting for just that. */
		if (budget % ANNOUNCE_FRAMES == 0 && virtio_dev_notify_used(&n->dev, q) < 0)
			return -EFAULT;
		budget--;
	}
	if (r == RX_DONE)
		virtio_dev_kick(&n->dev, 2 * pair);
	return virtio_dev_notify_used(&n->dev, q);
}

int net_rx_kicked(struct net *n, unsigned pair)
{
	int r = virtq_disable_notify(net_rx_queue(n, pair));

	n->rx[pair].starved = false;
	return r < 0 ? r : net_rx_run(n, pair);
}
