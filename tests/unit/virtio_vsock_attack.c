/* SPDX-License-Identifier: Apache-2.0 */
/* vsock: guests that lie about lengths, names, credit and states, or flood. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "vsock_guest.h"

/* The length in the header against the length of the chain, and the cap. */
Test(vsock_attack, lengths)
{
	static const struct {
		uint16_t op;
		uint32_t claimed, sent;
		bool broken;
	} cases[] = {
		{ VIRTIO_VSOCK_OP_RW, 5, 5, false },
		{ VIRTIO_VSOCK_OP_RW, 5, 100, false },
		{ VIRTIO_VSOCK_OP_RW, 0, 0, false },
		{ VIRTIO_VSOCK_OP_RW, 6, 5, true },
		{ VIRTIO_VSOCK_OP_RW, 1, 0, true },
		{ VIRTIO_VSOCK_OP_RW, UINT32_MAX, 100, true },
		{ VIRTIO_VSOCK_OP_RW, UINT32_MAX - 43, 100, true },
		{ VIRTIO_VSOCK_OP_RW, 65536, 65536, false },
		{ VIRTIO_VSOCK_OP_RW, 65537, 65536, true },
		{ VIRTIO_VSOCK_OP_RW, 65537, 65537, true },
		{ VIRTIO_VSOCK_OP_CREDIT_UPDATE, 5, 5, false },
		{ VIRTIO_VSOCK_OP_CREDIT_UPDATE, 5, 4, true },
		{ VIRTIO_VSOCK_OP_CREDIT_UPDATE, UINT32_MAX, 0, true },
	};
	static uint8_t data[VG_TX_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vsock_hdr h;
		struct vg_flow f;
		struct vg g;
		int fd;
		vg_init(&g, true, 0);
		fd = vg_open(&g, &f, 1024, 5000);
		h = vg_hdr(&f, cases[i].op, 0, cases[i].claimed);
		vg_send_raw(&g, &h, data, cases[i].sent, 1);
		cr_assert_eq(drv_broken(&g.d), cases[i].broken, "case %zu", i);
		cr_assert(vg_valid(&g));
		if (cases[i].broken) {
			char c;
			drv_run(&g.d);
			cr_assert_eq(recv(fd, &c, 1, MSG_DONTWAIT), 0, "failing drops the flows");
		}
		close(fd);
		vg_done(&g);
	}
}

Test(vsock_attack, short_header_and_wrong_direction)
{
	for (int i = 0; i < 4; i++) {
		struct drv_seg s;
		struct vg g;
		vg_init(&g, false, 0);
		vg_start(&g, 0, 0);
		s = (struct drv_seg){ g.tx_hdr, 44, false };
		if (i == 0)
			s.len = 43;
		if (i == 1)
			s.write = true;
		if (i == 2) { /* a receive buffer without room for data */
			s.write = true;
			cr_assert_geq(drv_post(&g.d, VSOCK_QUEUE_RX, &s, 1, false), 0);
		}
		if (i == 3) /* a receive buffer that can't be written */
			cr_assert_geq(drv_post(&g.d, VSOCK_QUEUE_RX, &s, 1, false), 0);
		if (i >= 2) {
			struct vg_flow f = { .host_port = 1, .guest_port = 2 };
			vg_send(&g, &f, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0); /* to be refused */
		} else {
			cr_assert_geq(drv_post(&g.d, VSOCK_QUEUE_TX, &s, 1, false), 0);
		}
		drv_run(&g.d);
		cr_assert(drv_broken(&g.d), "case %d", i);
		vg_done(&g);
	}
}

