/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_vsock.c - a byte stream to the host through vsock (virtio 1.2, 5.10): ping, bulk out, bulk
 * in. The host's side (tests/bench/vmm_host_stream.c) obeys commands of 8 bytes: an operation and a
 * length.
 */
#include "bench.h"

#define OP_ECHO	  1U /* send the next LENGTH bytes back */
#define OP_SINK	  2U /* take LENGTH bytes, then send one */
#define OP_SOURCE 3U /* send LENGTH bytes */

#define PING_BYTES 64U
#define BULK_BYTES (1U << 20) /* a window; the host's harness counts with it */
#define PIECE	   (64U << 10)
#define RX_BUFS	   VQ_SIZE
#define RX_BYTES   4096U /* what Linux's vsock posts */
#define RX_ROOM	   8192U
#define RX_AT(i)   (BENCH_MEM + (i) * (uint64_t)RX_ROOM)
#define TX_AT(i)   (BENCH_MEM + (8UL << 20) + (i) * (128UL << 10))
#define TX_SLOTS   8U

#define VSOCK_PORT  1024U
#define VSOCK_LOCAL 2000U
#define VSOCK_HOST  2U
#define BUF_ALLOC   (256U << 10)

enum { V_REQUEST = 1, V_RESPONSE, V_RST, V_SHUTDOWN, V_RW, V_CREDIT_UPDATE, V_CREDIT_REQUEST };

static struct vdev dev;
static uint32_t tx_busy;  /* a bit a slot */
static uint64_t received; /* payload so far */

struct __attribute__((packed)) vsock_header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
};

static struct {
	uint64_t cid;
	uint32_t peer_alloc, peer_fwd, tx_cnt, fwd_cnt, told_fwd;
	bool open;
} vsock;

static void post(uint16_t i)
{
	dev.q[0].desc[i] =
		(struct vq_desc){ RX_AT(i), RX_BYTES + sizeof(struct vsock_header), DESC_WRITE, 0 };
	bench_push(&dev.q[0], i);
}

static uint32_t vsock_payload(const void *packet, uint32_t len);

static void take_packet(void)
{
	uint16_t old = dev.q[0].avail[1], head;
	uint32_t len;

	head = bench_wait(&dev, &dev.q[0], &len);
	do {
		received += vsock_payload((const void *)RX_AT(head), len);
		post(head);
	} while (vq_used(&dev.q[0], &head, &len));
	bench_kick_since(&dev, &dev.q[0], old);
}

static void tx_collect(bool wait)
{
	uint16_t head;
	uint32_t len;

	if (wait)
		tx_busy &= ~(1U << bench_wait(&dev, &dev.q[1], &len));
	while (vq_used(&dev.q[1], &head, &len))
		tx_busy &= ~(1U << head);
}

static unsigned free_slot(void)
{
	tx_collect(false);
	while (tx_busy == (1U << TX_SLOTS) - 1)
		tx_collect(true);
	return (unsigned)__builtin_ctz(~tx_busy);
}

/* One packet; its data is what lies in the slot. */
static void transmit(unsigned slot, uint32_t bytes)
{
	uint16_t old = dev.q[1].avail[1];

	dev.q[1].desc[slot] = (struct vq_desc){ TX_AT(slot), bytes, 0, 0 };
	tx_busy |= 1U << slot;
	bench_push(&dev.q[1], (uint16_t)slot);
	bench_kick_since(&dev, &dev.q[1], old);
}

static void vsock_header(struct vsock_header *h, uint16_t op, uint32_t len)
{
	*h = (struct vsock_header){ .src_cid = vsock.cid,
				    .dst_cid = VSOCK_HOST,
				    .src_port = VSOCK_LOCAL,
				    .dst_port = VSOCK_PORT,
				    .len = len,
				    .type = 1,
				    .op = op,
				    .buf_alloc = BUF_ALLOC,
				    .fwd_cnt = vsock.fwd_cnt };
	vsock.told_fwd = vsock.fwd_cnt;
}

static void vsock_control(uint16_t op)
{
	unsigned slot = free_slot();

	vsock_header((struct vsock_header *)TX_AT(slot), op, 0);
	transmit(slot, sizeof(struct vsock_header));
}

