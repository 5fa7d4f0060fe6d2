/* SPDX-License-Identifier: Apache-2.0 */
/* vsock: opening, closing and resetting, from both sides. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "vsock_guest.h"

#define RCV  VIRTIO_VSOCK_SHUTDOWN_RCV
#define SEND VIRTIO_VSOCK_SHUTDOWN_SEND

/* What a read on the host's end gives now: bytes, 0 at the end, -errno. */
static ssize_t host_read(int fd, void *buf, size_t cap)
{
	ssize_t n = recv(fd, buf, cap, MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

static void set_result(int result, void *arg)
{
	*(int *)arg = result;
}

Test(vsock, listen_and_talk)
{
	struct vg_packet p;
	struct vg_flow f;
	char buf[16];
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "hello", 5);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), 5);
	cr_assert_eq(memcmp(buf, "hello", 5), 0);
	cr_assert_eq(write(fd, "world!", 6), 6);
	vg_expect(&g, VIRTIO_VSOCK_OP_RW, &p);
	cr_assert_eq(le32_get(p.h.len), 6);
	cr_assert_eq(memcmp(p.data, "world!", 6), 0);
	cr_assert_eq(le64_get(p.h.src_cid), VSOCK_CID_HOST);
	cr_assert_eq(le32_get(p.h.fwd_cnt), 5);
	cr_assert_gt(drv_irqs(&g.d), 0);
	cr_assert_eq(g.d.dev->errors, 0);
	close(fd);
	vg_done(&g);
}

Test(vsock, listeners_are_taken_in_order)
{
	struct vg_flow f = { .host_port = 7, .guest_port = 1, .buf_alloc = 4096 };
	int a[2], b[2], other[2];
	struct vg_packet p;
	char c;
	struct vg g;

	vg_init(&g, true, 0);
	cr_assert(fd_socketpair(a, true) == 0 && fd_socketpair(b, true) == 0 &&
		  fd_socketpair(other, true) == 0);
	cr_assert_eq(virtio_vsock_listen(g.d.dev, 7, a[0]), 0);
	cr_assert_eq(virtio_vsock_listen(g.d.dev, 8, other[0]), 0);
	cr_assert_eq(virtio_vsock_listen(g.d.dev, 7, b[0]), 0);
	for (f.guest_port = 1; f.guest_port <= 2; f.guest_port++) {
		vg_send(&g, &f, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
		vg_expect(&g, VIRTIO_VSOCK_OP_RESPONSE, &p);
		vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, &f.guest_port, 1);
	}
	cr_assert(host_read(a[1], &c, 1) == 1 && c == 1);
	cr_assert(host_read(b[1], &c, 1) == 1 && c == 2);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p); /* nobody waits there any more */
	cr_assert_eq(host_read(other[1], &c, 1), -EAGAIN);
	vg_done(&g);
}

Test(vsock, connect_and_talk)
{
	struct vg_packet p;
	struct vg_flow f, f2;
	char buf[16];
	struct vg g;
	int fd, fd2;

	vg_init(&g, true, 0);
	fd = vg_open_host(&g, &f, 1024);
	fd2 = vg_open_host(&g, &f2, 1024);
	cr_assert_neq(f.host_port, f2.host_port);
	cr_assert_eq(write(fd, "ping", 4), 4);
	vg_expect(&g, VIRTIO_VSOCK_OP_RW, &p);
	cr_assert_eq(le32_get(p.h.src_port), f.host_port);
	vg_send(&g, &f2, VIRTIO_VSOCK_OP_RW, 0, "pong", 4);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), -EAGAIN);
	cr_assert_eq(host_read(fd2, buf, sizeof(buf)), 4);
	close(fd);
	close(fd2);
	vg_done(&g);
}

/* Bytes that the host writes before the guest has answered are sent after it has. */
Test(vsock, early_bytes_are_kept)
{
	struct vg_packet p;
	int sv[2], result = 1;
	struct vg g;

	vg_init(&g, true, 0);
	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert_eq(write(sv[1], "early", 5), 5);
	cr_assert_eq(virtio_vsock_connect(g.d.dev, 9, sv[0], set_result, &result), 0);
	close(sv[1]);
	vg_expect(&g, VIRTIO_VSOCK_OP_REQUEST, &p);
	cr_assert(vg_silent(&g));
	struct vg_flow f = { .host_port = le32_get(p.h.src_port),
			     .guest_port = 9,
			     .buf_alloc = 4096 };
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RESPONSE, 0, NULL, 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_RW, &p);
	cr_assert_eq(le32_get(p.h.len), 5);
	vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	cr_assert_eq(le32_get(p.h.flags), RCV | SEND, "closed, not only half");
	cr_assert_eq(result, 0);
	vg_done(&g);
}

