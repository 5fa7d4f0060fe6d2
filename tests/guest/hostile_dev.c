/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_dev.c - raw access to devices, queues and rings; what a good request is; the racer. */
#include "hostile.h"

/* Memory of ours above the image, the same for every device: only one is up at a time. */
#define QUEUE_AREA  0x2000000ULL
#define QUEUE_BYTES 0x3000ULL /* descriptors, available ring, used ring: a page each */
#define MEM_START   0x2100000ULL
#define MEM_END	    0x3e00000ULL
#define SECOND	    3000000000ULL /* of the TSC, roughly */

struct hx_dev hx_devs[ACPI_DEVICES_MAX];
unsigned hx_devs_count;

/* ---- Chance ---- */

uint64_t hx_rand(struct hx *h)
{
	/* xorshift64* */
	h->random ^= h->random >> 12;
	h->random ^= h->random << 25;
	h->random ^= h->random >> 27;
	return h->random * 0x2545f4914f6cdd1dULL;
}

uint64_t hx_below(struct hx *h, uint64_t n)
{
	return (hx_rand(h) >> 16) % n;
}

uint64_t hx_edge(struct hx *h)
{
	uint64_t at = HX_PICK(h, 0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000,
			      0xffffffff, 0x100000000, 1ULL << 63, ~0ULL, hx_ram_end(), 0xc0000000);

	return hx_below(h, 4) == 0 ? hx_rand(h) : at + hx_below(h, 3) - 1;
}

/* ---- Registers ---- */

uint64_t hx_peek(struct hx *h, uint64_t off, unsigned width)
{
	uint64_t a = h->dev->base + off;

	switch (width) {
	case 1:
		return *(volatile uint8_t *)a;
	case 2:
		return *(volatile uint16_t *)a;
	case 4:
		return *(volatile uint32_t *)a;
	default:
		return *(volatile uint64_t *)a;
	}
}

void hx_poke(struct hx *h, uint64_t off, unsigned width, uint64_t v)
{
	uint64_t a = h->dev->base + off;

	switch (width) {
	case 1:
		*(volatile uint8_t *)a = (uint8_t)v;
		break;
	case 2:
		*(volatile uint16_t *)a = (uint16_t)v;
		break;
	case 4:
		*(volatile uint32_t *)a = (uint32_t)v;
		break;
	default:
		*(volatile uint64_t *)a = v;
		break;
	}
}

uint32_t hx_get(struct hx *h, uint64_t reg)
{
	return (uint32_t)hx_peek(h, reg, 4);
}

void hx_set(struct hx *h, uint64_t reg, uint32_t v)
{
	hx_poke(h, reg, 4, v);
}

void hx_set64(struct hx *h, uint64_t reg, uint64_t v)
{
	hx_set(h, reg, (uint32_t)v);
	hx_set(h, reg + 4, (uint32_t)(v >> 32));
}

bool hx_broken(struct hx *h)
{
	return (hx_get(h, REG_STATUS) & STATUS_NEEDS_RESET) != 0;
}

/* ---- Bringing up ---- */

void hx_reset(struct hx *h)
{
	hx_set(h, REG_STATUS, 0);
}

uint64_t hx_offered(struct hx *h)
{
	uint64_t low;

	hx_set(h, REG_FEATURES_SEL, 0);
	low = hx_get(h, REG_FEATURES);
	hx_set(h, REG_FEATURES_SEL, 1);
	return low | (uint64_t)hx_get(h, REG_FEATURES) << 32;
}

bool hx_negotiate(struct hx *h, uint64_t features)
{
	hx_set(h, REG_STATUS, STATUS_ACK);
	hx_set(h, REG_STATUS, STATUS_ACK | STATUS_DRIVER);
	hx_set(h, REG_DRIVER_SEL, 0);
	hx_set(h, REG_DRIVER, (uint32_t)features);
	hx_set(h, REG_DRIVER_SEL, 1);
	hx_set(h, REG_DRIVER, (uint32_t)(features >> 32));
	hx_set(h, REG_STATUS, STATUS_ACK | STATUS_DRIVER | STATUS_FEATURES_OK);
	return (hx_get(h, REG_STATUS) & STATUS_FEATURES_OK) != 0;
}

