/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_fetch.c - no device fetches a byte of guest memory twice for one request: neither a
 * descriptor, nor an entry of a table or ring, nor a header, nor does it hand the kernel bytes that
 * it has already decided on. A guest with a second processor has nothing to change then between the
 * check and the use.
 *
 * Each request of each type of device is done once with every fetch recorded (gmem_watch.h),
 * directly and through an indirect table. Left out are the three words of a queue that a device
 * polls, each time for a new decision (flags, available index, used_event), and a chain that was
 * put back (virtq_unpop): it is fetched anew, and nothing decided about it is kept.
 */
#include <criterion/criterion.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <linux/virtio_vsock.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "fuzz/mutate.h"
#include "tests/unit/any_device.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/gmem_watch.h"

#define WAIT_MS	 5000
#define SEGS_MAX 4U
#define DATA	 UINT64_C(0x800000) /* where requests lie, a page a segment and one between */

/* ---- The record --------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t copied[DRV_MEM_BYTES], lent[DRV_MEM_BYTES];
static unsigned fetches, twice;
static uint64_t first_twice;

static void forget(void)
{
	(void)pthread_mutex_lock(&lock);
	memset(copied, 0, sizeof(copied));
	memset(lent, 0, sizeof(lent));
	(void)pthread_mutex_unlock(&lock);
}

static bool is_polled(const struct drv *d, uint64_t a, size_t len)
{
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		const struct drv_queue *q = &d->q[i];
		if (q->size != 0 && len == 2 &&
		    (a == q->avail || a == q->avail + 2 ||
		     a == q->avail + 4 + 2 * (uint64_t)q->size))
			return true;
	}
	return false;
}

static void record(const struct gmem *m, gpa_t a, size_t len, enum gmem_fetch kind, void *arg)
{
	(void)m;
	if (is_polled(arg, a.v, len))
		return;
	(void)pthread_mutex_lock(&lock);
	fetches++;
	for (uint64_t at = a.v; at < a.v + len; at++) {
		/* What is lent is read by the kernel: after a decision on it, that is once more. */
		if (copied[at] != 0 || (kind != GMEM_FETCH_IOV && lent[at] != 0)) {
			if (twice++ == 0)
				first_twice = at;
		}
		if (kind == GMEM_FETCH_IOV)
			lent[at] = 1;
		else
			copied[at] = 1;
	}
	(void)pthread_mutex_unlock(&lock);
}

void __real_virtq_unpop(struct virtq *q);
void __wrap_virtq_unpop(struct virtq *q);

void __wrap_virtq_unpop(struct virtq *q)
{
	__real_virtq_unpop(q);
	forget();
}

static void watch(struct drv *d)
{
	fetches = twice = 0;
	forget();
	gmem_watch(record, d);
}

/* ---- Requests ------------------------------------------------------------------------------ */

struct request {
	enum virtio_id id;
	const char *name;
	unsigned queue;
	struct {
		uint32_t len;
		bool write;
	} segs[SEGS_MAX];
	const void *bytes; /* at the start of the first segment */
	size_t bytes_len;
};

#define BLK_HEADER(t)                                                  \
	&(const struct virtio_blk_outhdr){ .type = VIRTIO_BLK_T_##t }, \
		sizeof(struct virtio_blk_outhdr)

static const uint32_t pfns[] = { 0x900, 0x901, 0x903, 0x905 };
static const uint8_t stats[20] = { 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2 };
/* Addressed to a port that nobody listens on: answered with a RST. */
static const struct virtio_vsock_hdr stray = { .src_cid = ANY_GUEST_CID,
					       .dst_cid = 2,
					       .src_port = 1,
					       .dst_port = 2,
					       .len = 64,
					       .type = 1,
					       .op = VIRTIO_VSOCK_OP_RW };
static const struct virtio_net_hdr_mrg_rxbuf plain_frame = { .num_buffers = 0 };
static const struct virtio_net_hdr_mrg_rxbuf checksum_frame = {
	.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6 }
};

