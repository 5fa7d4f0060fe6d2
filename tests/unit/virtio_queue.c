/* SPDX-License-Identifier: Apache-2.0 */
/* The virtqueue walk: what is legal is understood, what isn't ends in an error, nothing loops. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "fake_driver.h"

#define SIZE  8U
#define DESC  UINT64_C(0x1000)
#define AVAIL UINT64_C(0x2000)
#define USED  UINT64_C(0x3000)
#define DATA  UINT64_C(0x10000)
#define TABLE UINT64_C(0x20000)

#define NEXT	 VRING_DESC_F_NEXT
#define WRITE	 VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

/* A queue without a device; the driver's side is written by hand. */
struct rig {
	struct drv d;
	struct virtq q;
	struct virtq_chain c;
	uint16_t avail;
};

static void rig_init(struct rig *r, bool event_idx, bool indirect)
{
	memset(r, 0, sizeof(*r));
	drv_init(&r->d);
	virtq_init(&r->q, &r->d.mem, 64);
	r->q.size = SIZE;
	r->q.desc = gpa(DESC);
	r->q.avail = gpa(AVAIL);
	r->q.used = gpa(USED);
	cr_assert_eq(virtq_enable(&r->q, event_idx, indirect), 0);
}

static void put16(struct rig *r, uint64_t addr, uint16_t v)
{
	cr_assert_eq(gmem_write_le16_release(&r->d.mem, gpa(addr), v), 0);
}

static uint16_t get16(struct rig *r, uint64_t addr)
{
	uint16_t v;

	cr_assert_eq(gmem_read_le16(&r->d.mem, gpa(addr), &v), 0);
	return v;
}

static void offer(struct rig *r, uint16_t head)
{
	put16(r, AVAIL + 4 + 2 * (uint64_t)(r->avail % SIZE), head);
	put16(r, AVAIL + 2, ++r->avail);
}

static void desc(struct rig *r, unsigned i, uint64_t addr, uint32_t len, unsigned flags,
		 unsigned next)
{
	drv_desc(&r->d, DESC, i, addr, len, flags, next);
}

/* Offers head and expects the walk to end with `want`; the invariant holds in any case. */
static void expect(struct rig *r, uint16_t head, int want)
{
	int got;

	offer(r, head);
	got = virtq_pop(&r->q, &r->c);
	cr_assert_eq(got, want, "pop gave %d, not %d", got, want);
	cr_assert(virtq_valid(&r->q));
	if (got == 1)
		cr_assert_eq(virtq_push(&r->q, r->c.head, 0), 0);
	drv_done(&r->d);
}

Test(virtq, enable_checks)
{
	static const struct {
		uint32_t size;
		uint64_t desc, avail, used;
		int want;
	} cases[] = {
		{ 8, DESC, AVAIL, USED, 0 },
		{ 64, DESC, AVAIL, USED, 0 },
		{ 1, DESC, AVAIL, USED, 0 },
		{ 0, DESC, AVAIL, USED, -EINVAL },
		{ 3, DESC, AVAIL, USED, -EINVAL },
		{ 128, DESC, AVAIL, USED, -EINVAL },
		{ 65535, DESC, AVAIL, USED, -EINVAL },
		{ 65536, DESC, AVAIL, USED, -EINVAL },
		{ UINT32_C(1) << 31, DESC, AVAIL, USED, -EINVAL },
		{ 8, DESC + 8, AVAIL, USED, -EINVAL },
		{ 8, DESC, AVAIL + 1, USED, -EINVAL },
		{ 8, DESC, AVAIL, USED + 2, -EINVAL },
		{ 8, DRV_MEM_BYTES, AVAIL, USED, -EFAULT },
		{ 8, DRV_MEM_BYTES - 128, AVAIL, USED, 0 },
		{ 8, DRV_MEM_BYTES - 112, AVAIL, USED, -EFAULT },
		{ 8, DESC, DRV_MEM_BYTES - 22, USED, 0 },
		{ 8, DESC, DRV_MEM_BYTES - 20, USED, -EFAULT },
		{ 8, DESC, AVAIL, DRV_MEM_BYTES - 72, 0 },
		{ 8, DESC, AVAIL, DRV_MEM_BYTES - 68, -EFAULT },
		{ 8, UINT64_MAX - 15, AVAIL, USED, -EFAULT },
		{ 8, DESC, UINT64_MAX - 1, USED, -EFAULT },
		{ 8, DESC, AVAIL, UINT64_MAX - 3, -EFAULT },
		{ 8, GMEM_HOLE_START, AVAIL, USED, -EFAULT },
	};
	struct drv d;
	struct virtq q;

	drv_init(&d);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		virtq_init(&q, &d.mem, 64);
		q.size = cases[i].size;
		q.desc = gpa(cases[i].desc);
		q.avail = gpa(cases[i].avail);
		q.used = gpa(cases[i].used);
		cr_assert_eq(virtq_enable(&q, true, true), cases[i].want, "case %zu", i);
		cr_assert_eq(q.ready, cases[i].want == 0);
		cr_assert(virtq_valid(&q));
	}
	drv_done(&d);
}