static uint32_t vsock_wait_room(uint32_t len)
{
	uint32_t room;

	while ((room = vsock.peer_alloc - (vsock.tx_cnt - vsock.peer_fwd)) == 0)
		take_packet();
	return room < len ? room : len;
}

static void vsock_fill(void *header, uint32_t len)
{
	vsock.tx_cnt += len;
	vsock_header(header, V_RW, len);
}

static uint32_t vsock_payload(const void *packet, uint32_t len)
{
	const struct vsock_header *h = packet;

	if (len < sizeof(*h) || h->op == V_RST)
		test_fail("vsock: reset by the host", h->op);
	vsock.peer_alloc = h->buf_alloc;
	vsock.peer_fwd = h->fwd_cnt;
	if (h->op == V_RESPONSE)
		vsock.open = true;
	if (h->op == V_CREDIT_REQUEST)
		vsock_control(V_CREDIT_UPDATE);
	if (h->op != V_RW)
		return 0;
	vsock.fwd_cnt += h->len;
	/* As Linux: tells before the other side runs dry. */
	if (vsock.fwd_cnt - vsock.told_fwd > BUF_ALLOC / 2)
		vsock_control(V_CREDIT_UPDATE);
	return h->len;
}

/* data NULL: whatever lies in the slot. */
static void send(const uint8_t *data, uint32_t len)
{
	while (len > 0) {
		uint32_t part = vsock_wait_room(len); /* may itself send */
		unsigned slot = free_slot();
		uint8_t *at = (uint8_t *)TX_AT(slot);

		vsock_fill(at, part);
		if (data != NULL) {
			memcpy(at + sizeof(struct vsock_header), data, part);
			data += part;
		}
		transmit(slot, (uint32_t)sizeof(struct vsock_header) + part);
		len -= part;
	}
}

static void command(uint32_t op, uint32_t len)
{
	uint32_t cmd[2] = { op, len };

	send((const uint8_t *)cmd, sizeof(cmd));
}

static void await(uint64_t total)
{
	while (received < total)
		take_packet();
}

static void ping(unsigned n)
{
	const unsigned warm = 20;
	uint8_t data[PING_BYTES] = { 0 };

	command(OP_ECHO, (n + warm) * PING_BYTES);
	for (unsigned i = 0; i < n + warm; i++) {
		uint64_t t0 = rdtsc(), want = received + PING_BYTES;
		send(data, sizeof(data));
		await(want);
		if (i >= warm)
			bench_cycles[i - warm] = (uint32_t)(rdtsc() - t0);
	}
	bench_emit("vsock_ping", n);
}

static void bulk_out(unsigned windows)
{
	for (unsigned i = 0; i < windows; i++) {
		uint64_t t0 = rdtsc(), want = received + 1;
		command(OP_SINK, BULK_BYTES);
		for (uint32_t sent = 0; sent < BULK_BYTES; sent += PIECE)
			send(NULL, PIECE);
		await(want);
		bench_cycles[i] = (uint32_t)(rdtsc() - t0);
	}
	bench_emit("vsock_tx", windows);
}

static void bulk_in(unsigned windows)
{
	for (unsigned i = 0; i < windows; i++) {
		uint64_t t0 = rdtsc(), want = received + BULK_BYTES;
		command(OP_SOURCE, BULK_BYTES);
		await(want);
		bench_cycles[i] = (uint32_t)(rdtsc() - t0);
	}
	bench_emit("vsock_rx", windows);
}

static void post_all(void)
{
	bench_touch();
	for (uint16_t i = 0; i < RX_BUFS; i++)
		post(i);
	vq_kick(&dev, &dev.q[0]);
}

void bench_vsock(void)
{
	unsigned n = (unsigned)arg_u64("n", 1000);

	if (!vdev_open(&dev, VIRTIO_VSOCK, 0, BENCH_F_EVENT_IDX, 3))
		test_fail("no vsock device", 0);
	vsock.cid = mmio_read32(dev.base + 0x100);
	post_all();
	vsock_control(V_REQUEST);
	while (!vsock.open)
		take_packet();
	ping(n);
	bulk_out(n / 16 + 1);
	bulk_in(n / 16 + 1);
}
