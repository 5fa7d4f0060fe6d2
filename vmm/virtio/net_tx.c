/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a chain is a header and a frame. The header is copied, checked and written
 * anew (net_hdr.c); the frame goes to the tap from where it lies, in one writev, which copies it.
 * So a chain is given back as soon as it was looked at, and nothing is in flight between rounds.
 * A frame that the host doesn't take is lost, as on a wire. Only a limit makes a chain wait: it
 * goes back to the queue and the timer brings the queue's turn.
 */
#include <errno.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/num.h"
#include "vmm/virtio/net.h"

/* Used buffers are announced at the end of a round, and after so many frames. */
#define ANNOUNCE_FRAMES 64U

enum { TX_EMPTY = 0, TX_DONE = 1, TX_WAITS = 2 };

static int transmit(struct net *n, struct virtq *q, int tap, struct net_hdr *h, uint64_t len)
{
	size_t count = 1;
	int r = virtq_chain_iov(q, &n->chain, false, sizeof(*h), len, n->iov, NET_IOV_MAX, &count);
	ssize_t done;

	if (r < 0)
		return r;
	n->iov[0] = (struct iovec){ .iov_base = h, .iov_len = sizeof(*h) };
	do {
		done = writev(tap, n->iov, (int)count);
	} while (done < 0 && errno == EINTR);
	if (done < 0) {
		net_count(n, NET_TX_DROPPED, 1);
	} else {
		net_count(n, NET_TX_FRAMES, 1);
		net_count(n, NET_TX_BYTES, len);
	}
	return 0;
}

/* May a frame of `len` bytes be sent now? If not, the timer is set. */
static bool limit_allows(struct net *n, uint64_t len)
{
	uint64_t wait_ns;

	if (!n->send_limited || limiter_take(&n->send, len, now_ns(), &wait_ns))
		return true;
	net_count(n, NET_TX_THROTTLED, 1);
	net_wake_in(n, wait_ns);
	return false;
}

/* Deals with the next chain: TX_*, or negative: the guest broke the rules. */
static int send_next(struct net *n, struct virtq *q, int tap)
{
	struct virtq_chain *c = &n->chain;
	struct net_hdr given, h;
	uint64_t len;
	int r = virtq_pop(q, c);

	if (r <= 0)
		return r < 0 ? r : TX_EMPTY;
	if (c->nwrite > 0 || c->read_bytes < sizeof(given))
		return -EBADMSG;
	r = virtq_chain_read(q, c, 0, &given, sizeof(given));
	if (r < 0)
		return r;
	len = c->read_bytes - sizeof(given);
	/* Not -EBADMSG: the frame may come from a program in the guest, not from its driver. */
	if (!net_hdr_from_guest(&given, n->dev.driver_features, len, &h)) {
		net_count(n, NET_TX_MALFORMED, 1);
	} else if (!n->link_up) {
		net_count(n, NET_TX_DROPPED, 1);
	} else if (!limit_allows(n, len)) {
		virtq_unpop(q);
		return TX_WAITS;
	} else {
		r = transmit(n, q, tap, &h, len);
	}
	if (r == 0)
		r = virtq_push(q, c->head, 0);
	return r < 0 ? r : TX_DONE;
}

int net_tx_run(struct net *n, unsigned pair)
{
	struct virtq *q = net_tx_queue(n, pair);
	unsigned budget = q->size;
	int r;

	do {
		r = virtq_disable_notify(q);
		while (r == 0 && budget > 0 && !virtio_dev_wanted(&n->dev)) {
			r = send_next(n, q, n->taps[pair]);
			if (r != TX_DONE)
				break;
			r = --budget % ANNOUNCE_FRAMES == 0 ? virtio_dev_notify_used(&n->dev, q)
							    : 0;
		}
		if (r < 0)
			return r;
		if (r == TX_WAITS)
			return virtio_dev_notify_used(&n->dev, q);
		r = virtio_dev_notify_used(&n->dev, q);
		if (r == 0)
			r = virtq_enable_notify(q);
	} while (r > 0 && budget > 0 && !virtio_dev_wanted(&n->dev));
	if (r > 0)
		virtio_dev_kick(&n->dev, 2 * pair + 1);
	return r < 0 ? r : 0;
}