Test(vsock, refused_and_timed_out)
{
	int sv[2], result = 1;
	struct vg_packet p;
	uint64_t t;
	struct vg g;
	char c;

	vg_init(&g, true, 0);
	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert_eq(virtio_vsock_connect(g.d.dev, 9, sv[0], set_result, &result), 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_REQUEST, &p);
	struct vg_flow f = { .host_port = le32_get(p.h.src_port), .guest_port = 9 };
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	cr_assert_eq(result, -ECONNREFUSED);
	cr_assert_eq(host_read(sv[1], &c, 1), 0, "the fd is closed");
	close(sv[1]);

	result = 1;
	cr_assert_eq(fd_socketpair(sv, false), 0);
	t = now_ms();
	cr_assert_eq(virtio_vsock_connect(g.d.dev, 9, sv[0], set_result, &result), 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_REQUEST, &p);
	while (result == 1 && now_ms() < t + 4000)
		cr_assert_eq(loop_step(g.d.loop, 100), 0);
	cr_assert_eq(result, -ETIMEDOUT);
	cr_assert_geq(now_ms() - t, 1990);
	cr_assert_lt(now_ms() - t, 3500);
	vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p); /* the guest is told to forget it */
	cr_assert_eq(g.d.dev->errors, 0);
	close(sv[1]);
	vg_done(&g);
}

/* Asked for before there is a driver: sent when there is one. */
Test(vsock, connect_before_the_driver)
{
	int sv[2], result = 1;
	struct vg_packet p;
	struct vg g;

	vg_init(&g, false, 0);
	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert_eq(virtio_vsock_connect(g.d.dev, 9, sv[0], set_result, &result), 0);
	drv_run(&g.d);
	vg_start(&g, 0, 10);
	vg_expect(&g, VIRTIO_VSOCK_OP_REQUEST, &p);
	cr_assert_eq(result, 1);
	close(sv[1]);
	vg_done(&g);
}

/* And when no driver ever comes, it times out; the guest that comes later hears nothing of it. */
Test(vsock, connect_without_a_driver)
{
	uint64_t end = now_ms() + 4000;
	int sv[2], result = 1;
	struct vg g;

	vg_init(&g, false, 0);
	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert_eq(virtio_vsock_connect(g.d.dev, 9, sv[0], set_result, &result), 0);
	while (result == 1 && now_ms() < end)
		cr_assert_eq(loop_step(g.d.loop, 100), 0);
	cr_assert_eq(result, -ETIMEDOUT);
	vg_start(&g, 0, 10);
	cr_assert(vg_silent(&g));
	close(sv[1]);
	vg_done(&g);
}

/* The host says that it writes no more; the guest still talks, then ends too. */
Test(vsock, half_close_by_the_host)
{
	struct vg_packet p;
	struct vg_flow f;
	char buf[16];
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open_host(&g, &f, 1024);
	cr_assert_eq(write(fd, "last", 4), 4);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_RW, &p);
	vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	cr_assert_eq(le32_get(p.h.flags), SEND);
	cr_assert(vg_silent(&g));
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "answer", 6);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), 6);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), -EAGAIN);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_SHUTDOWN, SEND, NULL, 0);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	cr_assert_eq(le32_get(p.h.flags), SEND | RCV, "both directions are done");
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	cr_assert(vg_silent(&g));
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++)
		cr_assert_eq(vg_vsock(&g)->conns[i].state, VSOCK_FREE);
	close(fd);
	vg_done(&g);
}

/* The host says that it writes no more and later goes away: the guest hears that as well, although
 * nothing is read for it any more and it doesn't write. */
Test(vsock, half_close_by_the_host_then_gone)
{
	struct vg_packet p;
	struct vg_flow f;
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open_host(&g, &f, 1024);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	cr_assert_eq(le32_get(p.h.flags), SEND);
	close(fd);
	vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	cr_assert_eq(le32_get(p.h.flags), SEND | RCV);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	cr_assert(vg_silent(&g));
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++)
		cr_assert_eq(vg_vsock(&g)->conns[i].state, VSOCK_FREE);
	vg_done(&g);
}

