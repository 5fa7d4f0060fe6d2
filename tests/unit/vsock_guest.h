/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_guest.h - a guest's vsock driver for tests: posts receive buffers, sends packets, and keeps
 * the credit of one flow as an honest guest would.
 */
#ifndef TESTS_UNIT_VSOCK_GUEST_H
#define TESTS_UNIT_VSOCK_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "fake_driver.h"
#include "vmm/virtio/vsock.h"

#define VG_CID	     UINT64_C(42)
#define VG_RX_BYTES  4096U  /* data in one receive buffer */
#define VG_TX_BYTES  65600U /* a little more than a legal packet */
#define VG_BUF_ALLOC 262144U

struct vg {
	struct drv d;
	unsigned rx_buffers;
	bool rx_split;	       /* every third receive buffer is in pieces, its header too */
	uint64_t rx_addr[128]; /* by head */
	uint64_t tx_hdr, tx_data;
};

/* One flow as the guest sees it. */
struct vg_flow {
	uint32_t host_port, guest_port;
	uint32_t buf_alloc, tx_cnt, rx_cnt, fwd_cnt; /* ours */
	uint32_t peer_buf, peer_fwd;
};

struct vg_packet {
	struct vsock_hdr h;
	uint8_t data[VG_RX_BYTES];
};

/* Memory, loop and device; with `start` the driver too, with all receive buffers posted. */
void vg_init(struct vg *g, bool start, uint64_t without);
void vg_start(struct vg *g, uint64_t without, unsigned rx_buffers);
void vg_done(struct vg *g);
struct vsock *vg_vsock(struct vg *g);
/* All connections keep their invariants. */
bool vg_valid(struct vg *g);

/* Posts n receive buffers. */
void vg_post_rx(struct vg *g, unsigned n);
/* The next packet, its buffer not posted again yet. */
bool vg_take(struct vg *g, struct vg_packet *p);
/* vg_take with the loop run before, and the buffer posted again. */
bool vg_recv(struct vg *g, struct vg_packet *p);
/* Receives the next packet and demands this op. */
void vg_expect(struct vg *g, uint16_t op, struct vg_packet *p);
/* No packet comes. */
bool vg_silent(struct vg *g);

/* Sends any header with `bytes` behind it in `segs` pieces. */
void vg_send_raw(struct vg *g, const struct vsock_hdr *h, const void *data, uint32_t bytes,
		 unsigned segs);
struct vsock_hdr vg_hdr(const struct vg_flow *f, uint16_t op, uint32_t flags, uint32_t len);
/* Sends a packet of the flow and runs the device. */
void vg_send(struct vg *g, struct vg_flow *f, uint16_t op, uint32_t flags, const void *data,
	     uint32_t len);
/* Notes what a packet says about credit. */
void vg_note(struct vg_flow *f, const struct vg_packet *p);
/* How much the flow may send. */
uint32_t vg_space(const struct vg_flow *f);

/* Opens a flow from the guest to a listening host port: *f and the host's end of the pair. */
int vg_open(struct vg *g, struct vg_flow *f, uint32_t host_port, uint32_t guest_port);
/* Opens one from the host: done(0) has been called. */
int vg_open_host(struct vg *g, struct vg_flow *f, uint32_t guest_port);

/* Byte i of the stream that bulk tests send. */
static inline uint8_t vg_pattern(uint64_t i)
{
	return (uint8_t)((i * UINT64_C(2654435761)) >> 13 ^ i >> 16);
}

#endif