/* In another's name: no effect, no answer. To another: refused. */
Test(vsock_attack, spoofed_cids)
{
	static const uint64_t cids[] = {
		0, 1, 2, 3, 41, 43, VG_CID | UINT64_C(1) << 32, UINT64_MAX
	};
	struct vsock_hdr h;
	struct vg_packet p;
	struct vg_flow f;
	char buf[8];
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	for (size_t i = 0; i < ARRAY_SIZE(cids); i++) {
		h = vg_hdr(&f, VIRTIO_VSOCK_OP_RW, 0, 4);
		h.src_cid = le64_put(cids[i]);
		vg_send_raw(&g, &h, "evil", 4, 1);
		cr_assert(vg_silent(&g));
		if (cids[i] == VSOCK_CID_HOST)
			continue;
		h = vg_hdr(&f, VIRTIO_VSOCK_OP_RW, 0, 4);
		h.dst_cid = le64_put(cids[i]);
		vg_send_raw(&g, &h, "evil", 4, 1);
		vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p);
		cr_assert_eq(le64_get(p.h.src_cid), cids[i], "as if nobody listened there");
	}
	cr_assert_lt(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), 0);
	cr_assert_eq(g.d.dev->errors, ARRAY_SIZE(cids));
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "good", 4);
	cr_assert_eq(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), 4);
	close(fd);
	vg_done(&g);
}

Test(vsock_attack, types_and_ops)
{
	struct vsock_hdr h;
	struct vg_packet p;
	struct vg_flow f;
	struct vg g;

	vg_init(&g, true, 0);
	for (unsigned op = 0; op < 300; op++) {
		int fd = vg_open(&g, &f, 1024, 5000);
		bool fine = op == VIRTIO_VSOCK_OP_RW || op == VIRTIO_VSOCK_OP_CREDIT_UPDATE ||
			    op == VIRTIO_VSOCK_OP_SHUTDOWN;
		h = vg_hdr(&f, (uint16_t)op, 0, 0);
		vg_send_raw(&g, &h, NULL, 0, 1);
		if (op == VIRTIO_VSOCK_OP_CREDIT_REQUEST) {
			vg_expect(&g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, &p);
		} else if (op != VIRTIO_VSOCK_OP_RST && !fine) {
			vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p);
		}
		cr_assert(vg_silent(&g), "op %u", op);
		vg_send(&g, &f, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
		close(fd);
		drv_run(&g.d);
		cr_assert(vg_silent(&g));
	}
	for (unsigned type = 0; type < 4; type++) {
		if (type == VIRTIO_VSOCK_TYPE_STREAM)
			continue;
		h = vg_hdr(&f, VIRTIO_VSOCK_OP_REQUEST, 0, 0);
		h.type = le16_put((uint16_t)type);
		vg_send_raw(&g, &h, NULL, 0, 1);
		vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p);
		h.op = le16_put(VIRTIO_VSOCK_OP_RST);
		vg_send_raw(&g, &h, NULL, 0, 1);
		cr_assert(vg_silent(&g), "an RST is never answered");
	}
	cr_assert(!drv_broken(&g.d));
	vg_done(&g);
}

/* An answer that nobody asked for doesn't complete a connect, nor does data open it. */
Test(vsock_attack, connecting)
{
	static const uint16_t ops[] = { VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_OP_SHUTDOWN,
					VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_CREDIT_UPDATE,
					99 };
	struct vg_packet p;
	struct vg g;

	vg_init(&g, true, 0);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		int sv[2];
		cr_assert_eq(fd_socketpair(sv, false), 0);
		cr_assert_eq(virtio_vsock_connect(g.d.dev, 9, sv[0], NULL, NULL), 0);
		vg_expect(&g, VIRTIO_VSOCK_OP_REQUEST, &p);
		struct vg_flow f = { .host_port = le32_get(p.h.src_port), .guest_port = 9 };
		vg_send(&g, &f, ops[i], 0, NULL, 0);
		vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p);
		cr_assert(vg_silent(&g));
		close(sv[1]);
	}
	vg_done(&g);
}

