/* SPDX-License-Identifier: Apache-2.0 */
/* net.c - tests of the network card; the host's side is tests/native/vmm_net.c. */
#include "net.h"

#define RX_BUFS	    16U
#define RX_BYTES    2048U
#define LARGE_BYTES 40000U /* of TCP payload */
#define CMD_WAIT    2000000000ULL

static struct vdev nic;
static uint8_t rx[2][RX_BUFS][RX_BYTES];
static uint8_t tx[sizeof(struct frame) + 65536];
static uint8_t mac[6];

void net_mac(const struct vdev *d, uint8_t ret[6])
{
	for (unsigned i = 0; i < 6; i++)
		ret[i] = *(volatile uint8_t *)(d->base + 0x100 + i);
}

uint16_t net_csum(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] | (uint32_t)p[i + 1] << 8;
	if (len % 2 != 0)
		sum += p[len - 1];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void net_headers(struct frame *f, const uint8_t src[6], const uint8_t dst[6], uint8_t protocol,
		 uint16_t payload)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->eth.src, src, 6);
	memcpy(f->eth.dst, dst, 6);
	f->eth.type = ETH_TYPE_IP;
	f->ip.version = 0x45;
	f->ip.total = be16((uint16_t)(sizeof(f->ip) + payload));
	f->ip.ttl = 64;
	f->ip.protocol = protocol;
	f->ip.src = NET_GUEST_ADDR;
	f->ip.dst = NET_HOST_ADDR;
	f->ip.csum = net_csum(&f->ip, sizeof(f->ip), 0);
}

static void open_nic(uint64_t features, unsigned queues)
{
	if (!vdev_open(&nic, VIRTIO_NET, 0, features, queues))
		test_fail("no network card", features);
	net_mac(&nic, mac);
}

static void post(unsigned pair, uint16_t i)
{
	struct vq_buf b = { rx[pair][i], RX_BYTES, true };

	vq_add(&nic.q[2 * pair], i, &b, 1);
}

static void post_all(unsigned pair)
{
	for (uint16_t i = 0; i < RX_BUFS; i++)
		post(pair, i);
	vq_kick(&nic, &nic.q[2 * pair]);
}

static void send(unsigned pair, const void *data, uint32_t len)
{
	struct vq_buf b = { data, len, false };
	uint16_t head;
	uint32_t used;

	vq_add(&nic.q[2 * pair + 1], 0, &b, 1);
	vq_kick(&nic, &nic.q[2 * pair + 1]);
	vq_wait(&nic, &nic.q[2 * pair + 1], &head, &used);
}

static void report(const char *name, uint64_t v)
{
	print(name);
	print(" ");
	print_u64(v);
	print("\n");
}

static bool is_ours(const struct frame *f, uint32_t len, uint8_t protocol)
{
	return len >= sizeof(*f) && f->eth.type == ETH_TYPE_IP && f->ip.protocol == protocol &&
	       f->ip.dst == NET_GUEST_ADDR;
}

/* Swaps both ends; the checksums of IP and UDP are the same afterwards, finished or not. */
static void turn(struct frame *f)
{
	uint32_t addr = f->ip.src;
	uint16_t *ports = (uint16_t *)f->data, port = ports[0];

	memcpy(f->eth.dst, f->eth.src, 6);
	memcpy(f->eth.src, mac, 6);
	f->ip.src = f->ip.dst;
	f->ip.dst = addr;
	ports[0] = ports[1];
	ports[1] = port;
	f->net.num_buffers = 0;
}

/* Sends `count` UDP datagrams back; offload=0: to a host that finishes all checksums. */
void test_net_echo(void)
{
	uint64_t features = NET_F_MAC | NET_F_MRG_RXBUF, count = arg_u64("count", 1), csum = 0;

	if (arg_u64("offload", 1) != 0)
		features |= NET_F_CSUM | NET_F_GUEST_CSUM;
	open_nic(features, 2);
	post_all(0);
	print("ready\n");
	for (uint64_t done = 0; done < count;) {
		uint16_t head;
		uint32_t len;
		struct frame *f;
		vq_wait(&nic, &nic.q[0], &head, &len);
		f = (struct frame *)rx[0][head];
		if (f->net.num_buffers != 1)
			test_fail("a short frame in so many buffers:", f->net.num_buffers);
		if (is_ours(f, len, PROTO_UDP)) {
			csum += f->net.flags & NET_NEEDS_CSUM;
			turn(f);
			send(0, f, len);
			done++;
		}
		post(0, head);
		vq_kick(&nic, &nic.q[0]);
	}
	report("frames", count);
	report("csum", csum);
}

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 13 + (i >> 8));
}

/* One frame that the host has to cut, with a checksum that it has to finish. */
static void send_large(void)
{
	static const uint8_t everybody[6] = { 255, 255, 255, 255, 255, 255 };
	struct frame *f = (struct frame *)tx;
	uint8_t *tcp = f->data;

	net_headers(f, mac, everybody, PROTO_TCP, 20 + LARGE_BYTES);
	memset(tcp, 0, 20);
	tcp[1] = 7;
	tcp[3] = 7;
	tcp[12] = 0x50; /* a header of 20 bytes */
	tcp[13] = 0x10; /* ACK */
	for (uint32_t i = 0; i < LARGE_BYTES; i++)
		tcp[20 + i] = pattern(i);
	f->net = (struct net_hdr){ .flags = NET_NEEDS_CSUM,
				   .gso_type = NET_GSO_TCPV4,
				   .hdr_len = FRAME_HEADERS + 20,
				   .gso_size = 1448,
				   .csum_start = FRAME_HEADERS,
				   .csum_offset = 16 };
	send(0, f, (uint32_t)(sizeof(*f) + 20 + LARGE_BYTES));
}

