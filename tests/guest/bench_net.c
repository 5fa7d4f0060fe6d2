/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_net.c - request and response, bulk out, bulk in; the host's side is tests/bench/vmm_net.c.
 * Bulk frames are large and segmented by the other side (TSO), as between two Linux stacks.
 */
#include "bench.h"
#include "net.h"

#define RX_BUFS	     VQ_SIZE
#define RX_BYTES     (32U << 10)
#define ECHO_PORT    7U
#define FLOOD_PORT   8U
#define RR_BYTES     64U
#define TX_PAYLOAD   60000U /* the host's harness counts with it */
#define TX_SLOTS     16U
#define TX_WINDOW    64U
#define FLOOD_FRAMES 32U
#define RX_AT(i)     (BENCH_MEM + (i) * (uint64_t)RX_BYTES)
#define TX_AT(i)     (BENCH_MEM + (16UL << 20) + (i) * (64UL << 10))

static struct vdev nic;
static uint8_t mac[6], host_mac[6];

static void post(uint16_t i)
{
	nic.q[0].desc[i] = (struct vq_desc){ RX_AT(i), RX_BYTES, DESC_WRITE, 0 };
	bench_push(&nic.q[0], i);
}

static void open_nic(void)
{
	uint64_t to = arg_u64("host_mac", 0);

	if (!vdev_open(&nic, VIRTIO_NET, 0,
		       NET_F_MAC | NET_F_MRG_RXBUF | NET_F_CSUM | NET_F_GUEST_CSUM |
			       NET_F_GUEST_TSO4 | NET_F_HOST_TSO4 | BENCH_F_EVENT_IDX,
		       2))
		test_fail("no network card", 0);
	net_mac(&nic, mac);
	for (unsigned i = 0; i < 6; i++)
		host_mac[i] = (uint8_t)(to >> 8 * i);
	bench_touch();
	for (uint16_t i = 0; i < RX_BUFS; i++)
		post(i);
	bench_kick_since(&nic, &nic.q[0], 0);
}

/* Fills a transmit slot's frame with a UDP datagram. */
static uint32_t make_udp(unsigned slot, uint16_t port, const void *data, uint16_t len)
{
	struct frame *f = (struct frame *)TX_AT(slot);
	uint16_t udp[4] = { be16(4000), be16(port), be16((uint16_t)(8 + len)), 0 };

	net_headers(f, mac, host_mac, PROTO_UDP, (uint16_t)(8 + len));
	memcpy(f->data, udp, 8);
	memcpy(f->data + 8, data, len);
	return (uint32_t)(sizeof(*f) + 8 + len);
}

/* Nobody's segment: broadcast, so that the host's TCP takes no notice. */
static uint32_t make_large(unsigned slot)
{
	static const uint8_t everybody[6] = { 255, 255, 255, 255, 255, 255 };
	struct frame *f = (struct frame *)TX_AT(slot);

	net_headers(f, mac, everybody, PROTO_TCP, (uint16_t)(20 + TX_PAYLOAD));
	memset(f->data, 0, 20);
	f->data[12] = 0x50; /* a header of 20 bytes */
	f->data[13] = 0x10; /* ACK */
	f->net = (struct net_hdr){ .flags = NET_NEEDS_CSUM,
				   .gso_type = NET_GSO_TCPV4,
				   .hdr_len = FRAME_HEADERS + 20,
				   .gso_size = 1448,
				   .csum_start = FRAME_HEADERS,
				   .csum_offset = 16 };
	return (uint32_t)(sizeof(*f) + 20 + TX_PAYLOAD);
}

static void transmit(uint16_t slot, uint32_t len)
{
	nic.q[1].desc[slot] = (struct vq_desc){ TX_AT(slot), len, 0, 0 };
	bench_push(&nic.q[1], slot);
}

static void send_one(uint16_t slot, uint32_t len)
{
	uint16_t old = nic.q[1].avail[1], head;
	uint32_t used;

	while (vq_used(&nic.q[1], &head, &used))
		;
	transmit(slot, len);
	bench_kick_since(&nic, &nic.q[1], old);
}

/* Takes frames until one of this protocol is there: its length, buffers given back. */
static uint32_t receive(uint8_t protocol)
{
	for (;;) {
		uint16_t old = nic.q[0].avail[1], head, buffers;
		uint32_t len, total = 0;
		const struct frame *f;
		bool wanted;

		head = bench_wait(&nic, &nic.q[0], &len);
		f = (const struct frame *)RX_AT(head);
		buffers = f->net.num_buffers;
		wanted = f->eth.type == ETH_TYPE_IP && f->ip.protocol == protocol;
		for (;;) {
			total += len;
			post(head);
			if (--buffers == 0)
				break;
			head = bench_wait(&nic, &nic.q[0], &len);
		}
		bench_kick_since(&nic, &nic.q[0], old);
		if (wanted)
			return total;
	}
}

static void request_response(unsigned n)
{
	const unsigned warm = 20;
	uint8_t data[RR_BYTES] = { 0 };

	for (unsigned i = 0; i < n + warm; i++) {
		uint32_t len = make_udp(i % TX_SLOTS, ECHO_PORT, data, sizeof(data));
		uint64_t t0 = rdtsc();
		send_one((uint16_t)(i % TX_SLOTS), len);
		(void)receive(PROTO_UDP);
		if (i >= warm)
			bench_cycles[i - warm] = (uint32_t)(rdtsc() - t0);
	}
	bench_emit("net_rr", n);
}

static void bulk_out(unsigned windows)
{
	struct vq *q = &nic.q[1];
	uint16_t old = q->avail[1], head;
	unsigned samples = 0, done = 0;
	uint64_t last = rdtsc();
	uint32_t len;

	while (vq_used(q, &head, &len))
		;
	for (uint16_t i = 0; i < TX_SLOTS; i++)
		transmit(i, make_large(i));
	bench_kick_since(&nic, q, old);
	while (samples < windows) {
		old = q->avail[1];
		head = bench_wait(&nic, q, &len);
		do {
			transmit(head, sizeof(struct frame) + 20 + TX_PAYLOAD);
			if (++done % TX_WINDOW == 0 && samples < windows) {
				uint64_t now = rdtsc();
				bench_cycles[samples++] = (uint32_t)(now - last);
				last = now;
			}
		} while (vq_used(q, &head, &len));
		bench_kick_since(&nic, q, old);
	}
	for (unsigned i = 0; i < TX_SLOTS; i++)
		(void)bench_wait(&nic, q, &len);
	bench_emit("net_tx", samples);
}

/* Asks for some frames and takes them, so that the tap's queue never overflows. */
static void bulk_in(unsigned windows)
{
	uint8_t ask[8] = { FLOOD_FRAMES };

	for (unsigned i = 0; i < windows; i++) {
		uint32_t len = make_udp(0, FLOOD_PORT, ask, sizeof(ask));
		uint64_t t0 = rdtsc();
		send_one(0, len);
		for (unsigned k = 0; k < FLOOD_FRAMES; k++)
			(void)receive(PROTO_TCP);
		bench_cycles[i] = (uint32_t)(rdtsc() - t0);
	}
	bench_emit("net_rx", windows);
}

void bench_net(void)
{
	unsigned n = (unsigned)arg_u64("n", 1000);

	open_nic();
	request_response(n);
	bulk_out(n / 8 + 1);
	bulk_in(n / 8 + 1);
}
