/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_blk.c - a block driver that does what Linux's does for speed: indirect descriptors,
 * EVENT_IDX in both directions, many requests in flight, interrupts and HLT instead of polling.
 */
#include "bench.h"

#define T_IN	    0U
#define T_OUT	    1U
#define SECTOR	    512U
#define SEG_BYTES   (64U << 10) /* what any device takes in one segment */
#define SEGS_MAX    16U
#define DEPTH_MAX   VQ_SIZE
#define SLOT_BYTES  (1UL << 20)
#define SMALL_BYTES 4096U

#define F_FLUSH	   (1ULL << 9)
#define F_INDIRECT (1ULL << 28)
_Static_assert(DEPTH_MAX *SLOT_BYTES <= BENCH_MEM_BYTES, "a buffer a slot");

static struct vdev blk;
static uint64_t sectors;
static uint64_t random_state = 0x9e3779b97f4a7c15;

static struct slot {
	struct vq_desc table[SEGS_MAX + 2];
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	volatile uint8_t status;
	uint64_t started;
} slots[DEPTH_MAX];

struct job {
	uint32_t type, bytes;
	bool random;
	unsigned depth, count;
	/* A sample is so many completions: 1 with depth 1, a latency; else many times the depth,
	 * because a device may complete all that is in flight at once. */
	unsigned window;
	uint64_t next; /* the next sequential sector */
};

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t pick_sector(struct job *j)
{
	uint64_t n = j->bytes / SECTOR, at;

	if (j->random)
		return random64() % (sectors / n) * n;
	at = j->next;
	j->next = at + 2 * n <= sectors ? at + n : 0;
	return at;
}

/* Puts a request into slot i and the queue; the caller kicks. */
static void submit(struct job *j, uint16_t i)
{
	struct slot *s = &slots[i];
	struct vq *q = &blk.q[0];
	uint64_t data = BENCH_MEM + i * SLOT_BYTES;
	uint16_t n = 0, idx = q->avail[1];
	uint16_t dir = j->type == T_IN ? DESC_WRITE : 0;

	s->header.type = j->type;
	s->header.sector = pick_sector(j);
	s->status = 0xee;
	s->table[n++] = (struct vq_desc){ (uint64_t)&s->header, sizeof(s->header), DESC_NEXT, 1 };
	for (uint32_t off = 0; off < j->bytes; off += SEG_BYTES, n++) {
		uint32_t len = j->bytes - off < SEG_BYTES ? j->bytes - off : SEG_BYTES;
		s->table[n] = (struct vq_desc){ data + off, len, (uint16_t)(DESC_NEXT | dir),
						(uint16_t)(n + 1) };
	}
	s->table[n++] = (struct vq_desc){ (uint64_t)&s->status, 1, DESC_WRITE, 0 };
	q->desc[i] = (struct vq_desc){ (uint64_t)s->table, (uint32_t)(n * sizeof(s->table[0])),
				       DESC_INDIRECT, 0 };
	q->avail[2 + idx % VQ_SIZE] = i;
	s->started = rdtsc();
	__atomic_thread_fence(__ATOMIC_RELEASE);
	q->avail[1] = (uint16_t)(idx + 1);
}

/* A completed slot; asleep until there is one. */
static uint16_t reap(void)
{
	uint32_t len;
	uint16_t head = bench_wait(&blk, &blk.q[0], &len);

	if (slots[head].status != 0)
		test_fail("block status", slots[head].status);
	return head;
}

static unsigned run(struct job *j)
{
	unsigned done = 0, sent = 0, samples = 0;
	uint64_t last = rdtsc();
	uint16_t old = blk.q[0].avail[1];

	for (; sent < j->depth && sent < j->count; sent++)
		submit(j, (uint16_t)sent);
	bench_kick_since(&blk, &blk.q[0], old);
	while (done < j->count) {
		uint64_t now;
		uint16_t i = reap();
		done++;
		now = rdtsc();
		if (j->depth == 1) {
			bench_cycles[samples++] = (uint32_t)(now - slots[i].started);
		} else if (done % j->window == 0) {
			bench_cycles[samples++] = (uint32_t)(now - last);
			last = now;
		}
		if (sent >= j->count)
			continue;
		old = blk.q[0].avail[1];
		submit(j, i);
		sent++;
		/* All that is there already goes with one kick. */
		while (sent < j->count && blk.q[0].used[1] != blk.q[0].last_used) {
			i = reap();
			done++;
			if (done % j->window == 0) {
				now = rdtsc();
				bench_cycles[samples++] = (uint32_t)(now - last);
				last = now;
			}
			submit(j, i);
			sent++;
		}
		bench_kick_since(&blk, &blk.q[0], old);
	}
	return samples;
}

bool bench_blk_open(void)
{
	if (!vdev_open(&blk, VIRTIO_BLK, 0, F_FLUSH | F_INDIRECT | BENCH_F_EVENT_IDX, 1))
		return false;
	sectors = mmio_read32(blk.base + 0x100) | (uint64_t)mmio_read32(blk.base + 0x104) << 32;
	return sectors >= SLOT_BYTES / SECTOR;
}

void bench_blk_kick(void)
{
	vq_kick(&blk, &blk.q[0]);
}

void bench_blk(void)
{
	unsigned n = (unsigned)arg_u64("n", 1000);
	const struct {
		const char *name;
		struct job job;
	} jobs[] = {
		{ "blk_randread_4k_d1", { T_IN, SMALL_BYTES, true, 1, n, 1, 0 } },
		{ "blk_randwrite_4k_d1", { T_OUT, SMALL_BYTES, true, 1, n, 1, 0 } },
		{ "blk_randread_4k_d32", { T_IN, SMALL_BYTES, true, 32, n * 8, 256, 0 } },
		{ "blk_randwrite_4k_d32", { T_OUT, SMALL_BYTES, true, 32, n * 8, 256, 0 } },
		{ "blk_read_1m_d1", { T_IN, SLOT_BYTES, false, 1, n / 4, 1, 0 } },
		{ "blk_write_1m_d1", { T_OUT, SLOT_BYTES, false, 1, n / 4, 1, 0 } },
		{ "blk_read_1m_d32", { T_IN, SLOT_BYTES, false, 32, n, 64, 0 } },
		{ "blk_write_1m_d32", { T_OUT, SLOT_BYTES, false, 32, n, 64, 0 } },
	};

	if (!bench_blk_open())
		test_fail("no drive of at least 1 MiB", 0);
	bench_touch();
	for (unsigned i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
		struct job j = jobs[i].job;
		bench_emit(jobs[i].name, run(&j));
	}
}
