/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock device. No vhost and no AF_VSOCK on the host: the guest's streams end in this process
 * and are joined to unix sockets that were handed to it.
 *
 * Theory of operation: everything happens on the loop's thread, except that a vCPU may reset the
 * device at any moment. Sockets and their registrations belong to the loop's thread, so
 * a reset only notes itself (reset_pending) and wakes the loop; guest memory is out of reach at
 * once, since the queues are. Each entry point settles a noted reset before it does its own work.
 */
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bug.h"
#include "base/fd.h"
#include "vmm/virtio/vsock.h"

#define VSOCK_QUEUE_SIZE      128U
#define VSOCK_CONNECT_MS      2000U
#define VSOCK_RINGS_BYTES     ((size_t)VSOCK_CONNS_MAX * VSOCK_BUF_BYTES)
#define VSOCK_EPHEMERAL_FIRST 0x40000000U /* host ports of our own connects: above all services */

static struct vsock *to_vsock(struct virtio_dev *dev)
{
	return CONTAINER_OF(dev, struct vsock, dev);
}

void vsock_wake(struct vsock *v)
{
	virtio_eventfd_signal(v->wake_fd);
}

/* The guest's driver is gone, and with it everything that it knew of. Listeners stay. */
static void settle(struct vsock *v)
{
	if (!v->reset_pending)
		return;
	v->reset_pending = false;
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		if (v->conns[i].state != VSOCK_FREE)
			vsock_conn_orphan(&v->conns[i]);
	}
	v->stray_count = 0;
	v->event_owed = v->event_shown = false;
	v->rx_starved = v->tx_stalled = false;
}

/* What the guest is owed: the event first, since it ends what the guest had been told before. */
static int pump(struct vsock *v)
{
	int r = vsock_event_pump(v);

	return r < 0 ? r : vsock_rx_pump(v);
}

/* Begins an entry from the loop; ends with leave. */
static void enter(struct vsock *v)
{
	pthread_mutex_lock(&v->dev.lock);
	settle(v);
}

static void leave(struct vsock *v, int r)
{
	if (r < 0)
		virtio_dev_fail(&v->dev, strerrordesc_np(-r));
	pthread_mutex_unlock(&v->dev.lock);
}

/* ---- Events of the loop --------------------------------------------------------------------- */

void vsock_on_fd(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct vsock_conn *c = arg;
	struct vsock *v = c->v;

	(void)fd;
	enter(v);
	if (c->io != io) { /* settling has just closed it */
		leave(v, 0);
		return;
	}
	if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		c->hung_up = true;
	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
		c->read_ended = true;
	if (c->read_ended || (events & EPOLLIN) != 0)
		c->can_read = true;
	if (c->hung_up || (events & EPOLLOUT) != 0)
		c->can_write = true;
	vsock_conn_flush(c);
	if (c->io != NULL && c->ring_len == 0)
		vsock_conn_watch_out(c, false);
	/* Nobody reads for the guest any more, so the end must be seen here: it wants no data, or
	 * there are none after the end of file that came before. */
	if (c->hung_up && c->state == VSOCK_OPEN &&
	    ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0 ||
	     (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0))
		vsock_conn_eof(c, true);
	leave(v, pump(v));
}

static void on_timeout(void *arg)
{
	struct vsock_conn *c = arg;
	struct vsock *v = c->v;

	c->timer = NULL; /* one shot: the handle is gone */
	enter(v);
	if (c->state == VSOCK_CONNECTING && (c->owed & VSOCK_OWES_REQUEST) != 0)
		vsock_conn_drop(c, -ETIMEDOUT); /* the guest has never heard of it */
	else if (c->state == VSOCK_CONNECTING)
		vsock_conn_abort(c, -ETIMEDOUT);
	leave(v, pump(v));
}