/* The guest says that it writes no more (a command's stdin); the host still talks. */
Test(vsock, half_close_by_the_guest)
{
	struct vg_packet p;
	struct vg_flow f;
	char buf[16];
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "request", 7);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_SHUTDOWN, SEND, NULL, 0);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), 7);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), 0);
	cr_assert_eq(write(fd, "reply", 5), 5);
	vg_expect(&g, VIRTIO_VSOCK_OP_RW, &p);
	cr_assert(vg_silent(&g));
	cr_assert_eq(write(fd, "more", 4), 4);
	close(fd);
	vg_expect(&g, VIRTIO_VSOCK_OP_RW, &p);
	cr_assert_eq(le32_get(p.h.len), 4);
	vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	cr_assert_eq(le32_get(p.h.flags), SEND | RCV);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	cr_assert(vg_silent(&g));
	vg_done(&g);
}

/* close() in the guest: everything that it sent is delivered, then it gets its RST. */
Test(vsock, close_by_the_guest)
{
	struct vg_packet p;
	struct vg_flow f;
	char buf[16];
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "bye", 3);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_SHUTDOWN, SEND | RCV, NULL, 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), 3);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), 0);
	cr_assert(vg_silent(&g));
	close(fd);
	/* The same ports may be used again. */
	fd = vg_open(&g, &f, 1024, 5000);
	close(fd);
	vg_done(&g);
}

/* The guest only stops reading: the host's writer learns it, the host's close is still seen. */
Test(vsock, guest_stops_reading)
{
	struct vg_packet p;
	struct vg_flow f;
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_SHUTDOWN, RCV, NULL, 0);
	cr_assert(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "still here", 10);
	char buf[16];
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), 10);
	close(fd);
	vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	cr_assert_eq(le32_get(p.h.flags), SEND | RCV);
	vg_done(&g);
}

/* The host's end goes away while the guest is sending: told once, with credit, without a loop. */
Test(vsock, host_goes_away)
{
	struct vg_packet p;
	struct vg_flow f;
	char data[4096] = { 0 };
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	close(fd);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
	vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	cr_assert_eq(le32_get(p.h.flags), SEND | RCV);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
	cr_assert(vg_silent(&g));
	vg_send(&g, &f, VIRTIO_VSOCK_OP_SHUTDOWN, SEND | RCV, NULL, 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
	vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p); /* unknown by now */
	vg_done(&g);
}

/* What the guest had sent is delivered although the host reads late and the flow is gone. */
static void loses_nothing(bool device_reset)
{
	static uint8_t data[65536], got[1 << 20];
	struct vg_flow f;
	struct vg g;
	size_t sent = 0, have = 0;
	ssize_t n;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	while (vg_space(&f) >= sizeof(data)) { /* until the socket is full and the ring as well */
		struct vg_packet p;
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = vg_pattern(sent + i);
		vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
		sent += sizeof(data);
		while (vg_recv(&g, &p))
			vg_note(&f, &p);
	}
	cr_assert_gt(sent, VSOCK_BUF_BYTES);
	if (device_reset)
		vg_start(&g, 0, 10);
	else
		vg_send(&g, &f, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	cr_assert(vg_valid(&g));
	cr_assert_eq(vg_vsock(&g)->conns[0].state, VSOCK_DRAIN);
	while ((n = host_read(fd, got + have, 30000)) != 0) {
		cr_assert_gt(n, 0, "%zd after %zu", n, have);
		have += (size_t)n;
		drv_run(&g.d);
	}
	cr_assert_eq(have, sent);
	for (size_t i = 0; i < have; i++)
		cr_assert_eq(got[i], vg_pattern(i));
	cr_assert(vg_silent(&g));
	cr_assert_eq(vg_vsock(&g)->conns[0].state, VSOCK_FREE);
	close(fd);
	vg_done(&g);
}

Test(vsock, reset_by_the_guest_loses_nothing)
{
	loses_nothing(false);
}

Test(vsock, device_reset_loses_nothing)
{
	loses_nothing(true);
}

/* Sends until no credit is left: the socket is full, and the ring. Returns the bytes. */
static size_t fill(struct vg *g, struct vg_flow *f)
{
	static uint8_t data[65536];
	struct vg_packet p;
	size_t sent = 0;

	while (vg_space(f) >= sizeof(data)) {
		vg_send(g, f, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
		sent += sizeof(data);
		while (vg_recv(g, &p))
			vg_note(f, &p);
	}
	cr_assert_gt(vg_vsock(g)->conns[0].ring_len, 0);
	return sent;
}

/* While an old flow still drains, its ports may be used again, and the two don't meet. */
Test(vsock, ports_again_while_draining)
{
	struct vg_flow old, f;
	uint8_t buf[4096];
	struct vg g;
	int slow, fd;

	vg_init(&g, true, 0);
	slow = vg_open(&g, &old, 1024, 5000);
	(void)fill(&g, &old);
	vg_send(&g, &old, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "new", 3);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), 3);
	cr_assert_eq(vg_vsock(&g)->conns[0].state, VSOCK_DRAIN);
	while (host_read(slow, buf, sizeof(buf)) > 0)
		drv_run(&g.d);
	drv_run(&g.d);
	cr_assert_eq(vg_vsock(&g)->conns[0].state, VSOCK_FREE);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "new", 3);
	cr_assert_eq(host_read(fd, buf, sizeof(buf)), 3);
	close(slow);
	close(fd);
	vg_done(&g);
}