static const struct request requests[] = {
	{ VIRTIO_DEV_BLK,
	  "read",
	  0,
	  { { 16, 0 }, { 512, 1 }, { 512, 1 }, { 1, 1 } },
	  BLK_HEADER(IN) },
	{ VIRTIO_DEV_BLK,
	  "write",
	  1,
	  { { 16, 0 }, { 512, 0 }, { 512, 0 }, { 1, 1 } },
	  BLK_HEADER(OUT) },
	{ VIRTIO_DEV_BLK, "flush", 0, { { 16, 0 }, { 1, 1 } }, BLK_HEADER(FLUSH) },
	{ VIRTIO_DEV_BLK, "id", 0, { { 16, 0 }, { 20, 1 }, { 1, 1 } }, BLK_HEADER(GET_ID) },
	{ VIRTIO_DEV_BLK, "discard", 0, { { 16, 0 }, { 32, 0 }, { 1, 1 } }, BLK_HEADER(DISCARD) },
	{ VIRTIO_DEV_BLK,
	  "zeroes",
	  0,
	  { { 16, 0 }, { 32, 0 }, { 1, 1 } },
	  BLK_HEADER(WRITE_ZEROES) },
	{ VIRTIO_DEV_CONSOLE, "output", 1, { { 100, 0 }, { 7, 0 } }, "text", 4 },
	{ VIRTIO_DEV_RNG, "bytes", 0, { { 64, 1 }, { 5, 1 } }, NULL, 0 },
	{ VIRTIO_DEV_BALLOON, "inflate", 0, { { sizeof(pfns), 0 } }, pfns, sizeof(pfns) },
	{ VIRTIO_DEV_BALLOON, "deflate", 1, { { sizeof(pfns), 0 } }, pfns, sizeof(pfns) },
	{ VIRTIO_DEV_VSOCK, "receive buffer", 0, { { 44, 1 }, { 4096, 1 } }, NULL, 0 },
	{ VIRTIO_DEV_BALLOON, "statistics", 2, { { sizeof(stats), 0 } }, stats, sizeof(stats) },
	{ VIRTIO_DEV_BALLOON, "report", 3, { { 4096, 1 }, { 4096, 1 } }, NULL, 0 },
	{ VIRTIO_DEV_VSOCK, "send", 1, { { 40, 0 }, { 4, 0 }, { 64, 0 } }, &stray, sizeof(stray) },
	{ VIRTIO_DEV_PMEM, "flush", 0, { { 4, 0 }, { 4, 1 } }, "\0\0\0", 4 },
	{ VIRTIO_DEV_NET, "send", 1, { { 12, 0 }, { 100, 0 } }, &plain_frame, sizeof(plain_frame) },
	{ VIRTIO_DEV_NET, "send, one piece", 1, { { 112, 0 } }, &plain_frame, sizeof(plain_frame) },
	{ VIRTIO_DEV_NET,
	  "send, checksum",
	  1,
	  { { 12, 0 }, { 100, 0 } },
	  &checksum_frame,
	  sizeof(checksum_frame) },
};

static unsigned write_request(struct drv *d, const struct request *q, struct drv_seg s[SEGS_MAX])
{
	const uint8_t zero[64] = { 0 };
	size_t left = q->bytes_len;
	unsigned n = 0;

	for (; n < SEGS_MAX && q->segs[n].len > 0; n++) {
		size_t part = MIN(left, (size_t)q->segs[n].len);
		s[n] = (struct drv_seg){ DATA + n * UINT64_C(0x2000), q->segs[n].len,
					 q->segs[n].write };
		if (!q->segs[n].write)
			drv_write(d, s[n].addr, zero, MIN(q->segs[n].len, sizeof(zero)));
		if (part > 0)
			drv_write(d, s[n].addr, (const uint8_t *)q->bytes + (q->bytes_len - left),
				  part);
		left -= part;
	}
	return n;
}

/* Buffers that the device keeps until it needs them. */
static bool waits(const struct request *q)
{
	return (q->id == VIRTIO_DEV_VSOCK && q->queue == 0) ||
	       (q->id == VIRTIO_DEV_BALLOON && q->queue == 2);
}

/* One request, watched; the device must have served it and fetched nothing twice. */
static void do_request(struct drv *d, const struct request *q, bool indirect)
{
	const char *how = indirect ? "indirect" : "direct";
	struct drv_seg s[SEGS_MAX];
	uint32_t head, len;
	unsigned n = write_request(d, q, s);

	watch(d);
	cr_assert_geq(drv_post(d, q->queue, s, n, indirect), 0);
	cr_assert(waits(q) || drv_wait_used(d, q->queue, &head, &len, WAIT_MS),
		  "%s %s, %s: not used", d->dev->ops->name, q->name, how);
	drv_run(d);
	gmem_watch(NULL, NULL);
	cr_expect(!drv_broken(d), "%s %s, %s: broken", d->dev->ops->name, q->name, how);
	cr_expect_eq(twice, 0, "%s %s, %s: %u bytes fetched twice, the first at 0x%llx",
		     d->dev->ops->name, q->name, how, twice, (unsigned long long)first_twice);
	cr_expect(waits(q) || fetches >= 2, "%s %s, %s: the watcher has seen %u fetches",
		  d->dev->ops->name, q->name, how, fetches);
}

