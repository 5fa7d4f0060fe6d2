/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network card between the guest's queues and a tap (virtio 1.2, section 5.1).
 *
 * Theory of operation: the device has a thread of its own, which serves all its queues and taps,
 * with dev->lock held. Pair p is queues 2p (towards the guest) and 2p + 1, and tap queue p. The
 * host spreads flows over all taps whatever the guest uses, so with `active` pairs in use the
 * frames of tap t go to pair t % active: no tap has to be detached, and no flow is lost.
 *
 * The taps are configured by who made them. The one thing that can't be known then is which kinds
 * of frames the guest's driver will take: the host is told (set_offload) when the driver has
 * started, and no frame is read before. That takes a lock of the whole host's network, so it
 * happens only when the answer differs from the last one, and not more often than a few times a
 * second.
 */
#include "vmm/virtio/net.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "vmm/virtio/devices.h"
#include "vmm/vmm_fds.h"

#define QUEUES_MAX (2 * VIRTIO_NET_PAIRS_MAX + 1)
_Static_assert(QUEUES_MAX <= VIRTIO_QUEUES_MAX, "two queues a pair and the control queue");

#define NS_PER_S	UINT64_C(1000000000)
#define OFFLOAD_BURST	4U
#define OFFLOAD_UNKNOWN UINT_MAX

#define BIT(n) (UINT64_C(1) << (n))
#define NET_FEATURES                                                                               \
	(BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_MAC) |           \
	 BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |                             \
	 BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | \
	 BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_STATUS))

struct net_config {
	uint8_t mac[VIRTIO_NET_MAC_BYTES];
	le16_t status;
	le16_t pairs_max;
	le16_t mtu;
};
_Static_assert(sizeof(struct net_config) == 12, "virtio 1.2, section 5.1.4");

static struct net *to_net(struct virtio_dev *dev)
{
	return CONTAINER_OF(dev, struct net, dev);
}

/* ---- The timer ------------------------------------------------------------------------------ */