/* The host goes away with a backlog waiting for it: dropped, and both ends are told. */
Test(vsock, host_goes_away_with_a_backlog)
{
	struct vg_packet p;
	struct vg_flow f;
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	(void)fill(&g, &f);
	close(fd);
	vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	cr_assert_eq(le32_get(p.h.flags), SEND | RCV);
	cr_assert(vg_silent(&g));
	vg_done(&g);
}

/* The host only stops reading: the guest is told, may send on with credit, and still hears us. */
Test(vsock, host_stops_reading)
{
	static uint8_t data[65536];
	struct vg_packet p;
	bool told = false;
	struct vg_flow f;
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	cr_assert_eq(shutdown(fd, SHUT_RD), 0);
	for (int i = 0; i < 10; i++) {
		cr_assert_geq(vg_space(&f), sizeof(data), "dropped bytes give their credit back");
		vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
		while (vg_recv(&g, &p)) {
			if (le16_get(p.h.op) == VIRTIO_VSOCK_OP_SHUTDOWN) {
				cr_assert_eq(le32_get(p.h.flags), RCV);
				cr_assert(!told, "once is enough");
				told = true;
			}
			vg_note(&f, &p);
		}
	}
	cr_assert(told);
	cr_assert_eq(write(fd, "but listen", 10), 10);
	vg_expect(&g, VIRTIO_VSOCK_OP_RW, &p);
	close(fd);
	vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	cr_assert_eq(le32_get(p.h.flags), SEND | RCV);
	vg_done(&g);
}

/* Flows that only wait for the guest's last word give way to new ones. */
Test(vsock, lingering_flows_give_way)
{
	struct vg_packet p;
	struct vg_flow f;
	struct vg g;

	vg_init(&g, true, 0);
	for (unsigned i = 0; i < 3 * VSOCK_CONNS_MAX; i++) {
		close(vg_open(&g, &f, 1024, 5000 + i)); /* and the guest never answers */
		vg_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN, &p);
	}
	vg_done(&g);
}

/* A reset of the device ends everything the guest knew; listeners wait on. */
Test(vsock, device_reset)
{
	struct vg_flow f, f2 = { .host_port = 77, .guest_port = 1, .buf_alloc = 4096 };
	int sv[2], waiting[2], result = 1;
	struct vg_packet p;
	char c;
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert_eq(virtio_vsock_connect(g.d.dev, 9, sv[0], set_result, &result), 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_REQUEST, &p);
	cr_assert_eq(fd_socketpair(waiting, false), 0);
	cr_assert_eq(virtio_vsock_listen(g.d.dev, 77, waiting[0]), 0);
	cr_assert_eq(write(fd, "never read", 10), 10);
	vg_start(&g, 0, 10); /* resets first */
	cr_assert_eq(result, -ECONNRESET);
	cr_assert_leq(host_read(sv[1], &c, 1), 0);
	cr_assert_leq(host_read(fd, &c, 1), 0);
	cr_assert(vg_silent(&g));
	vg_send(&g, &f2, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_RESPONSE, &p);
	close(fd);
	vg_done(&g);
}

static uint64_t post_event(struct vg *g, uint32_t len, bool writable)
{
	struct drv_seg s = { drv_alloc(&g->d, len, 4), len, writable };
	const uint32_t none = UINT32_MAX;

	drv_write(&g->d, s.addr, &none, MIN(len, sizeof(none)));
	cr_assert_geq(drv_post(&g->d, VSOCK_QUEUE_EVENT, &s, 1, false), 0);
	return s.addr;
}

/* What a restore does to an active device. */
static void restore(struct vg *g)
{
	struct virtio_dev *dev = g->d.dev;

	virtio_dev_pause(dev);
	pthread_mutex_lock(&dev->lock);
	dev->ops->restored(dev);
	pthread_mutex_unlock(&dev->lock);
	virtio_dev_resume(dev);
	drv_run(&g->d);
}

