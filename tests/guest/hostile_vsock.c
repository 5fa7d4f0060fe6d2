/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_vsock.c - packets that lie about their length, their sender and their credit. */
#include "hostile.h"

#define RX     0U
#define TX     1U
#define HOST   2U
#define PORT   1024U /* the host listens there, if it does anywhere */
#define RX_LEN 4096U

static struct hx_vsock packet(struct hx *h, uint16_t op)
{
	return (struct hx_vsock){ .src_cid = hx_guest_cid(h),
				  .dst_cid = HOST,
				  .src_port = (uint32_t)(1000 + hx_below(h, 1000)),
				  .dst_port = (uint32_t)(2000 + hx_below(h, 1000)),
				  .type = 1,
				  .op = op,
				  .buf_alloc = 65536 };
}

/* Sends a header and `bytes` of data behind it; true when the device has taken it. */
static bool send(struct hx *h, const struct hx_vsock *p, uint64_t m, uint32_t bytes)
{
	struct hx_queue *q = &h->dev->q[TX];
	uint32_t head, len;

	*(volatile struct hx_vsock *)m = *p;
	hx_desc(q, 0, m, sizeof(*p) + bytes, 0, 0);
	hx_avail(q, 0);
	hx_kick(h, TX);
	return hx_wait(h, TX) && hx_used(q, &head, &len);
}

/* The n-th receive buffer is descriptor n. */
static void post_buffers(struct hx *h, uint64_t m, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		hx_post(h, RX, (uint16_t)i, m + i * RX_LEN, RX_LEN, true);
}

/* The next packet from the host; its buffer goes back at once. NULL: none came. */
static const volatile struct hx_vsock *receive(struct hx *h, uint64_t m)
{
	struct hx_queue *q = &h->dev->q[RX];
	static struct hx_vsock copy;
	uint32_t head, len;

	if (!hx_wait(h, RX) || !hx_used(q, &head, &len))
		return NULL;
	copy = *(volatile struct hx_vsock *)(m + head * RX_LEN);
	hx_avail(q, (uint16_t)head);
	hx_kick(h, RX);
	return &copy;
}

void g29_vsock_no_buffers(struct hx *h)
{
	struct hx_queue *q = &h->dev->q[TX];
	uint64_t m = hx_mem(h, 4096), rx = hx_mem(h, 64 * RX_LEN);
	struct hx_vsock p = packet(h, HX_VSOCK_RW);
	unsigned answers = 0;

	hx_up_any(h);
	*(volatile struct hx_vsock *)m = p;
	hx_desc(q, 0, m, sizeof(p), 0, 0);
	for (unsigned i = 0; i < q->size; i++)
		hx_avail(q, 0);
	for (unsigned i = 0; i < 1000; i++)
		hx_kick(h, TX);
	cpu_delay(20000000);
	/* Each stray packet is answered sooner or later, and none before there is a buffer. */
	post_buffers(h, rx, 64);
	while (answers < q->size && receive(h, rx) != NULL)
		answers++;
	if (answers < q->size)
		hx_fail(h, "answers to stray packets are missing; there were", answers);
	hx_hit(h);
}

void g30_vsock_length(struct hx *h)
{
	struct hx_queue *q = &h->dev->q[TX];
	uint64_t m = hx_mem(h, 0x80000);
	struct hx_vsock p = packet(h, HX_VSOCK_RW);

	hx_up_any(h);
	if (hx_below(h, 3) == 0) {
		/* A header cut short; or one that the device may write. */
		*(volatile struct hx_vsock *)m = p;
		if (hx_below(h, 2) == 0)
			hx_post(h, TX, 0, m, (uint32_t)hx_below(h, sizeof(p)), false);
		else
			hx_post(h, TX, 0, m, sizeof(p), true);
	} else {
		p.len = (uint32_t)HX_PICK(h, 1025, 4096, 65537, 0x7fffffff, 0x80000000, 0xffffffff,
					  0xffffffff - 43);
		*(volatile struct hx_vsock *)m = p;
		hx_post(h, TX, 0, m, (uint32_t)(sizeof(p) + 1024), false);
	}
	(void)q;
	for (unsigned i = 0; i < 1000 && !hx_broken(h); i++)
		cpu_delay(1000000);
}