void net_wake_in(struct net *n, uint64_t wait_ns)
{
	uint64_t due;
	struct itimerspec when = { 0 };

	if (ADD_OVERFLOW(now_ns(), wait_ns, &due) || due > INT64_MAX)
		due = INT64_MAX;
	if (n->timer_ns != 0 && n->timer_ns <= due)
		return;
	n->timer_ns = due;
	when.it_value.tv_sec = (time_t)(due / NS_PER_S);
	when.it_value.tv_nsec = (long)(due % NS_PER_S);
	BUG_ON(timerfd_settime(n->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0);
}

static int new_timer(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	return fd < 0 ? -errno : fd_lift(fd, VMM_FD_DYNAMIC);
}

void net_kick_all(struct net *n)
{
	for (unsigned q = 0; q < n->dev.queues_count; q++)
		virtio_dev_kick(&n->dev, q);
}

static void on_timer(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct net *n = arg;

	(void)io;
	(void)fd; /* edge-triggered, and set anew before it can be due again: never read */
	(void)events;
	pthread_mutex_lock(&n->dev.lock);
	n->timer_ns = 0;
	net_kick_all(n);
	pthread_mutex_unlock(&n->dev.lock);
}

/* ---- What the host may hand over ------------------------------------------------------------ */

static unsigned offload_flags(const struct virtio_dev *dev)
{
	static const struct {
		unsigned feature, flag;
	} map[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM },
		{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
		{ VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
	};
	unsigned flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		flags |= virtio_dev_has(dev, map[i].feature) ? map[i].flag : 0;
	return flags;
}

bool net_offload_ready(struct net *n)
{
	unsigned flags = offload_flags(&n->dev);
	uint64_t wait_ns;
	int r;

	if (flags == n->offload)
		return true;
	if (!limiter_take(&n->offload_limit, 0, now_ns(), &wait_ns)) {
		net_wake_in(n, wait_ns);
		return false;
	}
	r = n->set_offload(n->taps[0], flags);
	if (r < 0) /* frames that the guest can't take are dropped then (net_hdr_to_guest) */
		log_warn("net.offload", "flags=%#x error=%s", flags, strerrorname_np(-r));
	n->offload = flags;
	return true;
}

/* ---- Queues --------------------------------------------------------------------------------- */

static int net_notify(struct virtio_dev *dev, unsigned q)
{
	struct net *n = to_net(dev);

	if (net_is_ctrl(n, q))
		return net_ctrl_run(n, q);
	if (q / 2 >= n->active)
		return 0; /* of a pair that is not in use */
	return q % 2 == 0 ? net_rx_kicked(n, q / 2) : net_tx_run(n, q / 2);
}

static void on_tap(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct net *n = arg;
	struct virtio_dev *dev = &n->dev;
	unsigned tap = 0, pair;
	int r = 0;

	(void)io;
	(void)events;
	while (n->taps[tap] != fd)
		tap++;
	pthread_mutex_lock(&dev->lock);
	pair = tap % n->active;
	if (dev->active && !dev->paused && net_rx_queue(n, pair)->ready)
		r = net_rx_run(n, pair);
	if (r < 0)
		virtio_dev_fail(dev, strerrordesc_np(-r));
	pthread_mutex_unlock(&dev->lock);
}

/* ---- The device ----------------------------------------------------------------------------- */

static bool net_features_ok(const struct virtio_dev *dev)
{
	/* Each needs one of the others (virtio 1.2, section 5.1.3.1). */
	static const struct {
		unsigned feature;
		uint64_t needs;
	} needs[] = {
		{ VIRTIO_NET_F_GUEST_TSO4, BIT(VIRTIO_NET_F_GUEST_CSUM) },
		{ VIRTIO_NET_F_GUEST_TSO6, BIT(VIRTIO_NET_F_GUEST_CSUM) },
		{ VIRTIO_NET_F_GUEST_ECN,
		  BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) },
		{ VIRTIO_NET_F_HOST_TSO4, BIT(VIRTIO_NET_F_CSUM) },
		{ VIRTIO_NET_F_HOST_TSO6, BIT(VIRTIO_NET_F_CSUM) },
		{ VIRTIO_NET_F_HOST_ECN,
		  BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) },
		{ VIRTIO_NET_F_MQ, BIT(VIRTIO_NET_F_CTRL_VQ) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		if (virtio_dev_has(dev, needs[i].feature) &&
		    (dev->driver_features & needs[i].needs) == 0)
			return false;
	}
	return true;
}

static void net_reset(struct virtio_dev *dev)
{
	struct net *n = to_net(dev);

	n->active = 1;
	for (unsigned i = 0; i < n->pairs; i++) {
		/* The chains are gone with the queues, or nobody asks for them any more. */
		n->rx[i].bufs_count = 0;
		n->rx[i].room = n->rx[i].expect = 0;
		n->rx[i].starved = false;
	}
}

/* A frame that waits for buffers would hold some over the pause. */
static void net_pause(struct virtio_dev *dev)
{
	struct net *n = to_net(dev);

	for (unsigned i = 0; i < n->pairs && dev->active; i++)
		net_rx_drop(n, i);
}

static void put_config(struct net *n, const uint8_t mac[VIRTIO_NET_MAC_BYTES])
{
	struct net_config c = { .pairs_max = le16_put((uint16_t)n->pairs),
				.mtu = le16_put((uint16_t)n->mtu),
				.status = le16_put(n->link_up ? VIRTIO_NET_S_LINK_UP : 0) };

	memcpy(c.mac, mac, sizeof(c.mac));
	memcpy(n->dev.config, &c, sizeof(c));
	n->dev.config_size = sizeof(c);
}

/* docs/SNAPSHOT.md */
struct net_state {
	uint8_t mac[VIRTIO_NET_MAC_BYTES];
	le16_t mtu;
	le16_t active;
	uint8_t link_up, zero;
};
_Static_assert(sizeof(struct net_state) == 12, "docs/SNAPSHOT.md");

static size_t net_save(struct virtio_dev *dev, void *dst)
{
	const struct net *n = to_net(dev);
	struct net_state s = { .mtu = le16_put((uint16_t)n->mtu),
			       .active = le16_put((uint16_t)n->active),
			       .link_up = n->link_up };

	memcpy(s.mac, dev->config, sizeof(s.mac));
	memcpy(dst, &s, sizeof(s));
	return sizeof(s);
}

static int net_load(struct virtio_dev *dev, const void *src, size_t len)
{
	struct net *n = to_net(dev);
	struct net_state s;
	unsigned active;

	if (src == NULL || len != sizeof(s))
		return -EINVAL;
	memcpy(&s, src, sizeof(s));
	active = le16_get(s.active);
	if (memcmp(s.mac, dev->config, sizeof(s.mac)) != 0 || le16_get(s.mtu) != n->mtu)
		return -ENOTSUP;
	if (s.link_up > 1 || s.zero != 0 || (active != 1 && !net_has_pairs(n, active)))
		return -EINVAL;
	n->active = active;
	n->link_up = s.link_up == 1;
	put_config(n, s.mac);
	return 0;
}

static int net_attach(struct virtio_dev *dev)
{
	struct net *n = to_net(dev);
	int r = loop_io_add(dev->loop, n->timer_fd, EPOLLIN | EPOLLET, on_timer, n, &n->timer_io);

	for (unsigned i = 0; i < n->pairs && r == 0; i++)
		r = loop_io_add(dev->loop, n->taps[i], EPOLLIN | EPOLLET, on_tap, n,
				&n->tap_ios[i]);
	return r;
}

static void net_free(struct virtio_dev *dev)
{
	struct net *n = to_net(dev);

	virtio_worker_stop(dev->worker);
	loop_io_del(n->timer_io);
	for (unsigned i = 0; i < n->pairs; i++) {
		loop_io_del(n->tap_ios[i]);
		fd_closep(&n->taps[i]);
	}
	virtio_dev_done(dev);
	fd_closep(&n->timer_fd);
	free(n);
}

static const char *const net_counter_names[] = {
	[NET_RX_FRAMES] = "rx_frames",	     [NET_RX_BYTES] = "rx_bytes",
	[NET_RX_DROPPED] = "rx_dropped",     [NET_RX_STARVED] = "rx_starved",
	[NET_RX_THROTTLED] = "rx_throttled", [NET_TX_FRAMES] = "tx_frames",
	[NET_TX_BYTES] = "tx_bytes",	     [NET_TX_DROPPED] = "tx_dropped",
	[NET_TX_MALFORMED] = "tx_malformed", [NET_TX_THROTTLED] = "tx_throttled",
};
_Static_assert(ARRAY_SIZE(net_counter_names) == NET_COUNTER_COUNT, "a name for each counter");

const struct virtio_dev_ops virtio_net_ops = {
	.name = "net",
	.id = VIRTIO_DEV_NET,
	.queues = QUEUES_MAX,
	.queue_size_max = NET_QUEUE_SIZE,
	.features = NET_FEATURES,
	.own_thread = true,
	.features_ok = net_features_ok,
	.attach = net_attach,
	.notify = net_notify,
	.reset = net_reset,
	.pause = net_pause,
	.save = net_save,
	.load = net_load,
	.counter_names = net_counter_names,
	.counters_count = NET_COUNTER_COUNT,
	.free = net_free,
};

/* ---- For the control thread ----------------------------------------------------------------- */

static bool is_limited(const struct limits *l)
{
	return l->bytes.rate > 0 || l->operations.rate > 0;
}

static void set_limits(struct net *n, const struct limits *receive, const struct limits *send)
{
	uint64_t now = now_ns();

	limiter_set(&n->receive, receive, now);
	limiter_set(&n->send, send, now);
	n->receive_limited = is_limited(receive);
	n->send_limited = is_limited(send);
}

void virtio_net_set_limits(struct virtio_dev *dev, const struct limits *receive,
			   const struct limits *send)
{
	struct net *n = to_net(dev);

	pthread_mutex_lock(&dev->lock);
	set_limits(n, receive, send);
	net_kick_all(n);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_net_set_link(struct virtio_dev *dev, bool up)
{
	struct net *n = to_net(dev);
	uint8_t mac[VIRTIO_NET_MAC_BYTES];

	pthread_mutex_lock(&dev->lock);
	if (n->link_up != up) {
		n->link_up = up;
		memcpy(mac, dev->config, sizeof(mac));
		put_config(n, mac);
		virtio_dev_config_changed(dev);
		for (unsigned i = 0; i < n->pairs && dev->active; i++)
			net_rx_drop(n, i);
		net_kick_all(n);
	}
	pthread_mutex_unlock(&dev->lock);
}

static bool config_fits(const struct virtio_net_spec *cfg)
{
	bool any = false;

	for (unsigned i = 0; i < sizeof(cfg->mac); i++)
		any = any || cfg->mac[i] != 0;
	return any && (cfg->mac[0] & 1) == 0 && cfg->pairs >= 1 &&
	       cfg->pairs <= VIRTIO_NET_PAIRS_MAX && cfg->mtu <= VIRTIO_NET_MTU_MAX &&
	       (cfg->mtu == 0 || cfg->mtu >= VIRTIO_NET_MTU_MIN);
}

int virtio_net_new(struct gmem *gmem, const struct virtio_net_spec *cfg, const int *taps,
		   struct virtio_dev **ret)
{
	static const struct limits offload = { .operations = { 1, OFFLOAD_BURST } };
	struct net *n;
	int r;

	if (!config_fits(cfg))
		return -EINVAL;
	n = calloc(1, sizeof(*n) + cfg->pairs * sizeof(n->rx[0]));
	if (n == NULL)
		return -ENOMEM;
	n->timer_fd = r = new_timer();
	if (r >= 0)
		r = virtio_dev_init(&n->dev, &virtio_net_ops, gmem,
				    cfg->pairs == 1 ? 2 : 2 * cfg->pairs + 1);
	if (r < 0) {
		fd_closep(&n->timer_fd);
		free(n);
		return r;
	}
	n->pairs = cfg->pairs;
	n->active = 1;
	n->mtu = cfg->mtu;
	n->link_up = true;
	n->set_offload = cfg->set_offload;
	n->offload = OFFLOAD_UNKNOWN;
	limiter_set(&n->offload_limit, &offload, now_ns());
	memcpy(n->taps, taps, cfg->pairs * sizeof(n->taps[0]));
	if (n->pairs > 1)
		n->dev.features |= BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ);
	if (n->mtu > 0)
		n->dev.features |= BIT(VIRTIO_NET_F_MTU);
	set_limits(n, &cfg->receive, &cfg->send);
	put_config(n, cfg->mac);
	*ret = &n->dev;
	return 0;
}