/* Reset to settle, more to pump, or results to deliver (which needs the lock released). */
static void on_wake(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct {
		virtio_vsock_done_fn *fn;
		void *arg;
		int result;
	} done[VSOCK_CONNS_MAX];
	struct vsock *v = arg;
	unsigned n = 0;

	(void)io;
	(void)fd;
	(void)events;
	enter(v);
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		struct vsock_conn *c = &v->conns[i];
		if (!c->done_ready)
			continue;
		done[n].fn = c->done;
		done[n].arg = c->done_arg;
		done[n++].result = c->done_result;
		c->done = NULL;
		c->done_ready = false;
	}
	leave(v, pump(v));
	for (unsigned i = 0; i < n; i++)
		done[i].fn(done[i].result, done[i].arg);
}

/* ---- For the host --------------------------------------------------------------------------- */

int virtio_vsock_listen(struct virtio_dev *dev, uint32_t port, int fd)
{
	struct vsock *v = to_vsock(dev);
	int r = 0;

	enter(v);
	if (v->listen_count == VSOCK_LISTENS_MAX)
		r = -ENOSPC;
	else
		v->listens[v->listen_count++] = (struct vsock_listen){ .port = port, .fd = fd };
	leave(v, 0);
	return r;
}

int vsock_listen_take(struct vsock *v, uint32_t port)
{
	for (unsigned i = 0; i < v->listen_count; i++) {
		int fd = v->listens[i].fd;
		if (v->listens[i].port != port)
			continue;
		v->listen_count--;
		memmove(&v->listens[i], &v->listens[i + 1],
			(v->listen_count - i) * sizeof(v->listens[0]));
		return fd;
	}
	return -1;
}

/* A host port that no connection uses: there are fewer of those than tries. */
static uint32_t ephemeral_port(struct vsock *v)
{
	for (;;) {
		uint32_t port = v->next_port++;
		bool used = false;
		if (v->next_port == UINT32_MAX)
			v->next_port = VSOCK_EPHEMERAL_FIRST;
		for (unsigned i = 0; i < VSOCK_CONNS_MAX && !used; i++)
			used = v->conns[i].state != VSOCK_FREE && v->conns[i].host_port == port;
		if (!used)
			return port;
	}
}

static int connect_locked(struct vsock *v, uint32_t port, int fd, virtio_vsock_done_fn *done,
			  void *arg)
{
	struct vsock_conn *c;
	int r = vsock_conn_new(v, ephemeral_port(v), port, fd, &c);

	if (r < 0)
		return r;
	c->state = VSOCK_CONNECTING;
	c->owed = VSOCK_OWES_REQUEST;
	c->done_arg = arg;
	r = loop_timer_add(v->dev.loop, VSOCK_CONNECT_MS, on_timeout, c, &c->timer);
	if (r < 0) {
		c->fd = -1; /* the caller's again */
		loop_io_del(c->io);
		c->io = NULL;
		vsock_conn_drop(c, r);
		return r;
	}
	c->done = done;
	return 0;
}

int virtio_vsock_connect(struct virtio_dev *dev, uint32_t port, int fd, virtio_vsock_done_fn *done,
			 void *arg)
{
	struct vsock *v = to_vsock(dev);
	int r;

	BUG_ON(dev->loop == NULL);
	enter(v);
	r = connect_locked(v, port, fd, done, arg);
	leave(v, pump(v));
	return r;
}

/* ---- The device ----------------------------------------------------------------------------- */

/* The guest's connections are no more, here; it is told when the device goes on, since every queue
 * is then looked at. A guest that knows of no connection ignores it. Listeners stay. */
static void vsock_restored(struct virtio_dev *dev)
{
	struct vsock *v = to_vsock(dev);

	settle(v);
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		if (v->conns[i].state != VSOCK_FREE)
			vsock_conn_orphan(&v->conns[i]);
	}
	v->stray_count = 0;
	v->event_owed = true;
	v->event_shown = false;
}