/* An answer to a request that the guest has not seen yet: it guesses ports. */
Test(vsock_attack, answers_before_the_question)
{
	struct vg_flow f = { .host_port = 0x40000000, .guest_port = 9, .buf_alloc = 4096 };
	struct vg_packet p;
	int sv[2];
	struct vg g;

	vg_init(&g, false, 0);
	vg_start(&g, 0, 0);
	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert_eq(virtio_vsock_connect(g.d.dev, 9, sv[0], NULL, NULL), 0);
	cr_assert_eq(vg_vsock(&g)->conns[0].host_port, f.host_port);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RESPONSE, 0, NULL, 0);
	cr_assert_eq(vg_vsock(&g)->conns[0].state, VSOCK_RESET);
	vg_post_rx(&g, 2);
	vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p);
	cr_assert(vg_silent(&g));
	close(sv[1]);
	vg_done(&g);
}

/* More data than credit was given: the flow is reset, and no more was held than the cap. */
Test(vsock_attack, ignores_our_credit)
{
	static uint8_t data[65536];
	struct vg_packet p;
	struct vg_flow f;
	unsigned sent = 0;
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	for (;;) {
		vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
		cr_assert(vg_valid(&g));
		cr_assert_lt(++sent, 20, "never stopped");
		if (vg_recv(&g, &p) && le16_get(p.h.op) == VIRTIO_VSOCK_OP_RST)
			break;
	}
	cr_assert(!drv_broken(&g.d), "only the flow suffers");
	close(fd);
	vg_done(&g);
}

Test(vsock_attack, lies_about_its_credit)
{
	static const struct {
		uint32_t buf_alloc, fwd_cnt;
	} lies[] = { { 0, 0 },		{ UINT32_MAX, UINT32_MAX }, { UINT32_MAX, 1 },
		     { 100, 1U << 31 }, { 0, UINT32_MAX },	    { 1, UINT32_MAX - 1 } };
	static uint8_t data[30000];
	struct vg_packet p;
	struct vg_flow f;
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		uint64_t got = 0;
		fd = vg_open(&g, &f, 1024, 5000);
		for (size_t k = 0; k < ARRAY_SIZE(lies); k++) {
			f.buf_alloc = lies[(i + k) % ARRAY_SIZE(lies)].buf_alloc;
			f.fwd_cnt = lies[(i + k) % ARRAY_SIZE(lies)].fwd_cnt;
			vg_send(&g, &f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
		}
		cr_assert_eq(write(fd, data, sizeof(data)), sizeof(data));
		while (vg_recv(&g, &p))
			got += le32_get(p.h.len);
		/* With the truth everything comes; nothing was lost and nothing came twice. */
		f.buf_alloc = UINT32_MAX;
		f.fwd_cnt = (uint32_t)got;
		vg_send(&g, &f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
		while (vg_recv(&g, &p))
			got += le32_get(p.h.len);
		cr_assert_eq(got, sizeof(data), "lie %zu: %llu", i, (unsigned long long)got);
		cr_assert(vg_valid(&g));
		vg_send(&g, &f, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
		close(fd);
	}
	vg_done(&g);
}

Test(vsock_attack, talks_after_its_end)
{
	struct vg_packet p;
	struct vg_flow f;
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "more", 4);
	vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p);
	close(fd);
	vg_done(&g);
}

/* A guest without receive buffers goes on talking to a flow whose RST it can't be sent. */
Test(vsock_attack, talks_to_a_reset_flow)
{
	struct vg_packet p;
	struct vg_flow f;
	struct vg g;
	int fd;

	vg_init(&g, false, 0);
	vg_start(&g, 0, 2);
	fd = vg_open(&g, &f, 1024, 5000);
	while (vg_take(&g, &p))
		;
	f.host_port = 1;
	for (int i = 0; i < 2; i++) /* uses up the buffers */
		vg_send(&g, &f, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	f.host_port = 1024;
	vg_send(&g, &f, 99, 0, NULL, 0);
	cr_assert_eq(vg_vsock(&g)->conns[0].state, VSOCK_RESET);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, "data", 4);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_SHUTDOWN, 3, NULL, 0);
	cr_assert_eq(vg_vsock(&g)->conns[0].state, VSOCK_RESET);
	vg_send(&g, &f, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	cr_assert_eq(vg_vsock(&g)->conns[0].state, VSOCK_FREE);
	cr_assert(vg_valid(&g));
	close(fd);
	vg_done(&g);
}

