/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.c - the least that casemated takes for an agent: ttrpc on vsock, where every call succeeds
 * and has an empty answer. It connects to host port 1024 once and takes connections to port 1024
 * for ever, so that starting a sandbox can be measured without a Linux in it. On ports 49983 (HTTP)
 * and 49984 (the forwarder: port 3000 is open, others aren't) it serves agent_http.c. `dirty=MIB`
 * makes it write that much memory first; so does a request in which "dirty-MIB" stands, as a host
 * name. A command that is to be started "runs", says "ran" and ends at once: with status 3 when
 * "exit-3" stands in it, and not at all when "linger" does.
 *
 * GET /who on port 49983 tells, in hexadecimal digits, the machine's generation id and then the
 * last call that came to port 1024: with casemated it is Identify's.
 *
 * ttrpc's frame: length and stream (32 bits each, big endian), type (1 request, 2 response), flags.
 * Calls come in one packet each: the host writes them in one piece.
 */
#include "guest.h"

#define PORT	     1024U
#define HTTP_PORT    49983U
#define FORWARD_PORT 49984U
#define OPEN_PORT    3000U
#define HOST_CID     2U
#define RX_BUFS	     16U
#define RX_BYTES     4096U
#define BUF_ALLOC    65536U
#define FRAME_BYTES  10U
/* Where in a frame an order may stand: Identify's first field is the host name. A KVM in software
 * emulates each instruction, so it isn't looked for elsewhere. */
#define ORDER_BEGIN 40U
#define ORDER_END   80U
#define TX_SLOTS    8U
#define DESC_NEXT   1U

enum {
	OP_REQUEST = 1,
	OP_RESPONSE,
	OP_RST,
	OP_SHUTDOWN,
	OP_RW,
	OP_CREDIT_UPDATE,
	OP_CREDIT_REQUEST
};
#define SHUTDOWN_BOTH 3U

struct __attribute__((packed)) header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
};

static struct vdev vs;
static uint8_t rx[RX_BUFS][sizeof(struct header) + RX_BYTES];
/* What is on its way to the device: a header and perhaps an answer each. */
static struct {
	struct header h;
	uint8_t answer[FRAME_BYTES];
} tx[TX_SLOTS];
static unsigned tx_sent, tx_done;

/* What was taken from each connection, by the host's port; the host has 64 of them at a time. */
#define CONNS 256U
static uint32_t taken[CONNS];
/* And what it is: its head, or the forwarder's two bytes, have come. */
static uint8_t knocked[CONNS], headed[CONNS];
/* What of a frame to port 1024 is still to come, and isn't looked at. */
static uint32_t rest[CONNS];
static uint8_t page[RX_BYTES + 512];
static uint8_t last_call[512];
static uint32_t last_call_len;

/* Read once, as Linux does: it is the same in a clone. */
static uint64_t guest_cid;

static uint64_t read_cid(void)
{
	return mmio_read32(vs.base + 0x100) | (uint64_t)mmio_read32(vs.base + 0x104) << 32;
}

static void post(uint16_t i)
{
	struct vq_buf b = { rx[i], sizeof(rx[i]), true };

	vq_add(&vs.q[0], i, &b, 1);
}

/* Until at most so many are still the device's. */
static void tx_settle(unsigned left)
{
	uint16_t head;
	uint32_t used;

	while (tx_sent - tx_done > left)
		if (vq_used(&vs.q[1], &head, &used))
			tx_done++;
		else
			__asm__ volatile("pause");
}

/* To the peer of the packet `to`. Short data is copied; what is longer is sent when this returns.
 */
static void send(const struct header *to, uint16_t op, uint32_t flags, const void *data,
		 uint32_t len)
{
	unsigned slot = tx_sent % TX_SLOTS;
	struct vq_desc *d = &vs.q[1].desc[slot * 2];

	tx_settle(TX_SLOTS - 1);
	tx[slot].h = (struct header){ .src_cid = guest_cid,
				      .dst_cid = HOST_CID,
				      .src_port = to->dst_port,
				      .dst_port = to->src_port,
				      .len = len,
				      .type = 1,
				      .op = op,
				      .flags = flags,
				      .buf_alloc = BUF_ALLOC,
				      .fwd_cnt = taken[to->src_port % CONNS] };
	if (len > 0 && len <= FRAME_BYTES) {
		memcpy(tx[slot].answer, data, len);
		data = tx[slot].answer;
	}
	/* The rest of the two descriptors is as test_agent made it. */
	d[0].flags = len > 0 ? DESC_NEXT : 0;
	d[1].addr = (uint64_t)data;
	d[1].len = len;
	vq_again(&vs.q[1], (uint16_t)(slot * 2));
	tx_sent++;
	vq_kick(&vs, &vs.q[1]);
	if (len > FRAME_BYTES)
		tx_settle(0);
}

