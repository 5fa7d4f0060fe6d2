/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_kinds.c - what each kind of device takes for a good request, and how it answers one. */
#include "hostile.h"

uint64_t hx_guest_cid(struct hx *h)
{
	return hx_get(h, REG_CONFIG) | (uint64_t)hx_get(h, REG_CONFIG + 4) << 32;
}

static unsigned chain_of(struct hx *h, unsigned first, const uint64_t *addr, const uint32_t *len,
			 unsigned readable, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		hx_desc(&h->dev->q[hx_work_queue(h)], first + i, addr[i], len[i],
			(i + 1 < n ? DESC_NEXT : 0) | (i >= readable ? DESC_WRITE : 0),
			first + i + 1);
	return n;
}

/* A read of the first sector: its answer is the status byte. */
static unsigned chain_blk(struct hx *h, unsigned first)
{
	uint64_t m = hx_mem(h, 4096);
	const uint64_t addr[] = { m, m + 64, m + 1024 };
	const uint32_t len[] = { 16, 512, 1 };

	*(volatile uint64_t *)m = 0;	   /* read, ... */
	*(volatile uint64_t *)(m + 8) = 0; /* ...the first sector */
	*(volatile uint8_t *)(m + 1024) = 0xee;
	return chain_of(h, first, addr, len, 1, 3);
}

static void check_blk(struct hx *h, uint32_t len)
{
	struct vq_desc *d = (struct vq_desc *)h->dev->q[0].desc;
	volatile uint8_t *status = (volatile uint8_t *)d[2].addr;

	if (*status != 0 || len != 513)
		hx_fail(h, "a good read has status", *status);
}

static unsigned chain_console(struct hx *h, unsigned first)
{
	uint64_t m = hx_mem(h, 4096);
	const uint32_t len = 1;

	*(volatile uint8_t *)m = '\n';
	return chain_of(h, first, &m, &len, 1, 1);
}

static unsigned chain_rng(struct hx *h, unsigned first)
{
	uint64_t m = hx_mem(h, 4096);
	const uint32_t len = 64;

	return chain_of(h, first, &m, &len, 0, 1);
}

static void check_rng(struct hx *h, uint32_t len)
{
	if (len == 0 || len > 64)
		hx_fail(h, "the entropy device wrote", len);
}

/* A frame of a local experiment (0x88b5) for everybody, behind its header. */
static unsigned chain_net(struct hx *h, unsigned first)
{
	uint64_t m = hx_mem(h, 4096);
	const uint64_t addr[] = { m, m + 64 };
	const uint32_t len[] = { 12, 60 };

	memset((void *)m, 0, 12);
	memset((void *)(m + 64), 0xff, 6);
	*(volatile uint16_t *)(m + 64 + 12) = 0xb588;
	return chain_of(h, first, addr, len, 2, 2);
}

/* One page, which nobody uses, is given up. */
static unsigned chain_balloon(struct hx *h, unsigned first)
{
	uint64_t m = hx_mem(h, 4096);
	const uint32_t len = 4;

	*(volatile uint32_t *)m = (uint32_t)(hx_mem(h, 4096) >> 12);
	return chain_of(h, first, &m, &len, 1, 1);
}

/* A packet for a port that nobody listens on is answered with a RST. */
static unsigned chain_vsock(struct hx *h, unsigned first)
{
	uint64_t m = hx_mem(h, 4096);
	const uint32_t len = sizeof(struct hx_vsock);

	hx_post(h, 0, (uint16_t)first, m + 1024, 1024, true);
	*(struct hx_vsock *)m = (struct hx_vsock){ .src_cid = hx_guest_cid(h),
						   .dst_cid = 2,
						   .src_port = 5,
						   .dst_port = 9,
						   .type = 1,
						   .op = HX_VSOCK_RW };
	return chain_of(h, first, &m, &len, 1, 1);
}

static void check_vsock(struct hx *h, uint32_t len)
{
	const struct vq_desc *d = (const struct vq_desc *)h->dev->q[0].desc;
	uint32_t head;

	if (!hx_wait(h, 0) || !hx_used(&h->dev->q[0], &head, &len) ||
	    len != sizeof(struct hx_vsock) ||
	    ((const volatile struct hx_vsock *)d->addr)->op != HX_VSOCK_RST)
		hx_fail(h, "no RST for a stray packet; status", hx_get(h, REG_STATUS));
}

/* A flush: its answer is 0. */
static unsigned chain_pmem(struct hx *h, unsigned first)
{
	uint64_t m = hx_mem(h, 4096);
	const uint64_t addr[] = { m, m + 64 };
	const uint32_t len[] = { 4, 4 };

	*(volatile uint32_t *)m = 0;
	*(volatile uint32_t *)(m + 64) = 99;
	return chain_of(h, first, addr, len, 1, 2);
}

static void check_pmem(struct hx *h, uint32_t len)
{
	struct vq_desc *d = (struct vq_desc *)h->dev->q[0].desc;
	volatile uint32_t *answer = (volatile uint32_t *)d[1].addr;

	if (*answer != 0 || len != 4)
		hx_fail(h, "a flush is answered with", *answer);
}

static const struct kind {
	uint32_t id;
	const char *name;
	unsigned work_queue;
	bool device_writes;
	unsigned (*chain)(struct hx *h, unsigned first); /* NULL: coming up is all */
	void (*check)(struct hx *h, uint32_t len);
} kinds[] = {
	{ VIRTIO_NET, "net", 1, false, chain_net, NULL },
	{ VIRTIO_BALLOON, "balloon", 0, false, chain_balloon, NULL },
	{ VIRTIO_BLK, "blk", 0, false, chain_blk, check_blk },
	{ VIRTIO_CONSOLE, "console", 1, false, chain_console, NULL },
	{ VIRTIO_RNG, "rng", 0, true, chain_rng, check_rng },
	{ VIRTIO_PMEM, "pmem", 0, false, chain_pmem, check_pmem },
	{ VIRTIO_VSOCK, "vsock", 1, false, chain_vsock, check_vsock },
};

static const struct kind *kind_of(uint32_t id)
{
	static const struct kind unknown = { .name = "unknown" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].id == id)
			return &kinds[i];
	return &unknown;
}

const char *hx_kind_name(uint32_t id)
{
	return kind_of(id)->name;
}

unsigned hx_work_queue(const struct hx *h)
{
	return kind_of(h->dev->id)->work_queue;
}

bool hx_device_writes(const struct hx *h)
{
	return kind_of(h->dev->id)->device_writes;
}

unsigned hx_good_chain(struct hx *h, unsigned first)
{
	const struct kind *k = kind_of(h->dev->id);

	return k->chain != NULL ? k->chain(h, first) : 0;
}

void hx_check_good(struct hx *h)
{
	const struct kind *k = kind_of(h->dev->id);
	struct hx_queue *q;
	uint32_t head, len;

	hx_mem_again(h);
	hx_reset(h);
	if (hx_get(h, REG_STATUS) != 0)
		hx_fail(h, "a reset leaves status", hx_get(h, REG_STATUS));
	hx_up(h, 0);
	if (k->chain != NULL) {
		q = &h->dev->q[k->work_queue];
		(void)k->chain(h, 0);
		hx_avail(q, 0);
		hx_kick(h, k->work_queue);
		if (!hx_wait(h, k->work_queue))
			hx_fail(h, "a good request is not answered; status", hx_get(h, REG_STATUS));
		if (!hx_used(q, &head, &len) || head != 0)
			hx_fail(h, "a good request is answered with head", head);
		if (k->check != NULL)
			k->check(h, len);
	}
	hx_reset(h);
}
