/* SPDX-License-Identifier: Apache-2.0 */
/* vsock: ten megabytes each way, whole and in order, past slow readers; and no busy loop. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "vsock_guest.h"

#define BULK (10 * MIB)

struct peer {
	int fd;
	unsigned pause_us; /* now and then */
	uint64_t bytes;	   /* moved */
	bool wrong;
	bool end; /* saw the end of the stream */
};

/* Reads to the end in odd portions and checks each byte. */
static void *host_reader(void *arg)
{
	struct peer *p = arg;
	uint8_t buf[7777];
	ssize_t n;

	while ((n = read(p->fd, buf, 1 + p->bytes % sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			p->wrong = p->wrong || buf[i] != vg_pattern(p->bytes + (uint64_t)i);
		p->bytes += (uint64_t)n;
		if (p->pause_us > 0 && p->bytes % 13 == 0)
			usleep(p->pause_us);
	}
	p->end = n == 0;
	return NULL;
}

static void *host_writer(void *arg)
{
	struct peer *p = arg;
	uint8_t buf[9999];

	while (p->bytes < BULK) {
		size_t want = MIN(1 + (size_t)(p->bytes * 31 % sizeof(buf)), BULK - p->bytes);
		for (size_t i = 0; i < want; i++)
			buf[i] = vg_pattern(p->bytes + i);
		ssize_t n = write(p->fd, buf, want);
		if (n < 0)
			return NULL;
		p->bytes += (uint64_t)n;
		if (p->pause_us > 0 && p->bytes % 11 == 0)
			usleep(p->pause_us);
	}
	(void)shutdown(p->fd, SHUT_WR);
	return NULL;
}

/* The guest sends as fast as its credit allows, then closes. */
static void to_host(unsigned pause_us, unsigned segs)
{
	static uint8_t data[VSOCK_PACKET_MAX];
	struct peer reader = { .pause_us = pause_us };
	uint64_t sent = 0, deadline = now_ms() + 60000;
	struct vg_packet p;
	struct vg_flow f;
	pthread_t t;
	struct vg g;

	vg_init(&g, true, 0);
	reader.fd = vg_open(&g, &f, 1024, 5000);
	cr_assert_eq(pthread_create(&t, NULL, host_reader, &reader), 0);
	while (sent < BULK) {
		uint32_t n =
			(uint32_t)MIN(BULK - sent, MIN(vg_space(&f), 1 + sent * 7 % sizeof(data)));
		cr_assert_lt(now_ms(), deadline);
		for (uint32_t i = 0; i < n; i++)
			data[i] = vg_pattern(sent + i);
		if (n > 0) {
			struct vsock_hdr h = vg_hdr(&f, VIRTIO_VSOCK_OP_RW, 0, n);
			f.tx_cnt += n;
			sent += n;
			vg_send_raw(&g, &h, data, n, segs);
		} else {
			cr_assert_eq(loop_step(g.d.loop, 10), 0);
		}
		while (vg_recv(&g, &p)) {
			cr_assert_eq(le16_get(p.h.op), VIRTIO_VSOCK_OP_CREDIT_UPDATE);
			vg_note(&f, &p);
		}
		cr_assert(vg_valid(&g));
	}
	vg_send(&g, &f, VIRTIO_VSOCK_OP_SHUTDOWN, 3, NULL, 0);
	do {
		cr_assert_lt(now_ms(), deadline);
		cr_assert_eq(loop_step(g.d.loop, 10), 0);
	} while (!vg_recv(&g, &p) || le16_get(p.h.op) != VIRTIO_VSOCK_OP_RST);
	cr_assert_eq(pthread_join(t, NULL), 0);
	cr_assert_eq(reader.bytes, BULK);
	cr_assert(!reader.wrong && reader.end);
	cr_assert_eq(g.d.dev->errors, 0);
	close(reader.fd);
	vg_done(&g);
}

Test(vsock_bulk, guest_to_fast_host)
{
	to_host(0, 1);
}

Test(vsock_bulk, guest_to_slow_host)
{
	to_host(300, 7);
}

/* The guest reads `lag` bytes late, so that its credit runs out again and again. */
static void to_guest(unsigned pause_us, uint32_t buf_alloc, uint32_t lag, unsigned buffers,
		     bool split)
{
	struct peer writer = { .pause_us = pause_us };
	uint64_t got = 0, deadline = now_ms() + 60000;
	struct vg_packet p;
	struct vg_flow f;
	bool end = false;
	pthread_t t;
	struct vg g;

	vg_init(&g, false, 0);
	g.rx_split = split;
	vg_start(&g, 0, buffers);
	writer.fd = vg_open_host(&g, &f, 1024);
	f.buf_alloc = buf_alloc;
	vg_send(&g, &f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	cr_assert_eq(pthread_create(&t, NULL, host_writer, &writer), 0);
	while (!end) {
		cr_assert_lt(now_ms(), deadline, "stuck after %llu", (unsigned long long)got);
		if (!vg_recv(&g, &p)) {
			cr_assert_eq(loop_step(g.d.loop, 5), 0);
			continue;
		}
		vg_note(&f, &p);
		switch (le16_get(p.h.op)) {
		case VIRTIO_VSOCK_OP_RW:
			for (uint32_t i = 0; i < le32_get(p.h.len); i++)
				cr_assert_eq(p.data[i], vg_pattern(got + i));
			got += le32_get(p.h.len);
			break;
		case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
			f.fwd_cnt = f.rx_cnt;
			vg_send(&g, &f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
			break;
		case VIRTIO_VSOCK_OP_SHUTDOWN:
			cr_assert_eq(le32_get(p.h.flags), VIRTIO_VSOCK_SHUTDOWN_SEND);
			end = true;
			break;
		default:
			cr_assert_fail("op %u", le16_get(p.h.op));
		}
		if (f.rx_cnt - f.fwd_cnt >= lag) {
			f.fwd_cnt = f.rx_cnt;
			vg_send(&g, &f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
		}
	}
	cr_assert_eq(pthread_join(t, NULL), 0);
	cr_assert_eq(got, BULK);
	cr_assert(vg_valid(&g));
	cr_assert_eq(g.d.dev->errors, 0);
	close(writer.fd);
	vg_done(&g);
}

Test(vsock_bulk, host_to_guest)
{
	to_guest(0, VG_BUF_ALLOC, 65536, 100, false);
}

Test(vsock_bulk, slow_host_to_guest)
{
	to_guest(200, VG_BUF_ALLOC, 65536, 100, false);
}

Test(vsock_bulk, small_credit)
{
	to_guest(0, 10000, 9999, 100, false);
}

Test(vsock_bulk, one_buffer)
{
	to_guest(0, VG_BUF_ALLOC, 65536, 1, false);
}

/* Buffers of all shapes in a row: some are filled together, some alone. */
Test(vsock_bulk, odd_buffers)
{
	to_guest(0, VG_BUF_ALLOC, 65536, 40, true);
}

static unsigned reads;

ssize_t __real_readv(int fd, const struct iovec *iov, int count);
ssize_t __wrap_readv(int fd, const struct iovec *iov, int count);
ssize_t __wrap_readv(int fd, const struct iovec *iov, int count)
{
	reads++;
	return __real_readv(fd, iov, count);
}

/* One read of the host's socket fills many buffers of the guest's. */
Test(vsock_bulk, buffers_are_filled_together)
{
	static uint8_t data[20 * VG_RX_BYTES];
	unsigned packets = 0, irqs;
	uint64_t got = 0;
	struct vg_packet p;
	struct vg_flow f;
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = vg_pattern(i);
	(void)drv_irqs(&g.d);
	reads = 0;
	cr_assert_eq(write(fd, data, sizeof(data)), (ssize_t)sizeof(data));
	drv_run(&g.d);
	irqs = (unsigned)drv_irqs(&g.d);
	while (vg_take(&g, &p)) {
		packets++;
		for (uint32_t i = 0; i < le32_get(p.h.len); i++)
			cr_assert_eq(p.data[i], vg_pattern(got + i));
		got += le32_get(p.h.len);
	}
	cr_expect_eq(got, sizeof(data));
	cr_expect_eq(packets, 20);
	cr_expect_leq(irqs, 2);
	cr_expect_leq(reads, 3);
	close(fd);
	vg_done(&g);
}

/* Credit counters wrap after 4 GiB; begun near the end, ten megabytes cross it. */
Test(vsock_bulk, credit_wraps)
{
	struct vsock_credit c = { .rx_cnt = UINT32_MAX - 10,
				  .fwd_cnt = UINT32_MAX - 10,
				  .fwd_told = UINT32_MAX - 10,
				  .tx_cnt = UINT32_MAX - 100,
				  .peer_fwd = UINT32_MAX - 100,
				  .peer_buf = 1000 };

	cr_assert(vsock_credit_take(&c, VSOCK_BUF_BYTES));
	cr_assert(!vsock_credit_take(&c, 1));
	vsock_credit_forward(&c, VSOCK_BUF_BYTES / 2 - 1);
	cr_assert(!vsock_credit_stale(&c));
	vsock_credit_forward(&c, 1);
	cr_assert(vsock_credit_stale(&c));
	cr_assert(vsock_credit_take(&c, VSOCK_BUF_BYTES / 2));
	cr_assert(!vsock_credit_take(&c, 1));
	cr_assert(!vsock_credit_take(&c, UINT32_MAX));
	cr_assert_eq(vsock_credit_space(&c), 1000);
	vsock_credit_sent(&c, 600);
	cr_assert_eq(vsock_credit_space(&c), 400);
	vsock_credit_peer(&c, 1000, UINT32_MAX - 100 + 500);
	cr_assert_eq(vsock_credit_space(&c), 900);
	vsock_credit_peer(&c, 1000, UINT32_MAX - 100 + 200); /* overtaken: ignored */
	cr_assert_eq(vsock_credit_space(&c), 900);
	vsock_credit_peer(&c, 1000, UINT32_MAX - 100 + 601); /* ahead of what was sent: a lie */
	cr_assert_eq(vsock_credit_space(&c), 900);
	vsock_credit_peer(&c, 50, UINT32_MAX - 100 + 500); /* shrunk below what is in flight */
	cr_assert_eq(vsock_credit_space(&c), 0);
	vsock_credit_peer(&c, UINT32_MAX, UINT32_MAX - 100 + 600);
	cr_assert_eq(vsock_credit_space(&c), UINT32_MAX);
}

/* No buffers, or no credit, and the host has plenty to say: the loop sleeps. */
static void sleeps(bool buffers)
{
	struct rusage before, after;
	char data[10000] = { 0 };
	struct vg_flow f;
	struct vg g;
	uint64_t end;
	long ms;
	int fd;

	vg_init(&g, false, 0);
	vg_start(&g, 0, 3);
	fd = vg_open(&g, &f, 1024, 5000);
	if (buffers) {
		f.buf_alloc = 100;
		vg_send(&g, &f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	}
	cr_assert_eq(write(fd, data, sizeof(data)), sizeof(data));
	cr_assert_eq(write(fd, data, sizeof(data)), sizeof(data));
	close(fd);
	drv_run(&g.d);
	cr_assert_eq(getrusage(RUSAGE_SELF, &before), 0);
	for (end = now_ms() + 300; now_ms() < end;)
		cr_assert_eq(loop_step(g.d.loop, 100), 0);
	cr_assert_eq(getrusage(RUSAGE_SELF, &after), 0);
	ms = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
	      before.ru_stime.tv_sec) *
		     1000 +
	     (after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
	      before.ru_stime.tv_usec) /
		     1000;
	cr_assert_lt(ms, 100, "%ld ms of 300 spent busy", ms);
	cr_assert(vg_valid(&g));
	vg_done(&g);
}

Test(vsock_bulk, no_busy_loop_without_buffers)
{
	sleeps(false);
}

Test(vsock_bulk, no_busy_loop_without_credit)
{
	sleeps(true);
}

/* Sixty-four flows at once, all echoing; nobody starves and nothing is mixed up. */
Test(vsock_bulk, many_flows)
{
	struct vg_flow f[VSOCK_CONNS_MAX];
	int fd[VSOCK_CONNS_MAX];
	unsigned got[VSOCK_CONNS_MAX] = { 0 };
	struct vg_packet p;
	struct vg g;

	vg_init(&g, true, 0);
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++)
		fd[i] = vg_open(&g, &f[i], 1024, 5000 + i);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
			uint8_t b[2] = { (uint8_t)i, (uint8_t)round };
			cr_assert_eq(write(fd[i], b, 2), 2);
		}
		for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
			vg_expect(&g, VIRTIO_VSOCK_OP_RW, &p);
			unsigned k = le32_get(p.h.dst_port) - 5000;
			cr_assert_eq(le32_get(p.h.len), 2);
			cr_assert(p.data[0] == k && p.data[1] == got[k]++);
		}
	}
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++)
		close(fd[i]);
	vg_done(&g);
}