Test(virtq, not_ready_is_empty)
{
	struct virtq_chain c;
	struct virtq q;
	struct drv d;

	drv_init(&d);
	virtq_init(&q, &d.mem, 64);
	cr_assert_eq(virtq_pop(&q, &c), 0);
	cr_assert_eq(virtq_needs_irq(&q), 0);
	cr_assert_eq(virtq_enable_notify(&q), 0);
	cr_assert_eq(virtq_disable_notify(&q), 0);
	drv_done(&d);
}

Test(virtq, chain_is_copied)
{
	struct iovec iov[8];
	char out[10] = "abcdefghi", got[16] = { 0 };
	struct rig r;
	size_t n = 0;

	rig_init(&r, true, true);
	desc(&r, 5, DATA, 4, NEXT, 2);
	desc(&r, 2, DATA + 100, 6, NEXT, 7);
	desc(&r, 7, DATA + 200, 0, NEXT, 0); /* empty: legal, and nothing */
	desc(&r, 0, DATA + 300, 5, NEXT | WRITE, 1);
	desc(&r, 1, DATA + 400, 5, WRITE, 3);
	drv_write(&r.d, DATA, out, 4);
	drv_write(&r.d, DATA + 100, out + 4, 6);
	offer(&r, 5);
	cr_assert_eq(virtq_pop(&r.q, &r.c), 1);
	cr_assert_eq(r.c.head, 5);
	cr_assert_eq(r.c.nread, 2);
	cr_assert_eq(r.c.nwrite, 2);
	cr_assert_eq(r.c.read_bytes, 10);
	cr_assert_eq(r.c.write_bytes, 10);
	cr_assert_eq(virtq_chain_read(&r.q, &r.c, 0, got, 10), 0);
	cr_assert_str_eq(got, out);
	cr_assert_eq(virtq_chain_read(&r.q, &r.c, 3, got, 2), 0);
	cr_assert(got[0] == 'd' && got[1] == 'e');
	cr_assert_eq(virtq_chain_read(&r.q, &r.c, 3, got, 8), -EBADMSG);
	cr_assert_eq(virtq_chain_read(&r.q, &r.c, UINT64_MAX, got, 2), -EBADMSG);
	cr_assert_eq(virtq_chain_write(&r.q, &r.c, 1, "12345678", 8), 0);
	cr_assert_eq(virtq_chain_write(&r.q, &r.c, 3, "12345678", 8), -EBADMSG);
	drv_read(&r.d, DATA + 300, got, 5);
	cr_assert_eq(memcmp(got + 1, "1234", 4), 0);
	drv_read(&r.d, DATA + 400, got, 5);
	cr_assert_eq(memcmp(got, "5678", 4), 0);
	cr_assert_eq(virtq_chain_iov(&r.q, &r.c, false, 2, 7, iov, 8, &n), 0);
	cr_assert_eq(n, 2);
	cr_assert(iov[0].iov_len == 2 && iov[1].iov_len == 5);
	cr_assert_eq(virtq_chain_iov(&r.q, &r.c, true, 5, 5, iov, 8, &n), 0);
	cr_assert_eq(n, 3, "a range that begins at the second segment is one piece");
	cr_assert_eq(virtq_chain_iov(&r.q, &r.c, true, 0, 11, iov, 8, &n), -EBADMSG);
	n = 0;
	cr_assert_eq(virtq_chain_iov(&r.q, &r.c, true, 0, 10, iov, 1, &n), -E2BIG);
	/* Nothing of the copy depends on the table any more. */
	desc(&r, 5, UINT64_MAX, UINT32_MAX, NEXT, 5);
	cr_assert_eq(r.c.segs[0].addr.v, DATA);
	cr_assert_eq(virtq_push(&r.q, r.c.head, 10), 0);
	cr_assert_eq(get16(&r, USED + 2), 1);
	cr_assert_eq(virtq_pop(&r.q, &r.c), 0);
	drv_done(&r.d);
}

