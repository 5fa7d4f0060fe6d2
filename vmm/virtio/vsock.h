/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock.h - private to the vsock device's files:
 *
 *     vsock.c       the device: entry points, listeners, connect, reset
 *     vsock_event.c transport reset, after a restore
 *     vsock_tx.c    packets from the guest: checked, and given to their connection
 *     vsock_rx.c    packets to the guest: control packets and data from the host's fds
 *     vsock_conn.c  one connection: its table slot, its states, its backlog towards the fd
 *
 * Everything here runs on the loop's thread with dev->lock held, after vsock_settle. Results:
 * 0 or more; negative = the guest broke the rules of the queue and the device must fail.
 */
#ifndef VMM_VIRTIO_VSOCK_H
#define VMM_VIRTIO_VSOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/le.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/vsock_credit.h"

#define VSOCK_QUEUE_RX	  0U
#define VSOCK_QUEUE_TX	  1U
#define VSOCK_QUEUE_EVENT 2U

#define VSOCK_CONNS_MAX	  64U
#define VSOCK_LISTENS_MAX 64U
#define VSOCK_STRAYS_MAX  64U
#define VSOCK_PACKET_MAX  65536U /* data bytes in one packet, either way */
#define VSOCK_CID_HOST	  2U

struct vsock_hdr {
	le64_t src_cid;
	le64_t dst_cid;
	le32_t src_port;
	le32_t dst_port;
	le32_t len;
	le16_t type;
	le16_t op;
	le32_t flags;
	le32_t buf_alloc;
	le32_t fwd_cnt;
} PACKED;
_Static_assert(sizeof(struct vsock_hdr) == 44, "virtio 1.2, section 5.10.6");

/* Counters; rx is towards the guest. */
enum vsock_counter {
	VSOCK_RX_PACKETS,
	VSOCK_RX_BYTES,
	VSOCK_TX_PACKETS,
	VSOCK_TX_BYTES,
	VSOCK_OPENED,
	VSOCK_REFUSED,
	VSOCK_RSTS,
	VSOCK_SPOOFED,
	VSOCK_RX_STARVED,
	VSOCK_TX_STALLED,
	VSOCK_COUNTERS
};

enum vsock_state {
	VSOCK_FREE,
	VSOCK_CONNECTING, /* the host wants it; waits for the guest's RESPONSE */
	VSOCK_OPEN,
	VSOCK_LINGER, /* over for both; the fd is closed, the guest has still to say RST */
	VSOCK_RESET,  /* aborted; the fd is closed, our RST has still to be sent */
	VSOCK_DRAIN,  /* over for the guest; what it sent is still on its way to the fd */
	VSOCK_STATE_COUNT,
};

/* Control packets that a connection owes the guest, in the order in which they are sent. */
enum vsock_owed {
	VSOCK_OWES_REQUEST = 1U << 0,
	VSOCK_OWES_RESPONSE = 1U << 1,
	VSOCK_OWES_CREDIT_UPDATE = 1U << 2,
	VSOCK_OWES_CREDIT_REQUEST = 1U << 3,
	VSOCK_OWES_SHUTDOWN = 1U << 4, /* after the data */
	VSOCK_OWES_RST = 1U << 5,
};

struct vsock;

struct vsock_conn {
	struct vsock *v;
	enum vsock_state state;
	uint32_t host_port, guest_port;
	int fd;
	struct loop_io *io;
	/* Edge-triggered readiness: true until a call has said EAGAIN. */
	bool can_read, can_write;
	bool watch_out;	     /* the loop is asked to tell when it can be written */
	bool read_ended;     /* the host peer writes no more; its end of file is still to be read */
	bool hung_up;	     /* the host peer is gone, in both directions */
	bool write_shut;     /* shutdown(SHUT_WR) has been called */
	unsigned owed;	     /* enum vsock_owed */
	unsigned guest_shut; /* what the guest has declared: VIRTIO_VSOCK_SHUTDOWN_* */
	unsigned host_shut;  /* what we have declared, or owe */
	bool credit_asked;   /* since the guest's credit ran out */
	struct vsock_credit credit;
	uint8_t *ring; /* VSOCK_BUF_BYTES: from the guest, not yet accepted by the fd */
	uint32_t ring_off, ring_len;
	/* connect only */
	struct loop_timer *timer;
	virtio_vsock_done_fn *done; /* NULL: nobody waits */
	void *done_arg;
	bool done_ready; /* to be called with done_result; the slot isn't free before */
	int done_result;
};

