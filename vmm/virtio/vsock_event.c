/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_event.c - after a restore the guest is told that its connections are gone (virtio 1.2,
 * section 5.10.6.7).
 *
 * Linux works on the event aside of the rx queue and then resets every connection that it has, one
 * that began after the event included. So no connection begins until the guest has posted a buffer
 * again in place of the event's, which it does when it is done. A guest that never does keeps only
 * the host's connects waiting, which time out.
 */
#include <errno.h>
#include <linux/virtio_vsock.h>

#include "base/le.h"
#include "vmm/virtio/vsock.h"

static int show(struct vsock *v)
{
	const le32_t event = le32_put(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_EVENT];
	int r;

	do {
		r = virtq_pop(q, &v->chain);
		if (r == 0)
			r = virtq_enable_notify(q); /* 1: one has come in between */
		else if (r > 0)
			break;
	} while (r > 0);
	if (r <= 0)
		return r;
	if (v->chain.nread > 0 || v->chain.write_bytes < sizeof(event))
		return -EBADMSG;
	r = virtq_chain_write(q, &v->chain, 0, &event, sizeof(event));
	if (r == 0)
		r = virtq_notify_past(q, &v->event_posted);
	if (r == 0)
		r = virtq_push(q, v->chain.head, (uint32_t)sizeof(event));
	if (r == 0)
		r = virtio_dev_notify_used(&v->dev, q);
	v->event_owed = false;
	v->event_shown = true;
	return r;
}

int vsock_event_pump(struct vsock *v)
{
	int r = 0;

	if (!v->dev.active || v->dev.paused)
		return 0;
	if (v->event_owed)
		r = show(v);
	if (r == 0 && v->event_shown) {
		r = virtq_posted_past(&v->dev.queues[VSOCK_QUEUE_EVENT], v->event_posted);
		if (r > 0)
			v->event_shown = false;
	}
	return r < 0 ? r : 0;
}