Test(virtq, unpop_fetches_again)
{
	struct rig r;

	rig_init(&r, true, true);
	desc(&r, 0, DATA, 16, WRITE, 0);
	offer(&r, 0);
	cr_assert_eq(virtq_pop(&r.q, &r.c), 1);
	virtq_unpop(&r.q);
	cr_assert(virtq_valid(&r.q));
	cr_assert_eq(virtq_backlog(&r.q), 1);
	desc(&r, 0, DATA, 32, WRITE, 0);
	cr_assert_eq(virtq_pop(&r.q, &r.c), 1);
	cr_assert_eq(r.c.write_bytes, 32);
	drv_done(&r.d);
}

#define WALK(name, event, ind, want, head, ...) \
	Test(virtq_walk, name)                  \
	{                                       \
		struct rig r;                   \
		rig_init(&r, event, ind);       \
		__VA_ARGS__;                    \
		expect(&r, head, want);         \
	}

WALK(one, true, true, 1, 0, desc(&r, 0, DATA, 1, 0, 0))
WALK(all_entries, true, true, 1, 0,
     for (unsigned i = 0; i < SIZE; i++) desc(&r, i, DATA, 1, i < SIZE - 1 ? NEXT : 0, i + 1))
WALK(head_outside, true, true, -EBADMSG, SIZE, desc(&r, 0, DATA, 1, 0, 0))
WALK(head_far_outside, true, true, -EBADMSG, 65535, desc(&r, 0, DATA, 1, 0, 0))
WALK(loop_on_itself, true, true, -EBADMSG, 0, desc(&r, 0, DATA, 1, NEXT, 0))
WALK(loop_of_two, true, true, -EBADMSG, 0, desc(&r, 0, DATA, 1, NEXT, 1);
     desc(&r, 1, DATA, 1, NEXT, 0))
WALK(loop_of_empties, true, true, -EBADMSG, 0, desc(&r, 0, DATA, 0, NEXT, 1);
     desc(&r, 1, DATA, 0, NEXT, 0))
WALK(next_outside, true, true, -EBADMSG, 0, desc(&r, 0, DATA, 1, NEXT, SIZE))
WALK(read_after_write, true, true, -EBADMSG, 0, desc(&r, 0, DATA, 1, NEXT | WRITE, 1);
     desc(&r, 1, DATA, 1, 0, 0))
WALK(outside_ram, true, true, -EFAULT, 0, desc(&r, 0, DRV_MEM_BYTES, 1, 0, 0))
WALK(straddles_the_end, true, true, -EFAULT, 0, desc(&r, 0, DRV_MEM_BYTES - 1, 2, 0, 0))
WALK(wraps, true, true, -EFAULT, 0, desc(&r, 0, UINT64_MAX, 2, 0, 0))
WALK(wraps_to_ram, true, true, -EFAULT, 0, desc(&r, 0, UINT64_MAX - 0xfff, 0x10000, 0, 0))
WALK(longest, true, true, -EFAULT, 0, desc(&r, 0, DATA, UINT32_MAX, 0, 0))
WALK(mmio_hole, true, true, -EFAULT, 0, desc(&r, 0, GMEM_HOLE_START, 16, WRITE, 0))
WALK(empty_anywhere, true, true, 1, 0, desc(&r, 0, UINT64_MAX, 0, 0, 0))

WALK(indirect, true, true, 1, 0, desc(&r, 0, TABLE, 32, INDIRECT, 0);
     drv_desc(&r.d, TABLE, 0, DATA, 8, NEXT, 1); drv_desc(&r.d, TABLE, 1, DATA, 8, WRITE, 0))
WALK(indirect_last, true, true, 1, 0, desc(&r, 0, DATA, 8, NEXT, 1);
     desc(&r, 1, TABLE, 16, INDIRECT, 0); drv_desc(&r.d, TABLE, 0, DATA, 8, WRITE, 0))