static void dirty_memory(uint64_t mib)
{
	uint64_t at = UINT64_C(16) << 20;

	for (uint64_t end = at + (mib << 20); at < end; at += 4096)
		*(volatile uint64_t *)at = at;
}

/* From `at` on; len: there is none. One instruction, so to say: see ORDER_BEGIN. */
static uint32_t find_byte(const uint8_t *data, uint32_t at, uint32_t len, uint8_t wanted)
{
	const uint8_t *p = data + at;
	uint64_t left = len - at;
	bool found;

	__asm__ volatile("repne scasb"
			 : "+D"(p), "+c"(left), "=@ccz"(found)
			 : "a"(wanted)
			 : "memory");
	return found ? (uint32_t)(p - data) - 1 : len;
}

static void look_for_orders(const uint8_t *data, uint32_t len)
{
	static const char order[] = "dirty-";
	const uint32_t n = sizeof(order) - 1;
	uint64_t mib = 0;

	if (len > ORDER_END)
		len = ORDER_END;
	for (uint32_t i = ORDER_BEGIN; i + n < len; i++) {
		i = find_byte(data, i, len, (uint8_t)order[0]);
		if (i + n >= len || memcmp(data + i, order, n) != 0)
			continue;
		for (i += n; i < len && data[i] >= '0' && data[i] <= '9'; i++)
			mib = mib * 10 + (uint64_t)(data[i] - '0');
		dirty_memory(mib);
	}
}

static void keep_call(const uint8_t *data, uint32_t len)
{
	last_call_len = len < sizeof(last_call) ? len : sizeof(last_call);
	memcpy(last_call, data, last_call_len);
}

static uint32_t put_hex(uint32_t at, const volatile uint8_t *data, uint32_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (uint32_t i = 0; i < len; i++) {
		page[at++] = (uint8_t)digits[data[i] >> 4];
		page[at++] = (uint8_t)digits[data[i] & 15];
	}
	return at;
}

/* The page: its length. */
static uint32_t say_who(void)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
	uint32_t at = 0;

	while (head[at] != '\0') {
		page[at] = (uint8_t)head[at];
		at++;
	}
	if (acpi.generation != 0)
		at = put_hex(at, (const volatile uint8_t *)acpi.generation, 16);
	return put_hex(at, last_call, last_call_len);
}

static bool has(const uint8_t *data, uint32_t len, const char *text)
{
	uint32_t n = 0;

	while (text[n] != '\0')
		n++;
	for (uint32_t i = 0; i + n <= len; i++)
		if (memcmp(data + i, text, n) == 0)
			return true;
	return false;
}

/* Is it process.Process/Start? Request.service, Request.method. */
static bool is_start(const uint8_t *request, uint32_t len)
{
	static const char start[] = "\x0a\x0fprocess.Process\x12\x05Start";

	return len >= sizeof(start) - 1 && memcmp(request, start, sizeof(start) - 1) == 0;
}

/* A message of a stream: type 3, StartResponse. */
static void send_event(const struct header *h, const uint8_t *stream, const void *event,
		       uint32_t len)
{
	static uint8_t frame[FRAME_BYTES + 32];

	memset(frame, 0, FRAME_BYTES);
	frame[3] = (uint8_t)len;
	memcpy(frame + 4, stream, 4);
	frame[8] = 3;
	memcpy(frame + FRAME_BYTES, event, len);
	send(h, OP_RW, 0, frame, FRAME_BYTES + len);
}

/* False: it goes on for ever. */
static bool run(const struct header *h, const uint8_t *stream, const uint8_t *request, uint32_t len)
{
	static const uint8_t started[] = { 0x0a, 4, 0x0a, 2, 0x08, 7 }; /* pid 7 */
	static const uint8_t output[] = { 0x0a, 8, 0x12, 6, 0x0a, 4, 'r', 'a', 'n', '\n' };
	static const uint8_t ended[] = { 0x0a, 4, 0x1a, 2, 0x10, 1 };		/* exited */
	static const uint8_t failed[] = { 0x0a, 6, 0x1a, 4, 0x08, 6, 0x10, 1 }; /* with 3 */

	send_event(h, stream, started, sizeof(started));
	send_event(h, stream, output, sizeof(output));
	if (has(request, len, "linger"))
		return false;
	if (has(request, len, "exit-3"))
		send_event(h, stream, failed, sizeof(failed));
	else
		send_event(h, stream, ended, sizeof(ended));
	return true;
}