static int vsock_attach(struct virtio_dev *dev)
{
	struct vsock *v = to_vsock(dev);

	return loop_io_add(dev->loop, v->wake_fd, EPOLLIN | EPOLLET, on_wake, v, &v->wake_io);
}

static int vsock_notify(struct virtio_dev *dev, unsigned qi)
{
	struct vsock *v = to_vsock(dev);
	int r = 0;

	settle(v);
	if (qi == VSOCK_QUEUE_TX)
		r = vsock_tx(v);
	else if (qi == VSOCK_QUEUE_RX)
		v->rx_starved = false;
	return r < 0 ? r : pump(v);
}

static void vsock_reset(struct virtio_dev *dev)
{
	struct vsock *v = to_vsock(dev);

	v->reset_pending = true;
	vsock_wake(v);
}

static void vsock_free(struct virtio_dev *dev)
{
	struct vsock *v = to_vsock(dev);

	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		v->conns[i].done = NULL; /* whoever waited knows: it is who frees */
		vsock_conn_drop(&v->conns[i], -ECONNRESET);
	}
	for (unsigned i = 0; i < v->listen_count; i++)
		fd_closep(&v->listens[i].fd);
	loop_io_del(v->wake_io);
	fd_closep(&v->wake_fd);
	virtio_dev_done(dev);
	(void)munmap(v->rings, VSOCK_RINGS_BYTES);
	free(v);
}

static const char *const counter_names[] = {
	[VSOCK_RX_PACKETS] = "rx_packets",
	[VSOCK_RX_BYTES] = "rx_bytes",
	[VSOCK_TX_PACKETS] = "tx_packets",
	[VSOCK_TX_BYTES] = "tx_bytes",
	[VSOCK_OPENED] = "opened",
	[VSOCK_REFUSED] = "refused",
	[VSOCK_RSTS] = "rsts",
	[VSOCK_SPOOFED] = "spoofed",
	[VSOCK_RX_STARVED] = "rx_starved",
	[VSOCK_TX_STALLED] = "tx_stalled",
};
_Static_assert(ARRAY_SIZE(counter_names) == VSOCK_COUNTERS, "a name for each");

const struct virtio_dev_ops virtio_vsock_ops = {
	.name = "vsock",
	.id = VIRTIO_DEV_VSOCK,
	.queues = 3,
	.queue_size_max = VSOCK_QUEUE_SIZE,
	.attach = vsock_attach,
	.notify = vsock_notify,
	.reset = vsock_reset,
	.restored = vsock_restored,
	.counter_names = counter_names,
	.counters_count = VSOCK_COUNTERS,
	.free = vsock_free,
};

int virtio_vsock_new(struct gmem *gmem, uint64_t guest_cid, struct virtio_dev **ret)
{
	le64_t cid = le64_put(guest_cid);
	uint8_t *rings;
	struct vsock *v;
	int r;

	/* Untouched pages cost nothing; nothing is allocated for data later. */
	rings = mmap(NULL, VSOCK_RINGS_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rings == MAP_FAILED)
		return -errno;
	v = calloc(1, sizeof(*v));
	r = v != NULL ? virtio_dev_init(&v->dev, &virtio_vsock_ops, gmem, virtio_vsock_ops.queues)
		      : -ENOMEM;
	if (r < 0) {
		(void)munmap(rings, VSOCK_RINGS_BYTES);
		free(v);
		return r;
	}
	v->guest_cid = guest_cid;
	v->next_port = VSOCK_EPHEMERAL_FIRST;
	v->rings = rings;
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++)
		v->conns[i] = (struct vsock_conn){ .v = v,
						   .fd = -1,
						   .ring = rings + i * VSOCK_BUF_BYTES };
	v->wake_fd = virtio_eventfd();
	if (v->wake_fd < 0) {
		r = v->wake_fd;
		vsock_free(&v->dev);
		return r;
	}
	memcpy(v->dev.config, &cid, sizeof(cid));
	v->dev.config_size = sizeof(cid);
	*ret = &v->dev;
	return 0;
}
