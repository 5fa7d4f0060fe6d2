/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the driver owns the descriptor table and the available ring, the device
 * the used ring. Positions run freely from 0 to 65535 and wrap; the distance between two of them
 * is a uint16_t difference. The one invariant from which all bounds follow (virtq_valid):
 *
 *     used_next <= avail_next <= avail_seen <= used_next + size      (as distances)
 *
 * so what is being worked on plus what waits never exceeds the queue, whatever the driver
 * writes into avail.idx.
 */
#include "vmm/virtio/queue.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/bug.h"
#include "base/le.h"
#include "base/num.h"

struct desc {
	le64_t addr;
	le32_t len;
	le16_t flags;
	le16_t next;
};
_Static_assert(sizeof(struct desc) == 16, "a descriptor of virtio 1.2, section 2.7.5");

struct used_elem {
	le32_t id;
	le32_t len;
};
_Static_assert(sizeof(struct used_elem) == 8, "a used element of virtio 1.2, section 2.7.8");

/* Both rings: flags, idx, then the entries, then the event index of the other side. */
#define RING_FLAGS   0U
#define RING_IDX     2U
#define RING_ENTRIES 4U

static gpa_t at(gpa_t base, uint64_t off)
{
	return gpa(base.v + off);
}

static uint64_t avail_bytes(uint32_t size)
{
	return RING_ENTRIES + sizeof(uint16_t) * (uint64_t)size + sizeof(uint16_t);
}

static uint64_t used_bytes(uint32_t size)
{
	return RING_ENTRIES + sizeof(struct used_elem) * (uint64_t)size + sizeof(uint16_t);
}

/* Written by the driver: interrupt me when used.idx passes this. */
static gpa_t used_event(const struct virtq *q)
{
	return at(q->avail, RING_ENTRIES + sizeof(uint16_t) * (uint64_t)q->size);
}

/* Written by the device: kick me when avail.idx passes this. */
static gpa_t avail_event(const struct virtq *q)
{
	return at(q->used, RING_ENTRIES + sizeof(struct used_elem) * (uint64_t)q->size);
}

void virtq_init(struct virtq *q, struct gmem *m, uint16_t size_max)
{
	BUG_ON(!is_pow2(size_max) || size_max > VIRTQ_SIZE_MAX);
	*q = (struct virtq){ .gmem = m, .size_max = size_max };
}

void virtq_reset(struct virtq *q)
{
	virtq_init(q, q->gmem, q->size_max);
}

int virtq_enable(struct virtq *q, bool event_idx, bool indirect)
{
	int r;

	BUG_ON(q->ready);
	if (!is_pow2(q->size) || q->size > q->size_max)
		return -EINVAL;
	if (q->desc.v % 16 != 0 || q->avail.v % 2 != 0 || q->used.v % 4 != 0)
		return -EINVAL;
	r = gmem_check(q->gmem, q->desc, sizeof(struct desc) * (uint64_t)q->size);
	if (r == 0)
		r = gmem_check(q->gmem, q->avail, avail_bytes(q->size));
	if (r == 0)
		r = gmem_check(q->gmem, q->used, used_bytes(q->size));
	if (r < 0)
		return r;
	q->event_idx = event_idx;
	q->indirect = indirect;
	q->avail_next = q->avail_seen = q->used_next = q->used_told = 0;
	q->ready = true;
	return 0;
}

bool virtq_valid(const struct virtq *q)
{
	uint16_t seen = (uint16_t)(q->avail_seen - q->used_next);
	uint16_t next = (uint16_t)(q->avail_next - q->used_next);

	if (!q->ready)
		return true;
	return is_pow2(q->size) && q->size <= q->size_max && next <= seen && seen <= q->size &&
	       gmem_check(q->gmem, q->desc, sizeof(struct desc) * (uint64_t)q->size) == 0 &&
	       gmem_check(q->gmem, q->avail, avail_bytes(q->size)) == 0 &&
	       gmem_check(q->gmem, q->used, used_bytes(q->size)) == 0;
}

unsigned virtq_backlog(const struct virtq *q)
{
	return (uint16_t)(q->avail_seen - q->avail_next);
}

/* Fetches avail.idx once and checks it against what the queue can hold. */
static int fetch_avail(struct virtq *q)
{
	uint16_t idx;
	int r = gmem_read_le16_acquire(q->gmem, at(q->avail, RING_IDX), &idx);

	if (r < 0)
		return r;
	if ((uint16_t)(idx - q->used_next) > q->size ||
	    (uint16_t)(idx - q->used_next) < (uint16_t)(q->avail_next - q->used_next))
		return -EBADMSG;
	q->avail_seen = idx;
	return 0;
}

int virtq_poll(struct virtq *q)
{
	int r = virtq_backlog(q) > 0 ? 0 : fetch_avail(q);

	return r < 0 ? r : virtq_backlog(q) > 0;
}