WALK(indirect_longest, true, true, 1, 0, desc(&r, 0, TABLE, 16 * VIRTQ_SIZE_MAX, INDIRECT, 0);
     for (unsigned i = 0; i < VIRTQ_SIZE_MAX; i++)
	     drv_desc(&r.d, TABLE, i, DATA, 8, i < VIRTQ_SIZE_MAX - 1 ? NEXT : 0, i + 1))
WALK(indirect_too_long, true, true, -EBADMSG, 0,
     desc(&r, 0, TABLE, 16 * (VIRTQ_SIZE_MAX + 1), INDIRECT, 0);
     drv_desc(&r.d, TABLE, 0, DATA, 8, 0, 0))
WALK(indirect_and_direct_too_long, true, true, -EBADMSG, 0, desc(&r, 0, DATA, 8, NEXT, 1);
     desc(&r, 1, TABLE, 16 * VIRTQ_SIZE_MAX, INDIRECT, 0);
     for (unsigned i = 0; i < VIRTQ_SIZE_MAX; i++)
	     drv_desc(&r.d, TABLE, i, DATA, 8, i < VIRTQ_SIZE_MAX - 1 ? NEXT : 0, i + 1))
WALK(indirect_not_negotiated, true, false, -EBADMSG, 0, desc(&r, 0, TABLE, 16, INDIRECT, 0);
     drv_desc(&r.d, TABLE, 0, DATA, 8, 0, 0))
WALK(indirect_nested, true, true, -EBADMSG, 0, desc(&r, 0, TABLE, 16, INDIRECT, 0);
     drv_desc(&r.d, TABLE, 0, TABLE, 16, INDIRECT, 0))
WALK(indirect_with_next, true, true, -EBADMSG, 0, desc(&r, 0, TABLE, 16, INDIRECT | NEXT, 1);
     drv_desc(&r.d, TABLE, 0, DATA, 8, 0, 0))
WALK(indirect_empty, true, true, -EBADMSG, 0, desc(&r, 0, TABLE, 0, INDIRECT, 0))
WALK(indirect_odd, true, true, -EBADMSG, 0, desc(&r, 0, TABLE, 17, INDIRECT, 0))
WALK(indirect_huge, true, true, -EBADMSG, 0, desc(&r, 0, TABLE, 0xfffffff0, INDIRECT, 0))
WALK(indirect_outside_ram, true, true, -EFAULT, 0, desc(&r, 0, DRV_MEM_BYTES - 16, 32, INDIRECT, 0))
WALK(indirect_wraps, true, true, -EFAULT, 0, desc(&r, 0, UINT64_MAX - 15, 32, INDIRECT, 0))
WALK(indirect_loop, true, true, -EBADMSG, 0, desc(&r, 0, TABLE, 32, INDIRECT, 0);
     drv_desc(&r.d, TABLE, 0, DATA, 8, NEXT, 1); drv_desc(&r.d, TABLE, 1, DATA, 8, NEXT, 0))
WALK(indirect_next_outside, true, true, -EBADMSG, 0, desc(&r, 0, TABLE, 32, INDIRECT, 0);
     drv_desc(&r.d, TABLE, 0, DATA, 8, NEXT, 2); drv_desc(&r.d, TABLE, 2, DATA, 8, 0, 0))

Test(virtq, poll_takes_nothing)
{
	struct rig r;

	rig_init(&r, true, true);
	cr_assert_eq(virtq_poll(&r.q), 0);
	desc(&r, 0, DATA, 16, 0, 0);
	offer(&r, 0);
	cr_assert_eq(virtq_poll(&r.q), 1);
	cr_assert_eq(virtq_poll(&r.q), 1);
	cr_assert_eq(virtq_pop(&r.q, &r.c), 1);
	cr_assert_eq(virtq_poll(&r.q), 0);
	/* More than the queue holds. */
	put16(&r, AVAIL + 2, (uint16_t)(r.avail + SIZE + 1));
	cr_assert_eq(virtq_poll(&r.q), -EBADMSG);
	drv_done(&r.d);
}

