/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_net.c - frames whose headers lie, and receive buffers that are none. */
#include "hostile.h"

#define RX	       0U
#define TX	       1U
#define F_CSUM	       (1ULL << 0)
#define F_HOST_TSO4    (1ULL << 11)
#define F_HOST_TSO6    (1ULL << 12)
#define F_HOST_ECN     (1ULL << 13)
#define F_MRG_RXBUF    (1ULL << 15)
#define F_CTRL_VQ      (1ULL << 17)
#define F_MQ	       (1ULL << 22)
#define HEADER_BYTES   12U
#define FRAME_BYTES    0x10800U /* more than any frame has */
#define CTRL_OK	       0U
#define CTRL_ERR       1U
#define CTRL_UNTOUCHED 0xee

struct __attribute__((packed)) net_header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

static void up_with_offloads(struct hx *h)
{
	uint64_t all = F_CSUM | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN | F_MRG_RXBUF;

	hx_up(h, hx_below(h, 4) == 0 ? 0 : hx_offered(h) & all);
}

/* An Ethernet frame that begins like TCP over IPv4 or IPv6, so that segmentation looks into it. */
static void frame(struct hx *h, uint64_t m)
{
	bool v6 = hx_below(h, 2) != 0;
	volatile uint8_t *f = (volatile uint8_t *)m;

	for (unsigned i = 0; i < 6; i++)
		f[i] = 0xff, f[6 + i] = 2;
	f[12] = v6 ? 0x86 : 0x08;
	f[13] = v6 ? 0xdd : 0x00;
	f[14] = (uint8_t)(v6 ? 0x60 : 0x40 | hx_below(h, 16));
	f[v6 ? 20 : 23] = 6;
}

void g25_net_headers(struct hx *h)
{
	struct hx_queue *q = &h->dev->q[TX];
	uint64_t m = hx_mem(h, 4096), data = hx_mem(h, FRAME_BYTES);
	uint32_t head, len;

	up_with_offloads(h);
	frame(h, data);
	for (unsigned i = 0; i < 16; i++) {
		*(volatile struct net_header *)m = (struct net_header){
			.flags = (uint8_t)HX_PICK(h, 0, 1, 1, 2, 4, 0xff),
			.gso_type = (uint8_t)HX_PICK(h, 0, 1, 1, 3, 4, 4, 5, 0x81, 0x84, 0xff),
			.hdr_len = (uint16_t)hx_edge(h),
			.gso_size = (uint16_t)HX_PICK(h, 0, 1, 8, 1460, 0xffff, hx_rand(h)),
			.csum_start = (uint16_t)HX_PICK(h, 0, 34, 54, 0xffff, hx_rand(h)),
			.csum_offset = (uint16_t)HX_PICK(h, 0, 6, 16, 0xffff, hx_rand(h)),
			.num_buffers = (uint16_t)hx_edge(h),
		};
		hx_desc(q, 0, m, HEADER_BYTES, DESC_NEXT, 1);
		hx_desc(q, 1, data,
			(uint32_t)HX_PICK(h, 1, 13, 14, 34, 60, 1514, 1515, 9000, 65549,
					  FRAME_BYTES),
			0, 0);
		hx_avail(q, 0);
		hx_kick(h, TX);
		if (!hx_wait(h, TX) || !hx_used(q, &head, &len))
			hx_fail(h, "a frame is not taken", i);
		hx_hit(h);
	}
}

void g25_net_shapes(struct hx *h)
{
	struct hx_queue *q = &h->dev->q[TX];
	uint64_t m = hx_mem(h, 4096);

	up_with_offloads(h);
	switch (hx_below(h, 4)) {
	case 0: /* a part of a header */
		hx_post(h, TX, 0, m, (uint32_t)hx_below(h, HEADER_BYTES), false);
		break;
	case 1: /* for the device to write */
		hx_post(h, TX, 0, m, 100, true);
		break;
	case 2: /* a header, and that is all */
		hx_post(h, TX, 0, m, HEADER_BYTES, false);
		break;
	default: /* as many pieces as there are, most of them empty */
		for (unsigned i = 0; i < q->size; i++)
			hx_desc(q, i, m + i, i % 3 == 0, i + 1 < q->size ? DESC_NEXT : 0, i + 1);
		hx_avail(q, 0);
		hx_kick(h, TX);
		break;
	}
	if (hx_wait(h, TX) || hx_broken(h))
		hx_hit(h);
}

void g25_net_commands(struct hx *h)
{
	unsigned ctrl = h->dev->queues - 1;
	struct hx_queue *q = &h->dev->q[ctrl];
	uint64_t m = hx_mem(h, 4096);
	volatile uint8_t *status = (volatile uint8_t *)(m + 64);

	if ((hx_offered(h) & F_MQ) == 0)
		return;
	hx_up(h, F_CTRL_VQ | F_MQ);
	for (unsigned i = 0; i < 16; i++) {
		*(volatile uint64_t *)m = hx_edge(h);
		if (i % 2 == 0) /* the one command that there is, with a number that there isn't */
			*(volatile uint32_t *)m = 0x0004 | (uint32_t)HX_PICK(h, 0, 3, 9, 0xffff)
								   << 16;
		*status = CTRL_UNTOUCHED;
		hx_desc(q, 0, m, i % 2 == 0 ? 4 : (uint32_t)(2 + hx_below(h, 40)), DESC_NEXT, 1);
		hx_desc(q, 1, m + 64, 1, DESC_WRITE, 0);
		hx_avail(q, 0);
		hx_kick(h, ctrl);
		if (!hx_wait(h, ctrl))
			hx_fail(h, "a command is not answered", i);
		q->seen = hx_used_idx(q);
		if (i % 2 == 0 && *status != CTRL_ERR)
			hx_fail(h, "a number of queues that there is not is accepted",
				*(uint32_t *)m);
		hx_hit(h);
	}
}

/* The host sends all the time (vmm_hostile.c). */
void g29_net_no_buffers(struct hx *h)
{
	struct hx_queue *q = &h->dev->q[RX];
	uint64_t m = hx_mem(h, 64 * 4096);
	uint32_t head, len;

	hx_up(h, hx_below(h, 2) == 0 ? 0 : F_MRG_RXBUF & hx_offered(h));
	cpu_delay(200000000); /* frames come, and there is no room for them */
	for (unsigned i = 0; i < 16; i++)
		hx_post(h, RX, (uint16_t)i, m + i * 4096, 4096, true);
	for (unsigned tries = 0; tries < 5 && !hx_wait(h, RX); tries++)
		;
	if (hx_used(q, &head, &len) && len > HEADER_BYTES)
		hx_hit(h);
}

void g29_net_bad_buffers(struct hx *h)
{
	uint64_t m = hx_mem(h, 4096);

	hx_up(h, hx_below(h, 2) == 0 ? 0 : F_MRG_RXBUF & hx_offered(h));
	switch (hx_below(h, 3)) {
	case 0: /* not even a header fits */
		hx_post(h, RX, 0, m, (uint32_t)(1 + hx_below(h, HEADER_BYTES - 1)), true);
		break;
	case 1: /* the device is to read it */
		hx_post(h, RX, 0, m, 4096, false);
		break;
	default: /* somewhere else */
		hx_post(h, RX, 0, hx_ram_end() - 100, 4096, true);
		break;
	}
	for (unsigned tries = 0; tries < 5 && !hx_wait(h, RX) && !hx_broken(h); tries++)
		;
	if (hx_broken(h))
		hx_hit(h);
}
