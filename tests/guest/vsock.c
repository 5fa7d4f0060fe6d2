/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock.c - one stream that is echoed until the host closes its side (virtio 1.2, 5.10).
 *
 * `mode=connect`: connects to host port 1024; `mode=listen`: waits for a connection to port 1024
 * (and first says so by a connection to host port 1024 that it closes at once when announce=1).
 * Received packets wait in their buffers until the host's credit lets them go back, so a slow
 * reader on the host slows the sender, and nothing is lost.
 */
#include "guest.h"

#define PORT	  1024U
#define HOST_CID  2U
#define RX_BUFS	  32U
#define RX_BYTES  4096U
#define BUF_ALLOC 65536U

enum {
	OP_REQUEST = 1,
	OP_RESPONSE,
	OP_RST,
	OP_SHUTDOWN,
	OP_RW,
	OP_CREDIT_UPDATE,
	OP_CREDIT_REQUEST
};

struct __attribute__((packed)) header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
};

static struct vdev vs;
static uint8_t rx[RX_BUFS][sizeof(struct header) + RX_BYTES];
static struct header tx_header;

static struct {
	uint32_t local_port, peer_port;
	uint32_t peer_alloc, peer_fwd; /* what the host last told */
	uint32_t tx_cnt, fwd_cnt;
	bool open, peer_done;
} conn;

static uint16_t fifo[RX_BUFS]; /* data packets not echoed yet */
static unsigned fifo_head, fifo_count;

static uint64_t guest_cid(void)
{
	return mmio_read32(vs.base + 0x100) | (uint64_t)mmio_read32(vs.base + 0x104) << 32;
}

static void post(uint16_t i)
{
	struct vq_buf b = { rx[i], sizeof(rx[i]), true };

	vq_add(&vs.q[0], i, &b, 1);
}

static void send(uint16_t op, uint32_t flags, const void *data, uint32_t len)
{
	struct vq_buf b[2] = { { &tx_header, sizeof(tx_header), false }, { data, len, false } };
	uint16_t head;
	uint32_t used;

	tx_header = (struct header){ .src_cid = guest_cid(),
				     .dst_cid = HOST_CID,
				     .src_port = conn.local_port,
				     .dst_port = conn.peer_port,
				     .len = len,
				     .type = 1,
				     .op = op,
				     .flags = flags,
				     .buf_alloc = BUF_ALLOC,
				     .fwd_cnt = conn.fwd_cnt };
	vq_add(&vs.q[1], 0, b, len > 0 ? 2 : 1);
	vq_kick(&vs, &vs.q[1]);
	vq_wait(&vs, &vs.q[1], &head, &used);
}

static void on_packet(uint16_t i)
{
	const struct header *h = (const struct header *)rx[i];

	if (h->dst_cid != guest_cid() || h->src_cid != HOST_CID || h->type != 1)
		test_fail("a packet that is not ours, op", h->op);
	conn.peer_alloc = h->buf_alloc;
	conn.peer_fwd = h->fwd_cnt;
	switch (h->op) {
	case OP_REQUEST:
		conn.local_port = h->dst_port;
		conn.peer_port = h->src_port;
		conn.open = true;
		send(OP_RESPONSE, 0, NULL, 0);
		break;
	case OP_RESPONSE:
		conn.open = true;
		break;
	case OP_RW:
		fifo[(fifo_head + fifo_count++) % RX_BUFS] = i;
		return; /* posted again when echoed */
	case OP_SHUTDOWN:
		if ((h->flags & 2) != 0) /* the host sends no more */
			conn.peer_done = true;
		break;
	case OP_CREDIT_REQUEST:
		send(OP_CREDIT_UPDATE, 0, NULL, 0);
		break;
	case OP_RST:
		test_fail("reset by the host, bytes", conn.fwd_cnt);
	default:
		break;
	}
	post(i);
}

/* Sends back what the host has room for. */
static void echo(void)
{
	while (fifo_count > 0) {
		uint16_t i = fifo[fifo_head % RX_BUFS];
		const struct header *h = (const struct header *)rx[i];
		uint32_t len = h->len;

		if (conn.peer_alloc - (conn.tx_cnt - conn.peer_fwd) < len)
			return;
		conn.fwd_cnt += len;
		conn.tx_cnt += len;
		send(OP_RW, 0, rx[i] + sizeof(*h), len);
		fifo_head++;
		fifo_count--;
		post(i);
		vq_kick(&vs, &vs.q[0]);
	}
}

void test_vsock(void)
{
	const char *mode = arg_get("mode");
	uint16_t head;
	uint32_t len;

	if (!vdev_open(&vs, VIRTIO_VSOCK, 0, 0, 3))
		test_fail("no vsock device", 0);
	for (uint16_t i = 0; i < RX_BUFS; i++)
		post(i);
	vq_kick(&vs, &vs.q[0]);
	if (mode != NULL && memcmp(mode, "listen", 6) == 0) {
		print("listening\n");
	} else {
		conn.local_port = 2000;
		conn.peer_port = PORT;
		send(OP_REQUEST, 0, NULL, 0);
	}
	while (!conn.open || !conn.peer_done || fifo_count > 0) {
		vq_wait(&vs, &vs.q[0], &head, &len);
		do
			on_packet(head);
		while (vq_used(&vs.q[0], &head, &len));
		vq_kick(&vs, &vs.q[0]);
		if (conn.open)
			echo();
	}
	send(OP_SHUTDOWN, 3, NULL, 0);
	/* The host answers a complete shutdown with a reset; a power-off before that could lose
	 * bytes that it has not read from us, so wait for it. */
	for (;;) {
		vq_wait(&vs, &vs.q[0], &head, &len);
		if (((const struct header *)rx[head])->op == OP_RST)
			break;
		post(head);
	}
	print("bytes ");
	print_u64(conn.tx_cnt);
	print("\n");
}
