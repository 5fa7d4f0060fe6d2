/* SPDX-License-Identifier: Apache-2.0 */
#include "net_rig.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define BUFFER_BYTES 4096U

unsigned net_offload_flags, net_offload_calls;

static int set_offload(int tap, unsigned flags)
{
	(void)tap;
	net_offload_flags = flags;
	__atomic_fetch_add(&net_offload_calls, 1, __ATOMIC_RELEASE);
	return 0;
}

struct virtio_net_spec net_spec(unsigned pairs)
{
	return (struct virtio_net_spec){
		.mac = { 2, 0, 0, 0, 0, 1 }, .mtu = 1500, .pairs = pairs, .set_offload = set_offload
	};
}

void net_rig_new(struct net_rig *r, const struct virtio_net_spec *spec)
{
	const int room = 1 << 20;
	int taps[VIRTIO_NET_PAIRS_MAX], sv[2];
	struct virtio_dev *dev;

	memset(r, 0, sizeof(*r));
	net_offload_flags = net_offload_calls = 0;
	for (unsigned i = 0; i < spec->pairs; i++) {
		BUG_ON(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) < 0);
		(void)setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		(void)setsockopt(sv[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		taps[i] = sv[0];
		r->host[i] = sv[1];
	}
	drv_init(&r->d);
	BUG_ON(virtio_net_new(&r->d.mem, spec, taps, &dev) < 0);
	drv_attach(&r->d, dev);
}

void net_rig_open(struct net_rig *r, unsigned pairs, uint64_t without)
{
	const struct virtio_net_spec spec = net_spec(pairs);

	net_rig_new(r, &spec);
	drv_start(&r->d, without);
}

void net_rig_done(struct net_rig *r)
{
	drv_done(&r->d);
	for (unsigned i = 0; i < VIRTIO_NET_PAIRS_MAX; i++)
		if (r->host[i] > 0)
			(void)close(r->host[i]);
}

static uint8_t pattern(size_t i, uint8_t seed)
{
	return (uint8_t)(i * 7 + (i >> 8) + seed);
}

bool net_is_pattern(const uint8_t *frame, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		if (frame[i] != pattern(i, seed))
			return false;
	return true;
}

bool net_host_send(struct net_rig *r, unsigned tap, struct net_hdr h, size_t len, uint8_t seed)
{
	static uint8_t frame[NET_FRAME_MAX + 100];
	struct iovec iov[2] = { { &h, sizeof(h) }, { frame, len } };
	ssize_t n;

	BUG_ON(len > sizeof(frame));
	for (size_t i = 0; i < len; i++)
		frame[i] = pattern(i, seed);
	n = writev(r->host[tap], iov, 2);
	BUG_ON(n < 0 && errno != EAGAIN);
	return n >= 0;
}

ssize_t net_host_recv(struct net_rig *r, unsigned tap, struct net_hdr *h, uint8_t *frame,
		      size_t cap, int timeout_ms)
{
	struct iovec iov[2] = { { h, sizeof(*h) }, { frame, cap } };
	struct pollfd p = { .fd = r->host[tap], .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, timeout_ms) <= 0)
		return -1;
	n = readv(r->host[tap], iov, 2);
	BUG_ON(n < (ssize_t)sizeof(*h));
	return n - (ssize_t)sizeof(*h);
}

void net_post(struct net_rig *r, unsigned p, unsigned count, uint32_t bytes)
{
	struct drv_seg s = { .len = bytes, .write = true };

	for (unsigned i = 0; i < count; i++) {
		s.addr = drv_alloc(&r->d, bytes, 1);
		BUG_ON(drv_post(&r->d, 2 * p, &s, 1, false) < 0);
	}
}

/* Where the buffer of this used element lies: the driver's own descriptor says. */
static uint64_t buffer_at(struct net_rig *r, unsigned p, uint32_t head)
{
	uint64_t addr;

	drv_read(&r->d, r->d.q[2 * p].desc + 16 * (uint64_t)head, &addr, sizeof(addr));
	return addr;
}

ssize_t net_guest_recv(struct net_rig *r, unsigned p, struct net_hdr *h, uint8_t seed,
		       int timeout_ms)
{
	static uint8_t frame[NET_FRAME_MAX + BUFFER_BYTES];
	size_t len = 0, skip = sizeof(*h);
	uint32_t head, used;
	unsigned buffers = 1;

	if (!drv_wait_used(&r->d, 2 * p, &head, &used, timeout_ms))
		return -1;
	BUG_ON(used < sizeof(*h));
	drv_read(&r->d, buffer_at(r, p, head), h, sizeof(*h));
	for (;;) {
		BUG_ON(len + used - skip > sizeof(frame));
		drv_read(&r->d, buffer_at(r, p, head) + skip, frame + len, used - skip);
		len += used - skip;
		skip = 0;
		if (buffers++ >= le16_get(h->num_buffers))
			break;
		/* All of a frame's buffers become visible at once. */
		BUG_ON(!drv_used(&r->d, 2 * p, &head, &used));
	}
	BUG_ON(!net_is_pattern(frame, len, seed));
	return (ssize_t)len;
}

void net_guest_send(struct net_rig *r, unsigned p, struct net_hdr h, uint32_t len, uint8_t seed,
		    unsigned pieces)
{
	static uint8_t frame[NET_FRAME_MAX + 100];
	struct drv_seg s[1 + 16];
	uint32_t head, used, at = 0;
	uint64_t addr = r->tx_at != 0 ? r->tx_at : drv_alloc(&r->d, sizeof(frame) + sizeof(h), 1);

	r->tx_at = addr;
	BUG_ON(len > sizeof(frame) || pieces > 16);
	for (size_t i = 0; i < len; i++)
		frame[i] = pattern(i, seed);
	drv_write(&r->d, addr, &h, sizeof(h));
	drv_write(&r->d, addr + sizeof(h), frame, len);
	s[0] = (struct drv_seg){ addr, sizeof(h), false };
	for (unsigned i = 0; i < pieces; i++) {
		uint32_t part = i + 1 == pieces ? len - at : len / pieces;
		s[1 + i] = (struct drv_seg){ addr + sizeof(h) + at, part, false };
		at += part;
	}
	BUG_ON(drv_post(&r->d, 2 * p + 1, s, 1 + pieces, false) < 0);
	BUG_ON(!drv_wait_used(&r->d, 2 * p + 1, &head, &used, NET_WAIT_MS));
	BUG_ON(used != 0);
}

uint64_t net_counter(struct net_rig *r, enum net_counter c)
{
	return __atomic_load_n(&r->d.dev->counters[c], __ATOMIC_RELAXED);
}

bool net_counted(struct net_rig *r, enum net_counter c, uint64_t v)
{
	uint64_t end = now_ms() + NET_WAIT_MS;

	while (net_counter(r, c) < v) {
		if (now_ms() > end)
			return false;
		(void)usleep(1000);
	}
	return true;
}