/* A bad receive buffer is met when the host has something to say. */
Test(vsock_attack, bad_buffer_met_by_the_host)
{
	struct vg_packet p;
	struct vg_flow f;
	struct vg g;
	char c;
	int fd;

	vg_init(&g, false, 0);
	vg_start(&g, 0, 1);
	fd = vg_open(&g, &f, 1024, 5000);
	while (vg_take(&g, &p))
		;
	struct drv_seg s = { 0x100000, 64, false };
	f.host_port = 1; /* the one buffer goes for an RST */
	vg_send(&g, &f, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	cr_assert_geq(drv_post(&g.d, VSOCK_QUEUE_RX, &s, 1, false), 0);
	drv_run(&g.d);
	cr_assert(!drv_broken(&g.d), "nobody has looked at it yet");
	cr_assert_eq(write(fd, "x", 1), 1);
	drv_run(&g.d);
	cr_assert(drv_broken(&g.d));
	cr_assert_leq(recv(fd, &c, 1, MSG_DONTWAIT), 0);
	close(fd);
	vg_done(&g);
}

/* More in one kick than a round may take: the rest comes in the next, without another kick. */
Test(vsock_attack, large_batch)
{
	unsigned used = 0, posted = 0;
	struct vsock_hdr h;
	uint32_t head, len;
	struct vg_flow f;
	struct vg g;
	int fd;

	vg_init(&g, true, 0);
	fd = vg_open(&g, &f, 1024, 5000);
	h = vg_hdr(&f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 65536);
	drv_write(&g.d, g.tx_hdr, &h, sizeof(h));
	struct drv_seg s[2] = { { g.tx_hdr, sizeof(h), false }, { g.tx_data, 65536, false } };
	while (drv_post(&g.d, VSOCK_QUEUE_TX, s, 2, false) >= 0)
		posted++;
	cr_assert_eq(loop_step(g.d.loop, 0), 0);
	while (drv_used(&g.d, VSOCK_QUEUE_TX, &head, &len))
		used++;
	cr_assert(used > 0 && used < posted, "%u of %u in one round", used, posted);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(loop_step(g.d.loop, 0), 0);
	while (drv_used(&g.d, VSOCK_QUEUE_TX, &head, &len))
		used++;
	cr_assert_eq(used, posted);
	close(fd);
	vg_done(&g);
}

/* The table is full: the next is refused, its listener waits on, and a free slot is used. */
Test(vsock_attack, table_full)
{
	struct vg_flow f[VSOCK_CONNS_MAX + 1];
	int fd[VSOCK_CONNS_MAX], sv[2], result = 1;
	struct vg_packet p;
	struct vg g;

	vg_init(&g, true, 0);
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++)
		fd[i] = vg_open(&g, &f[i], 1024, 5000 + i);
	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert_eq(virtio_vsock_connect(g.d.dev, 9, sv[0], NULL, &result), -ENOSPC);
	cr_assert_eq(virtio_vsock_listen(g.d.dev, 1024, sv[0]), 0);
	f[VSOCK_CONNS_MAX] = (struct vg_flow){ .host_port = 1024, .guest_port = 4000 };
	vg_send(&g, &f[VSOCK_CONNS_MAX], VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_RST, &p);
	vg_send(&g, &f[10], VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	vg_send(&g, &f[VSOCK_CONNS_MAX], VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	vg_expect(&g, VIRTIO_VSOCK_OP_RESPONSE, &p);
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++)
		close(fd[i]);
	vg_done(&g);
}

Test(vsock_attack, listens_full)
{
	struct vg g;
	int sv[2];

	vg_init(&g, true, 0);
	for (unsigned i = 0; i < VSOCK_LISTENS_MAX; i++) {
		cr_assert_eq(fd_socketpair(sv, false), 0);
		cr_assert_eq(virtio_vsock_listen(g.d.dev, 1, sv[0]), 0);
		close(sv[1]);
	}
	cr_assert_eq(fd_socketpair(sv, false), 0);
	cr_assert_eq(virtio_vsock_listen(g.d.dev, 1, sv[0]), -ENOSPC);
	cr_assert_eq(write(sv[0], "x", 1), 1, "the fd is still the caller's");
	vg_done(&g);
}

/* A storm of refused requests without receive buffers: bounded, and every answer comes in time. */
Test(vsock_attack, rst_storm)
{
	const unsigned storm = 1000;
	struct vg_packet p;
	unsigned posted = 0, rsts = 0;
	uint32_t head, len;
	struct vg g;

	vg_init(&g, false, 0);
	vg_start(&g, 0, 0);
	while (posted < storm) {
		struct vg_flow f = { .host_port = 1, .guest_port = posted };
		struct vsock_hdr h = vg_hdr(&f, VIRTIO_VSOCK_OP_REQUEST, 0, 0);
		struct drv_seg s = { drv_alloc(&g.d, sizeof(h), 4), sizeof(h), false };
		drv_write(&g.d, s.addr, &h, sizeof(h));
		if (drv_post(&g.d, VSOCK_QUEUE_TX, &s, 1, false) >= 0)
			posted++;
		drv_run(&g.d);
		cr_assert_leq(vg_vsock(&g)->stray_count, VSOCK_STRAYS_MAX);
		while (drv_used(&g.d, VSOCK_QUEUE_TX, &head, &len))
			;
		if (g.d.q[VSOCK_QUEUE_TX].nfree > 0)
			continue;
		/* Stalled, as it must be; buffers get it going. */
		vg_post_rx(&g, 50);
		drv_run(&g.d);
		while (vg_take(&g, &p)) {
			cr_assert_eq(le16_get(p.h.op), VIRTIO_VSOCK_OP_RST);
			cr_assert_eq(le32_get(p.h.dst_port), rsts, "in order");
			rsts++;
		}
	}
	for (int i = 0; i < 30; i++) {
		vg_post_rx(&g, 50);
		drv_run(&g.d);
		while (vg_take(&g, &p))
			rsts++;
		while (drv_used(&g.d, VSOCK_QUEUE_TX, &head, &len))
			;
		if (rsts >= storm)
			break;
	}
	cr_assert_eq(rsts, storm);
	cr_assert(!drv_broken(&g.d));
	vg_done(&g);
}

/* The device is reset with data in all places at once. */
Test(vsock_attack, reset_mid_stream)
{
	static uint8_t data[65536];
	struct vg_flow f;
	struct vg g;

	vg_init(&g, true, 0);
	for (int i = 0; i < 50; i++) {
		int fd = vg_open(&g, &f, 1024, 5000);
		cr_assert_gt(write(fd, data, sizeof(data)), 0);
		vg_send(&g, &f, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
		if (i % 3 == 0)
			vg_send(&g, &f, VIRTIO_VSOCK_OP_SHUTDOWN, 3, NULL, 0);
		g.d.brk = 0x200000;
		memset(g.rx_addr, 0, sizeof(g.rx_addr));
		if (i % 2 == 0)
			drv_set(&g.d, 0x70, 0);
		if (i % 4 == 0)
			drv_run(&g.d);
		vg_start(&g, 0, 100);
		cr_assert(vg_valid(&g));
		close(fd);
	}
	vg_done(&g);
}