Test(virtio_fetch, no_device_fetches_a_byte_twice)
{
	for (size_t t = 0; t < virtio_dev_types_count; t++) {
		unsigned done = 0;
		struct drv d;
		int host;

		drv_init(&d);
		drv_attach(&d, any_device_new(t, &d.mem, &host));
		drv_start(&d, 0);
		for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
			if (requests[i].id != virtio_dev_types[t]->id)
				continue;
			do_request(&d, &requests[i], false);
			do_request(&d, &requests[i], true);
			done++;
		}
		cr_expect_gt(done, 0, "%s: no request is known", virtio_dev_types[t]->name);
		drv_done(&d);
		if (host >= 0)
			(void)close(host);
	}
}

/* From the host to the guest: the buffers of a network card and of a vsock connection. */
Test(virtio_fetch, nor_when_the_host_has_something)
{
	static const uint8_t frame[80] = { 0 };
	const struct drv_seg s[2] = { { DATA, 44, true }, { DATA + 0x2000, 4096, true } };
	uint32_t head, len;
	struct drv d;
	int host;

	for (size_t t = 0; t < virtio_dev_types_count; t++) {
		if (virtio_dev_types[t]->id != VIRTIO_DEV_NET)
			continue;
		drv_init(&d);
		drv_attach(&d, any_device_new(t, &d.mem, &host));
		drv_start(&d, 0);
		for (int indirect = 0; indirect < 2; indirect++) {
			watch(&d);
			cr_assert_geq(drv_post(&d, 0, s, 2, indirect != 0), 0);
			cr_assert_eq(write(host, frame, sizeof(frame)), (ssize_t)sizeof(frame));
			cr_assert(drv_wait_used(&d, 0, &head, &len, WAIT_MS));
			gmem_watch(NULL, NULL);
			cr_expect_eq(len, sizeof(frame));
			cr_expect_eq(twice, 0, "%u bytes, the first at 0x%llx", twice,
				     (unsigned long long)first_twice);
			cr_expect_gt(fetches, 0);
		}
		drv_done(&d);
		(void)close(host);
	}
}

/* ---- What watches the watchers --------------------------------------------------------------- */

/* A device that looks twice, in the three ways in which one can. */
Test(virtio_fetch, a_double_fetch_is_found)
{
	struct iovec iov[2];
	uint32_t v32;
	uint8_t b[16];
	size_t n = 0;
	struct drv d;

	drv_init(&d);
	watch(&d);
	cr_assert_eq(gmem_read(&d.mem, gpa(DATA), b, 16), 0);
	cr_assert_eq(twice, 0);
	cr_assert_eq(gmem_read_le32(&d.mem, gpa(DATA + 12), &v32), 0);
	cr_expect_eq(twice, 4, "copied, then fetched");
	watch(&d);
	cr_assert_eq(gmem_read(&d.mem, gpa(DATA), b, 12), 0);
	cr_assert_eq(gmem_iov(&d.mem, gpa(DATA), 112, true, iov, 2, &n), 0);
	cr_expect_eq(twice, 12, "decided on, then lent to the kernel");
	watch(&d);
	cr_assert_eq(gmem_iov(&d.mem, gpa(DATA), 64, true, iov, 2, &n), 0);
	cr_assert_eq(gmem_read(&d.mem, gpa(DATA + 60), b, 8), 0);
	cr_expect_eq(twice, 4, "lent, then copied");
	gmem_watch(NULL, NULL);
	loop_free(d.loop);
	gmem_done(&d.mem);
}

/* And the fuzzers' changing memory does change between two looks. */
Test(virtio_fetch, the_mutator_changes_what_was_fetched)
{
	/* One step: byte 0 of what was fetched becomes 0x77; the last byte says how long the script
	 * is. */
	static const uint8_t input[] = { 0xaa, 0xbb, 0x01, 0x77, 0x80 };
	const uint8_t *data = input;
	size_t len = sizeof(input);
	uint16_t first = 0, second = 0, third = 0;
	struct drv d;

	drv_init(&d);
	mutate_split(&data, &len);
	cr_assert_eq(len, 2);
	mutate_on();
	cr_assert_eq(gmem_read_le16(&d.mem, gpa(DATA), &first), 0);
	cr_assert_eq(gmem_read_le16(&d.mem, gpa(DATA), &second), 0);
	cr_assert_eq(gmem_read_le16(&d.mem, gpa(DATA), &third), 0);
	mutate_off();
	cr_expect(first == 0 && second == 0x77 && third == 0x77, "%x %x %x", first, second, third);
	loop_free(d.loop);
	gmem_done(&d.mem);
}