/* An index may run ahead of the queue by no more than the queue holds, and never backwards. */
Test(virtq, avail_jumps)
{
	static const uint16_t bad[] = { SIZE + 1, 1000, 32767, 32768, 65535 };
	struct rig r;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		rig_init(&r, true, true);
		put16(&r, AVAIL + 2, bad[i]);
		cr_assert_eq(virtq_pop(&r.q, &r.c), -EBADMSG, "%u", bad[i]);
		cr_assert_eq(virtq_enable_notify(&r.q), -EBADMSG);
		cr_assert(virtq_valid(&r.q));
		drv_done(&r.d);
	}
	rig_init(&r, true, true);
	desc(&r, 0, DATA, 1, 0, 0);
	for (unsigned i = 0; i < SIZE; i++)
		offer(&r, 0);
	for (unsigned i = 0; i < SIZE; i++)
		cr_assert_eq(virtq_pop(&r.q, &r.c), 1);
	/* All are in work: one more is more than the queue holds. */
	offer(&r, 0);
	cr_assert_eq(virtq_pop(&r.q, &r.c), -EBADMSG);
	cr_assert(virtq_valid(&r.q));
	/* And back is no direction, even if the distance to the used index would allow it. */
	put16(&r, AVAIL + 2, SIZE - 1);
	cr_assert_eq(virtq_pop(&r.q, &r.c), -EBADMSG);
	cr_assert(virtq_valid(&r.q));
	drv_done(&r.d);
}

/* 3 * 65536 chains: every index wraps three times. */
Test(virtq, indices_wrap)
{
	struct rig r;

	rig_init(&r, true, true);
	desc(&r, 3, DATA, 1, 0, 0);
	for (unsigned i = 0; i < 3 * 65536; i++) {
		offer(&r, 3);
		cr_assert_eq(virtq_pop(&r.q, &r.c), 1);
		cr_assert_eq(virtq_push(&r.q, 3, i), 0);
		cr_assert_eq(get16(&r, USED + 2), (uint16_t)(i + 1));
		if (i % 4099 == 0)
			cr_assert(virtq_valid(&r.q));
	}
	cr_assert_eq(virtq_pop(&r.q, &r.c), 0);
	drv_done(&r.d);
}

/* The decision, against its definition: is event in [old, new) modulo 2^16? */
Test(virtq, event_index_everywhere)
{
	static const uint16_t starts[] = { 0, 1, 100, 32766, 32767, 65528, 65530, 65535 };
	struct rig r;

	rig_init(&r, true, true);
	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		for (unsigned n = 1; n <= SIZE; n++) {
			for (int d = -10; d <= 10; d++) {
				uint16_t old = starts[s], event = (uint16_t)(old + d);
				bool want = d >= 0 && d < (int)n;
				r.q.used_told = old;
				r.q.used_next = (uint16_t)(old + n);
				put16(&r, AVAIL + 4 + 2 * SIZE, event);
				cr_assert_eq(virtq_needs_irq(&r.q), want, "old %u n %u event %u",
					     old, n, event);
				cr_assert_eq(virtq_needs_irq(&r.q), 0, "asked twice");
			}
		}
	}
	drv_done(&r.d);
}

Test(virtq, flags_without_event_index)
{
	struct rig r;

	rig_init(&r, false, false);
	desc(&r, 0, DATA, 1, 0, 0);
	cr_assert_eq(virtq_disable_notify(&r.q), 0);
	cr_assert_eq(get16(&r, USED), VRING_USED_F_NO_NOTIFY);
	cr_assert_eq(virtq_enable_notify(&r.q), 0);
	cr_assert_eq(get16(&r, USED), 0);
	offer(&r, 0);
	cr_assert_eq(virtq_enable_notify(&r.q), 1, "came before the wish: no kick will tell");
	cr_assert_eq(virtq_pop(&r.q, &r.c), 1);
	cr_assert_eq(virtq_needs_irq(&r.q), 0, "nothing was used yet");
	cr_assert_eq(virtq_push(&r.q, 0, 0), 0);
	cr_assert_eq(virtq_needs_irq(&r.q), 1);
	offer(&r, 0);
	cr_assert_eq(virtq_pop(&r.q, &r.c), 1);
	cr_assert_eq(virtq_push(&r.q, 0, 0), 0);
	put16(&r, AVAIL, VRING_AVAIL_F_NO_INTERRUPT);
	cr_assert_eq(virtq_needs_irq(&r.q), 0);
	drv_done(&r.d);
}