static int chain_append(const struct virtq *q, struct virtq_chain *c, gpa_t addr, uint32_t len,
			bool writable)
{
	unsigned n = c->nread + c->nwrite;
	int r;

	/* What the device reads comes first: a request's layout then can't depend on order. */
	if (!writable && c->nwrite > 0)
		return -EBADMSG;
	if (len == 0)
		return 0;
	if (n >= ARRAY_SIZE(c->segs))
		return -EBADMSG;
	r = writable ? gmem_check(q->gmem, addr, len) : gmem_check_source(q->gmem, addr, len);
	if (r < 0)
		return r;
	c->segs[n] = (struct virtq_seg){ .addr = addr, .len = len };
	if (writable) {
		c->nwrite++;
		c->write_bytes += len;
	} else {
		c->nread++;
		c->read_bytes += len;
	}
	return 0;
}

/* The table that an indirect descriptor names: its length in entries, or -errno. */
static int indirect_entries(const struct virtq *q, const struct desc *d)
{
	uint32_t len = le32_get(d->len);

	if (!q->indirect || (le16_get(d->flags) & VRING_DESC_F_NEXT) != 0)
		return -EBADMSG;
	if (len == 0 || len % sizeof(struct desc) != 0 ||
	    len / sizeof(struct desc) > VIRTQ_SIZE_MAX)
		return -EBADMSG;
	return (int)(len / sizeof(struct desc));
}

/*
 * Follows the chain from entry `i` of a table. Each table is left after at most as many steps as
 * it has entries, so a loop ends; an indirect table is entered at most once and never left for
 * another.
 */
static int walk(const struct virtq *q, struct virtq_chain *c, uint16_t i)
{
	gpa_t table = q->desc;
	uint32_t entries = q->size;
	bool nested = false;

	for (uint32_t steps = 0; steps < entries; steps++) {
		struct desc d;
		uint16_t flags;
		int r;

		if (i >= entries)
			return -EBADMSG;
		r = gmem_read(q->gmem, at(table, i * sizeof(d)), &d, sizeof(d));
		if (r < 0)
			return r;
		flags = le16_get(d.flags);
		if ((flags & VRING_DESC_F_INDIRECT) != 0) {
			r = nested ? -EBADMSG : indirect_entries(q, &d);
			if (r < 0)
				return r;
			table = gpa(le64_get(d.addr));
			entries = (uint32_t)r;
			r = gmem_check(q->gmem, table, entries * sizeof(d));
			if (r < 0)
				return r;
			nested = true;
			i = 0;
			steps = UINT32_MAX; /* the loop's increment makes it 0 */
			continue;
		}
		r = chain_append(q, c, gpa(le64_get(d.addr)), le32_get(d.len),
				 (flags & VRING_DESC_F_WRITE) != 0);
		if (r < 0)
			return r;
		if ((flags & VRING_DESC_F_NEXT) == 0)
			return 0;
		i = le16_get(d.next);
	}
	return -EBADMSG;
}

int virtq_pop(struct virtq *q, struct virtq_chain *ret)
{
	uint16_t head;
	gpa_t entry;
	int r;

	if (!q->ready)
		return 0;
	if (q->avail_next == q->avail_seen) {
		r = fetch_avail(q);
		if (r < 0)
			return r;
		if (q->avail_next == q->avail_seen)
			return 0;
	}
	entry = at(q->avail, RING_ENTRIES + sizeof(uint16_t) * (q->avail_next & (q->size - 1)));
	r = gmem_read_le16(q->gmem, entry, &head);
	if (r < 0)
		return r;
	if (head >= q->size)
		return -EBADMSG;
	ret->head = head;
	ret->nread = ret->nwrite = 0;
	ret->read_bytes = ret->write_bytes = 0;
	r = walk(q, ret, head);
	if (r < 0)
		return r;
	q->avail_next++;
	return 1;
}

void virtq_unpop(struct virtq *q)
{
	BUG_ON(q->avail_next == q->used_next);
	q->avail_next--;
}

int virtq_fill(struct virtq *q, uint16_t head, uint32_t len)
{
	struct used_elem e = { .id = le32_put(head), .len = le32_put(len) };
	uint16_t slot = (uint16_t)(q->used_next & (q->size - 1));
	int r;

	BUG_ON(q->used_next == q->avail_next);
	r = gmem_write(q->gmem, at(q->used, RING_ENTRIES + slot * sizeof(e)), &e, sizeof(e));
	if (r < 0)
		return r;
	q->used_next++;
	return 0;
}

int virtq_publish(struct virtq *q)
{
	/* The release orders the elements (and the data) before the index that publishes them. */
	return gmem_write_le16_release(q->gmem, at(q->used, RING_IDX), q->used_next);
}