void g30_vsock_unknown(struct hx *h)
{
	uint64_t m = hx_mem(h, 4096), rx = hx_mem(h, 64 * RX_LEN);
	struct hx_vsock p = packet(h, (uint16_t)HX_PICK(h, 0, 8, 9, 255, 0x8000, 0xffff));
	const volatile struct hx_vsock *answer;

	hx_up_any(h);
	post_buffers(h, rx, 64);
	if (hx_below(h, 2) == 0) {
		p.op = HX_VSOCK_REQUEST;
		p.type = (uint16_t)HX_PICK(h, 0, 2, 3, 0x100, 0xffff);
	}
	p.flags = (uint32_t)hx_edge(h);
	if (!send(h, &p, m, 0))
		hx_fail(h, "a packet is not taken, operation", p.op);
	answer = receive(h, rx);
	if (answer == NULL || answer->op != HX_VSOCK_RST)
		hx_fail(h, "no RST for operation", p.op);
	hx_hit(h);
}

void g31_vsock_addresses(struct hx *h)
{
	uint64_t m = hx_mem(h, 4096), rx = hx_mem(h, 64 * RX_LEN), cid = hx_guest_cid(h);
	struct hx_vsock p = packet(h, HX_VSOCK_REQUEST);

	hx_up_any(h);
	post_buffers(h, rx, 64);
	p.dst_port = PORT;
	/* In another's name: there is nobody whom to answer. */
	p.src_cid = HX_PICK(h, 0, 1, HOST, cid + 1, cid | 1ULL << 32, ~0ULL);
	if (!send(h, &p, m, 0))
		hx_fail(h, "a packet is not taken, from", p.src_cid);
	/* To another: refused, in the other's name. */
	p.src_cid = cid;
	p.dst_cid = HX_PICK(h, 0, 1, cid, cid + 1, HOST | 1ULL << 32, ~0ULL);
	if (!send(h, &p, m, 0))
		hx_fail(h, "a packet is not taken, to", p.dst_cid);
	for (const volatile struct hx_vsock *a = receive(h, rx);; a = receive(h, rx)) {
		if (a == NULL)
			hx_fail(h, "no RST for a packet to", p.dst_cid);
		if (a->dst_cid != cid || a->op != HX_VSOCK_RST)
			hx_fail(h, "an answer for another, operation", a->op);
		if (a->src_cid == p.dst_cid)
			break;
	}
	hx_hit(h);
}

void g32_vsock_credit(struct hx *h)
{
	uint64_t m = hx_mem(h, 0x20000), rx = hx_mem(h, 64 * RX_LEN), sent = 0;
	struct hx_vsock p = packet(h, HX_VSOCK_REQUEST);
	const volatile struct hx_vsock *a;

	hx_up_any(h);
	post_buffers(h, rx, 64);
	p.src_port = 3000 + h->round;
	p.dst_port = PORT;
	p.buf_alloc = (uint32_t)HX_PICK(h, 0, 0xffffffff, 0x80000000);
	p.fwd_cnt = (uint32_t)HX_PICK(h, 0xffffffff, 0x80000000, 1);
	if (!send(h, &p, m, 0))
		hx_fail(h, "a request is not taken", 0);
	a = receive(h, rx);
	if (a == NULL || a->op != HX_VSOCK_RESPONSE)
		return; /* the host does not listen: no target */
	/* More and more, whatever credit the device tells, until it resets the connection. */
	for (unsigned i = 0; i < 64; i++) {
		p.op = hx_below(h, 4) == 0 ? HX_VSOCK_CREDIT_UPDATE : HX_VSOCK_RW;
		p.len = p.op == HX_VSOCK_RW ? 65536 : 0;
		p.buf_alloc = (uint32_t)hx_edge(h);
		p.fwd_cnt = (uint32_t)hx_edge(h);
		if (!send(h, &p, m, p.len))
			break;
		sent += p.len;
		while (hx_used_idx(&h->dev->q[RX]) != h->dev->q[RX].seen)
			if ((a = receive(h, rx)) != NULL && a->op == HX_VSOCK_RST) {
				hx_hit(h);
				return;
			}
	}
	hx_fail(h, "the device took all that it has no room for, bytes", sent);
}

void g33_vsock_storm(struct hx *h)
{
	uint64_t m = hx_mem(h, 4096), rx = hx_mem(h, 64 * RX_LEN);
	struct hx_vsock p = packet(h, HX_VSOCK_REQUEST);
	unsigned answers = 0;

	hx_up_any(h);
	post_buffers(h, rx, 64);
	for (unsigned i = 0; i < 1200; i++) {
		p.src_port = i;
		p.op = i % 3 == 2 ? HX_VSOCK_RST : HX_VSOCK_REQUEST;
		if (!send(h, &p, m, 0))
			hx_fail(h, "a packet is not taken, number", i);
		while (hx_used_idx(&h->dev->q[RX]) != h->dev->q[RX].seen)
			answers += receive(h, rx) != NULL;
	}
	while (answers < 800 && receive(h, rx) != NULL)
		answers++;
	if (answers != 800)
		hx_fail(h, "requests to nobody were refused, of 800:", answers);
	hx_hit(h);
}