struct vsock_listen {
	uint32_t port;
	int fd;
};

/* An RST for a flow that has no slot. */
struct vsock_stray {
	uint64_t src_cid;
	uint32_t src_port, dst_port;
	uint16_t type;
};

struct vsock {
	struct virtio_dev dev;
	uint64_t guest_cid;
	int wake_fd; /* eventfd: run on_wake soon */
	struct loop_io *wake_io;
	bool reset_pending;    /* the guest's side is gone: connections are to be dropped */
	bool event_owed;       /* a transport reset is to be told */
	bool event_shown;      /* and is being worked on: no REQUEST until then */
	bool rx_starved;       /* no rx buffer; a kick will tell */
	bool tx_stalled;       /* waits for room among the strays */
	unsigned pump_from;    /* the connection whose turn it is */
	uint32_t next_port;    /* for connect */
	uint16_t event_posted; /* event buffers that the guest had posted when it was shown */
	struct vsock_conn conns[VSOCK_CONNS_MAX];
	struct vsock_listen listens[VSOCK_LISTENS_MAX]; /* oldest first */
	unsigned listen_count;
	struct vsock_stray strays[VSOCK_STRAYS_MAX]; /* oldest first */
	unsigned stray_count;
	uint8_t *rings; /* VSOCK_CONNS_MAX of VSOCK_BUF_BYTES; touched only when an fd is slow */
	struct virtq_chain chain;
	struct iovec iov[VIRTQ_SIZE_MAX];
};

/* vsock.c */
/* Have on_wake called: results of connects to deliver, or more to pump. */
void vsock_wake(struct vsock *v);
/* A connection's fd is ready; arg is the connection. */
loop_io_fn vsock_on_fd;
/* The oldest fd that listens on port, given up by the table; -1 = none. */
int vsock_listen_take(struct vsock *v, uint32_t port);

/* vsock_conn.c */
struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port);
/* A slot in state OPEN that owns fd (on success): 0, -ENOSPC, or another -errno of the host's. */
MUST_USE int vsock_conn_new(struct vsock *v, uint32_t host_port, uint32_t guest_port, int fd,
			    struct vsock_conn **ret);
/* Whether vsock_conn_new would find a slot. */
bool vsock_conn_room(const struct vsock *v);
/* Frees the slot at once; a waiting connect gets `result`. */
void vsock_conn_drop(struct vsock_conn *c, int result);
/* Aborts: fd closed, RST to the guest; a waiting connect gets `result`. */
void vsock_conn_abort(struct vsock_conn *c, int result);
/* The guest knows the flow no more (RST, or a reset of the device): what it had sent still goes
 * where it was meant to go, then the slot is free. */
void vsock_conn_orphan(struct vsock_conn *c);
/* A checked packet of this flow; its data are at VSOCK_HDR bytes of v->chain. */
MUST_USE int vsock_conn_packet(struct vsock_conn *c, const struct vsock_hdr *h);
/* Whether the loop is to tell when the fd takes bytes again. */
void vsock_conn_watch_out(struct vsock_conn *c, bool on);
/* The fd takes bytes again: sends the backlog. */
void vsock_conn_flush(struct vsock_conn *c);
/* The fd has nothing more to read (gone: and takes nothing more either). */
void vsock_conn_eof(struct vsock_conn *c, bool gone);
/* The SHUTDOWN that was owed has been sent. */
void vsock_conn_shutdown_sent(struct vsock_conn *c);
/* Does the invariant hold? For tests and fuzzing. */
bool vsock_conn_valid(const struct vsock_conn *c);

/* vsock_tx.c */
MUST_USE int vsock_tx(struct vsock *v);

/* vsock_event.c */
/* Tells the guest of a transport reset, if that is owed and there is a buffer for it, and sees
 * whether it has worked on the one that it was told of. */
MUST_USE int vsock_event_pump(struct vsock *v);

/* vsock_rx.c */
/* Sends what can be sent to the guest, a bounded amount; wakes itself for the rest. */
MUST_USE int vsock_rx_pump(struct vsock *v);
/* Owes the guest an RST in answer to h. The caller has seen that there is room. */
void vsock_rx_stray(struct vsock *v, const struct vsock_hdr *h);

#endif
