/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtqueue walk against a driver that is hostile twice: the rings hold anything, and they
 * change between any two fetches: tests/unit/gmem_watch.h tells of each of them, and as the input
 * says the rings are scribbled over; so a value that is fetched twice is two different values.
 *
 * Input: a byte of options, then operations. Memory is small, addresses are drawn from a few
 * interesting ones, so that structure survives mutation.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"
#include "tests/unit/gmem_watch.h"
#include "vmm/virtio/queue.h"

#define MEM_BYTES (2 * MIB)
#define DESC	  UINT64_C(0x1000)
#define TABLE	  UINT64_C(0x2000)
#define AVAIL	  UINT64_C(0x4000)
#define USED	  UINT64_C(0x5000)
#define SIZE	  8U

static struct {
	const uint8_t *data;
	size_t len;
} in;

static struct gmem mem;

static uint8_t next(void)
{
	if (in.len == 0)
		return 0;
	in.len--;
	return *in.data++;
}

static uint64_t address(uint8_t c)
{
	static const uint64_t v[] = { DESC,
				      TABLE,
				      AVAIL,
				      USED,
				      0x10000,
				      0,
				      MEM_BYTES - 16,
				      MEM_BYTES,
				      UINT64_MAX,
				      UINT64_MAX - 15,
				      UINT64_C(1) << 32,
				      0xc0000000 };

	return v[c % ARRAY_SIZE(v)] + (c >> 6);
}

static uint32_t length(uint8_t c)
{
	static const uint32_t v[] = { 0,   1,	 16,   32,	   48,	       128,
				      512, 4096, 4112, 0x7fffffff, 0xfffffff0, UINT32_MAX };

	return v[c % ARRAY_SIZE(v)];
}

/* Writes a descriptor, an available entry or the index. */
static void scribble(void)
{
	uint8_t what = next(), i = next() % (SIZE + 8);
	uint64_t addr;
	uint32_t len;
	uint16_t half;

	switch (what % 4) {
	case 0:
	case 1: {
		uint64_t at = (what % 4 == 0 ? DESC : TABLE) + 16 * (uint64_t)i;
		addr = address(next());
		len = length(next());
		(void)!gmem_write(&mem, gpa(at), &addr, 8);
		(void)!gmem_write(&mem, gpa(at + 8), &len, 4);
		half = next() % 8;
		(void)!gmem_write(&mem, gpa(at + 12), &half, 2);
		half = next() % (SIZE + 2);
		(void)!gmem_write(&mem, gpa(at + 14), &half, 2);
		break;
	}
	case 2:
		half = next() % (SIZE + 2);
		(void)!gmem_write(&mem, gpa(AVAIL + 4 + 2 * (uint64_t)i), &half, 2);
		break;
	case 3:
		half = (uint16_t)(next() | next() << 8);
		(void)!gmem_write(&mem, gpa(AVAIL + 2), &half, 2);
		break;
	}
}

static void between(const struct gmem *m, gpa_t a, size_t len, enum gmem_fetch kind, void *arg)
{
	(void)m;
	(void)a;
	(void)len;
	(void)kind;
	(void)arg;
	if ((next() & 1) != 0)
		scribble();
}

static void check_chain(struct virtq *q, const struct virtq_chain *c)
{
	static uint8_t bytes[4096];
	struct iovec iov[VIRTQ_SIZE_MAX];
	uint64_t sum = 0;
	size_t n = 0;

	BUG_ON(c->nread + c->nwrite > VIRTQ_SIZE_MAX || c->head >= q->size);
	for (unsigned i = 0; i < c->nread + c->nwrite; i++) {
		BUG_ON(c->segs[i].len == 0 ||
		       (i < c->nread ? gmem_check_source(&mem, c->segs[i].addr, c->segs[i].len)
				     : gmem_check(&mem, c->segs[i].addr, c->segs[i].len)) < 0);
		sum += c->segs[i].len;
	}
	BUG_ON(sum != c->read_bytes + c->write_bytes);
	/* What is inside can be reached, what is outside can't. */
	BUG_ON(virtq_chain_iov(q, c, true, 0, c->write_bytes, iov, ARRAY_SIZE(iov), &n) < 0);
	BUG_ON(n != c->nwrite);
	BUG_ON(virtq_chain_iov(q, c, false, 0, c->read_bytes + 1, iov, ARRAY_SIZE(iov), &n) == 0);
	BUG_ON(virtq_chain_read(q, c, c->read_bytes, bytes, 1) == 0);
	if (c->read_bytes > 0) {
		size_t want = (size_t)MIN(c->read_bytes, sizeof(bytes));
		BUG_ON(virtq_chain_read(q, c, c->read_bytes - want, bytes, want) < 0);
	}
}

/* One operation on the queue; negative = it would be failed now. */
static int operate(struct virtq *q, struct virtq_chain *c, uint16_t *held, unsigned *nheld)
{
	int r;

	switch (next() % 6) {
	case 0:
	case 1:
		r = virtq_pop(q, c);
		if (r == 1) {
			check_chain(q, c);
			if ((next() & 7) == 0) {
				virtq_unpop(q);
			} else {
				BUG_ON(*nheld >= q->size);
				held[(*nheld)++] = c->head;
			}
		}
		return r;
	case 2:
		return *nheld > 0 ? virtq_push(q, held[--*nheld], next()) : 0;
	case 3:
		return virtq_needs_irq(q);
	case 4:
		return virtq_enable_notify(q);
	default:
		scribble();
		return 0;
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	BUG_ON(gmem_init(&mem, MEM_BYTES) < 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct virtq_chain chain;
	uint16_t held[SIZE];
	unsigned nheld = 0;
	struct virtq q;
	uint8_t options;

	in.data = data;
	in.len = len;
	gmem_watch(NULL, NULL);
	BUG_ON(gmem_zero(&mem, gpa(0), 0x6000) < 0);
	options = next();
	virtq_init(&q, &mem, SIZE);
	q.size = SIZE;
	q.desc = gpa(DESC);
	q.avail = gpa(AVAIL);
	q.used = gpa(USED);
	BUG_ON(virtq_enable(&q, (options & 1) != 0, (options & 2) != 0) < 0);
	for (unsigned i = next() % 16; i > 0; i--)
		scribble();
	if ((options & 4) != 0)
		gmem_watch(between, NULL);
	while (in.len > 0) {
		int r = operate(&q, &chain, held, &nheld);
		BUG_ON(!virtq_valid(&q));
		if (r < 0)
			break;
	}
	return 0;
}