/* After a restore: the guest is told, its connections are gone, listeners wait on. */
Test(vsock, transport_reset)
{
	struct vg_flow f, f2 = { .host_port = 77, .guest_port = 1, .buf_alloc = 4096 };
	uint32_t head, len, event;
	struct vg_packet p;
	int waiting[2], fd;
	uint64_t at;
	char c;
	struct vg g;

	vg_init(&g, true, 0);
	at = post_event(&g, 4, true);
	fd = vg_open(&g, &f, 1024, 5000);
	cr_assert_eq(fd_socketpair(waiting, false), 0);
	cr_assert_eq(virtio_vsock_listen(g.d.dev, 77, waiting[0]), 0);
	cr_expect_not(drv_used(&g.d, VSOCK_QUEUE_EVENT, &head, &len));
	restore(&g);
	cr_assert(drv_used(&g.d, VSOCK_QUEUE_EVENT, &head, &len));
	cr_expect_eq(len, 4);
	drv_read(&g.d, at, &event, sizeof(event));
	cr_expect_eq(event, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	cr_expect_leq(host_read(fd, &c, 1), 0);
	cr_expect(vg_silent(&g));
	vg_send(&g, &f2, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_RESPONSE, &p);
	/* Without a buffer for it the event waits for one; a second reset adds nothing. */
	restore(&g);
	restore(&g);
	drv_run(&g.d);
	(void)post_event(&g, 64, true);
	cr_assert(drv_wait_used(&g.d, VSOCK_QUEUE_EVENT, &head, &len, 1000));
	(void)post_event(&g, 64, true);
	drv_run(&g.d);
	cr_expect_not(drv_used(&g.d, VSOCK_QUEUE_EVENT, &head, &len));
	/* A new driver knows of nothing that could be reset. */
	vg_start(&g, 0, 10);
	restore(&g);
	vg_start(&g, 0, 10);
	(void)post_event(&g, 64, true);
	drv_run(&g.d);
	cr_expect_not(drv_used(&g.d, VSOCK_QUEUE_EVENT, &head, &len));
	cr_expect_not(drv_broken(&g.d));
	close(fd);
	vg_done(&g);
}

/* A connection that begins after the restore isn't one of those that the guest resets: no REQUEST
 * before the guest has worked on the event, which a new event buffer tells. */
Test(vsock, nothing_connects_until_the_reset_is_done)
{
	for (int i = 0; i < 2; i++) {
		int sv[2], result = 1;
		uint32_t head, len;
		struct vg_packet p;
		struct vg g;

		vg_init(&g, true, i == 0 ? 0 : UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
		for (int k = 0; k < 3; k++)
			(void)post_event(&g, 4, true);
		drv_run(&g.d);
		cr_assert_eq(fd_socketpair(sv, false), 0);
		restore(&g);
		cr_assert_eq(virtio_vsock_connect(g.d.dev, 9, sv[0], set_result, &result), 0);
		drv_run(&g.d);
		cr_assert(drv_used(&g.d, VSOCK_QUEUE_EVENT, &head, &len));
		cr_expect(vg_silent(&g));
		(void)post_event(&g, 4, true);
		drv_run(&g.d);
		vg_expect(&g, VIRTIO_VSOCK_OP_REQUEST, &p);
		cr_expect_not(drv_used(&g.d, VSOCK_QUEUE_EVENT, &head, &len));
		close(sv[1]);
		vg_done(&g);
	}
}

Test(vsock, transport_reset_into_a_bad_buffer)
{
	for (int i = 0; i < 2; i++) {
		struct vg g;
		vg_init(&g, true, 0);
		(void)post_event(&g, i == 0 ? 3 : 4, i == 0);
		drv_run(&g.d);
		cr_expect_not(drv_broken(&g.d), "nothing is looked at before it is needed");
		restore(&g);
		cr_expect(drv_broken(&g.d));
		vg_done(&g);
	}
}

/* Without event indices and indirect tables everything works as well. */
Test(vsock, plain_rings)
{
	struct vg_packet p;
	struct vg_flow f;
	char buf[16];
	struct vg g;
	int fd;

	vg_init(&g, true,
		UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | UINT64_C(1)
								 << VIRTIO_RING_F_INDIRECT_DESC);
	fd = vg_open(&g, &f, 1024, 5000);
	for (int i = 0; i < 300; i++) {
		vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "ping", 4);
		cr_assert_eq(host_read(fd, buf, sizeof(buf)), 4);
		cr_assert_eq(write(fd, "pong", 4), 4);
		vg_expect(&g, VIRTIO_VSOCK_OP_RW, &p);
	}
	close(fd);
	vg_done(&g);
}