void hx_queue_layout(struct hx *h, unsigned q, uint32_t size)
{
	uint64_t at = QUEUE_AREA + q * QUEUE_BYTES;

	/* Flags and indices, no more: where KVM is software, the guest's instructions are dear. */
	*(volatile uint32_t *)(at + 0x1000) = 0;
	*(volatile uint32_t *)(at + 0x2000) = 0;
	h->dev->q[q] = (struct hx_queue){
		.desc = at, .avail = at + 0x1000, .used = at + 0x2000, .size = size, .index = q
	};
}

bool hx_queue_enable(struct hx *h, unsigned q)
{
	const struct hx_queue *v = &h->dev->q[q];

	hx_set(h, REG_QUEUE_SEL, q);
	hx_set(h, REG_QUEUE_NUM, v->size);
	hx_set64(h, REG_DESC, v->desc);
	hx_set64(h, REG_AVAIL, v->avail);
	hx_set64(h, REG_USED, v->used);
	hx_set(h, REG_QUEUE_READY, 1);
	return hx_get(h, REG_QUEUE_READY) == 1;
}

void hx_driver_ok(struct hx *h)
{
	hx_set(h, REG_STATUS, STATUS_ACK | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_OK);
}

static uint32_t queue_size(struct hx *h, unsigned q)
{
	uint32_t max;

	hx_set(h, REG_QUEUE_SEL, q);
	max = hx_get(h, REG_QUEUE_MAX);
	return max < HX_QUEUE_SIZE_MAX ? max : HX_QUEUE_SIZE_MAX;
}

void hx_up(struct hx *h, uint64_t features)
{
	hx_reset(h);
	if (!hx_negotiate(h, features | 1ULL << F_VERSION_1))
		hx_fail(h, "features that are offered are refused", features);
	for (unsigned q = 0; q < h->dev->queues; q++) {
		hx_queue_layout(h, q, queue_size(h, q));
		if (!hx_queue_enable(h, q))
			hx_fail(h, "a good queue is refused", q);
	}
	hx_driver_ok(h);
	if (hx_broken(h))
		hx_fail(h, "broken by DRIVER_OK", hx_get(h, REG_STATUS));
}

void hx_up_any(struct hx *h)
{
	hx_up(h, HX_PICK(h, 0, 1ULL << F_INDIRECT, 1ULL << F_EVENT_IDX,
			 1ULL << F_INDIRECT | 1ULL << F_EVENT_IDX));
}

/* ---- Rings ---- */

uint64_t hx_ram_end(void)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < boot.ram_count; i++)
		if (boot.ram[i].base < 0x80000000 && boot.ram[i].base + boot.ram[i].size > end)
			end = boot.ram[i].base + boot.ram[i].size;
	return end;
}

uint64_t hx_mem(struct hx *h, uint64_t bytes)
{
	uint64_t at = h->brk;

	bytes = (bytes + 0xfff) & ~0xfffULL;
	if (bytes > MEM_END - at)
		hx_fail(h, "hx_mem: the round has no more memory", bytes);
	h->brk += bytes;
	return at;
}

void hx_mem_again(struct hx *h)
{
	h->brk = MEM_START;
}

void hx_table_desc(uint64_t table, unsigned i, uint64_t addr, uint32_t len, unsigned flags,
		   unsigned next)
{
	volatile struct vq_desc *d = (volatile struct vq_desc *)table + i;

	d->addr = addr;
	d->len = len;
	d->flags = (uint16_t)flags;
	d->next = (uint16_t)next;
}

void hx_desc(struct hx_queue *q, unsigned i, uint64_t addr, uint32_t len, unsigned flags,
	     unsigned next)
{
	hx_table_desc(q->desc, i, addr, len, flags, next);
}

