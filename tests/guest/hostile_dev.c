/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_dev.c - raw access to devices, queues and rings; the racer. */
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