int virtq_push(struct virtq *q, uint16_t head, uint32_t len)
{
	int r = virtq_fill(q, head, len);

	return r < 0 ? r : virtq_publish(q);
}

int virtq_needs_irq(struct virtq *q)
{
	uint16_t old = q->used_told, now = q->used_next, event, flags;
	int r;

	if (!q->ready || old == now)
		return 0;
	q->used_told = now;
	/* used.idx must be visible before used_event or the flags are read: pairs with the
	 * driver's barrier between writing those and looking at used.idx once more. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx) {
		r = gmem_read_le16(q->gmem, at(q->avail, RING_FLAGS), &flags);
		return r < 0 ? r : (flags & VRING_AVAIL_F_NO_INTERRUPT) == 0;
	}
	r = gmem_read_le16(q->gmem, used_event(q), &event);
	if (r < 0)
		return r;
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

int virtq_disable_notify(struct virtq *q)
{
	/* With event indices silence is the default: the old avail_event stays behind. */
	if (!q->ready || q->event_idx)
		return 0;
	return gmem_write_le16_release(q->gmem, at(q->used, RING_FLAGS), VRING_USED_F_NO_NOTIFY);
}

/* Wishes for a kick when avail.idx passes idx. */
static int wish(struct virtq *q, uint16_t idx)
{
	if (q->event_idx)
		return gmem_write_le16_release(q->gmem, avail_event(q), idx);
	return gmem_write_le16_release(q->gmem, at(q->used, RING_FLAGS), 0);
}

int virtq_notify_past(struct virtq *q, uint16_t *posted)
{
	int r = fetch_avail(q);

	if (r < 0)
		return r;
	*posted = q->avail_seen;
	return wish(q, q->avail_seen);
}

int virtq_posted_past(struct virtq *q, uint16_t posted)
{
	int r;

	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* as in virtq_enable_notify */
	r = fetch_avail(q);
	return r < 0 ? r : q->avail_seen != posted;
}

int virtq_enable_notify(struct virtq *q)
{
	int r;

	if (!q->ready)
		return 0;
	r = wish(q, q->avail_next);
	if (r < 0)
		return r;
	/* The wish must be visible before avail.idx is read: pairs with the driver's barrier
	 * between publishing avail.idx and reading the wish. One of the two sees the other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	r = fetch_avail(q);
	if (r < 0)
		return r;
	return q->avail_next != q->avail_seen;
}

/*
 * The part of segment s that lies in [*off, *off + *len) of its side, counted from the segment's
 * start. Advances *off and *len to what is left for the segments after it.
 */
static struct virtq_seg cut(const struct virtq_seg *s, uint64_t *off, uint64_t *len)
{
	struct virtq_seg part = { .addr = s->addr, .len = 0 };

	if (*off >= s->len) {
		*off -= s->len;
		return part;
	}
	part.addr = at(s->addr, *off);
	part.len = (uint32_t)MIN(s->len - *off, *len);
	*off = 0;
	*len -= part.len;
	return part;
}

int virtq_chain_read(const struct virtq *q, const struct virtq_chain *c, uint64_t off, void *dst,
		     size_t len)
{
	uint8_t *to = dst;
	uint64_t left = len;

	if (!range_fits(off, len, c->read_bytes))
		return -EBADMSG;
	for (unsigned i = 0; i < c->nread && left > 0; i++) {
		struct virtq_seg s = cut(&c->segs[i], &off, &left);
		int r = gmem_read(q->gmem, s.addr, to, s.len);
		if (r < 0)
			return r;
		to += s.len;
	}
	return 0;
}

int virtq_chain_write(struct virtq *q, const struct virtq_chain *c, uint64_t off, const void *src,
		      size_t len)
{
	const uint8_t *from = src;
	uint64_t left = len;

	if (!range_fits(off, len, c->write_bytes))
		return -EBADMSG;
	for (unsigned i = 0; i < c->nwrite && left > 0; i++) {
		struct virtq_seg s = cut(&c->segs[c->nread + i], &off, &left);
		int r = gmem_write(q->gmem, s.addr, from, s.len);
		if (r < 0)
			return r;
		from += s.len;
	}
	return 0;
}

int virtq_chain_iov(const struct virtq *q, const struct virtq_chain *c, bool writable, uint64_t off,
		    uint64_t len, struct iovec *iov, size_t cap, size_t *n)
{
	const struct virtq_seg *segs = c->segs + (writable ? c->nread : 0);
	unsigned count = writable ? c->nwrite : c->nread;

	if (!range_fits(off, len, writable ? c->write_bytes : c->read_bytes))
		return -EBADMSG;
	for (unsigned i = 0; i < count && len > 0; i++) {
		struct virtq_seg s = cut(&segs[i], &off, &len);
		int r = s.len > 0 ? gmem_iov(q->gmem, s.addr, s.len, writable, iov, cap, n) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}