/* The device never believes what it has written. */
Test(virtq, used_index_is_not_read_back)
{
	struct rig r;

	rig_init(&r, true, true);
	desc(&r, 0, DATA, 1, 0, 0);
	for (unsigned i = 0; i < 20; i++) {
		put16(&r, USED + 2, (uint16_t)(i * 7919));
		offer(&r, 0);
		cr_assert_eq(virtq_pop(&r.q, &r.c), 1);
		cr_assert_eq(virtq_push(&r.q, 0, 0), 0);
		cr_assert_eq(get16(&r, USED + 2), i + 1);
	}
	drv_done(&r.d);
}

/* ---- A second vCPU that rewrites everything while the device walks --------------------------- */

struct mutator {
	struct gmem *m;
	bool stop; /* atomic */
};

static uint32_t rnd(uint32_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 17;
	*s ^= *s << 5;
	return *s;
}

/* Values that are nearly right do more than noise. */
static uint64_t nasty(uint32_t *s)
{
	static const uint64_t v[] = { 0, DATA, TABLE, DESC, DRV_MEM_BYTES - 1, UINT64_MAX,
				      1, SIZE, 16,    4096, UINT32_MAX,	       GMEM_HOLE_START };

	return v[rnd(s) % ARRAY_SIZE(v)];
}

static void *mutate(void *arg)
{
	struct mutator *mu = arg;
	uint32_t s = 12345;

	while (!__atomic_load_n(&mu->stop, __ATOMIC_RELAXED)) {
		uint64_t table = rnd(&s) % 2 ? DESC : TABLE, v = nasty(&s);
		uint64_t at = table + 16 * (uint64_t)(rnd(&s) % SIZE);
		uint16_t half = (uint16_t)(rnd(&s) % 8);
		(void)!gmem_write(mu->m, gpa(at), &v, sizeof(v));
		v = nasty(&s) & UINT32_MAX;
		v |= (uint64_t)(rnd(&s) % 8) << 32 | (uint64_t)(rnd(&s) % (SIZE + 1)) << 48;
		(void)!gmem_write(mu->m, gpa(at + 8), &v, sizeof(v));
		(void)!gmem_write_le16_release(mu->m, gpa(AVAIL + 4 + 2 * (uint64_t)half), half);
	}
	return NULL;
}

Test(virtq, racing_writer)
{
	unsigned popped = 0, refused = 0;
	struct mutator mu;
	pthread_t t;
	struct rig r;
	uint8_t byte;

	rig_init(&r, true, true);
	mu = (struct mutator){ .m = &r.d.mem };
	cr_assert_eq(pthread_create(&t, NULL, mutate, &mu), 0);
	/* On a busy machine one of the two may not run for a while. */
	uint64_t end = now_ms() + 5000;
	for (unsigned i = 0; i < 300000 || popped <= 100 || refused <= 100; i++) {
		int got;
		if (i % 1024 == 0 && now_ms() > end)
			break;
		put16(&r, AVAIL + 2, (uint16_t)(r.q.avail_next + 1));
		got = virtq_pop(&r.q, &r.c);
		cr_assert(virtq_valid(&r.q));
		if (got != 1) {
			cr_assert(got == -EBADMSG || got == -EFAULT, "%d", got);
			refused++;
			r.q.avail_seen = r.q.avail_next; /* as a reset would */
			continue;
		}
		popped++;
		/* Whatever was read, the copy is within bounds and adds up. */
		uint64_t sum = 0;
		cr_assert_leq(r.c.nread + r.c.nwrite, VIRTQ_SIZE_MAX);
		for (unsigned k = 0; k < r.c.nread + r.c.nwrite; k++) {
			cr_assert_eq(gmem_check(&r.d.mem, r.c.segs[k].addr, r.c.segs[k].len), 0);
			sum += r.c.segs[k].len;
		}
		cr_assert_eq(sum, r.c.read_bytes + r.c.write_bytes);
		if (r.c.read_bytes > 0)
			cr_assert_eq(virtq_chain_read(&r.q, &r.c, r.c.read_bytes - 1, &byte, 1), 0);
		cr_assert_eq(virtq_push(&r.q, r.c.head, 0), 0);
	}
	__atomic_store_n(&mu.stop, true, __ATOMIC_RELAXED);
	cr_assert_eq(pthread_join(t, NULL), 0);
	cr_assert_gt(popped, 100, "the writer must leave some chains intact");
	cr_assert_gt(refused, 100, "and break others");
	drv_done(&r.d);
}