void hx_avail_idx(struct hx_queue *q, uint16_t idx)
{
	volatile uint16_t *avail = (volatile uint16_t *)q->avail;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	avail[1] = idx;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void hx_avail(struct hx_queue *q, uint16_t head)
{
	volatile uint16_t *avail = (volatile uint16_t *)q->avail;

	avail[2 + q->idx % q->size] = head;
	hx_avail_idx(q, ++q->idx);
}

void hx_kick(struct hx *h, unsigned q)
{
	hx_set(h, REG_NOTIFY, q);
}

void hx_post(struct hx *h, unsigned q, uint16_t head, uint64_t addr, uint32_t len,
	     bool device_writes)
{
	hx_desc(&h->dev->q[q], head, addr, len, device_writes ? DESC_WRITE : 0, 0);
	hx_avail(&h->dev->q[q], head);
	hx_kick(h, q);
}

uint16_t hx_used_idx(const struct hx_queue *q)
{
	return ((volatile uint16_t *)q->used)[1];
}

bool hx_used(struct hx_queue *q, uint32_t *head, uint32_t *len)
{
	volatile uint32_t *ring = (volatile uint32_t *)(q->used + 4);
	unsigned at = q->seen % q->size;

	if (hx_used_idx(q) == q->seen)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*head = ring[at * 2];
	*len = ring[at * 2 + 1];
	q->seen++;
	return true;
}

bool hx_wait(struct hx *h, unsigned q)
{
	uint64_t start = rdtsc();

	while (hx_used_idx(&h->dev->q[q]) == h->dev->q[q].seen) {
		/* A register read leaves the guest: the device's thread may run. */
		if (hx_broken(h) || rdtsc() - start > SECOND)
			return false;
		cpu_delay(20000);
	}
	return true;
}

/* ---- What a good driver does ---- */

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

	h->brk = MEM_START;
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

/* ---- Rounds ---- */

void hx_find_devices(void)
{
	for (unsigned i = 0; i < acpi.device_count; i++) {
		struct hx_dev *d = &hx_devs[hx_devs_count++];
		struct hx h = { .dev = d };

		*d = (struct hx_dev){ .base = acpi.devices[i].base, .n = i };
		d->id = hx_get(&h, REG_DEVICE_ID);
		while (d->queues < HX_QUEUES_MAX && queue_size(&h, d->queues) > 0)
			d->queues++;
		hx_reset(&h);
	}
}

void hx_round_begin(struct hx *h, struct hx_dev *d, uint64_t seed)
{
	h->dev = d;
	h->random = seed;
	h->brk = MEM_START;
	if (d == NULL)
		return;
	hx_reset(h);
	for (unsigned q = 0; q < d->queues; q++)
		hx_queue_layout(h, q, queue_size(h, q));
	hx_reset(h);
}

/* ---- The second processor ---- */

static struct {
	struct hx hx;
	hx_step_fn *step;
	volatile bool running, alive, stop;
} racer;

extern void (*volatile ap_entry)(void);

static void race(void)
{
	racer.alive = true;
	while (!racer.stop)
		racer.step(&racer.hx);
	racer.running = false;
}

void hx_race(struct hx *h, hx_step_fn *step)
{
	uint64_t start = rdtsc();

	if (acpi.cpus < 2)
		hx_fail(h, "a racer needs a second processor; there are", acpi.cpus);
	hx_race_end(h);
	racer.hx = *h;
	racer.hx.hits = 0;
	racer.hx.random = hx_rand(h) | 1;
	racer.step = step;
	racer.alive = racer.stop = false;
	racer.running = true;
	ap_entry = race;
	cpu_start_ap(acpi.apic_ids[1]);
	while (!racer.alive) {
		if (rdtsc() - start > 10 * SECOND) {
			racer.running = false;
			hx_fail(h, "the second processor does not start", 0);
		}
		__asm__ volatile("pause");
	}
}

void hx_race_end(struct hx *h)
{
	uint64_t start = rdtsc();

	if (!racer.running)
		return;
	racer.stop = true;
	while (racer.running) {
		if (rdtsc() - start > 10 * SECOND) {
			racer.running = false;
			hx_fail(h, "the second processor does not stop", 0);
		}
		__asm__ volatile("pause");
	}
	h->hits += racer.hx.hits;
}