/* Every request in the packet is answered: stream as asked, type 2, no bytes. */
static void serve(const struct header *h, const uint8_t *data)
{
	uint32_t *left = &rest[h->src_port % CONNS];
	uint32_t off = *left < h->len ? *left : h->len;

	*left -= off;
	while (off + FRAME_BYTES <= h->len) {
		uint32_t len = (uint32_t)data[off] << 24 | (uint32_t)data[off + 1] << 16 |
			       (uint32_t)data[off + 2] << 8 | data[off + 3];
		uint8_t answer[FRAME_BYTES] = { [8] = 2 };
		memcpy(answer + 4, data + off + 4, 4);
		if (data[off + 8] == 1)
			look_for_orders(data + off, FRAME_BYTES + len);
		if (data[off + 8] == 1 && off + FRAME_BYTES + len <= h->len)
			keep_call(data + off + FRAME_BYTES, len);
		if (data[off + 8] == 1 &&
		    (off + FRAME_BYTES + len > h->len || !is_start(data + off + FRAME_BYTES, len) ||
		     run(h, data + off + 4, data + off + FRAME_BYTES, len)))
			send(h, OP_RW, 0, answer, sizeof(answer));
		off += FRAME_BYTES + len;
	}
	if (off > h->len)
		*left = off - h->len;
}

static void serve_http(const struct header *h, const uint8_t *data)
{
	static const uint8_t open = 0, closed = 111;
	uint32_t len = h->len, n;
	unsigned times = 1;
	bool close;

	if (h->dst_port == FORWARD_PORT && !knocked[h->src_port % CONNS]) {
		bool there = len >= 2 && data[0] == (OPEN_PORT & 0xff) && data[1] == OPEN_PORT >> 8;
		knocked[h->src_port % CONNS] = 1;
		send(h, OP_RW, 0, there ? &open : &closed, 1);
		if (!there)
			send(h, OP_SHUTDOWN, SHUTDOWN_BOTH, NULL, 0);
		data += 2;
		len = len > 2 ? len - 2 : 0;
	}
	if (len == 0 || headed[h->src_port % CONNS])
		return;
	headed[h->src_port % CONNS] = 1;
	close = len > 8 && memcmp(data, "GET /who", 8) == 0;
	n = close ? say_who() : agent_http(data, len, page, sizeof(page), &times, &close);
	for (; n > 0 && times > 0; times--)
		send(h, OP_RW, 0, page, n);
	if (close)
		send(h, OP_SHUTDOWN, SHUTDOWN_BOTH, NULL, 0);
}

static void on_packet(uint16_t i)
{
	const struct header *h = (const struct header *)rx[i];

	switch (h->op) {
	case OP_REQUEST:
		taken[h->src_port % CONNS] = rest[h->src_port % CONNS] = 0;
		knocked[h->src_port % CONNS] = headed[h->src_port % CONNS] = 0;
		send(h, OP_RESPONSE, 0, NULL, 0);
		break;
	case OP_RW:
		taken[h->src_port % CONNS] += h->len;
		if (h->dst_port == HTTP_PORT || h->dst_port == FORWARD_PORT)
			serve_http(h, rx[i] + sizeof(*h));
		else
			serve(h, rx[i] + sizeof(*h));
		break;
	case OP_SHUTDOWN:
		send(h, OP_RST, 0, NULL, 0);
		break;
	case OP_CREDIT_REQUEST:
		send(h, OP_CREDIT_UPDATE, 0, NULL, 0);
		break;
	default:
		break;
	}
	vq_again(&vs.q[0], i);
}

void test_agent(void)
{
	const struct header host = { .src_port = PORT, .dst_port = 2000 };
	uint16_t head;
	uint32_t len;

	dirty_memory(arg_u64("dirty", 0));
	if (!vdev_open(&vs, VIRTIO_VSOCK, 0, 0, 3))
		test_fail("no vsock device", 0);
	guest_cid = read_cid();
	/* It waits for what it sends by looking. */
	vs.q[1].avail[0] = 1;
	for (uint16_t i = 0; i < RX_BUFS; i++)
		post(i);
	for (unsigned i = 0; i < TX_SLOTS; i++)
		vs.q[1].desc[i * 2] = (struct vq_desc){ .addr = (uint64_t)&tx[i].h,
							.len = sizeof(tx[i].h),
							.next = (uint16_t)(i * 2 + 1) };
	vq_kick(&vs, &vs.q[0]);
	send(&host, OP_REQUEST, 0, NULL, 0);
	for (;;) {
		vq_wait(&vs, &vs.q[0], &head, &len);
		do
			on_packet(head);
		while (vq_used(&vs.q[0], &head, &len));
		vq_kick(&vs, &vs.q[0]);
	}
}