/* The payload of a frame that is spread over buffers: byte `at` of them, the first being `head`. */
static void check_piece(const uint8_t *piece, uint32_t len, uint32_t *at)
{
	for (uint32_t i = 0; i < len; i++, ++*at)
		if (piece[i] != pattern(*at))
			test_fail("received a wrong byte at", *at);
}

/* Waits for one segmented TCP frame and checks its bytes. */
static void receive_large(void)
{
	uint32_t len, at = 0;
	uint16_t head, buffers;
	struct frame *f;

	for (;;) {
		vq_wait(&nic, &nic.q[0], &head, &len);
		f = (struct frame *)rx[0][head];
		if (is_ours(f, len, PROTO_TCP))
			break;
		post(0, head);
		vq_kick(&nic, &nic.q[0]);
	}
	buffers = f->net.num_buffers;
	report("gso_type", f->net.gso_type);
	report("gso_size", f->net.gso_size);
	check_piece(f->data + 20, len - (uint32_t)sizeof(*f) - 20, &at);
	post(0, head);
	for (unsigned i = 1; i < buffers; i++) {
		/* All of a frame's buffers are there at once, and few are enough for all of it. */
		if (!vq_used(&nic.q[0], &head, &len))
			test_fail("buffers missing of", buffers);
		check_piece(rx[0][head], len, &at);
		post(0, head);
		vq_kick(&nic, &nic.q[0]);
	}
	if (at != LARGE_BYTES)
		test_fail("length", at);
	report("buffers", buffers);
}

void test_net_large(void)
{
	open_nic(NET_F_MAC | NET_F_MRG_RXBUF | NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 |
			 NET_F_HOST_TSO4,
		 2);
	for (uint16_t i = RX_BUFS; i < VQ_SIZE; i++) {
		struct vq_buf b = { rx[1][i - RX_BUFS], RX_BYTES, true };
		vq_add(&nic.q[0], i, &b, 1);
	}
	post_all(0);
	print("ready\n");
	send_large();
	receive_large();
}

static uint8_t set_pairs(uint16_t pairs)
{
	static struct {
		uint8_t class, command;
		uint16_t pairs;
	} cmd;
	static volatile uint8_t status;
	struct vq_buf b[2] = { { &cmd, sizeof(cmd), false },
			       { (const void *)(uintptr_t)&status, 1, true } };
	uint16_t head;
	uint32_t len;

	cmd.class = 4;
	cmd.command = 0;
	cmd.pairs = pairs;
	status = 0xee;
	vq_add(&nic.q[4], 0, b, 2);
	vq_kick(&nic, &nic.q[4]);
	vq_wait(&nic, &nic.q[4], &head, &len);
	return status;
}

/* Two queue pairs: sends a frame on each, and counts `count` datagrams wherever they come. */
void test_net_pairs(void)
{
	uint64_t count = arg_u64("count", 1), got[2] = { 0, 0 };
	static const uint8_t everybody[6] = { 255, 255, 255, 255, 255, 255 };
	struct frame *f = (struct frame *)tx;

	open_nic(NET_F_MAC | NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_MQ, 5);
	if (set_pairs(3) != 1 || set_pairs(0) != 1)
		test_fail("impossible pairs were accepted", 0);
	if (set_pairs(2) != 0)
		test_fail("two pairs were refused", 0);
	post_all(0);
	post_all(1);
	for (unsigned p = 0; p < 2; p++) {
		net_headers(f, mac, everybody, PROTO_UDP, 64);
		memset(f->data, (int)('A' + p), 64);
		send(p, f, sizeof(*f) + 64);
	}
	print("ready\n");
	while (got[0] + got[1] < count) {
		uint32_t seen = irq_count[nic.irq], len;
		uint16_t head;
		bool any = false;
		for (unsigned p = 0; p < 2; p++) {
			while (vq_used(&nic.q[2 * p], &head, &len)) {
				any = true;
				f = (struct frame *)rx[p][head];
				got[p] += is_ours(f, len, PROTO_UDP);
				post(p, head);
				vq_kick(&nic, &nic.q[2 * p]);
			}
		}
		if (!any)
			cpu_wait_irq(nic.irq, seen);
	}
	report("first", got[0]);
	report("second", got[1]);
}

static bool link_up(void)
{
	return (*(volatile uint16_t *)(nic.base + 0x106) & 1) != 0;
}

static void wait_link(bool up)
{
	for (;;) {
		uint32_t seen = irq_count[nic.irq];
		if (link_up() == up)
			break;
		cpu_wait_irq(nic.irq, seen);
	}
	print(up ? "link up\n" : "link down\n");
}

void test_net_link(void)
{
	open_nic(NET_F_MAC | NET_F_STATUS, 2);
	wait_link(true);
	wait_link(false);
	wait_link(true);
}
