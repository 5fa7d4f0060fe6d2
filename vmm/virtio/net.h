/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.h - what the parts of the network device share: net.c (the device), net_rx.c and net_tx.c
 * (frames towards the guest, and from it), net_hdr.c (the header in front of each), net_ctrl.c.
 *
 * Everything here belongs to the device's thread, with dev->lock held, unless it says otherwise.
 */
#ifndef VMM_VIRTIO_NET_H
#define VMM_VIRTIO_NET_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/le.h"
#include "base/loop.h"
#include "vmm/virtio/limiter.h"
#include "vmm/virtio/virtio.h"

#define NET_QUEUE_SIZE 256U
/* An Ethernet header; with a VLAN tag, in front of the largest IP packet. */
#define NET_FRAME_MIN	   14U
#define NET_FRAME_OVERHEAD 18U
#define NET_FRAME_MAX	   (NET_FRAME_OVERHEAD + 65535U)
#define NET_IOV_MAX	   1024U /* the kernel's limit for readv */

/* In front of each frame, on the queues and on the tap alike (virtio 1.2, 5.1.6). */
struct net_hdr {
	uint8_t flags;
	uint8_t gso_type;
	le16_t hdr_len;
	le16_t gso_size;
	le16_t csum_start;
	le16_t csum_offset;
	le16_t num_buffers; /* towards the guest only */
};
_Static_assert(sizeof(struct net_hdr) == VIRTIO_NET_HDR_BYTES, "struct virtio_net_hdr_v1");

/*
 * Pure. May the guest's header, in front of a frame of `len` bytes, go to the host? If so, *ret is
 * what the host gets: only what was negotiated and checked, nothing else of the guest's.
 */
MUST_USE bool net_hdr_from_guest(const struct net_hdr *h, uint64_t features, uint64_t len,
				 struct net_hdr *ret);
/* Pure. Can the guest, with these features and this MTU, take a frame of `len` bytes that the host
 * put this header in front of? Clears what it shall not see. */
MUST_USE bool net_hdr_to_guest(struct net_hdr *h, uint64_t features, uint64_t len, unsigned mtu);

/* dev->counters; the names are in net.c. */
enum net_counter {
	NET_RX_FRAMES,
	NET_RX_BYTES,
	NET_RX_DROPPED,	  /* link down, paused, or nothing that the guest can take */
	NET_RX_STARVED,	  /* times that frames may have to wait for buffers */
	NET_RX_THROTTLED, /* times that the limit made frames wait */
	NET_TX_FRAMES,
	NET_TX_BYTES,
	NET_TX_DROPPED,	  /* link down, or refused by the host */
	NET_TX_MALFORMED, /* headers and lengths that no driver may send */
	NET_TX_THROTTLED,
	NET_COUNTER_COUNT
};

struct net_rx_buf {
	uint16_t head;
	uint64_t bytes;
};

/* A receive queue and the frame that is being put into it. */
struct net_rx {
	bool starved; /* the driver has been asked to kick when it posts buffers */
	unsigned tap; /* which of the queue's taps is read next */
	/* Length of the last frame: for so much is room gathered before the next one is read. */
	uint64_t expect;
	/* What the frame goes to: chains popped and not pushed. bufs_count > 0 between two rounds
	 * means that the frame's end waits in `spill` for more of them. */
	unsigned bufs_count;
	struct net_rx_buf bufs[NET_QUEUE_SIZE];
	uint64_t room; /* in them, less the header's */
	struct virtq_chain first;
	struct net_hdr hdr;
	uint64_t len;			  /* of the frame */
	uint64_t spill_len, spill_at;	  /* of it in spill; of that already in a buffer */
	uint8_t spill[NET_FRAME_MAX + 1]; /* one more, to see what is too long */
};

struct net {
	struct virtio_dev dev;
	unsigned pairs;	 /* queue pairs, one tap queue each */
	unsigned active; /* that the driver uses: 1 until it says otherwise */
	int taps[VIRTIO_NET_PAIRS_MAX];
	struct loop_io *tap_ios[VIRTIO_NET_PAIRS_MAX];
	unsigned mtu;
	bool link_up;
	struct limiter receive, send;
	bool receive_limited, send_limited;
	uint64_t receive_owed; /* the last frame that was read, until it is charged to `receive` */
	virtio_net_offload_fn *set_offload;
	unsigned offload;	      /* what set_offload was last called with */
	struct limiter offload_limit; /* how often it may be */
	int timer_fd;
	struct loop_io *timer_io;
	uint64_t timer_ns;	  /* when it is due; 0 = not armed */
	struct virtq_chain chain; /* the one being looked at */
	struct iovec iov[NET_IOV_MAX];
	struct net_rx rx[];
};

static inline struct virtq *net_rx_queue(struct net *n, unsigned pair)
{
	return &n->dev.queues[2 * pair];
}
static inline struct virtq *net_tx_queue(struct net *n, unsigned pair)
{
	return &n->dev.queues[2 * pair + 1];
}
static inline void net_count(struct net *n, enum net_counter counter, uint64_t v)
{
	virtio_dev_count(&n->dev, counter, v);
}
/* Serves every queue again in wait_ns, or earlier. */
void net_wake_in(struct net *n, uint64_t wait_ns);
/* Has every queue served once more. */
void net_kick_all(struct net *n);
/* Has the host been told what kinds of frames the guest takes? If not, the timer is set. */
MUST_USE bool net_offload_ready(struct net *n);

/* Moves frames from the pair's taps to the guest: as many as there are and as it has buffers for,
 * within a round's budget. 0, or negative: the guest broke the rules. */
MUST_USE int net_rx_run(struct net *n, unsigned pair);
/* The driver has posted buffers. */
MUST_USE int net_rx_kicked(struct net *n, unsigned pair);
/* Forgets a frame in delivery and gives its buffers back to the queue (not after a reset). */
void net_rx_drop(struct net *n, unsigned pair);

/* Moves frames from the guest to the pair's tap, likewise. */
MUST_USE int net_tx_run(struct net *n, unsigned pair);

/* The control queue: is queue q it? And what waits in it is done, as above. */
MUST_USE bool net_is_ctrl(const struct net *n, unsigned q);
/* Can the driver use so many pairs? */
MUST_USE bool net_has_pairs(struct net *n, unsigned pairs);
MUST_USE int net_ctrl_run(struct net *n, unsigned q);

#endif
