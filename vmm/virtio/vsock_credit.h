/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_credit.h - flow control of one vsock connection (virtio 1.2, section 5.10.6.3). Pure.
 *
 * All counters are bytes since the connection began, modulo 2^32. Only differences mean
 * something, and a difference that the peer has a hand in is never believed beyond what we know:
 * the guest can stall its own connection with a lie, and nothing else.
 */
#ifndef VMM_VIRTIO_VSOCK_CREDIT_H
#define VMM_VIRTIO_VSOCK_CREDIT_H

#include <stdbool.h>
#include <stdint.h>

/* What we hold of a connection at most, and what we tell the guest: buf_alloc. */
#define VSOCK_BUF_BYTES 262144U

struct vsock_credit {
	/* guest to host */
	uint32_t rx_cnt;   /* received from the guest */
	uint32_t fwd_cnt;  /* of these, passed on */
	uint32_t fwd_told; /* fwd_cnt in the last packet to the guest */
	/* host to guest */
	uint32_t tx_cnt;   /* sent to the guest */
	uint32_t peer_fwd; /* of these, consumed by the guest's reader: the guest says */
	uint32_t peer_buf; /* the guest's buffer: the guest says */
};

/* The guest sent len bytes. False: more than the room that it was told of, if it was. */
static inline bool vsock_credit_take(struct vsock_credit *c, uint32_t len)
{
	uint32_t held = c->rx_cnt - c->fwd_cnt; /* <= VSOCK_BUF_BYTES, kept so by this check */

	if (len > VSOCK_BUF_BYTES - held)
		return false;
	c->rx_cnt += len;
	return true;
}

/* len of the bytes held have been passed on. */
static inline void vsock_credit_forward(struct vsock_credit *c, uint32_t len)
{
	c->fwd_cnt += len;
}

/* Is it worth a packet to tell the guest how much was passed on? */
static inline bool vsock_credit_stale(const struct vsock_credit *c)
{
	return c->fwd_cnt - c->fwd_told >= VSOCK_BUF_BYTES / 2;
}

/*
 * What a packet from the guest says. fwd_cnt may only move from where it was towards tx_cnt;
 * anything else is a lie or a packet overtaken by another (Linux stamps before it queues), and
 * is ignored.
 */
static inline void vsock_credit_peer(struct vsock_credit *c, uint32_t buf_alloc, uint32_t fwd_cnt)
{
	c->peer_buf = buf_alloc;
	if (c->tx_cnt - fwd_cnt <= c->tx_cnt - c->peer_fwd)
		c->peer_fwd = fwd_cnt;
}

/* How much may be sent to the guest now. */
static inline uint32_t vsock_credit_space(const struct vsock_credit *c)
{
	uint32_t in_flight = c->tx_cnt - c->peer_fwd;

	return c->peer_buf > in_flight ? c->peer_buf - in_flight : 0;
}

static inline void vsock_credit_sent(struct vsock_credit *c, uint32_t len)
{
	c->tx_cnt += len;
}

#endif
